package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"station/keyring"
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
			cfg, err := a.config()
			if err != nil {
				return err
			}
			simulated, err := isSimulated(cfg.Data)
			if err != nil {
				return ledgerErr(cfg.Data, err)
			}
			keys, err := keyring.Open(keysDir(cfg.Data))
			if err != nil {
				return exit(exitError, err)
			}
			db, err := store.Open(ledgerFile(cfg.Data), storeOptions(cfg, keys, simulated))
			if err != nil {
				return ledgerErr(cfg.Data, err)
			}
			defer db.Close()
			runs, err := runsOf(db, args[0])
			if err != nil {
				return err
			}
			i := slices.IndexFunc(runs, func(r ledger.Run) bool { return r.Open() })
			if i < 0 {
				return exit(exitRefused, fmt.Errorf("%s has no open run; nothing was changed", args[0]))
			}
			if _, err := db.Append(c.Context(), ledger.UnitClose{Run: runs[i].ID, Serial: args[0], As: as, Reason: reason, By: by}); err != nil {
				return exit(exitError, err)
			}
			file := filepath.Join(reportsDir(cfg.Data), reportName(args[0]))
			if err := os.MkdirAll(reportsDir(cfg.Data), 0o755); err != nil {
				return exit(exitError, err)
			}
			if _, err := writeReport(c.Context(), db, runs[i].ID, file); err != nil {
				return exit(exitError, fmt.Errorf("the unit is closed, but its report could not be written: %w", err))
			}
			_, err = fmt.Fprintf(a.stdout, "%s is closed as %s; its report is %s\n", args[0], as, file)
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
