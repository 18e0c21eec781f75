package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"station/store"
)

type backupJSON struct {
	File string `json:"file"`
	store.Head
	Keys []string `json:"keys"` // files of the station's keys, which are not in it
}

func (a *app) backup() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the ledger, escrows and all, to a new file, and check the copy",
		Long: "Copy the ledger, with its escrows and the notes of open runs, to a new file, as it is at one moment. The copy is on the disk and was\n" +
			"checked as `station audit verify` does before it gets its name; an existing file is never replaced. `station serve`, `station run` and `station keyserver serve` hand a copy out while they work.\n\n" +
			"The station's keys are not in it: whoever has them can sign in the station's name and derive every root key. Keep a copy of them apart.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			data, err := a.data()
			if err != nil {
				return err
			}
			h, err := a.backupOf(c.Context(), data, args[0])
			switch {
			case errors.As(err, new(*exitErr)):
				return err
			case errors.Is(err, fs.ErrExist):
				return exit(exitRefused, fmt.Errorf("%w: a backup never takes the place of another file", err))
			case errors.Is(err, store.ErrDamaged):
				return exit(exitNo, err)
			case err != nil:
				return exit(exitError, fmt.Errorf("the backup could not be made: %w", err))
			}
			j := backupJSON{args[0], h, keyFiles(data)}
			if a.json {
				return a.printJSON(j)
			}
			after, besides := "`station key create` and `key rotate`", "config.yaml"
			if _, err := os.Stat(keyServerFile(data)); err == nil {
				after, besides = "`station keyserver key create` and the first command of each station", "keyserver.yaml, ca.pem and jobs"
			}
			apart := "to be kept apart, once and after each " + after + ": " + strings.Join(j.Keys, ", ")
			if len(j.Keys) == 0 {
				apart = "for they are in no file of this data directory: the keys"
			}
			_, err = printf(a.stdout, "%s: %s\nroot %s\nnot in it, %s; and %s\n", j.File, headText(h), h.Root, apart, besides)
			return err
		},
	}
}

// backupOf copies the ledger itself, or has the station that is at work on it send a copy.
func (a *app) backupOf(ctx context.Context, data, file string) (h store.Head, err error) {
	db, _, err := a.openLedgerReadOnly()
	if errors.Is(err, store.ErrInUse) {
		h, asked := store.Backup(ctx, file, "the copy", copyOfRunning(ctx, data, func(s string) { printf(a.stderr, "%s\n", s) }))
		switch {
		case errors.Is(asked, errNoBackups):
			return h, exit(exitError, fmt.Errorf("%w. Only `station serve`, `station run` and `station keyserver serve` hand out backups while they work", err))
		case errors.Is(asked, store.ErrDamaged):
			return h, exit(exitError, fmt.Errorf("what the station sent is not whole; it may have ended meanwhile: try again (%v)", store.DamagedCopy(asked)))
		}
		return h, asked
	}
	if err != nil {
		return h, err
	}
	defer db.Close()
	return store.Backup(ctx, file, ledgerFile(data), db.Copy)
}

// headText is what a person compares of a ledger that was checked.
func headText(h store.Head) string {
	simulated := map[bool]string{true: " (SIMULATED)"}[h.Simulated]
	return fmt.Sprintf("station %s%s, %d entries, the last of %s, %d escrows; verified", h.Station, simulated, h.Entries, h.Last.UTC().Format(time.RFC3339), h.Escrows)
}

// keyFiles are the files of the keyring beside a ledger.
func keyFiles(data string) []string {
	out := []string{}
	files, _ := os.ReadDir(keysDir(data)) // a copy of a ledger has none
	for _, f := range files {
		out = append(out, filepath.Join(keysDir(data), f.Name()))
	}
	return out
}
