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
	return &cobra.Command{
		Use:   "create NAME",
		Short: "Make a master key that recipes derive root keys from",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
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
			_, used, retired, err := db.Master(args[0])
			if err := errors.Join(err, db.Close()); err != nil {
				return exit(exitError, err)
			}
			if retired {
				return exit(exitRefused, fmt.Errorf("the master %s was retired: a new master has another name", args[0]))
			}
			if _, err := keys.MasterFingerprint(args[0]); used && errors.Is(err, keyring.ErrMissing) {
				return exit(exitRefused, fmt.Errorf("units of this ledger have their keys from the master %s: restore its file from the copy of the keys. If it is lost for good, a new master has another name", args[0]))
			}
			err = maker.CreateMaster(args[0], nil)
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
			defer keys.Close()
			masters, err := keys.Masters()
			if err != nil {
				return exit(exitError, err)
			}
			recipient, err := keys.Recipient()
			if err != nil {
				return exit(exitError, err)
			}
			if a.json {
				return a.printJSON(map[string]any{"checkpoint": keys.VerifierKey(), "masters": masters, "recipient": recipient})
			}
			rows := [][]string{{"KIND", "NAME"}, {"checkpoint", keys.VerifierKey()}, {"recipient", recipient}}
			for _, m := range masters {
				rows = append(rows, []string{"master", m})
			}
			return a.printTable(rows)
		},
	}
}
