package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	"station/ledger"
	"station/store"
)

func (a *app) auditEntries() *cobra.Command {
	var from int64
	var kind string
	c := &cobra.Command{
		Use:   "entries",
		Short: "Print the entries of a station's or a key server's ledger, one a line",
		Long: "Print the entries of a station's or a key server's ledger, one a line, in the canonical form that its hashes are over.\n" +
			"With --json each is an object with its index and leaf hash. Nothing is verified here: `station audit verify` on the same file does that.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			db, _, err := a.openLedgerToRead(c.Context())
			if errors.Is(err, store.ErrDamaged) {
				return exit(exitNo, err)
			}
			if err != nil {
				return err
			}
			defer db.Close()
			size, err := db.Size()
			if err != nil {
				return exit(exitError, err)
			}
			if from < 0 || from > size {
				return exit(exitRefused, fmt.Errorf("--from %d: the ledger has %d entries, the first is 0", from, size))
			}
			const chunk = 256
			found := false
			for ; from < size; from += chunk {
				records, err := db.Records(from, min(from+chunk, size))
				if err != nil {
					return exit(exitNo, err)
				}
				for _, rec := range records {
					if kind != "" && rec.Entry.Body.Kind() != kind {
						continue
					}
					found = true
					if err := a.printEntry(rec); err != nil {
						return exit(exitError, err)
					}
				}
			}
			if !found && kind != "" { // a misspelt kind would read as none
				printf(a.stderr, "there is no entry of the kind %s\n", kind)
			}
			return nil
		},
	}
	c.Flags().Int64Var(&from, "from", 0, "begin with the entry of this `INDEX`")
	c.Flags().StringVar(&kind, "kind", "", "only entries of this `KIND`, such as relay.made")
	return c
}

func (a *app) printEntry(rec ledger.Record) error {
	if a.json {
		return a.printLine(entryJSON{rec.Index, tlog.RecordHash(rec.Bytes).String(), rec.Entry.Time, rec.Entry.Body.Kind(), rec.Entry.Body})
	}
	_, err := fmt.Fprintf(a.stdout, "%s\n", rec.Bytes)
	return err
}
