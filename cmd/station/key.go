package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"station/keyring"
	"station/store"
)

func (a *app) key() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "The station's own keys", PersistentPreRunE: a.notOfKeyServer}
	c.AddCommand(a.keyCreate(), a.keyList(), a.keyRotate(), a.keyRetire(), a.keyEncrypt())
	return c
}

// notOfKeyServer refuses the directory of a key server, where masters have entries of their own and the checkpoint key does not change.
func (a *app) notOfKeyServer(c *cobra.Command, _ []string) error {
	data, err := a.data()
	if err != nil {
		return err
	}
	if _, err := os.Stat(keyServerFile(data)); err == nil && c.Name() != "encrypt" { // files are files
		return exit(exitRefused, fmt.Errorf("%s is a key server's directory: its masters are made and retired by `station keyserver key`, and shown by `station keyserver list`; its own keys are never replaced: docs/keyserver.md says what is done when they are lost", data))
	}
	return nil
}

func (a *app) openKeys() (keyholder, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	keys, err := keysOf(cfg, ledgerFile(cfg.Data))
	return keys, ledgerErr(cfg.Data, err)
}

// masterMaker makes master keys: a keyring of the station's own does.
type masterMaker interface {
	CreateMaster(name string, value []byte) error
}

func (a *app) keyCreate() *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "create NAME [--from FILE]",
		Short: "Make a master key that recipes derive root keys from, or take one over from a file",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			keys, err := a.openKeys()
			if err != nil {
				return err
			}
			defer keys.Close()
			maker, ok := keys.(masterMaker)
			if !ok {
				return exit(exitRefused, fmt.Errorf("the master keys of this station are made on its key server: `station keyserver key create %s`, there", args[0]))
			}
			db, _, err := a.openLedgerReadOnly()
			if err != nil {
				return err
			}
			theirs, used, retired, err := db.Master(args[0])
			var all []masterJSON
			if err == nil && from != "" {
				all, err = masters(keys, db)
			}
			if err := errors.Join(err, db.Close()); err != nil {
				return exit(exitError, err)
			}
			if retired {
				return exit(exitRefused, fmt.Errorf("the master %s was retired: a new master has another name", args[0]))
			}
			var value []byte
			if from != "" {
				if value, err = readKeyValue(from); err != nil {
					return exit(exitRefused, err)
				}
				defer clear(value)
			}
			_, err = keys.MasterFingerprint(args[0])
			switch missing := errors.Is(err, keyring.ErrMissing); {
			case missing && used && value == nil:
				return exit(exitRefused, fmt.Errorf("units of this ledger have their keys from the master %s: restore its file from the copy of the keys, or give it with --from. If it is lost for good, a new master has another name", args[0]))
			case missing && theirs != "" && theirs != keyring.FingerprintOf(value):
				return exit(exitRefused, fmt.Errorf("%s is not the master %s that units of this ledger have their keys from (fingerprint %s, and theirs is %s)", from, args[0], keyring.FingerprintOf(value), theirs))
			}
			for _, m := range all {
				if sum := keyring.FingerprintOf(value); m.Name != args[0] && (m.Fingerprint == sum || m.Theirs == sum) {
					return exit(exitRefused, fmt.Errorf("%s is the master %s already (fingerprint %s): one key under two names would give two recipes the same key", from, m.Name, sum))
				}
			}
			err = maker.CreateMaster(args[0], value)
			switch {
			case errors.Is(err, keyring.ErrExists), errors.Is(err, keyring.ErrName):
				return exit(exitRefused, err)
			case err != nil:
				return exit(exitError, err)
			}
			fingerprint, err := keys.MasterFingerprint(args[0])
			if err != nil {
				return exit(exitError, err)
			}
			if a.json {
				return a.printJSON(struct {
					Name        string `json:"name"`
					Fingerprint string `json:"fingerprint"`
				}{args[0], fingerprint})
			}
			_, err = fmt.Fprintf(a.stdout, "master key %s is made, fingerprint %s%s\n", args[0], fingerprint, cfg.Keys.copies("; keep a copy of the keys in a safe place"))
			return err
		},
	}
	c.Flags().StringVar(&from, "from", "", "the key is in this `FILE`, mode 0600: 32 bytes, or 64 hex digits. It is left as it is")
	return c
}

const keyValueSize = 32 // bytes

// readKeyValue reads a key that was made elsewhere. Its caller wipes it. No error quotes it.
func readKeyValue(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if perm := info.Mode().Perm(); perm&^0o600 != 0 {
		return nil, fmt.Errorf("%s: %w: mode is %#o; run chmod 0600 on it, and think about who may have read it", path, keyring.ErrMode, perm)
	}
	return keyValueFrom(f, path)
}

// keyValueFrom reads such a key from an open file.
func keyValueFrom(f io.Reader, path string) ([]byte, error) {
	text := make([]byte, 2*keyValueSize+2) // and a line end
	defer clear(text)
	n, err := io.ReadFull(f, text)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n == keyValueSize {
		return bytes.Clone(text[:n]), nil
	}
	value := make([]byte, keyValueSize)
	if digits := bytes.TrimRight(text[:n], "\r\n"); len(digits) == 2*keyValueSize {
		if _, err := hex.Decode(value, digits); err == nil {
			return value, nil
		}
	}
	clear(value)
	return nil, fmt.Errorf("%s: a key is %d bytes, or %d hex digits", path, keyValueSize, 2*keyValueSize)
}

type keyListJSON struct {
	Checkpoint  string              `json:"checkpoint"` // verifier key of now
	Checkpoints []checkpointKeyJSON `json:"checkpoints"`
	Masters     []masterJSON        `json:"masters"`
	Recipient   string              `json:"recipient"`
}

type checkpointKeyJSON struct {
	Key   string `json:"key"`
	Since int64  `json:"since"` // index of the entry that names it
	Lost  bool   `json:"lost"`  // the key before it was lost
}

type masterJSON struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"` // of the key that is there, or else the one that entries tell, "" for none
	Missing     bool   `json:"missing"`     // the ledger tells of it, and it is not there
	Theirs      string `json:"theirs"`      // the one that entries tell, where the key that is there is another one
	Used        bool   `json:"used"`        // units have their keys from it
	Retired     bool   `json:"retired"`     // in this ledger, or at the key server
}

func (a *app) keyList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "The station's keys by name, never the keys: since when they sign, what they are used for, and which are retired",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			keys, err := a.openKeys()
			if err != nil {
				return err
			}
			defer keys.Close()
			db, _, err := a.openLedgerReadOnly()
			if err != nil {
				return err
			}
			defer db.Close()
			j := keyListJSON{Checkpoint: keys.VerifierKey(), Checkpoints: []checkpointKeyJSON{}}
			chain, err := db.Keys()
			if err != nil {
				return exit(exitError, err)
			}
			for _, l := range chain {
				j.Checkpoints = append(j.Checkpoints, checkpointKeyJSON{l.Key, l.Index, l.Lost})
			}
			if j.Masters, err = masters(keys, db); err != nil {
				return exit(exitError, err)
			}
			if j.Recipient, err = keys.Recipient(); err != nil {
				return exit(exitError, err)
			}
			return a.printKeys(j)
		},
	}
}

// masters are those that the keyring has and those that the ledger tells of, by name.
func masters(keys keyholder, db interface {
	Masters() (map[string]store.Master, error)
}) ([]masterJSON, error) {
	there, err := keys.Masters()
	if err != nil {
		return nil, err
	}
	known, err := db.Masters()
	if err != nil {
		return nil, err
	}
	all := slices.AppendSeq(slices.Clone(there), maps.Keys(known))
	slices.Sort(all)
	out := []masterJSON{}
	for _, name := range slices.Compact(all) {
		theirs := known[name].Fingerprint
		m := masterJSON{Name: name, Fingerprint: theirs, Used: known[name].Used, Retired: known[name].Retired != 0}
		switch ours, err := keys.MasterFingerprint(name); {
		case errors.Is(err, keyring.ErrMissing):
			m.Missing = true
		case err != nil:
			return nil, err
		default:
			m.Fingerprint = ours
			m.Retired = m.Retired || !slices.Contains(there, name) // a key server names those only that are in use
			if theirs != "" && theirs != ours {
				m.Theirs = theirs
			}
		}
		out = append(out, m)
	}
	return out, nil
}

func (a *app) printKeys(j keyListJSON) error {
	if a.json {
		return a.printJSON(j)
	}
	rows := [][]string{{"KIND", "NAME", "FINGERPRINT", "STATE"}}
	for i, c := range j.Checkpoints {
		state := fmt.Sprintf("since entry %d", c.Since)
		if i < len(j.Checkpoints)-1 {
			state += fmt.Sprintf(", replaced in entry %d", j.Checkpoints[i+1].Since)
			if j.Checkpoints[i+1].Lost {
				state += " as lost"
			}
		}
		rows = append(rows, []string{"checkpoint", c.Key, "", state})
	}
	rows = append(rows, []string{"recipient", j.Recipient, "", ""})
	for _, m := range j.Masters {
		state := "no root key from it yet"
		switch {
		case m.Retired:
			state = "retired"
		case m.Used:
			state = "used"
		}
		if m.Missing {
			state += ", MISSING"
		}
		if m.Theirs != "" {
			state += ", ANOTHER KEY: units have theirs from " + m.Theirs
		}
		rows = append(rows, []string{"master", m.Name, m.Fingerprint, state})
	}
	return a.printTable(rows)
}
