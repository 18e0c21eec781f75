package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"station/ledger"
	"station/sim/nor"
	"station/store"
)

// TestKill kills the program with SIGKILL while it provisions, at chosen instants and at chosen lines of what it says, and then gives
// the same command again: it has to finish the unit, whether the board kept its power or lost it. The boards' files
// tell whether anything was done twice.
func TestKill(t *testing.T) {
	t.Parallel()
	for name, repower := range map[string]bool{"powered": false, "repowered": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &killer{position: newPosition(t), repower: repower, hits: map[string]int{}, recipe: "small.yaml", lines: lines, settled: settledSmall}
			defer k.close()
			for range 3 {
				k.measure()
			}
			instants := 20
			if testing.Short() {
				instants = 3
			}
			k.killAtInstants(instants, 1)
			if testing.Short() {
				return
			}
			k.killAtLines("identified")
		})
	}
}

// lines are what the program says from the start of a run to its end.
var lines = []string{"started", "1/4 write", "1/4 program", "2/4 lock", "3/4 freeze", "4/4 check", "PASS"}

// killer kills runs at one position.
type killer struct {
	*position
	recipe  string
	options []string                            // of the command, beside recipe and slot
	lines   []string                            // between the first and the last of which it kills
	settled func(k *killer, unit, where string) // checks a unit that was finished after a kill
	repower bool                                // the board loses its power after the kill
	units   int
	start   time.Duration   // from the launch to the first line of an undisturbed run
	gaps    []time.Duration // from each line to the next
	hits    map[string]int  // where kills hit
	missed  bool            // the last one came too late
}

func (k *killer) order() (serial string, args []string) {
	k.units++
	serial = fmt.Sprintf("TB-%04d", k.units)
	return serial, append([]string{"run", k.recipe, "--slot", "1=" + serial}, k.options...)
}

// killAtInstants kills at instants drawn from a seed, one in each of as many equal parts of the run, a few before it.
func (k *killer) killAtInstants(instants int, seed uint64) {
	k.t.Helper()
	dice := rand.New(rand.NewPCG(seed, seed))
	for i := range instants {
		if early := instants / 10; i < early {
			k.kill("", time.Duration(dice.Int64N(int64(k.start))))
		} else {
			k.killAt((float64(i-early) + dice.Float64()) / float64(instants-early))
		}
		if k.missed {
			k.measure() // the PC became faster meanwhile
		}
	}
	k.t.Logf("seed %d, a run of %v begun after %v: %v of %d kills at instants", seed, k.length(), k.start, k.hits, instants)
	if k.hits["mid-run"]*2 < instants {
		k.t.Errorf("only %d of %d kills hit between run.start and run.end", k.hits["mid-run"], instants)
	}
}

// killAtLines kills as soon as each of the lines is there, and at some more.
func (k *killer) killAtLines(more ...string) {
	k.t.Helper()
	for _, line := range append(more, k.lines...) {
		k.kill(line, 0)
	}
	k.t.Logf("with those at lines: %v", k.hits)
}

// measure runs a unit undisturbed, and keeps the shortest times, so that most instants are within other runs whatever else the PC does.
func (k *killer) measure() {
	k.t.Helper()
	_, args := k.order()
	r := k.launch(args...)
	shortest := func(old, now time.Duration) time.Duration {
		if old == 0 {
			return now
		}
		return min(old, now)
	}
	last := r.await(k.lines[0])
	k.start = shortest(k.start, last)
	if k.gaps == nil {
		k.gaps = make([]time.Duration, len(k.lines)-1)
	}
	for i, line := range k.lines[1:] {
		now := r.await(line)
		k.gaps[i] = shortest(k.gaps[i], now-last)
		last = now
	}
	if err := r.wait(); err != nil {
		k.t.Fatal(err)
	}
}

// length is how long a run takes.
func (k *killer) length() (sum time.Duration) {
	for _, gap := range k.gaps {
		sum += gap
	}
	return sum
}

// killAt kills at a part of a run, 0 its start and 1 its end, counted from the last line before it.
func (k *killer) killAt(part float64) {
	k.t.Helper()
	at := time.Duration(part * float64(k.length()))
	for i, gap := range k.gaps {
		if at <= gap {
			k.kill(k.lines[i], at)
			return
		}
		at -= gap
	}
}

// kill runs the next unit, kills the program a time after a line ("" is its launch), and has the run finished.
func (k *killer) kill(line string, after time.Duration) {
	t := k.t
	t.Helper()
	serial, args := k.order()
	r := k.launch(args...)
	if line != "" {
		r.await(line)
	}
	time.Sleep(after)
	r.cmd.Process.Kill()
	r.wait()

	where := k.where(serial)
	k.hits[where]++
	k.missed = where == "after its end"
	what := fmt.Sprintf("%s, killed %v after %q, %s", serial, after, line, where)
	if k.repower {
		k.repowered(serial)
	}
	if code, out, errs := k.station(args...); code != exitDone || !strings.Contains(out, "PASS") {
		t.Fatalf("%s: the same command again: exit %d\n%s%s", what, code, out, errs)
	}
	if now := k.where(serial); now != "after its end" {
		t.Errorf("%s: the unit is now %s", what, now)
	}
	k.settled(k, serial, where)
	if t.Failed() {
		t.Fatalf("%s: see above", what)
	}
}

// settledSmall: the chip is as small.yaml says, and nothing was done twice or for ever.
func settledSmall(k *killer, serial, where string) {
	k.t.Helper()
	chip := openBoard(k.t, k.board(serial))
	defer chip.Close()
	provisioned(k.t, chip, bootRegion())
	// A freeze lasts until power-off, and a unit that is done is not touched again.
	if gone := where == "after its end" && k.repower; chip.Frozen() == gone {
		k.t.Errorf("frozen %t", chip.Frozen())
	}
	if chip.Counters()[nor.CountSectorProtection] != 0 {
		k.t.Error("a permanent bit was programmed")
	}
}

// where tells from the ledger how far a unit's run has come.
func (k *killer) where(serial string) string {
	k.t.Helper()
	db, err := store.OpenReadOnly(ledgerFile(k.data()))
	if err != nil {
		k.t.Fatal(err)
	}
	defer db.Close()
	runs, err := db.Runs(serial, "")
	switch {
	case err != nil:
		k.t.Fatal(err)
	case len(runs) == 0:
		return "before its start"
	case len(runs) > 1:
		k.t.Fatalf("%s has %d runs, want one that goes on", serial, len(runs))
	case runs[0].Open():
		units, _, err := db.Units(store.UnitQuery{Limit: 4}) // as many as there are slots
		if err != nil || !slices.ContainsFunc(units, func(u store.Unit) bool { return u.Serial == serial && u.Outcome == ledger.Interrupted }) {
			k.t.Errorf("the open run of %s shows as %v, %v", serial, units, err)
		}
		return "mid-run"
	}
	return "after its end"
}

// running is the program while it runs.
type running struct {
	*position
	cmd    *exec.Cmd
	cancel context.CancelFunc
	began  time.Time
	lines  *bufio.Scanner // of stderr
	stdout bytes.Buffer
}

func (p *position) launch(args ...string) *running {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	r := &running{position: p, cmd: p.command(ctx, args...), cancel: cancel}
	pipe, err := r.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	r.lines = bufio.NewScanner(pipe)
	r.cmd.Stdout = &r.stdout
	r.began = time.Now()
	if err := r.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// next reads one more line, and keeps it with all that was said.
func (r *running) next() bool {
	if !r.lines.Scan() {
		return false
	}
	fmt.Fprintf(&r.output, "%s\n", r.lines.Text())
	return true
}

// await reads on to a line with this text and returns when it came, counted from the launch.
func (r *running) await(text string) time.Duration {
	r.t.Helper()
	var seen []string
	for r.next() {
		if seen = append(seen, r.lines.Text()); strings.Contains(r.lines.Text(), text) {
			return time.Since(r.began)
		}
	}
	r.t.Fatalf("station %q never said %q:\n%s", r.cmd.Args[1:], text, strings.Join(seen, "\n"))
	return 0
}

// wait reads the rest and waits for the end.
func (r *running) wait() error {
	defer r.cancel()
	for r.next() {
	}
	err := r.cmd.Wait()
	r.output.Write(r.stdout.Bytes())
	return err
}

// enlarge gives the small recipe an image of 2 MiB, so that a signal comes while it is written, and returns the image.
func (p *position) enlarge() []byte {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "small.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	image := make([]byte, 2<<20)
	rand.NewChaCha8([32]byte{}).Read(image)
	err = errors.Join(os.WriteFile(filepath.Join(p.dir, "boot.bin"), image, 0o644),
		os.WriteFile(filepath.Join(p.dir, "small.yaml"), bytes.Replace(text, []byte("128KiB"), []byte("2MiB"), 1), 0o644))
	if err != nil {
		p.t.Fatal(err)
	}
	p.expect(exitDone, "recipe", "pin", "small.yaml")
	return image
}

// TestInterrupt stops a run with Ctrl-C, or with another signal that wants it stopped: it is ABORTED where nothing is half done, and the same command finishes it. A second
// signal ends the program where it is, and that is no refusal either.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	defer p.close()
	image := p.enlarge()
	hard := []syscall.Signal{syscall.SIGQUIT, syscall.SIGQUIT}
	for i, signals := range [][]syscall.Signal{{syscall.SIGINT}, {syscall.SIGTERM}, {syscall.SIGQUIT}, {syscall.SIGHUP}, hard} {
		serials := []string{fmt.Sprintf("TB-0%d01", i), fmt.Sprintf("TB-0%d02", i)}
		args := []string{"run", "small.yaml", "--slot", "1=" + serials[0], "--slot", "2=" + serials[1]}
		before := p.output.Len()
		r := p.launch(args...)
		r.await("1/4 program")
		for _, sig := range signals {
			r.cmd.Process.Signal(sig)
		}
		r.wait()
		if code := r.cmd.ProcessState.ExitCode(); code != exitAborted || bytes.Contains(p.output.Bytes()[before:], []byte("goroutine ")) {
			t.Fatalf("%v after %v, want exit %d\n%s", r.cmd.ProcessState, signals, exitAborted, p.output.Bytes()[before:])
		}
		if out, _ := p.expect(exitDone, "unit", "list"); len(signals) == 1 && strings.Count(out, "  ABORTED  ") != 2 {
			t.Errorf("unit list after %v:\n%s", signals, out)
		}
		p.expect(exitDone, args...)
		for _, serial := range serials {
			p.provisioned(serial, image)
		}
	}
}

// TestOpenRun kills the program and then does other things first: the open run is named until the same recipe has finished it.
func TestOpenRun(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	defer p.close()
	before, err := os.ReadFile(filepath.Join(p.dir, "small.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	image := p.enlarge()
	args := []string{"run", "small.yaml", "--slot", "1=TB-0001"}
	r := p.launch(args...)
	r.await("1/4 program")
	r.cmd.Process.Kill()
	r.wait()
	if out, _ := p.expect(exitDone, "unit", "list"); !strings.Contains(out, "TB-0001  INTERRUPTED  ") {
		t.Errorf("unit list after the kill:\n%s", out)
	}
	if out, _ := p.expect(exitDone, "unit", "report", "TB-0001"); !strings.Contains(out, "TB-0001.pdf") {
		t.Errorf("a report of an open run:\n%s", out)
	}
	const named = "INTERRUPTED: the run of TB-0001 in slot 1 broke off"
	if _, errs := p.expect(exitDone, "run", "small.yaml", "--slot", "2=TB-0002"); !strings.Contains(errs, named) {
		t.Errorf("the next run does not name the open one:\n%s", errs)
	}

	// Another recipe, with an image of its own, may not go over what is half done.
	other := bytes.Replace(before, []byte("version: 1"), []byte("version: 2"), 1)
	err = errors.Join(os.WriteFile(filepath.Join(p.dir, "other.yaml"), bytes.ReplaceAll(other, []byte("boot.bin"), []byte("other.bin")), 0o644),
		os.WriteFile(filepath.Join(p.dir, "other.bin"), bootImage(), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	if _, errs := p.expect(exitRefused, "run", "other.yaml", "--slot", "1=TB-0001"); !strings.Contains(errs, "has an open run of recipe small-boot version 1") {
		t.Errorf("another recipe over an open run:\n%s", errs)
	}
	_, errs := p.expect(exitDone, args...)
	if strings.Contains(errs, named) || !strings.Contains(errs, "slot 1  TB-0001  resumed  ") {
		t.Errorf("the run that finishes it:\n%s", errs)
	}
	if _, errs := p.expect(exitDone, "run", "small.yaml", "--slot", "2=TB-0002"); strings.Contains(errs, named) {
		t.Errorf("a run that is finished is still named:\n%s", errs)
	}
	p.provisioned("TB-0001", image)
}
