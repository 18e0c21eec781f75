package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"station/ledger"
	"station/store"
)

func (a *app) audit() *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "What the auditor asks of the ledger"}
	c.AddCommand(a.auditVerify(), a.auditEntries())
	return c
}

type auditJSON struct {
	OK          bool          `json:"ok"`
	Station     string        `json:"station"`
	Simulated   bool          `json:"simulated"`
	Key         string        `json:"key"`    // verifier key that signs the checkpoints now
	Pinned      bool          `json:"pinned"` // keys came from the auditor, not from the ledger itself
	Keys        []keyJSON     `json:"keys"`   // all that signed them, oldest first
	Entries     int64         `json:"entries"`
	Checkpoints int64         `json:"checkpoints"`
	Signed      int64         `json:"signed"`   // entries that a checkpoint covers
	Unsigned    int64         `json:"unsigned"` // entries after them
	Root        string        `json:"root"`     // tree hash over all entries, hex
	Epochs      []epochJSON   `json:"epochs"`   // where the ledger goes on from a copy
	Findings    []findingJSON `json:"findings"`
	Store       string        `json:"store"` // what is wrong with the file or its indexes, "" for nothing
}

type keyJSON struct {
	Index  int64  `json:"index"` // of the entry that names it
	Key    string `json:"key"`
	Pinned bool   `json:"pinned"`
	Signed int64  `json:"signed"` // entries that it signed for, 0 for none
	Lost   bool   `json:"lost"`   // the key before it was lost
	Alone  int64  `json:"alone"`  // where it was: the first entry that no key before signed
}

type findingJSON struct {
	From int64  `json:"from"`
	To   int64  `json:"to"` // behind the last entry concerned
	What string `json:"what"`
}

type epochJSON struct {
	Index int64     `json:"index"`
	Time  time.Time `json:"time"`
	ledger.StationEpoch
}

func (a *app) auditVerify() *cobra.Command {
	var keys []string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Recompute the whole ledger: every entry, hash, signature and index",
		Long: "Recompute the whole ledger: every entry, every tree hash, every checkpoint's signature, and the indexes.\n\n" +
			"Without --key the checkpoints are held against the keys that the ledger names itself, which proves nothing against\n" +
			"somebody who rewrote the whole ledger. Keep the key that `station audit verify` prints in a safe place, and pin it.\n\n" +
			"One key vouches for the whole ledger, also where the key changed: a checkpoint with both signatures says so. Where a key was\n" +
			"lost there is none, and one of before and one of after have to be pinned.",
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
			j, err := verifyLedger(c.Context(), db, keys...)
			if errors.Is(err, store.ErrDamaged) {
				return exit(exitNo, err)
			}
			if err != nil {
				return err
			}
			if err := a.printAudit(j); err != nil {
				return err
			}
			if !j.OK {
				return exit(exitNo, nil)
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&keys, "key", nil, "hold the checkpoints against this verifier `KEY`; repeat for more")
	return c
}

// verifyLedger runs every check that the product has over a ledger.
func verifyLedger(ctx context.Context, db *store.DB, keys ...string) (auditJSON, error) {
	j := auditJSON{Pinned: len(keys) > 0, Keys: []keyJSON{}, Epochs: []epochJSON{}, Findings: []findingJSON{}}
	var pinned []note.Verifier
	for _, key := range keys {
		v, err := note.NewVerifier(key)
		if err != nil {
			return j, exit(exitRefused, fmt.Errorf("%q is no verifier key: %w", key, err))
		}
		pinned = append(pinned, v)
	}
	r, err := ledger.Verify(ctx, db, pinned...)
	if err != nil {
		return j, exit(exitError, err)
	}
	for _, k := range r.Keys {
		j.Key = k.Key
		j.Keys = append(j.Keys, keyJSON{k.Index, k.Key, k.Pinned, k.Signed, k.Lost, k.Alone})
	}
	j.Station, j.Simulated, j.Entries, j.Checkpoints = r.Station, r.Simulated, r.Entries, r.Checkpoints
	j.Signed, j.Unsigned, j.Root = r.Signed, r.Unsigned(), hex.EncodeToString(r.Root[:])
	for _, f := range r.Findings {
		j.Findings = append(j.Findings, findingJSON{f.From, f.To, f.What})
	}
	if err := db.Check(ctx); err != nil {
		j.Store = err.Error()
	}
	epochs, err := db.Epochs()
	if err != nil && j.Store == "" {
		j.Store = err.Error()
	}
	for _, rec := range epochs {
		if e, ok := rec.Entry.Body.(ledger.StationEpoch); ok {
			j.Epochs = append(j.Epochs, epochJSON{rec.Index, rec.Entry.Time, e})
		}
	}
	j.OK = len(j.Findings) == 0 && j.Store == ""
	return j, nil
}

func (a *app) printAudit(j auditJSON) error {
	if a.json {
		return a.printJSON(j)
	}
	for _, f := range j.Findings {
		where := fmt.Sprintf("entry %d", f.From)
		switch {
		case f.To == f.From:
			where = fmt.Sprintf("checkpoint before entry %d", f.From)
		case f.To > f.From+1:
			where = fmt.Sprintf("entries %d..%d", f.From, f.To-1)
		}
		printf(a.stdout, "BAD  %s: %s\n", where, f.What)
	}
	if j.Store != "" {
		printf(a.stdout, "BAD  store: %s\n", j.Store)
	}
	for _, e := range j.Epochs {
		printf(a.stdout, "EPOCH entry %d: at %s %s had the ledger restored from the %s: %s\n      %s\n", e.Index, e.Time.UTC().Format(time.RFC3339), e.By, e.From, e.Reason, missingText(e.StationEpoch))
	}
	verdict := map[bool]string{true: "ledger verified", false: "LEDGER NOT VERIFIED"}[j.OK]
	if j.Simulated {
		verdict += " (SIMULATED)"
	}
	for _, k := range j.Keys {
		if k.Lost {
			printf(a.stdout, "LOST KEY entry %d: the key before it was lost; from entry %d on only the new key vouches\n", k.Index, k.Alone)
		}
	}
	printf(a.stdout, "%s: station %s, %d entries and %d checkpoints checked, %d entries signed, %d not yet\nroot %s\n",
		verdict, cmp.Or(j.Station, "?"), j.Entries, j.Checkpoints, j.Signed, j.Unsigned, j.Root)
	for _, k := range j.Keys {
		how := "named by the ledger itself"
		if k.Pinned {
			how = "pinned"
		} else if j.Pinned {
			how = "named by the ledger"
		}
		if k.Index > 0 {
			how += fmt.Sprintf("; since entry %d", k.Index)
		}
		if _, err := printf(a.stdout, "key  %s (%s)\n", k.Key, how); err != nil {
			return err
		}
	}
	return nil
}
