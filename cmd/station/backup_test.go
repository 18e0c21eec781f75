package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"station/store"
)

// TestBackupWhileRunning: a station that takes scans all day hands out its ledger between two of its entries, under the work and
// without it, and a death leaves nothing that keeps the next one from it.
func TestBackupWhileRunning(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	scanning := func() (scan io.WriteCloser, await func(string), end func()) {
		cmd := p.command(ctx, "run", "small.yaml", "--scan")
		scan, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		said, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(said)
		await = func(text string) {
			t.Helper()
			for lines.Scan() {
				if strings.Contains(lines.Text(), text) {
					return
				}
			}
			t.Fatalf("never said %q", text)
		}
		return scan, await, func() {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	entries := func(file string) int64 {
		t.Helper()
		h, err := store.CheckFile(ctx, filepath.Join(p.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return h.Entries
	}
	scan, await, kill := scanning()
	await("slot 1 is free")
	p.expect(exitDone, "backup", "idle.db")
	io.WriteString(scan, "TB-0001\n")
	await("started")
	p.expect(exitDone, "backup", "working.db") // the run has some 16 entries to write
	await("PASS")
	out, _ := p.expect(exitDone, "backup", "passed.db")
	if !strings.Contains(out, "passed.db: station line1 (SIMULATED), ") {
		t.Errorf("%s", out)
	}
	if a, b, c := entries("idle.db"), entries("working.db"), entries("passed.db"); a != 1 || b <= a || c < b {
		t.Errorf("%d, then %d, then %d entries", a, b, c)
	}
	p.expect(exitRefused, "backup", "idle.db")
	p.expect(exitError, "backup", "none/b.db")

	kill() // its socket stays
	if _, err := os.Stat(filepath.Join(p.dir, "data", backupSocket)); err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, "backup", "dead.db")
	scan, await, kill = scanning()
	defer kill()
	await("slot 1 is free")
	p.expect(exitDone, "backup", "again.db")
	if a, b := entries("dead.db"), entries("again.db"); a < entries("passed.db") || b < a {
		t.Errorf("%d, then %d entries", a, b)
	}
	scan.Close()
}

// Who stops reading is given up, and whoever waited behind is told so and served; so is who comes after an accept that failed.
func TestBackupStalls(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	data := filepath.Join(p.dir, "data")
	block := make([]byte, 1<<20) // more than a socket holds
	o, err := listenForBackups(data, func(w io.Writer) error { _, err := w.Write(block); return err })
	if err != nil {
		t.Fatal(err)
	}
	o.progress = quietLimit + 2*time.Second
	o.listener = &failingOnce{Listener: o.listener}
	go o.serve()
	defer o.close()
	dir, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	c, err := net.Dial("unix", socketIn(dir, backupSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // and no more is read
		t.Fatal(err)
	}
	said := make(chan string, 9)
	var got bytes.Buffer
	if err := copyOfRunning(t.Context(), data, func(s string) { said <- s })(&got); err != nil {
		t.Fatal(err)
	}
	if told := <-said; got.Len() != len(block) || len(said) != 0 || !strings.Contains(told, "another one is under way") {
		t.Errorf("%d bytes, said %q", got.Len(), told)
	}
}

// failingOnce is a listener in a process that has too many files open for a moment.
type failingOnce struct {
	net.Listener
	failed bool
}

func (l *failingOnce) Accept() (net.Conn, error) {
	if !l.failed {
		l.failed = true
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// A copy that breaks off is none, and the ledger closes in the midst of one.
func TestBackupBreaksOff(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	data := filepath.Join(p.dir, "data")
	block := make([]byte, 1<<16)
	ended := make(chan error, 1)
	o, err := listenForBackups(data, func(w io.Writer) (err error) { // a ledger without an end
		for err == nil {
			_, err = w.Write(block)
		}
		ended <- err
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	go o.serve()
	dir, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	c, err := net.Dial("unix", socketIn(dir, backupSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	part := make([]byte, 8192) // and no more is read: the other end waits with the rest
	if _, err := io.ReadFull(c, part); err != nil {
		t.Fatal(err)
	}
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("it was sent to its end")
	}
	if _, err := os.Stat(filepath.Join(data, backupSocket)); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	file := filepath.Join(p.dir, "part.db")
	if _, err := store.Backup(t.Context(), file, "the copy", func(w io.Writer) error { _, err := w.Write(part); return err }); err == nil {
		t.Error("a part of a ledger is a backup")
	}
	if left, err := filepath.Glob(file + "*"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
