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

	"station/fixtures/usb"
)

// TestBenchSplits: in modelled time, in which the computer's own work takes none, the parts are what they should be in every slot.
func TestBenchSplits(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: io.Discard}
		root := a.root()
		root.SetArgs([]string{"bench", "--config", filepath.Join(p.dir, "config.yaml"), "--size", "64KiB", "--json"})
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	bySlot := map[string]benchJSON{}
	for dec := json.NewDecoder(&out); dec.More(); {
		var j benchJSON
		if err := dec.Decode(&j); err != nil {
			t.Fatal(err)
		}
		bySlot[j.Slot] = j
		for move, m := range map[string]moveJSON{"write": j.Write, "verify": j.Verify} {
			for _, s := range []splitJSON{m.Predicted, m.Measured} {
				if sum := s.Wire + s.Flash + s.USB + s.Host; sum < s.Total-4 || sum > s.Total {
					t.Errorf("slot %s %s: %+v does not add up", j.Slot, move, s)
				}
				if rate := 65536 / float64(s.Total); rate < 0.99*s.Rate || rate > 1.01*s.Rate {
					t.Errorf("slot %s %s: %v MB/s in %d us", j.Slot, move, s.Rate, s.Total)
				}
			}
			// What has to be clocked is clocked, and verifying waits for no flash.
			if m.Measured.Wire < m.Predicted.Wire*99/100 || m.Measured.Total < m.Predicted.Total || m.Measured.Host != 0 || m.RoundTrips < 1 || move == "verify" && m.Measured.Flash != 0 {
				t.Errorf("slot %s %s: %+v", j.Slot, move, m)
			}
		}
	}
	if len(bySlot) != 4 || bySlot["1"].UID == bySlot["2"].UID {
		t.Errorf("measured were %v", bySlot)
	}
	// 64 KiB at 1.5 MHz take 350 ms, and 35 ms at 15 MHz.
	if ftdi, ch341a := bySlot["1"].Verify.Measured.Wire, bySlot["3"].Verify.Measured.Wire; ftdi < 34_000 || ftdi > 36_000 || ch341a < 345_000 || ch341a > 355_000 {
		t.Errorf("on the wire %d us and %d us", ftdi, ch341a)
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
