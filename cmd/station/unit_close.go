package main

import (
	"context"
	"fmt"
	"maps"
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

// longestReason is in characters.
const longestReason = 500

// unitClose writes down what a person decided about a unit whose run nobody else can settle.
func (a *app) unitClose() *cobra.Command {
	var as, reason, by string
	c := &cobra.Command{
		Use:   "close SERIAL --as scrapped|lost --reason TEXT --by PERSON",
		Short: "Settle an open run by a person's decision; the unit has not passed",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if as != ledger.Scrapped && as != ledger.Lost {
				return exit(exitRefused, fmt.Errorf("--as %q: want %s or %s", as, ledger.Scrapped, ledger.Lost))
			}
			if err := readable("--reason", reason, longestReason); err != nil {
				return err
			}
			if err := readable("--by", by, longestName); err != nil {
				return err
			}
			run, file, err := a.close(c.Context(), ledger.UnitClose{Serial: args[0], As: as, Reason: reason, By: by})
			if err != nil {
				return err
			}
			printf(a.stdout, "%s is closed as %s; its report is %s\n", args[0], as, file)
			printf(a.stdout, "its chip %s was not looked at for this, and it stays unknown\n", run.Start.Chip.UID)
			for _, line := range unknown(run) {
				printf(a.stdout, "  %s\n", line)
			}
			_, err = fmt.Fprintf(a.stdout, "if its chip was replaced: `station unit rework %s --new-chip`\n", shown(args[0]))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&as, "as", "", "what became of the unit: `scrapped|lost`")
	f.StringVar(&reason, "reason", "", "why, in a `TEXT` for the auditor")
	f.StringVar(&by, "by", "", "pseudonymous id of the `PERSON` who decided; recorded as unauthenticated")
	for _, name := range []string{"as", "reason", "by"} {
		c.MarkFlagRequired(name)
	}
	return c
}

// close settles the open run of a unit in the ledger, or has the station do so that is at work on it.
func (a *app) close(ctx context.Context, c ledger.UnitClose) (run ledger.Run, file string, err error) {
	if s, ok := a.atWork(ctx); ok {
		in := struct {
			As     string `json:"as"`
			Reason string `json:"reason"`
		}{c.As, c.Reason}
		if err := s.ask(ctx, c.By, http.MethodPost, "units/"+url.PathEscape(c.Serial)+"/close", in, nil); err != nil {
			return run, "", err
		}
		db, data, err := a.openLedgerToRead(ctx)
		if err != nil {
			return run, "", err
		}
		defer db.Close()
		runs, err := runsOf(db, c.Serial)
		if err != nil {
			return run, "", err
		}
		last := len(runs) - 1
		for last >= 0 && runs[last].Close == nil {
			last--
		}
		if last < 0 {
			return run, "", exit(exitError, fmt.Errorf("the station says that %s is closed, and its ledger does not", c.Serial))
		}
		return runs[last], filepath.Join(reportsDir(data), reportName(c.Serial)), nil
	}
	cfg, keys, db, err := a.openLedgerToDecide()
	if err != nil {
		return run, "", err
	}
	defer keys.Close()
	defer db.Close()
	return closeUnit(ctx, db, cfg.Data, c)
}

// closeUnit settles the open run of a unit, and writes its report to file.
func closeUnit(ctx context.Context, db *store.DB, data string, c ledger.UnitClose) (run ledger.Run, file string, err error) {
	if run, err = settleUnit(ctx, db, c); err != nil {
		return run, "", err
	}
	file, err = reportClosed(ctx, db, data, run)
	return run, file, err
}

// settleUnit is closeUnit without the report.
func settleUnit(ctx context.Context, db *store.DB, c ledger.UnitClose) (run ledger.Run, err error) {
	runs, err := runsOf(db, c.Serial)
	if err != nil {
		return run, err
	}
	i := slices.IndexFunc(runs, func(r ledger.Run) bool { return r.Open() })
	if i < 0 {
		return run, undecided(kiosk.WordUnitNotOpen, "has no open run", c.Serial)
	}
	c.Run = runs[i].ID
	if _, err := db.Append(ctx, c); err != nil {
		return run, exit(exitError, err)
	}
	return runs[i], nil
}

// reportClosed writes the report of a run that was settled to file.
func reportClosed(ctx context.Context, db *store.DB, data string, run ledger.Run) (file string, err error) {
	file = filepath.Join(reportsDir(data), reportName(run.Serial))
	if err := os.MkdirAll(reportsDir(data), 0o755); err != nil {
		return "", exit(exitError, err)
	}
	if _, err := writeReport(ctx, db, run.ID, file); err != nil {
		return "", exit(exitError, fmt.Errorf("the unit is closed, but its report could not be written: %w", err))
	}
	return file, nil
}

// unknown is what nobody knows of the chip of an open run: what the account says was begun, and does not say the chip has shown.
func unknown(r ledger.Run) []string {
	done, of := 0, 0
	var begun []string // one-way commands since the last step that was confirmed
	secrets := map[string]string{}
	for _, rec := range r.Records {
		switch b := rec.Entry.Body.(type) {
		case ledger.RunStep:
			of = b.Of
			if b.Result != ledger.Failed {
				done, begun = max(done, b.N), nil
			}
		case ledger.PermanentIntent:
			begun = append(begun, b.What)
		case ledger.ModeIntent:
			secrets["mode"] = "whether " + b.Mode + " mode is on"
		case ledger.ModeProven:
			delete(secrets, "mode")
		case ledger.PasswordIntent:
			secrets["password"] = "whether it has the password of escrow " + b.Escrow.ID
		case ledger.PasswordVoid, ledger.PasswordProven:
			delete(secrets, "password")
		case ledger.RootKeyIntent:
			secrets[fmt.Sprint("root key ", b.Index)] = fmt.Sprintf("whether it has root key %d, of escrow %s", b.Index, b.Escrow.ID)
		case ledger.RootKeyVoid:
			delete(secrets, fmt.Sprint("root key ", b.Index))
		case ledger.RootKeyProven:
			delete(secrets, fmt.Sprint("root key ", b.Index))
		}
	}
	out := []string{"whether anything of the recipe was done"}
	if of > 0 {
		out[0] = fmt.Sprintf("what was done after step %d of %d", done, of)
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		out = append(out, secrets[name])
	}
	for _, what := range begun {
		out = append(out, "whether it took: "+what)
	}
	return out
}
