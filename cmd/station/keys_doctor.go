package main

import (
	"errors"
	"fmt"
	"time"

	"station/keyring"
	"station/store"
)

// examineKeys uses the station's keys once. It logs in to a token once, as every command does.
func examineKeys(cfg *config) []finding {
	keys, err := keysOf(cfg, ledgerFile(cfg.Data))
	if errors.Is(err, store.ErrInUse) { // by a command that has the keys; the next one has to read this
		if err = cfg.Keys.readable(); err == nil {
			return nil
		}
	} else if err == nil {
		defer keys.Close()
		var masters []string
		if masters, err = keys.Masters(); err == nil {
			return []finding{{"keys", true, fmt.Sprintf("%s: %s", keys, counted(len(masters), "master")), ""}}
		}
	}
	cure := "restore them from the copy of the keys; they are never made anew beside a ledger"
	switch {
	case errors.Is(err, keyring.ErrPlain):
		cure = "station key encrypt, while nothing runs"
	case errors.Is(err, keyring.ErrProvider):
		cure = "correct keys in config.yaml, or what they need: the passphrase or PIN, the module, the token in its place. A wrong PIN is given once for each command, and too many lock the token"
	case errors.As(err, new(interface{ KeyServer() bool })):
		cure = "look after the key server, and key_server in config.yaml"
	case errors.Is(err, keyring.ErrMode):
		cure = "chmod, as it says, and think about who may have read it"
	}
	return []finding{{"keys", false, err.Error(), cure}}
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// readable reads what opens the keys, and forgets it.
func (c keysConfig) readable() error {
	for what, source := range map[string]secretSource{"the passphrase of the keys": c.Passphrase, "the PIN of the token": c.PIN} {
		text, err := source.read()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		clear(text)
	}
	return nil
}

// endsSoon is how many days before its end a certificate is warned of.
const endsSoon = 30

// daysTo is how many whole days are left until a certificate ends.
func daysTo(end, now time.Time) int { return int(end.Sub(now).Hours() / 24) }

// examineCertificates looks when what the station and its key server know each other by ends.
func examineCertificates(cfg *config, now time.Time) finding {
	const again = "enrol the station again on the key server's PC (`station keyserver enrol %s --out DIR`), and put the new files in the place of these"
	client, err := cfg.connect()
	if err != nil {
		return finding{"certificate", false, err.Error(), "correct key_server in config.yaml, or bring the files of `station keyserver enrol` back"}
	}
	client.Close()
	ca, err := readCertificate(cfg.KeyServer.CA)
	if err != nil {
		return finding{"certificate", false, err.Error(), "correct key_server in config.yaml"}
	}
	own, err := readCertificate(cfg.KeyServer.Cert)
	if err != nil {
		return finding{"certificate", false, err.Error(), "correct key_server in config.yaml"}
	}
	path, cert, cure := cfg.KeyServer.Cert, own, fmt.Sprintf(again, cfg.Station)
	if ca.NotAfter.Before(own.NotAfter) {
		path, cert, cure = cfg.KeyServer.CA, ca, "have the key server get another authority, and enrol the station again"
	}
	days := daysTo(cert.NotAfter, now)
	said := fmt.Sprintf("%s ends in %s, on %s", path, counted(days, "day"), cert.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case now.After(cert.NotAfter):
		return finding{"certificate", false, fmt.Sprintf("%s ended on %s", path, cert.NotAfter.UTC().Format(time.DateOnly)), cure}
	case now.Before(cert.NotBefore):
		return finding{"certificate", false, fmt.Sprintf("%s begins on %s only", path, cert.NotBefore.UTC().Format(time.DateOnly)), "set the clock"}
	case days < endsSoon:
		return finding{"certificate", true, said, cure}
	}
	return finding{"certificate", true, said, ""}
}
