package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/fixtures/usb"
)

// benched is what benches of new boards in modelled time print of each slot: the last of some in a row, of which each but the first finds the pattern of the one
// before.
func benched(t *testing.T, p *position, paced bool, rounds int) (out []benchJSON) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &text, stderr: io.Discard, configFile: filepath.Join(p.dir, "config.yaml"), json: true}
		cfg, err := a.config()
		if err != nil {
			t.Fatal(err)
		}
		b, err := a.openOver(t.Context(), cfg, func(b *bench, _ context.Context) (usb.Bus, error) { return b.ownBoards(paced) })
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for range rounds {
			text.Reset()
			if err := a.benchSlots(t.Context(), b, benchJob{where: span{at: "0", size: "64KiB"}, timed: true, force: true, dir: "none"}); err != nil {
				t.Fatal(err)
			}
		}
		for dec := json.NewDecoder(&text); dec.More(); {
			var j benchJSON
			if err := dec.Decode(&j); err != nil {
				t.Fatal(err)
			}
			out = append(out, j)
		}
	})
	if len(out) != 4 || out[0].UID == out[1].UID {
		t.Fatalf("measured were %+v", out)
	}
	return out
}

// TestBenchSplits: in modelled time, in which the computer's own work takes none, the parts are what they should be in every slot, on boards that are blank
// and on those that must be erased first.
func TestBenchSplits(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	for _, c := range []struct {
		name   string
		rounds int
		erase  int64 // us, typical
	}{{"blank", 1, 0}, {"dirty", 2, 160_000}} {
		for _, j := range benched(t, p, true, c.rounds) {
			if j.Part != benchPart {
				t.Errorf("slot %s has a %s", j.Slot, j.Part)
			}
			for move, m := range map[string]moveJSON{"write": j.Write, "verify": j.Verify} {
				got, want := m.Measured, m.Predicted
				if got.USB == nil || got.Host == nil || want.USB != nil || want.Host != nil || got.Cut || want.Cut {
					t.Fatalf("%s slot %s %s: %+v", c.name, j.Slot, move, m)
				}
				for _, s := range []struct{ sum, total int64 }{{want.Wire + want.Flash, want.Total}, {got.Wire + got.Flash + *got.USB + *got.Host, got.Total}} {
					if s.sum < s.total-4 || s.sum > s.total {
						t.Errorf("%s slot %s %s: %+v does not add up", c.name, j.Slot, move, m)
					}
				}
				for _, s := range []splitJSON{got, want} {
					if r := 65536 / float64(s.Total); r < 0.99*s.Rate || r > 1.01*s.Rate {
						t.Errorf("%s slot %s %s: %v MB/s in %d us", c.name, j.Slot, move, s.Rate, s.Total)
					}
				}
				// What has to be clocked is clocked, and verifying waits for no flash.
				if got.Wire < want.Wire*99/100 || got.Total < want.Total || *got.Host != 0 || m.Batches < 1 || move == "verify" && got.Flash != 0 {
					t.Errorf("%s slot %s %s: %+v, USB %d, host %d", c.name, j.Slot, move, m, *got.USB, *got.Host)
				}
			}
			// Between two looks at a chip that erases it is waited for; the looks are wire and USB.
			if got := j.Write.Measured.Flash; got < c.erase*3/4 || got > c.erase+40_000 || j.Write.Predicted.Flash < c.erase {
				t.Errorf("%s slot %s: flash takes %d us of writing", c.name, j.Slot, got)
			}
			// 64 KiB at 1.5 MHz take 350 ms, and 35 ms at 15 MHz.
			least, most := int64(34_000), int64(36_000)
			if strings.HasPrefix(j.Fixture, "CH341A") {
				least, most = 345_000, 355_000
			}
			if wire := j.Verify.Measured.Wire; wire < least || wire > most {
				t.Errorf("slot %s: on the wire for %d us", j.Slot, wire)
			}
		}
	}
}

// TestBenchCut: of programmers that take no time, whatever clock they tell, the time is the clock's on the wall, and wire and flash are no longer than it.
func TestBenchCut(t *testing.T) {
	t.Parallel()
	for _, j := range benched(t, newPosition(t), false, 1) {
		for move, s := range map[string]splitJSON{"write": j.Write.Measured, "verify": j.Verify.Measured} {
			if s.Total > 1000 || s.Wire+s.Flash+*s.USB+*s.Host > s.Total || !s.Cut {
				t.Errorf("slot %s %s: %+v", j.Slot, move, s)
			}
		}
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		total, inside, wire, idle, slept time.Duration
		want                             [5]int64 // ms: total, wire, flash, USB, host
		cut                              bool
	}{
		{100 * ms, 60 * ms, 30 * ms, 10 * ms, 25 * ms, [5]int64{100, 30, 35, 20, 15}, false},
		{100 * ms, 60 * ms, 50 * ms, 20 * ms, 25 * ms, [5]int64{100, 50, 35, 0, 15}, true},
		{100 * ms, 60 * ms, 90 * ms, 20 * ms, 0, [5]int64{100, 60, 0, 0, 40}, true},
	} {
		s := measured(c.total, c.inside, c.wire, c.idle, c.slept, 1_000_000)
		if got := [5]int64{s.Total / 1000, s.Wire / 1000, s.Flash / 1000, *s.USB / 1000, *s.Host / 1000}; got != c.want || s.Cut != c.cut || s.Rate != 10 {
			t.Errorf("%+v: %v, %+v", c, got, s)
		}
	}
	var out bytes.Buffer
	a := &app{stdout: &out}
	j := benchJSON{Slot: "1", Fixture: "F"}
	j.Write.Measured, j.Verify.Measured = measured(ms, ms, 2*ms, 0, 0, 1000), measured(ms, ms, ms, 0, 0, 1000)
	j.Write.Predicted, j.Verify.Predicted = predicted(2*ms, 0, 1000), predicted(ms, 0, 1000)
	if err := a.printBench([]benchJSON{j}); err != nil || strings.Count(out.String(), "  cut\n") != 1 || strings.Count(out.String(), "\ncut: ") != 1 || strings.Count(out.String(), "  -  ") != 4 {
		t.Errorf("%v\n%s", err, &out)
	}
}

// TestBenchLeavesAlone: on boards that are somebody's, a unit that passed and a lock are refused in their slot, before anything is sent, and the others are measured.
func TestBenchLeavesAlone(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001", "--slot", "2=TB-0002", "--slot", "3=TB-0003", "--slot", "4=TB-0004")
	for _, c := range []struct {
		name     string
		at       string
		force    bool
		measured int
		says     string
	}{
		{"passed", "1MiB", false, 0, `this chip passed as unit "TB-0002"`},
		{"passed, forced", "1MiB", true, 4, ""},
		{"locked", "0", true, 0, "is locked"},
	} {
		var out, errs bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, dataDir: p.data(), json: true}
		cfg, err := a.builtInConfig()
		if err != nil {
			t.Fatal(err)
		}
		b, err := a.openOver(t.Context(), cfg, func(b *bench, ctx context.Context) (usb.Bus, error) { return b.bus(ctx) })
		if err != nil {
			t.Fatal(err)
		}
		err = a.benchSlots(t.Context(), b, benchJob{where: span{at: c.at, size: "64KiB"}, force: c.force, dir: "none"})
		b.Close()
		var e *exitErr
		if c.measured == 0 && (!errors.As(err, &e) || e.code != exitRefused) || c.measured > 0 && err != nil {
			t.Errorf("%s: error is %v", c.name, err)
		}
		if n := strings.Count(out.String(), `"slot"`); n != c.measured || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%s: %d measured, said %s", c.name, n, errs.String())
		}
	}
}
