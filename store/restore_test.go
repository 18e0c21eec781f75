package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"station/ledger"
)

// aLedger has a passed unit, an open run with a sealed secret, and one without.
func aLedger(t *testing.T) (d *DB, o Options) {
	t.Helper()
	d, o, _ = mirrored(t)
	mustAppend(t, d, start(1, "A"), end(1, "A", ledger.Pass), start(2, "B"), start(3, "C"))
	mustCommit(t, d, intended(2, "B", 2))
	return d, o
}

func mustBackup(t *testing.T, d *DB) (path string, h Head) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "backup.db")
	h, err := Backup(ctx, path, d.path, d.Copy)
	if err != nil {
		t.Fatal(err)
	}
	return path, h
}

func head(t *testing.T, d *DB) headRow {
	t.Helper()
	h, err := d.headRow()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A backup is what the ledger was at one moment, whatever is written meanwhile, notes and escrows too.
func TestBackup(t *testing.T) {
	d, o := aLedger(t)
	path, h := mustBackup(t, d)
	if want := (Head{"line1", true, 6, hexRoot(head(t, d)), h.Last, h.Signed, 1}); h != want || h.Last.IsZero() {
		t.Errorf("%+v, want %+v", h, want)
	}
	mustAppend(t, d, end(3, "C", ledger.Pass))
	b, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if r := sound(t, b, o.VerifierKey); r.Entries != 6 {
		t.Errorf("%d entries", r.Entries)
	}
	wantNote(t, b, 2, "tag", "tag 2")
	if text, err := b.Escrow(escrowID(2)); err != nil || string(text) != "ciphertext 2" {
		t.Errorf("escrow %q, %v", text, err)
	}
	// What is there stays.
	if _, err := Backup(ctx, path, d.path, d.Copy); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another: %v", err)
	}
	// A disk that does not keep it leaves nothing behind, and neither does a ledger that is not sound.
	if _, err := Backup(ctx, filepath.Join(t.TempDir(), "none", "b.db"), d.path, d.Copy); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into no directory: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	for what, old := range map[string]string{"entry": `"uid":"uid-A"`, "escrow": "ciphertext 2"} {
		write(t, d.path, strings.ReplaceAll(string(good), old, old[:len(old)-2]+"Z"+old[len(old)-1:]))
		d, err := OpenReadOnly(d.path)
		if err != nil {
			t.Fatal(err)
		}
		bad := filepath.Join(t.TempDir(), "bad.db")
		if _, err := Backup(ctx, bad, d.path, d.Copy); !errors.Is(err, ErrDamaged) || !strings.HasPrefix(err.Error(), d.path+": ") || strings.Contains(err.Error(), bad) {
			t.Errorf("with an altered %s: %v", what, err)
		}
		if left, err := filepath.Glob(bad + "*"); err != nil || len(left) > 0 {
			t.Errorf("%v, %v", left, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func hexRoot(h headRow) string { return strings.Trim(strings.Fields(h.String())[4], ")") }

// spoil alters a byte of an entry in the file, past what bbolt would notice.
func spoil(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.ReplaceAll(string(text), `"uid":"uid-A"`, `"uid":"uid-Z"`))
}

// The disk dies. With last night's backup alone everything since is lost, and what was under way is in quarantine until it is seen. With
// the mirror what it has is there again, and the rest is as without it: it may have been given up before the disk died, as here, and shows nothing of that.
func TestRestore(t *testing.T) {
	for _, with := range []bool{false, true} {
		d, o := aLedger(t)
		backup, _ := mustBackup(t, d)
		mustAppend(t, d, end(3, "C", ledger.Pass), start(4, "D"))
		mustCommit(t, d, intended(4, "D", 4))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		before := filepath.Join(t.TempDir(), "before.db")
		text, err := os.ReadFile(filepath.Join(o.Mirror, MirrorFile))
		if err != nil {
			t.Fatal(err)
		}
		write(t, before, string(text))
		unmirrored := o
		unmirrored.Mirror = "" // from now on
		if d, err := Open(d.path, unmirrored); err != nil {
			t.Fatal(err)
		} else {
			mustAppend(t, d, start(5, "E"))
			mustCommit(t, d, intended(5, "E", 5))
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		fresh := filepath.Join(t.TempDir(), "ledger.db")
		o2 := o
		from := Restoration{Backup: backup, Reason: "the disk died", By: "op-80"}
		if with {
			from.Mirror = filepath.Join(t.TempDir(), "link") // it is the same directory by another name
			if err := os.Symlink(o.Mirror, from.Mirror); err != nil {
				t.Fatal(err)
			}
		} else {
			o2.Mirror = ""
		}
		r, epoch, err := Restore(ctx, fresh, o2, from)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		sound(t, r, o.VerifierKey)
		known, _, prefix, err := compare(r, d2(t, map[bool]string{true: before, false: backup}[with]))
		if err != nil || !prefix || known.size != epoch.Known+1 {
			t.Errorf("with the mirror=%t: %v is not what there was and one entry more: %v", with, known, err)
		}
		want := ledger.StationEpoch{Software: "station test", Known: 6, Root: epoch.Root, From: ledger.FromBackup, Reason: "the disk died", By: "op-80"}
		if with {
			want.Known, want.From = 9, ledger.FromMirror
		}
		epochs, err := r.Epochs()
		if err != nil || epoch != want || len(epochs) != 1 || epochs[0].Index != want.Known || epochs[0].Entry.Body != ledger.Body(want) {
			t.Errorf("with the mirror=%t: %+v, %+v, %v", with, epoch, epochs, err)
		}
		runs, lost, err := r.Quarantine()
		if err != nil || len(runs) != 2 || runs[0].Serial != "B" || runs[1].Serial != map[bool]string{true: "D", false: "C"}[with] || lost != want.Known {
			t.Errorf("with the mirror=%t: quarantine %+v from %d, %v", with, runs, lost, err)
		}
		wantNote(t, r, 2, "tag", "tag 2")
		if with {
			wantNote(t, r, 4, "tag", "tag 4")
			inStep(t, r, o)
			continue
		}
		// Seen again, or settled, it is out of it.
		mustAppend(t, r, ledger.RunResume{Run: run(2), Serial: "B", Chip: ledger.Chip{UID: "uid-B"}})
		mustAppend(t, r, ledger.UnitClose{Run: run(3), Serial: "C", As: ledger.Lost, Reason: "gone", By: "op-80"})
		if runs, _, err := r.Quarantine(); err != nil || len(runs) != 0 {
			t.Errorf("quarantine %+v, %v", runs, err)
		}
		sound(t, r, o.VerifierKey)
	}
}

func d2(t *testing.T, path string) *DB {
	t.Helper()
	d, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// Each row is refused with its reason, and nothing is made.
func TestRestoreRefuses(t *testing.T) {
	d, o := aLedger(t)
	backup, _ := mustBackup(t, d)
	mustAppend(t, d, start(4, "D"))
	later, _ := mustBackup(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	none := o
	none.Mirror = ""
	mirrorOf := func(path string) string {
		dir := t.TempDir()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, MirrorFile), string(text))
		return dir
	}
	altered := filepath.Join(t.TempDir(), "altered.db")
	text, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	write(t, altered, string(text))
	spoil(t, altered)
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	other(t, foreign, "line2", 1)
	fork := filepath.Join(t.TempDir(), "fork.db")
	write(t, fork, string(text))
	f, err := Open(fork, none)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, f, start(5, "E"), start(6, "F"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	long, err := Open(d.path, o)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, long, start(7, "G"), start(8, "H"))
	longer, _ := mustBackup(t, long)
	if err := long.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    Options
		from Restoration
		want error
		says string
	}{
		"no backup":               {none, Restoration{Backup: backup + "x"}, fs.ErrNotExist, ""},
		"an altered backup":       {none, Restoration{Backup: altered}, nil, "it is damaged: entry 1 does not have the hash"},
		"another station's":       {none, Restoration{Backup: foreign}, ErrMismatch, `station "line2"`},
		"no mirror":               {none, Restoration{Backup: backup, Mirror: t.TempDir()}, fs.ErrNotExist, ""},
		"an altered mirror":       {none, Restoration{Backup: backup, Mirror: mirrorOf(altered)}, nil, "it is damaged"},
		"a mirror of before":      {none, Restoration{Backup: later, Mirror: mirrorOf(backup)}, nil, "It was lost before the backup was made: restore without it"},
		"a mirror of a fork":      {none, Restoration{Backup: later, Mirror: mirrorOf(fork)}, nil, "does not go on from the backup"},
		"a shorter one":           {none, Restoration{Backup: longer, Mirror: mirrorOf(fork)}, nil, "it may hold the only escrows of units that it alone has: copied to `ledger.db` in a directory of its own"},
		"the mirror is left out":  {o, Restoration{Backup: backup}, fs.ErrExist, "name its directory as the mirror to restore from"},
		"no reason":               {none, Restoration{Backup: backup}, ledger.ErrGrammar, ""},
		"the key is another's":    {options(t, "line1", 2), Restoration{Backup: backup}, ErrMismatch, "checkpoint key"},
		"another kind of station": {real(none), Restoration{Backup: backup}, ErrMismatch, "simulated"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "ledger.db")
		c.from.By = "op-80"
		if name != "no reason" {
			c.from.Reason = "the disk died"
		}
		_, _, err := Restore(ctx, path, c.o, c.from)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "restore ledger.db") {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
	// Never over a ledger.
	before, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Restore(ctx, d.path, none, Restoration{Backup: backup, Reason: "r", By: "b"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a ledger: %v", err)
	}
	if after, err := os.ReadFile(d.path); err != nil || string(after) != string(before) {
		t.Error("it was changed")
	}
}

func real(o Options) Options {
	o.Simulated = false
	return o
}
