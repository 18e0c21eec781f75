package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"station/ledger"
)

// told collects what a ledger says of its mirror.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (s *told) tell(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

// want takes the lines that were told since, and wants them to hold these words.
func (s *told) want(t *testing.T, words ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) != len(words) {
		t.Errorf("told %q, want %q", s.lines, words)
	}
	for i := range min(len(s.lines), len(words)) {
		if !strings.Contains(s.lines[i], words[i]) {
			t.Errorf("told %q, want %q", s.lines[i], words[i])
		}
	}
	s.lines = nil
}

// mirrored is a ledger with a mirror, and what it says.
func mirrored(t *testing.T) (d *DB, o Options, s *told) {
	t.Helper()
	s = &told{}
	o = options(t, "line1", 1)
	o.Mirror, o.Tell, o.Timeout = filepath.Join(t.TempDir(), "mirror"), s.tell, 50*time.Millisecond
	if err := os.Mkdir(o.Mirror, 0o755); err != nil {
		t.Fatal(err)
	}
	d, _ = create(t, o)
	s.want(t, "same file system")
	return d, o, s
}

func reopen(t *testing.T, d *DB, o Options) *DB {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := Open(d.path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// inStep closes the ledger and wants the mirror to be a sound ledger that has all that it has.
func inStep(t *testing.T, d *DB, o Options) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var heads []headRow
	for _, path := range []string{d.path, filepath.Join(o.Mirror, MirrorFile)} {
		r, err := OpenReadOnly(path)
		if err != nil {
			t.Fatal(err)
		}
		sound(t, r, o.VerifierKey)
		h, err := r.headRow()
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		heads = append(heads, h)
	}
	if heads[0] != heads[1] {
		t.Errorf("the ledger has %+v, the mirror %+v", heads[0], heads[1])
	}
}

func TestMirror(t *testing.T) {
	d, o, s := mirrored(t)
	release, err := d.hold(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d.Mirror() != ledger.MirrorSameDisk { // while somebody writes
		t.Errorf("mirror: %s", d.Mirror())
	}
	release()
	mustAppend(t, d, start(1, "A"), start(2, "B"))
	mustCommit(t, d, intended(1, "A", 1))
	if err := d.Sign(ctx); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, d, ledger.Change{Bodies: []ledger.Body{void(1, "A", 1)}, Forget: []string{"tag"}})
	mustCommit(t, d, intended(2, "B", 2))
	mustAppend(t, d, end(1, "A", ledger.Aborted), end(2, "B", ledger.Fail)) // the notes go with it, there too
	mustAppend(t, d, start(3, "C"))
	inStep(t, d, o)

	m, err := OpenReadOnly(filepath.Join(o.Mirror, MirrorFile))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if text, err := m.Escrow(escrowID(1)); err != nil || string(text) != "ciphertext 1" {
		t.Errorf("escrow on the mirror: %q, %v", text, err)
	}
	wantNote(t, m, 2, "tag", "")
	// While somebody reads it there is none, and what is permanent waits.
	d, err = Open(d.path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s.want(t, "is lost: "+filepath.Join(o.Mirror, MirrorFile)+" is in use: another process has the mirror open. Nothing permanent")
	if _, err := d.Commit(ctx, intended(3, "C", 3)); !errors.Is(err, ErrMirror) {
		t.Errorf("permanent while the mirror is in use: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, d, intended(3, "C", 3))
	s.want(t, "is back")
	inStep(t, d, o)
}

func TestNoMirror(t *testing.T) {
	d, _ := create(t, options(t, "line1", 1))
	mustAppend(t, d, start(1, "A"))
	mustCommit(t, d, intended(1, "A", 1))
	if d.Mirror() != ledger.MirrorNone {
		t.Errorf("mirror: %s", d.Mirror())
	}
}

// In each row the mirror goes away in its own manner while the ledger is open. Everything goes on but what is permanent; that waits until the
// mirror is whole again, and changes nothing meanwhile.
func TestMirrorLost(t *testing.T) {
	file := func(o Options) string { return filepath.Join(o.Mirror, MirrorFile) }
	for _, c := range []struct {
		name  string
		lose  func(t *testing.T, d *DB, o Options)
		back  func(t *testing.T, o Options)
		why   string
		first bool // only a write shows it, so that the first intent gets into the ledger
	}{
		{"its directory is gone", func(t *testing.T, _ *DB, o Options) { rename(t, o.Mirror, o.Mirror+".away") },
			func(t *testing.T, o Options) { rename(t, o.Mirror+".away", o.Mirror) }, "no such file", false},
		{"its file is gone", func(t *testing.T, _ *DB, o Options) { remove(t, file(o)) }, func(*testing.T, Options) {}, "", false},
		{"another file is in its place", func(t *testing.T, _ *DB, o Options) {
			remove(t, file(o))
			if err := os.WriteFile(file(o), []byte(strings.Repeat("not a ledger ", 5000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, o Options) { remove(t, file(o)) }, "it is damaged", false},
		{"its file was cut off", func(t *testing.T, _ *DB, o Options) { remove(t, file(o)); write(t, file(o), "") },
			func(t *testing.T, o Options) { remove(t, file(o)) }, "it is damaged: the file is empty", false},
		{"its disk is read-only", func(t *testing.T, d *DB, o Options) { breakWrites(t, file(o)) }, func(*testing.T, Options) {}, "", true},
		{"its disk is full", func(_ *testing.T, d *DB, o Options) { d.mirror.db.bolt.MaxSize, d.mirror.db.bolt.AllocSize = 1, 1 },
			func(*testing.T, Options) {}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, o, s := mirrored(t)
			d = reopen(t, d, o) // its file is open under the name that others see
			s.want(t, "same file system")
			mustAppend(t, d, start(1, "A"), start(2, "B"))
			mustCommit(t, d, intended(1, "A", 1))
			size := func() int64 {
				n, err := d.Size()
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if err := d.Sign(ctx); err != nil { // or a signature would find it lost first
				t.Fatal(err)
			}
			c.lose(t, d, o)
			large := intended(2, "B", 2)
			large.Notes["packet"] = make([]byte, maxKept) // more than free pages hold
			if !c.first && c.why == "" {
				// It is made anew at once: nobody notices.
				mustCommit(t, d, large)
				s.want(t, "is lost", "is back")
				inStep(t, d, o)
				return
			}
			before := size()
			first, err := d.Commit(ctx, large)
			switch {
			case !errors.Is(err, ErrMirror) || !strings.Contains(err.Error(), o.Mirror):
				t.Fatalf("permanent without the mirror: %v", err)
			case c.first != (first == before) || !c.first && first != 0 || c.first != (size() == before+1):
				t.Errorf("first %d, and %d entries became %d", first, before, size())
			}
			s.want(t, "is lost: ")
			if !c.first {
				if _, err := d.Commit(ctx, large); !errors.Is(err, ErrMirror) || !strings.Contains(err.Error(), c.why) {
					t.Errorf("permanent without the mirror: %v", err)
				}
			}
			if d.Mirror() != ledger.MirrorAway {
				t.Errorf("mirror: %s", d.Mirror())
			}
			mustAppend(t, d, start(3, "C"), step(3, "C", 1), end(3, "C", ledger.Pass))
			if err := d.Sign(ctx); err != nil {
				t.Fatal(err)
			}
			s.want(t)
			c.back(t, o)
			mustAppend(t, d, start(4, "D"))
			s.want(t)
			mustCommit(t, d, intended(4, "D", 4))
			s.want(t, "is back")
			inStep(t, d, o)
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The mirror goes away between the question whether it stands and its commit: the file takes the change all the same, and no start would ever find it. Nor does it
// matter where in a change the permanent entry stands.
func TestMirrorGoesMeanwhile(t *testing.T) {
	var d *DB
	s := &told{}
	o := options(t, "line1", 1)
	o.Mirror, o.Tell = filepath.Join(t.TempDir(), "mirror"), s.tell
	if err := os.Mkdir(o.Mirror, 0o755); err != nil {
		t.Fatal(err)
	}
	gone := false
	o.Now = func() time.Time { // called when the mirror was asked already
		if gone {
			gone = false
			rename(t, o.Mirror, o.Mirror+".away")
		}
		return time.Now()
	}
	d, _ = create(t, o)
	s.want(t, "same file system")
	intent := ledger.PermanentIntent{Run: run(1), Serial: "A", UID: "uid-A", What: "counter"}
	gone = true
	if first, err := d.Append(ctx, start(1, "A"), intent); !errors.Is(err, ErrMirror) || first != 1 {
		t.Fatalf("%d, %v", first, err)
	}
	s.want(t, "is lost: stat "+filepath.Join(o.Mirror, MirrorFile))
	if first, err := d.Append(ctx, step(1, "A", 1), intent); !errors.Is(err, ErrMirror) || first != 0 {
		t.Fatalf("%d, %v", first, err)
	}
	rename(t, o.Mirror+".away", o.Mirror)
	mustAppend(t, d, step(1, "A", 1), intent)
	s.want(t, "is back")
	inStep(t, d, o)
}

// A disk that does not answer is waited for no longer than the limit, and nothing else is asked of it before it has come back.
func TestMirrorHangs(t *testing.T) {
	m := &mirror{dir: "/m", busy: make(chan struct{}, 1)}
	release, late := make(chan struct{}), make(chan struct{})
	err := m.within(time.Millisecond, func() error { <-release; return nil }, func() { close(late) })
	if err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Fatalf("%v", err)
	}
	if err := m.within(time.Hour, func() error { return nil }, nil); err == nil || !strings.Contains(err.Error(), "earlier call") {
		t.Errorf("asked again meanwhile: %v", err)
	}
	select {
	case <-late:
		t.Error("tidied up before it came back")
	default:
	}
	close(release)
	<-late
	if err := m.within(time.Hour, func() error { return nil }, nil); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}
