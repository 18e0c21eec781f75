package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"station/fixtures/usb"
	"station/ledger"
	"station/report"
	"station/store"
)

func (a *app) unitReport() *cobra.Command {
	var file, run string
	c := &cobra.Command{
		Use:   "report SERIAL",
		Short: "Write a unit's report as a PDF, the same bytes every time",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			db, data, err := a.openLedgerToRead(c.Context())
			if err != nil {
				return err
			}
			defer db.Close()
			about, err := reportedRun(db, args[0], run)
			if err != nil {
				return err
			}
			if file == "" {
				file = filepath.Join(reportsDir(data), reportName(args[0]))
				if err := os.MkdirAll(reportsDir(data), 0o755); err != nil {
					return exit(exitError, err)
				}
			}
			path, err := writeReport(c.Context(), db, about.ID, file)
			if errors.Is(err, ledger.ErrMissing) {
				path, err = a.signAndReport(c.Context(), db, about.ID, file)
			}
			if errors.Is(err, store.ErrInUse) { // the station at work has signed them meanwhile
				path, err = a.reportCopied(c.Context(), about.ID, file)
			}
			if err != nil && !isUnproven(err) {
				err = exit(exitError, err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, path)
			return err
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "`FILE` to write (default: in the data directory)")
	c.Flags().StringVar(&run, "run", "", "report this run `ID` instead of the newest")
	return c
}

// signAndReport is writeReport where the station died before it signed the last entries: opening the ledger for work signs them.
func (a *app) signAndReport(ctx context.Context, reader *store.DB, id, file string) (string, error) {
	cfg, err := a.config()
	if err == nil {
		err = reader.Close()
	}
	if err != nil {
		return "", err
	}
	b, err := a.openOver(ctx, cfg, func(*bench, context.Context) (usb.Bus, error) { return nil, nil })
	if err != nil {
		return "", err
	}
	defer b.Close()
	return writeReport(ctx, b.db, id, file)
}

// reportCopied is writeReport from a copy of the ledger as it is now.
func (a *app) reportCopied(ctx context.Context, id, file string) (string, error) {
	db, _, err := a.openLedgerToRead(ctx)
	if err != nil {
		return "", err
	}
	defer db.Close()
	return writeReport(ctx, db, id, file)
}

// reportedRun is the run of a serial that has this id, and for "" the one that its report is about.
func reportedRun(db *store.DB, serial, id string) (ledger.Run, error) {
	runs, err := runsOf(db, serial)
	if err != nil {
		return ledger.Run{}, provenOr(db, serial, err)
	}
	if id == "" {
		return reported(runs), nil
	}
	i := slices.IndexFunc(runs, func(r ledger.Run) bool { return r.ID == id })
	if i < 0 {
		return ledger.Run{}, provenOr(db, serial, exit(exitNo, noRun{serial, id}))
	}
	return runs[i], nil
}

// noRun is a run that a unit does not have.
type noRun struct{ serial, id string }

func (r noRun) Error() string { return fmt.Sprintf("%s has no run %q", r.serial, r.id) }

func (noRun) Is(target error) bool { return target == ledger.ErrMissing }

// reported is the run that a unit's report is about: the newest that touched it, or the newest at all. One that is open is
// INTERRUPTED on its report.
func reported(runs []ledger.Run) ledger.Run {
	for _, r := range slices.Backward(runs) {
		if r.Start != nil {
			return r
		}
	}
	return runs[len(runs)-1]
}

// reportName is the file name of a unit's report; serials may hold what file names must not.
func reportName(serial string) string { return url.PathEscape(serial) + ".pdf" }

// besides are the entries that a run's report shows beside its own: of a rework what was before it, and of any run the permission that came after it, so that the
// report does not change any more once the next run is there.
func besides(db *store.DB, run ledger.Run) ([]ledger.Record, error) {
	runs, err := db.Runs(run.Serial, "")
	if err != nil {
		return nil, err
	}
	permits, err := db.Permissions(run.Serial)
	if err != nil || len(permits) == 0 {
		return nil, err
	}
	from, until := run.Records[0].Index, int64(math.MaxInt64)
	var out []ledger.Record
	for _, r := range runs {
		first := r.Records[0].Index
		switch {
		case r.Start == nil || r.ID == run.ID:
		case first > from:
			until = min(until, first)
		case run.Start != nil && run.Start.Permit != 0:
			for _, rec := range r.Records {
				switch rec.Entry.Body.(type) {
				case ledger.RunStart, ledger.RunEnd, ledger.UnitClose:
					out = append(out, rec)
				}
			}
		}
	}
	for _, p := range permits {
		if p.Index < until && (p.Index > from || run.Start != nil && run.Start.Permit != 0) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b ledger.Record) int { return cmp.Compare(a.Index, b.Index) })
	return out, nil
}

// renderReport is a run's report, a PDF: the same bytes every time. There is none of a unit that the ledger does not prove, nor of entries that are not in the tree of the checkpoint that it quotes.
func renderReport(ctx context.Context, db *store.DB, id string) ([]byte, error) {
	run, err := db.Run(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	last := run.Records[len(run.Records)-1].Index
	earlier, err := besides(db, run)
	if err != nil {
		return nil, err
	}
	epochs, err := db.Epochs()
	if err != nil {
		return nil, err
	}
	if n := len(earlier); n > 0 {
		last = max(last, earlier[n-1].Index)
	}
	checkpoint, err := db.CheckpointFor(ctx, last)
	if err != nil {
		return nil, err
	}
	if err := proven(db, run.Serial); err != nil {
		return nil, err
	}
	head, _, err := checkpointOver(db, last+1)
	if err == nil {
		_, err = inTree(db, head, slices.Concat(run.Records, earlier))
	}
	if err != nil {
		return nil, unproven(run.Serial, err.Error())
	}
	return report.PDF(report.Input{Run: run, Earlier: earlier, Checkpoint: string(checkpoint), Epochs: epochs})
}

// writeReport renders a run's report and puts it in place whole or not at all.
func writeReport(ctx context.Context, db *store.DB, id, file string) (string, error) {
	pdf, err := renderReport(ctx, db, id)
	if err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".report-*")
	if err != nil {
		return "", err
	}
	_, werr := tmp.Write(pdf)
	if err := errors.Join(werr, tmp.Chmod(0o644), tmp.Close()); err != nil {
		os.Remove(tmp.Name())
		return "", err
	}
	return file, os.Rename(tmp.Name(), file)
}
