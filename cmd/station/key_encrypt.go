package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"station/keyring"
)

func (a *app) keyEncrypt() *cobra.Command {
	return &cobra.Command{
		Use:   "encrypt",
		Short: "Encrypt keys that are in plain files, under the passphrase that the configuration names",
		Long: "Encrypt keys that are in plain files, under the passphrase that the configuration names (keys: {provider: file, passphrase: ...}). Where it dies,\n" +
			"nothing is lost, and it is given again. Files that are encrypted are never made plain ones again.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if p := cfg.Keys.Provider; p != providerFile && p != "" {
				return exit(exitRefused, fmt.Errorf("the keys of this station are not in files (keys: {provider: %s}): there is nothing to encrypt", p))
			}
			passphrase, err := cfg.Keys.Passphrase.read()
			switch {
			case err != nil:
				return exit(exitError, fmt.Errorf("the passphrase of the keys: %w", err))
			case passphrase == nil:
				return exit(exitRefused, errors.New("the configuration names no passphrase: put one into a file of mode 0600 and its name into the configuration, "+
					"`keys: {provider: file, passphrase: {file: FILE}}`, and give this command again"))
			}
			defer clear(passphrase)
			db, _, err := a.openLedgerReadOnly() // keeps away whoever works with the keys
			if err != nil {
				return err
			}
			defer db.Close()
			n, err := keyring.Encrypt(keysDir(cfg.Data), passphrase)
			if err != nil {
				return exit(exitError, fmt.Errorf("%w. Nothing is lost; give the command again", err))
			}
			keys, err := a.openKeys()
			if err != nil {
				return err
			}
			defer keys.Close()
			switch {
			case a.json:
				return a.printJSON(struct {
					Encrypted int `json:"encrypted"` // files
				}{n})
			case n == 0:
				_, err = printf(a.stdout, "the keys in %s are encrypted already\n", keysDir(cfg.Data))
				return err
			}
			stolen := "key rotate checkpoint --stolen"
			if _, err := os.Stat(keyServerFile(cfg.Data)); err == nil {
				stolen = "another key server takes the place of this one, as where its keys are stolen (docs/keyserver.md, Its own keys)"
			}
			_, err = printf(a.stdout, "%s are encrypted. Their plain files are removed; blocks of the disk, copies and backups of it may still hold them: destroy those, and make a new copy of the keys. "+
				"Where somebody may have read them: %s\n", counted(n, "key"), stolen)
			return err
		},
	}
}
