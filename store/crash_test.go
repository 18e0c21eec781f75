package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"station/ledger"
)

// TestMain lets the test binary be the station that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("STORE_TEST_LEDGER"); path != "" {
		if err := appendForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// appendForEver says on standard output which entries are durable, after they are.
func appendForEver(path string) error {
	var never fatalPanic
	o := options(never, "line1", 1)
	o.Mirror = os.Getenv("STORE_TEST_MIRROR")
	d, err := Open(path, o)
	if err != nil {
		return err
	}
	for n := os.Getpid() * 1_000_000; ; n++ {
		serial := fmt.Sprint("S", n)
		i, err := d.Append(ctx, start(n, serial), step(n, serial, 1))
		if err != nil {
			return err
		}
		fmt.Printf("%d %d\n", i, n)
		if i, err = d.Commit(ctx, intended(n, serial, n)); err != nil {
			return err
		}
		fmt.Printf("%d %d\n", i, n)
		if n%3 == 0 { // two of three runs stay open
			if i, err = d.Append(ctx, void(n, serial, n), end(n, serial, ledger.Aborted)); err != nil {
				return err
			}
			fmt.Printf("%d %d\n", i, n)
		}
	}
}

type fatalPanic struct{}

func (fatalPanic) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// TestKill kills a station in the middle of appending, again and again on the same ledger. Seeded: the instants are
// drawn from a fixed seed, and still differ from run to run by what the machine does meanwhile.
func TestKill(t *testing.T) {
	o := options(t, "line1", 1)
	v, err := note.NewVerifier(o.VerifierKey)
	if err != nil {
		t.Fatal(err)
	}
	d, path := create(t, o)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	acked := map[int64]string{} // serial by index
	unsigned := 0
	for range 10 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "STORE_TEST_LEDGER="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for alive := true; ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
					t.Fatal(err)
				}
				break
			}
			index, n, ok := strings.Cut(strings.TrimSpace(line), " ")
			i, err := strconv.ParseInt(index, 10, 64)
			if !ok || err != nil {
				t.Fatalf("line %q", line)
			}
			acked[i] = "S" + n
			if alive {
				alive = false
				time.AfterFunc(time.Duration(random.IntN(40_000))*time.Microsecond, func() { child.Process.Kill() })
			}
		}
		if err := child.Wait(); child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the station died by itself: %v", err)
		}

		// As it was left: sound, and nothing lost that was acknowledged.
		r, err := OpenReadOnly(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check(ctx); err != nil {
			t.Fatal(err)
		}
		left, err := ledger.Verify(ctx, r, v)
		if err != nil || len(left.Findings) != 0 {
			t.Fatalf("%+v, %v", left, err)
		}
		if left.Unsigned() > 0 {
			unsigned++
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}

		d, err := Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		if report := sound(t, d, o.VerifierKey); report.Unsigned() != 0 || report.Entries < left.Entries {
			t.Fatalf("after open: %+v, as left: %+v", report, left)
		}
		open, err := d.OpenRuns()
		if err != nil {
			t.Fatal(err)
		}
		records, err := d.Records(0, left.Entries)
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range ledger.Runs(records) {
			if known := slices.ContainsFunc(open, func(r ledger.Run) bool { return r.ID == run.ID }); known != run.Open() {
				t.Fatalf("run %s is open=%t, known as open=%t", run.ID, run.Open(), known)
			}
			// A note is there exactly while its run is open and intends something. Check has compared the escrows.
			intends := slices.ContainsFunc(run.Records, func(r ledger.Record) bool { return r.Entry.Body.Kind() == ledger.KindPasswordIntent })
			if _, err := d.Note(run.ID, "tag"); (err == nil) != (run.Open() && intends) {
				t.Fatalf("run %s, open=%t, intends=%t: note: %v", run.ID, run.Open(), intends, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d, err = OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	size, err := d.Size()
	if err != nil {
		t.Fatal(err)
	}
	records, err := d.Records(0, size)
	if err != nil {
		t.Fatal(err)
	}
	for i, serial := range acked {
		if i >= size {
			t.Fatalf("entry %d was acknowledged and is lost; the ledger has %d", i, size)
		}
		if runs := ledger.Runs(records[i : i+1]); len(runs) != 1 || runs[0].Serial != serial {
			t.Fatalf("entry %d was acknowledged for %s and is %+v", i, serial, runs)
		}
	}
	t.Logf("%d entries, %d acknowledgements, %d of 10 kills left an unsigned tail", size, len(acked), unsigned)
}

// breakWrites makes every write to the open file at path fail, by giving its descriptor to a read-only file.
func breakWrites(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, link := range all {
		fd, err := strconv.Atoi(filepath.Base(link))
		if err != nil {
			t.Fatal(err)
		}
		if target, err := os.Readlink(link); err != nil || target != path || fd == int(f.Fd()) {
			continue
		}
		if err := syscall.Dup3(int(f.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		found = true
	}
	if !found {
		t.Fatalf("%s is not open", path)
	}
}

// TestFailedCommit: a commit that fails leaves nothing behind, no signed head above all.
func TestFailedCommit(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, d *DB){
		"every write fails": func(t *testing.T, d *DB) { breakWrites(t, d.path) },
		"the disk is full":  func(_ *testing.T, d *DB) { d.bolt.MaxSize, d.bolt.AllocSize = 1, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, "line1", 1)
			dir := t.TempDir()
			// Its file is opened under the path that Create links it to.
			created, err := Create(filepath.Join(dir, "ledger.db"), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := created.Close(); err != nil {
				t.Fatal(err)
			}
			d, err := Open(created.path, o)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			i := mustAppend(t, d, start(1, "A"))
			if err := d.Sign(ctx); err != nil {
				t.Fatal(err)
			}
			spoil(t, d)
			var failed error
			for n := 2; failed == nil && n < 200; n++ { // free pages may hold a few more
				_, failed = d.Append(ctx, start(n, strings.Repeat("B", 1000)+fmt.Sprint(n)))
				if failed == nil {
					i++
				}
			}
			if !errors.Is(failed, ErrBroken) {
				t.Fatalf("append: %v", failed)
			}
			if size, err := d.Size(); err != nil || size != i+1 {
				t.Errorf("size %d, %v; want %d", size, err, i+1)
			}
			if _, err := d.Append(ctx, end(1, "A", ledger.Aborted)); !errors.Is(err, ErrBroken) {
				t.Errorf("append after a failed commit: %v", err)
			}
			if err := d.Sign(ctx); !errors.Is(err, ErrBroken) {
				t.Errorf("sign after a failed commit: %v", err)
			}
			if kept, _, err := d.Checkpoint(i + 2); !errors.Is(err, ledger.ErrMissing) {
				t.Errorf("signed head of size %d over entries that never existed, %v", kept, err)
			}
			if err := d.Close(); !errors.Is(err, ErrBroken) {
				t.Errorf("close: %v", err)
			}
			d, err = Open(created.path, o)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if r := sound(t, d, o.VerifierKey); r.Entries != i+1 || r.Unsigned() != 0 {
				t.Errorf("after reopening: %+v, want %d entries", r, i+1)
			}
		})
	}
}
