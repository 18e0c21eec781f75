package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"station/ledger"
	"station/store"
)

// unitRework writes down that a person lets a unit be run once more.
func (a *app) unitRework() *cobra.Command {
	var reason, by string
	var newChip, withdraw bool
	c := &cobra.Command{
		Use:   "rework SERIAL --reason TEXT --by PERSON [--new-chip | --withdraw]",
		Short: "Let a unit that passed, failed or was closed be run once more, on its own chip or on a new one",
		Long: "Let a unit be run once more: one permission, one run. Its own chip is cleared of lock bits first; what is on it for ever stays, and is told where it does\n" +
			"not fit the recipe. With --new-chip the run wants a chip that the ledger does not know, and the old one is retired for every serial as soon as that run begins.\n" +
			"--withdraw takes a permission back that no run has used.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := readable("--reason", reason, longestReason); err != nil {
				return err
			}
			if err := readable("--by", by, longestName); err != nil {
				return err
			}
			cfg, keys, db, err := a.openLedgerToDecide()
			if err != nil {
				return err
			}
			defer keys.Close()
			defer db.Close()
			if withdraw {
				return a.withdraw(c.Context(), db, cfg.Data, ledger.ReworkWithdrawn{Serial: args[0], Reason: reason, By: by})
			}
			p, err := permission(db, args[0])
			if err != nil {
				return err
			}
			p.Reason, p.By, p.Chip = reason, by, ledger.SameChip
			var behind bool
			if newChip {
				p.Chip = ledger.NewChip
			} else if _, behind, err = passwordOf(db, p.Serial, p.UID); err != nil {
				return err
			} else if behind {
				if p.Recipient, err = keys.Recipient(); err != nil {
					return exit(exitError, err)
				}
			}
			index, err := db.Append(c.Context(), p)
			if err != nil {
				return exit(exitError, err)
			}
			if err := a.reportAgain(c.Context(), db, cfg.Data, p.Serial); err != nil {
				return exit(exitError, fmt.Errorf("the permission is there, but the unit's report could not be written: %w", err))
			}
			return a.printPermission(p, index, behind)
		},
	}
	f := c.Flags()
	f.StringVar(&reason, "reason", "", "why, in a `TEXT` for the auditor")
	f.StringVar(&by, "by", "", "pseudonymous id of the `PERSON` who decided; recorded as unauthenticated")
	f.BoolVar(&newChip, "new-chip", false, "its chip was replaced, or nobody can tell any more which one it has")
	f.BoolVar(&withdraw, "withdraw", false, "take the permission back, so that another one can be given")
	c.MarkFlagsMutuallyExclusive("new-chip", "withdraw")
	for _, name := range []string{"reason", "by"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// withdraw takes a unit's permission back.
func (a *app) withdraw(ctx context.Context, db *store.DB, data string, w ledger.ReworkWithdrawn) error {
	runs, err := runsOf(db, w.Serial)
	if err != nil {
		return err
	}
	records, err := db.Permissions(w.Serial)
	if err != nil {
		return exit(exitError, err)
	}
	unused := ledger.Unused(runs, ledger.Permissions(records))
	if unused == nil {
		return exit(exitRefused, fmt.Errorf("%s has no permission that could be withdrawn; nothing was changed", w.Serial))
	}
	w.Permit = unused.Index
	if _, err := db.Append(ctx, w); err != nil {
		return exit(exitError, err)
	}
	if err := a.reportAgain(ctx, db, data, w.Serial); err != nil {
		return exit(exitError, fmt.Errorf("the permission is withdrawn, but the unit's report could not be written: %w", err))
	}
	printf(a.stdout, "permission %d of %s is withdrawn\n", w.Permit, w.Serial)
	return nil
}

// permission is what may be permitted for a unit as it is: that of one that was begun, and is not under way.
func permission(db *store.DB, serial string) (p ledger.ReworkPermit, err error) {
	runs, err := runsOf(db, serial)
	if err != nil {
		return p, err
	}
	records, err := db.Permissions(serial)
	if err != nil {
		return p, exit(exitError, err)
	}
	refused := func(format string, args ...any) error {
		return exit(exitRefused, fmt.Errorf("%s "+format+"; nothing was changed", append([]any{serial}, args...)...))
	}
	for _, r := range runs {
		if r.Start != nil {
			p = ledger.ReworkPermit{Serial: serial, UID: r.Start.Chip.UID}
		}
	}
	switch unused := ledger.Unused(runs, ledger.Permissions(records)); {
	case p.UID == "":
		return p, refused("was never begun, so it needs no rework: run it")
	case slices.ContainsFunc(runs, func(r ledger.Run) bool { return r.Open() }):
		return p, refused("has an open run: finish it by running it again, or settle it with `station unit close`")
	case unused != nil:
		return p, refused("may be run once more already, on %s (entry %d, by %s: %s); --withdraw takes that back", chipWords(unused.Chip), unused.Index, unused.By, unused.Reason)
	}
	return p, nil
}

// chipWords says which chip a permission is for.
func chipWords(chip string) string {
	if chip == ledger.NewChip {
		return "a new chip"
	}
	return "its own chip"
}

// passwordOf is the escrow whose password is known to have been on a chip; false where there is none.
func passwordOf(db *store.DB, serial, uid string) (e store.Escrow, found bool, err error) {
	all, err := db.EscrowsOf(serial)
	if err != nil {
		return e, false, exit(exitError, err)
	}
	for _, e := range slices.Backward(all) {
		if e.Kind == "password" && e.UID == uid && e.Proven {
			return e, true, nil
		}
	}
	return e, false, nil
}

// reportAgain writes the report of a unit's newest run anew, now with the permission.
func (a *app) reportAgain(ctx context.Context, db *store.DB, data, serial string) error {
	runs, err := runsOf(db, serial)
	if err == nil {
		err = os.MkdirAll(reportsDir(data), 0o755)
	}
	if err == nil {
		_, err = writeReport(ctx, db, reported(runs).ID, filepath.Join(reportsDir(data), reportName(serial)))
	}
	return err
}

type permissionJSON struct {
	Index int64 `json:"index"`
	ledger.ReworkPermit
}

func (a *app) printPermission(p ledger.ReworkPermit, index int64, behind bool) error {
	if a.json {
		return a.printJSON(permissionJSON{index, p})
	}
	printf(a.stdout, "%s may be run once more, on %s: permission %d, by %s (unauthenticated)\n", p.Serial, chipWords(p.Chip), index, p.By)
	switch {
	case p.Chip == ledger.NewChip:
		printf(a.stdout, "chip %s is retired as soon as that run begins\n", p.UID)
	case behind:
		printf(a.stdout, "its chip %s is behind a password: an auditor seals that to this station with `station escrow reseal %s --identity FILE -o UNLOCK`, and the run takes it with --unlock SLOT=UNLOCK\n", p.UID, p.Serial)
	}
	return nil
}

// openLedgerToDecide opens the ledger for whoever writes a decision into it, without any slot.
func (a *app) openLedgerToDecide() (*config, keyholder, *store.DB, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, nil, nil, err
	}
	simulated, err := isSimulated(cfg.Data)
	if err != nil {
		return nil, nil, nil, ledgerErr(cfg.Data, err)
	}
	keys, err := keysOf(cfg, ledgerFile(cfg.Data))
	if err != nil {
		return nil, nil, nil, ledgerErr(cfg.Data, err)
	}
	db, err := store.Open(ledgerFile(cfg.Data), storeOptions(cfg, keys, simulated))
	if err != nil {
		keys.Close()
	}
	return cfg, keys, db, ledgerErr(cfg.Data, err)
}
