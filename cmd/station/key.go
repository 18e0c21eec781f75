package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"station/keyring"
)

func (a *app) key() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "The station's own keys"}
	c.AddCommand(a.keyCreate(), a.keyList())
	return c
}

func (a *app) openKeys() (*keyring.Keyring, error) {
	data, err := a.data()
	if err != nil {
		return nil, err
	}
	if _, err := isSimulated(data); err != nil {
		return nil, ledgerErr(data, err)
	}
	keys, err := keyring.Open(keysDir(data))
	if err != nil {
		return nil, exit(exitError, err)
	}
	return keys, nil
}

func (a *app) keyCreate() *cobra.Command {
	return &cobra.Command{
		Use:   "create NAME",
		Short: "Make a master key that recipes derive root keys from",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := a.openKeys()
			if err != nil {
				return err
			}
			db, _, err := a.openLedgerReadOnly()
			if err != nil {
				return err
			}
			_, used, err := db.Master(args[0])
			if err := errors.Join(err, db.Close()); err != nil {
				return exit(exitError, err)
			}
			if _, err := keys.MasterFingerprint(args[0]); used && errors.Is(err, keyring.ErrMissing) {
				return exit(exitRefused, fmt.Errorf("units of this ledger have their keys from the master %s: restore its file from the copy of the keys. If it is lost for good, a new master has another name", args[0]))
			}
			err = keys.CreateMaster(args[0])
			switch {
			case errors.Is(err, keyring.ErrExists), errors.Is(err, keyring.ErrName):
				return exit(exitRefused, err)
			case err != nil:
				return exit(exitError, err)
			}
			_, err = fmt.Fprintf(a.stdout, "master key %s is made; keep a copy of the keys directory in a safe place\n", args[0])
			return err
		},
	}
}

func (a *app) keyList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "The names of the station's keys, never the keys",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			keys, err := a.openKeys()
			if err != nil {
				return err
			}
			masters, err := keys.Masters()
			if err != nil {
				return exit(exitError, err)
			}
			recipient, err := keys.Recipient() // "" where no permission for rework has needed it yet
			if err != nil && !errors.Is(err, keyring.ErrMissing) {
				return exit(exitError, err)
			}
			if a.json {
				return a.printJSON(map[string]any{"checkpoint": keys.VerifierKey(), "masters": masters, "recipient": recipient})
			}
			rows := [][]string{{"KIND", "NAME"}, {"checkpoint", keys.VerifierKey()}}
			if recipient != "" {
				rows = append(rows, []string{"recipient", recipient})
			}
			for _, m := range masters {
				rows = append(rows, []string{"master", m})
			}
			return a.printTable(rows)
		},
	}
}
