package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"station/kiosk"
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
			p := ledger.ReworkPermit{Serial: args[0], Reason: reason, By: by, Chip: ledger.SameChip}
			if newChip {
				p.Chip = ledger.NewChip
			}
			if s, ok := a.atWork(c.Context()); ok && !withdraw {
				return a.permitThere(c.Context(), s, p)
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
			index, err := permit(c.Context(), db, cfg.Data, keys, &p)
			if err != nil {
				return err
			}
			return a.printPermission(p, index)
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

// permitThere has the station at work permit it.
func (a *app) permitThere(ctx context.Context, s *stationClient, p ledger.ReworkPermit) error {
	in := struct {
		Chip   string `json:"chip"`
		Reason string `json:"reason"`
	}{p.Chip, p.Reason}
	if err := s.ask(ctx, p.By, http.MethodPost, "units/"+url.PathEscape(p.Serial)+"/rework", in, nil); err != nil {
		return err
	}
	db, _, err := a.openLedgerToRead(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	records, err := db.Permissions(p.Serial)
	if err != nil {
		return exit(exitError, err)
	}
	all := ledger.Permissions(records)
	if len(all) == 0 {
		return exit(exitError, fmt.Errorf("the station says that %s may be run once more, and its ledger does not", p.Serial))
	}
	last := all[len(all)-1]
	return a.printPermission(last.ReworkPermit, last.Index)
}

// permit lets a unit be run once more: p says who, why and on which chip, and gets the rest.
func permit(ctx context.Context, db *store.DB, data string, keys keyholder, p *ledger.ReworkPermit) (index int64, err error) {
	if p.UID, err = permissible(db, p.Serial); err != nil {
		return 0, err
	}
	if p.Chip == ledger.SameChip {
		_, behind, err := passwordOf(db, p.Serial, p.UID)
		if err != nil {
			return 0, err
		}
		if behind {
			if p.Recipient, err = keys.Recipient(); err != nil {
				return 0, exit(exitError, err)
			}
		}
	}
	if index, err = db.Append(ctx, *p); err != nil {
		return 0, exit(exitError, err)
	}
	if err := reportAgain(ctx, db, data, p.Serial); err != nil {
		return 0, exit(exitError, fmt.Errorf("the permission is there, but the unit's report could not be written: %w", err))
	}
	return index, nil
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
		return undecided(kiosk.WordNotPermitted, "has no permission that could be withdrawn", w.Serial)
	}
	w.Permit = unused.Index
	if _, err := db.Append(ctx, w); err != nil {
		return exit(exitError, err)
	}
	if err := reportAgain(ctx, db, data, w.Serial); err != nil {
		return exit(exitError, fmt.Errorf("the permission is withdrawn, but the unit's report could not be written: %w", err))
	}
	printf(a.stdout, "permission %d of %s is withdrawn\n", w.Permit, w.Serial)
	return nil
}

// permissible is the chip of a unit that may be permitted to be run once more: of one that was begun, and is not under way.
func permissible(db *store.DB, serial string) (uid string, err error) {
	runs, err := runsOf(db, serial)
	if err != nil {
		return "", err
	}
	records, err := db.Permissions(serial)
	if err != nil {
		return "", exit(exitError, err)
	}
	for _, r := range runs {
		if r.Start != nil {
			uid = r.Start.Chip.UID
		}
	}
	switch unused := ledger.Unused(runs, ledger.Permissions(records)); {
	case uid == "":
		return "", undecided(kiosk.WordUnitNotBegun, "was never begun, so it needs no rework: run it", serial)
	case slices.ContainsFunc(runs, func(r ledger.Run) bool { return r.Open() }):
		return "", undecided(kiosk.WordUnitOpen, "has an open run: finish it by running it again, or settle it with `station unit close`", serial)
	case unused != nil:
		return "", undecided(kiosk.WordUnitPermitted, fmt.Sprintf("may be run once more already, on %s (entry %d, by %s: %s); --withdraw takes that back",
			chipWords(unused.Chip), unused.Index, unused.By, unused.Reason), serial, "by", unused.By)
	}
	return uid, nil
}

// undecided refuses a person's decision about a unit that does not fit it. facts are names and values in turn.
func undecided(word, why, serial string, facts ...string) error {
	s := kiosk.Said{Word: word, Text: fmt.Sprintf("%s %s; nothing was changed", serial, why), Facts: map[string]string{"serial": serial}}
	for i := 0; i < len(facts); i += 2 {
		s.Facts[facts[i]] = facts[i+1]
	}
	return exit(exitRefused, &kiosk.Refusal{Status: http.StatusConflict, Said: s})
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
func reportAgain(ctx context.Context, db *store.DB, data, serial string) error {
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

func (a *app) printPermission(p ledger.ReworkPermit, index int64) error {
	if a.json {
		return a.printJSON(permissionJSON{index, p})
	}
	printf(a.stdout, "%s may be run once more, on %s: permission %d, by %s\n", p.Serial, chipWords(p.Chip), index, byWhom(p.By, p.Authenticated))
	switch {
	case p.Chip == ledger.NewChip:
		printf(a.stdout, "chip %s is retired as soon as that run begins\n", p.UID)
	case p.Recipient != "":
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
