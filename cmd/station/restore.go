package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"station/keyserver"
	"station/ledger"
	"station/store"
)

type restoreJSON struct {
	Index int64 `json:"index"` // of the entry station.epoch
	ledger.StationEpoch
	Quarantine []quarantineJSON `json:"quarantine"`
}

type quarantineJSON struct {
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Slot   string `json:"slot"`
	Run    string `json:"run"`
}

func (a *app) restore() *cobra.Command {
	var from store.Restoration
	c := &cobra.Command{
		Use:   "restore BACKUP [--mirror DIR] --reason TEXT --by PERSON",
		Short: "Make the ledger of a lost disk again, of a backup and the mirror",
		Long: "Make the ledger again, in a data directory that has the station's keys and no ledger, of a backup or, with --mirror, of what the mirror\n" +
			"has more than the backup. Both are checked whole first. An entry, station.epoch, says for ever where the ledger goes on, and why.\n\n" +
			"Whatever was done after the last entry of that copy is lost. The mirror has at least what is permanent, until it was given up or went away;\n" +
			"when that was it cannot tell. So either way units that were under way in the copy are in quarantine until their boards are in a slot again.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			from.Backup = args[0]
			if err := readable("--reason", from.Reason, longestReason); err != nil {
				return err
			}
			if err := readable("--by", from.By, longestName); err != nil {
				return err
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			simulated, err := isSimulatedFile(from.Backup)
			if err != nil {
				return restoreErr(err)
			}
			keys, err := keysToRestore(cfg, from)
			if err != nil {
				return restoreErr(err)
			}
			defer keys.Close()
			made := os.Mkdir(cfg.Data, 0o755) == nil // of a station whose keys are elsewhere
			db, epoch, err := store.Restore(c.Context(), ledgerFile(cfg.Data), storeOptions(cfg, keys, simulated), from)
			witness := goesBack(err)
			if witness != nil { // the ledger is there, and unsigned
				db, err = store.OpenReadOnly(ledgerFile(cfg.Data))
			}
			if err != nil {
				if made {
					os.Remove(cfg.Data)
				}
				return restoreErr(err)
			}
			defer db.Close()
			runs, _, err := db.Quarantine()
			if err != nil {
				return exit(exitError, err)
			}
			j := restoreJSON{epoch.Known, epoch, []quarantineJSON{}}
			for _, r := range runs {
				j.Quarantine = append(j.Quarantine, quarantineJSON{r.Serial, r.Chip().UID, r.Slot, r.ID})
			}
			if a.json {
				err = a.printJSON(j)
			} else {
				err = a.printRestored(cfg.Data, j)
			}
			if err == nil && witness != nil {
				err = exit(exitDecision, fmt.Errorf("the ledger is restored; its checkpoints are signed, and the station works, when a person has said at the key server that this was meant: `station keyserver rewound %s --reason ...`, there", cfg.Station))
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&from.Mirror, "mirror", "", "the mirror's `DIR`ectory, where that disk is left")
	f.BoolVar(&from.LostKey, "lost-key", false, "the checkpoint key of that copy is lost, or was replaced since and destroyed: go on with another one, and say so in the ledger")
	f.StringVar(&from.Reason, "reason", "", "why, in a `TEXT` for the auditor")
	f.StringVar(&from.By, "by", "", "pseudonymous id of the `PERSON` who decided; recorded as unauthenticated")
	for _, name := range []string{"reason", "by"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// goesBack is the key server's word that it does not sign a ledger which has fewer entries than before, or others; nil where err is not that.
func goesBack(err error) error {
	var refused *keyserver.Error
	if errors.As(err, &refused) && refused.Cause == keyserver.CauseRollback {
		return refused
	}
	return nil
}

// keysToRestore opens the keys that the restored ledger goes on with.
func keysToRestore(cfg *config, from store.Restoration) (keyholder, error) {
	source := from.Backup
	if from.Mirror != "" {
		source = filepath.Join(from.Mirror, store.MirrorFile) // its key may be newer
	}
	if !from.LostKey {
		return keysOf(cfg, source)
	}
	chain, err := store.KeysOf(source)
	if err != nil {
		return nil, err
	}
	keys, err := keysAfterLoss(cfg, chain)
	if err != nil {
		return nil, exit(exitError, err)
	}
	return keys, nil
}

func restoreErr(err error) error {
	switch {
	case errors.As(err, new(*exitErr)):
		return err
	case errors.Is(err, fs.ErrExist):
		return exit(exitRefused, fmt.Errorf("%w; nothing was changed, and nothing is ever restored over it", err))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, store.ErrMismatch):
		return exit(exitRefused, err)
	case errors.Is(err, store.ErrInUse):
		return exit(exitError, err)
	case errors.Is(err, store.ErrDamaged):
		return exit(exitNo, store.DamagedCopy(err))
	}
	return exit(exitNo, err)
}

func (a *app) printRestored(data string, j restoreJSON) error {
	printf(a.stdout, "%s is restored from the %s: %d entries, root %s\n", ledgerFile(data), j.From, j.Known, j.Root)
	printf(a.stdout, "entry %d says so for ever. %s\n", j.Index, missingText(j.StationEpoch))
	for _, q := range j.Quarantine {
		printf(a.stdout, "IN QUARANTINE: %s, chip %s, last in slot %s: put that board in and run it with the same recipe: what is on its chip decides. Where it is gone: `station unit close`\n", q.Serial, q.UID, q.Slot)
	}
	_, err := printf(a.stdout, "%d units in quarantine\n", len(j.Quarantine))
	return err
}

// missingText says what a ledger may lack that goes on with a station.epoch.
func missingText(e ledger.StationEpoch) string {
	here := ""
	if e.From == ledger.FromMirror {
		here = "What is permanent and was done while this mirror was in force is here; that it was to the end nothing in it shows. "
	}
	return fmt.Sprintf("Entries before it may be missing, and with them runs, secrets and proofs. %s"+
		"Reports and checkpoints of before that are over more than %d entries tell of entries that are lost: keep them.", here, e.Known)
}
