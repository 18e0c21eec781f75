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
}

func (a *app) keyRotate() *cobra.Command {
	var why store.Rotation
	c := &cobra.Command{
		Use:       "rotate checkpoint [--lost] --reason TEXT --by PERSON",
		Short:     "Replace the key that signs the ledger's checkpoints",
		ValidArgs: []string{"checkpoint"},
		Long: "Make a new key for the ledger's checkpoints, have the ledger say so, and destroy the old key. The checkpoint of that entry is signed by both keys,\n" +
			"so whoever pinned the old one can follow. Old checkpoints stay what they are.\n\n" +
			"With --lost the new key signs alone: the old one is not there any more, or nobody must trust it any more. Whoever audits the ledger\n" +
			"pins the new key too, once they have it from a person whom they know.",
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
			j, err := rotate(cfg, why)
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
	f.BoolVar(&why.Lost, "lost", false, "the present key cannot sign any more, or is not to be trusted")
	f.StringVar(&why.Reason, "reason", "", "why, in a `TEXT` for the auditor")
	f.StringVar(&why.By, "by", "", "pseudonymous id of the `PERSON` who decided; recorded as unauthenticated")
	for _, name := range []string{"reason", "by"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// rotate replaces the checkpoint key. Whoever dies in it does it again, or finds it done by the next start.
func rotate(cfg *config, why store.Rotation) (j rotatedJSON, err error) {
	path := ledgerFile(cfg.Data)
	simulated, err := isSimulatedFile(path)
	if err != nil {
		return j, err
	}
	chain, err := store.KeysOf(path)
	if err != nil {
		return j, err
	}
	keys, next, vkey, err := keysForRotation(cfg, chain, why.Lost)
	if err != nil {
		return j, exit(exitError, err)
	}
	o := storeOptions(cfg, keys, simulated)
	o.Signer, o.VerifierKey = next, vkey
	if j, err = rotateLedger(path, o, why); err != nil {
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

func rotateLedger(path string, o store.Options, why store.Rotation) (j rotatedJSON, err error) {
	db, err := store.Rotate(path, o, why)
	if err != nil {
		return j, err
	}
	defer db.Close()
	chain, err := db.Keys()
	if err != nil {
		return j, err
	}
	j.Index = chain[len(chain)-1].Index
	rec, err := db.Entry(j.Index)
	if err != nil {
		return j, err
	}
	j.StationKey, _ = rec.Entry.Body.(ledger.StationKey)
	return j, db.Close()
}

// keysForRotation opens the keys with the present checkpoint key, or without it where that is lost, and names the next one.
func keysForRotation(cfg *config, chain ledger.Chain, lost bool) (keyholder, note.Signer, string, error) {
	if lost {
		keys, err := keysAfterLoss(cfg, chain)
		if err != nil {
			return nil, nil, "", err
		}
		return keys, keys.Signer(), keys.VerifierKey(), nil
	}
	keys, err := openKeys(cfg, chain.Present())
	if err != nil {
		return nil, nil, "", fmt.Errorf("%w. If the key is lost for good: --lost", err)
	}
	next, vkey, err := keys.NextCheckpoint()
	if err != nil {
		return nil, nil, "", errors.Join(err, keys.Close())
	}
	return keys, next, vkey, nil
}

// keysAfterLoss opens keys with a checkpoint key that no entry of the ledger names: made anew, or by whoever died before the ledger named it.
func keysAfterLoss(cfg *config, chain ledger.Chain) (keyholder, error) {
	keys, err := openKeys(cfg, "")
	if errors.Is(err, keyring.ErrMissing) {
		was := err
		if keys, err = newKeys(cfg); errors.Is(err, keyring.ErrExists) {
			err = was // another one than the checkpoint key is missing
		}
	}
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
