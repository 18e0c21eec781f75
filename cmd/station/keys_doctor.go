package main

import (
	"errors"
	"fmt"

	"station/keyring"
	"station/store"
)

// examineKeys uses the station's keys once. It logs in to a token once, as every command does.
func examineKeys(cfg *config) []finding {
	keys, err := keysOf(cfg, ledgerFile(cfg.Data))
	if err == nil {
		defer keys.Close()
		var masters []string
		if masters, err = keys.Masters(); err == nil {
			return []finding{{"keys", true, fmt.Sprintf("%s: %s", keys, counted(len(masters), "master")), ""}}
		}
	}
	cure := "restore them from the copy of the keys; they are never made anew beside a ledger"
	switch {
	case errors.Is(err, store.ErrInUse):
		return nil // by a command that has the keys
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
