package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"station/keyring"
	"station/ledger"
	"station/store"
)

type rotatedJSON struct {
	Index int64 `json:"index"` // of the entry station.key
	ledger.StationKey
	NewVerifier bool   `json:"new_verifier"` // the verifier key was missing, and is made anew
	Recipient   string `json:"recipient"`    // of the station
}

func (a *app) keyRotate() *cobra.Command {
	var why store.Rotation
	var stolen bool
	c := &cobra.Command{
		Use:       "rotate checkpoint [--lost|--stolen] --reason TEXT --by PERSON",
		Short:     "Replace the key that signs the ledger's checkpoints",
		ValidArgs: []string{"checkpoint"},
		Long: "Make a new key for the ledger's checkpoints, have the ledger say so, and destroy the old key. The checkpoint of that entry is signed by both keys,\n" +
			"so whoever pinned the old one can follow. Old checkpoints stay what they are.\n\n" +
			"With --lost the new key signs alone: the old one is not there any more. With --stolen it does so though the old one is there: nobody must trust it any more.\n" +
			"Whoever audits the ledger pins the new key too, once they have it from a person whom they know. A verifier key that is missing is made anew with --lost.",
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := readable("--reason", why.Reason, longestReason); err != nil {
				return err
			}
			if err := readable("--by", why.By, longestName); err != nil {
				return err
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			why.Lost = why.Lost || stolen
			j, err := rotate(cfg, why, stolen)
			if j.NewVerifier {
				printf(a.stderr, "the verifier key was missing and is made anew. Nothing knows a password by its old tags again: an open run behind a password intent is for a person to decide (`station unit close`). "+
					"The station's recipient is another one (`station key list`): permissions for rework are withdrawn and given again\n")
			}
			if err != nil {
				return ledgerErr(cfg.Data, err)
			}
			if a.json {
				return a.printJSON(j)
			}
			_, err = printf(a.stdout, "entry %d says for ever that the checkpoint key is now\n%s\nand was\n%s\ntell the auditors%s\n", j.Index, j.To, j.From, cfg.Keys.copies(", and make a new copy of the keys"))
			return err
		},
	}
	f := c.Flags()
	f.BoolVar(&why.Lost, "lost", false, "the present key is not there any more, and no copy brings it back")
	f.BoolVar(&stolen, "stolen", false, "the present key is there and is not to be trusted any more")
	f.StringVar(&why.Reason, "reason", "", "why, in a `TEXT` for the auditor")
	f.StringVar(&why.By, "by", "", "pseudonymous id of the `PERSON` who decided; recorded as unauthenticated")
	for _, name := range []string{"reason", "by"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// rotate replaces the checkpoint key. Whoever dies in it does it again, or finds it done by the next start.
func rotate(cfg *config, why store.Rotation, stolen bool) (j rotatedJSON, err error) {
	path := ledgerFile(cfg.Data)
	simulated, err := isSimulatedFile(path)
	if err != nil {
		return j, err
	}
	chain, err := store.KeysOf(path)
	if err != nil {
		return j, err
	}
	keys, next, vkey, newVerifier, err := keysForRotation(cfg, chain, &why, stolen)
	j.NewVerifier = newVerifier
	if errors.As(err, new(*exitErr)) {
		return j, err
	} else if err != nil {
		return j, exit(exitError, err)
	}
	o := storeOptions(cfg, keys, simulated)
	o.Signer, o.VerifierKey = next, vkey
	j.Index, j.StationKey, err = rotateLedger(path, o, why)
	if err == nil {
		j.Recipient, err = keys.Recipient()
	}
	if err != nil {
		return j, errors.Join(err, keys.Close())
	}
	if err := keys.Close(); err != nil {
		return j, exit(exitError, err)
	}
	if keys, err = openKeys(cfg, vkey); err != nil {
		return j, exit(exitError, err)
	}
	if err := errors.Join(keys.DestroyOld(), keys.Close()); err != nil {
		return j, exit(exitError, fmt.Errorf("the checkpoint key is replaced (entry %d), but the old one is still there: %w; the next start destroys it", j.Index, err))
	}
	return j, nil
}

func rotateLedger(path string, o store.Options, why store.Rotation) (index int64, said ledger.StationKey, err error) {
	db, err := store.Rotate(path, o, why)
	if err != nil {
		return 0, said, err
	}
	defer db.Close()
	chain, err := db.Keys()
	if err != nil {
		return 0, said, err
	}
	index = chain[len(chain)-1].Index
	rec, err := db.Entry(index)
	if err != nil {
		return 0, said, err
	}
	said, _ = rec.Entry.Body.(ledger.StationKey)
	return index, said, db.Close()
}

// keysForRotation opens the keys with the present checkpoint key, or without it where that is lost or stolen, and names the next one. Where only the verifier key was
// lost the present checkpoint key vouches for the next, and why says so.
func keysForRotation(cfg *config, chain ledger.Chain, why *store.Rotation, stolen bool) (keys keyholder, next note.Signer, vkey string, newVerifier bool, err error) {
	keys, err = openKeys(cfg, chain.Present())
	switch missing := errors.Is(err, keyring.ErrMissing); {
	case err == nil && why.Lost && !stolen:
		if err = works(cfg, keys); err == nil {
			err = exit(exitRefused, errors.New("the present checkpoint key is there and works: without --lost it vouches for the next one, and no auditor has to pin that. "+
				"Where it is not to be trusted any more: --stolen. Nothing was changed"))
		} else if errors.Is(err, keyring.ErrMissing) {
			err = nil
		}
	case missing && why.Lost:
		if newVerifier, err = completeKeys(cfg); err == nil && newVerifier && !stolen {
			keys, err = openKeys(cfg, chain.Present())
			why.Lost = err != nil
		}
		if errors.Is(err, keyring.ErrMissing) {
			err = nil
		}
	case err != nil && why.Lost:
		err = fmt.Errorf("%w. %s", err, cfg.Keys.wayOut(keysDir(cfg.Data), err))
	case err != nil:
		err = fmt.Errorf("%w. If the key is lost for good: --lost", err)
	}
	if err != nil || why.Lost {
		if keys != nil {
			keys.Close()
		}
		if err != nil {
			return nil, nil, "", newVerifier, err
		}
		keys, err = keysAfterLoss(cfg, chain)
		if cfg.Keys.Provider == providerKeyServer && errors.Is(err, keyring.ErrMissing) {
			err = fmt.Errorf("%w. The key server has some of this station's keys, and makes none beside them. On its PC: restore them from the copy of its keys. Where there is none: stop it, move what is left of "+
				"checkpoint-%[2]s (and checkpoint-%[2]s.2 and so on) and verifier-%[2]s away, start it, and give this command again, which makes all of them anew", err, cfg.Station)
		}
		if err != nil {
			return nil, nil, "", newVerifier, err
		}
		return keys, keys.Signer(), keys.VerifierKey(), newVerifier, nil
	}
	if next, vkey, err = keys.NextCheckpoint(); err != nil {
		return nil, nil, "", newVerifier, errors.Join(err, keys.Close())
	}
	return keys, next, vkey, newVerifier, nil
}

// works opens the ledger with its present keys, as every start of the station does. ErrMissing where an earlier key is lost that has yet to sign beside them.
func works(cfg *config, keys keyholder) error {
	path := ledgerFile(cfg.Data)
	simulated, err := isSimulatedFile(path)
	if err != nil {
		return err
	}
	db, err := store.Open(path, storeOptions(cfg, keys, simulated))
	if err != nil {
		return err
	}
	return db.Close()
}

// completeKeys makes what is missing of the station's own keys.
func completeKeys(cfg *config) (newVerifier bool, err error) {
	if cfg.Keys.Provider == providerKeyServer {
		keys, err := newKeys(cfg)
		if errors.Is(err, keyring.ErrExists) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		return false, keys.Close()
	}
	p, err := cfg.Keys.create(keysDir(cfg.Data))
	if err != nil {
		return false, err
	}
	_, newVerifier, err = keyring.Complete(p, cfg.Station)
	return newVerifier, errors.Join(err, p.Close())
}

// wayOut is what to do where keys that are there cannot be used.
func (c keysConfig) wayOut(dir string, err error) string {
	switch {
	case errors.Is(err, keyring.ErrProvider) && c.Provider == providerPKCS11:
		return "If the PIN is lost, the token's security officer sets another; if the token is, name another one in config.yaml, and give this command again"
	case errors.Is(err, keyring.ErrProvider) && c.Provider != providerKeyServer && keyring.HalfEncrypted(dir):
		return "Its plain keys are there still, beside what `station key encrypt` made before it died: name the passphrase and give that again; or, where that is lost for good, remove the files that end in .age"
	case errors.Is(err, keyring.ErrProvider) && c.Provider != providerKeyServer:
		return fmt.Sprintf("If the passphrase is lost for good, nobody opens these keys again, the masters among them: mv %s %s.lost, and give this command again, which makes the station's keys anew", dir, dir)
	case errors.Is(err, keyring.ErrKey) && !errors.Is(err, keyring.ErrPlain):
		return "If no copy brings it back, move it away, and give this command again"
	}
	return "Nothing was changed"
}

// keysAfterLoss opens keys with a checkpoint key that no entry of the ledger names: made anew, or by whoever died before the ledger named it.
func keysAfterLoss(cfg *config, chain ledger.Chain) (keyholder, error) {
	keys, err := openKeys(cfg, "")
	if err != nil {
		return nil, err
	}
	if !chain.Has(keys.VerifierKey()) {
		return keys, nil
	}
	_, vkey, err := keys.NextCheckpoint()
	if err := errors.Join(err, keys.Close()); err != nil {
		return nil, err
	}
	return openKeys(cfg, vkey)
}

// destroyEarlier destroys what a rotation left that died before it did.
func destroyEarlier(db *store.DB, keys keyholder) error {
	chain, err := db.Keys()
	if err != nil || len(chain) < 2 {
		return err
	}
	return keys.DestroyOld()
}
