package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"station/ledger"
	"station/store"
)

func (a *app) unit() *cobra.Command {
	c := &cobra.Command{Use: "unit", Short: "What was done to units"}
	c.AddCommand(a.unitList(), a.unitShow(), a.unitReport(), a.unitRework(), a.unitClose())
	return c
}

// unitJSON is a unit, and whether its run was open when the ledger's backup was made and its board was not seen since.
type unitJSON struct {
	store.Unit
	Quarantined bool `json:"quarantined,omitempty"`
}

func (a *app) unitList() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "Every unit and its newest outcome, newest first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 0 {
				return exit(exitRefused, fmt.Errorf("--limit %d: want how many units at most, or 0 for all", limit))
			}
			db, _, err := a.openLedgerToRead(c.Context())
			if err != nil {
				return err
			}
			defer db.Close()
			units := []store.Unit{}
			for q := (store.UnitQuery{Limit: limit}); ; {
				page, next, err := db.Units(q)
				if err != nil {
					return exit(exitError, err)
				}
				units = append(units, page...)
				if q.Cursor = next; next == "" || limit > 0 && len(units) >= limit {
					break
				}
			}
			waiting, _, err := db.Quarantine()
			if err != nil {
				return exit(exitError, err)
			}
			quarantined := func(u store.Unit) bool {
				return slices.ContainsFunc(waiting, func(r ledger.Run) bool { return r.ID == u.Run })
			}
			if a.json {
				out := []unitJSON{}
				for _, u := range units {
					out = append(out, unitJSON{u, quarantined(u)})
				}
				return a.printJSON(out)
			}
			rows := [][]string{{"SERIAL", "OUTCOME", "RECIPE", "CHIP", "SLOT", "TIME"}}
			for _, u := range units {
				outcome := string(u.Outcome)
				if u.Rework != nil {
					outcome += ", rework"
				}
				if quarantined(u) {
					outcome += " (quarantine)"
				}
				rows = append(rows, []string{u.Serial, outcome, fmt.Sprintf("%s %d", u.Recipe.ID, u.Recipe.Version), u.UID, u.Slot, u.Time.UTC().Format(time.RFC3339)})
			}
			return a.printTable(rows)
		},
	}
	c.Flags().IntVar(&limit, "limit", 0, "at most `N` units (0: all)")
	return c
}

func (a *app) unitShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show SERIAL",
		Short: "Every run of a unit, step by step",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			db, _, err := a.openLedgerToRead(c.Context())
			if err != nil {
				return err
			}
			defer db.Close()
			unproven := proven(db, args[0]) // it is shown all the same
			runs, err := runsOf(db, args[0])
			if err != nil {
				return cmp.Or(unproven, err)
			}
			records, err := db.Permissions(args[0])
			if err != nil {
				return cmp.Or(unproven, exit(exitError, err))
			}
			permits := ledger.Permissions(records)
			if a.json {
				return cmp.Or(a.printJSON(unitShowJSON(runs, records)), unproven)
			}
			before := func(index int64) { // permissions stand where they came among the runs
				for len(permits) > 0 && permits[0].Index < index {
					a.printPermit(permits[0])
					permits = permits[1:]
				}
			}
			for _, r := range runs {
				before(r.Records[0].Index)
				a.printRun(r)
			}
			before(math.MaxInt64)
			return unproven
		},
	}
}

func runsOf(db *store.DB, serial string) ([]ledger.Run, error) {
	runs, err := db.Runs(serial, "")
	if err != nil {
		return nil, exit(exitError, err)
	}
	if len(runs) == 0 {
		return nil, exit(exitNo, noUnit(serial))
	}
	return runs, nil
}

// noUnit is a serial that the ledger does not have.
type noUnit string

func (s noUnit) Error() string { return fmt.Sprintf("the ledger knows no unit %q", string(s)) }

func (noUnit) Is(target error) bool { return target == ledger.ErrMissing }

func (a *app) printPermit(p ledger.Permission) {
	printf(a.stdout, "%s  rework permitted by %s, on %s: %s\n  chip %s\n  ledger entry %d\n", p.Time.Format(time.RFC3339), byWhom(p.By, p.Authenticated), chipWords(p.Chip), p.Reason, p.UID, p.Index)
	if w := p.Withdrawn; w != nil {
		printf(a.stdout, "  withdrawn by %s: %s\n", byWhom(w.By, w.Authenticated), w.Reason)
	}
}

// byWhom says who decided, and where nobody checked that it was that person.
func byWhom(id string, authenticated bool) string {
	if !authenticated {
		id += " (unauthenticated)"
	}
	return id
}

func (a *app) printRun(r ledger.Run) {
	rec, first := r.Recipe(), r.Records[0]
	printf(a.stdout, "%s  run %s  %s  slot %s  %s version %d  %s\n", first.Entry.Time.Format(time.RFC3339), r.ID, r.Outcome(), r.Slot, rec.ID, rec.Version, rec.Digest)
	if chip := r.Chip(); chip != nil {
		printf(a.stdout, "  chip %s  id %s\n", chip.UID, chip.ID)
	}
	if st := r.Start; st != nil && st.Permit != 0 {
		printf(a.stdout, "  by the permission of entry %d\n", st.Permit)
	}
	if st := r.Start; st != nil && st.Retires != "" {
		printf(a.stdout, "  chip %s is retired\n", st.Retires)
	}
	for _, rec := range r.Records {
		switch b := rec.Entry.Body.(type) {
		case ledger.PasswordOpened:
			printf(a.stdout, "  opened with the password of escrow %s\n", b.Escrow)
		case ledger.RunStop:
			printf(a.stdout, "  stopped by %s\n", byWhom(b.By, b.Authenticated))
		case ledger.LocksErased:
			printf(a.stdout, "  locks erased that were there before\n")
		}
	}
	for _, s := range r.Steps {
		printf(a.stdout, "  %d/%d %-40s %-9s %s\n", s.N, s.Of, s.Title, s.Result, s.Proof)
	}
	if r.Start != nil {
		for _, v := range r.Start.Values {
			printf(a.stdout, "  %s %s\n", v.Name, v.Value)
		}
	}
	if r.Stuck != nil {
		printf(a.stdout, "  %s %s\n", r.Stuck.Message, r.Stuck.Next)
	}
	if r.Close != nil {
		printf(a.stdout, "  closed as %s by %s: %s\n", r.Close.As, r.Close.By, r.Close.Reason)
	}
	if r.End != nil && r.End.Outcome != ledger.Pass {
		printf(a.stdout, "  %s %s\n", r.End.Message, r.End.Next)
	}
	printf(a.stdout, "  ledger entries %d..%d\n", first.Index, r.Records[len(r.Records)-1].Index)
}

type entryJSON struct {
	Index int64       `json:"index"`
	Leaf  string      `json:"leaf"` // leaf hash, base64
	Time  time.Time   `json:"time"`
	Kind  string      `json:"kind"`
	Body  ledger.Body `json:"body"`
}

type unitRunJSON struct {
	Run     string         `json:"run"`
	Serial  string         `json:"serial"`
	Outcome ledger.Outcome `json:"outcome"`
	Entries []entryJSON    `json:"entries"`
}

// unitShowJSON is every run of a unit, and after them every permission to rework it.
func unitShowJSON(runs []ledger.Run, permits []ledger.Record) []any {
	entry := func(rec ledger.Record) entryJSON {
		return entryJSON{rec.Index, tlog.RecordHash(rec.Bytes).String(), rec.Entry.Time, rec.Entry.Body.Kind(), rec.Entry.Body}
	}
	out := []any{}
	for _, r := range runs {
		j := unitRunJSON{Run: r.ID, Serial: r.Serial, Outcome: r.Outcome()}
		for _, rec := range r.Records {
			j.Entries = append(j.Entries, entry(rec))
		}
		out = append(out, j)
	}
	for _, rec := range permits {
		out = append(out, reworkJSON{runs[0].Serial, entry(rec)})
	}
	return out
}

type reworkJSON struct {
	Serial string    `json:"serial"`
	Rework entryJSON `json:"rework"`
}
