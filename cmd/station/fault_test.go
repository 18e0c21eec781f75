package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"station/fixtures"
	"station/provision"
	"station/sim"
	"station/sim/nor"
)

// bad is a chip with a fault, and what has to become of its unit.
type bad struct {
	faults  nor.Faults
	outcome string
	cause   string

	processor, held bool // on its board, and in reset while the slot is in use
}

// TestFaults puts chips with faults into three slots and a good one into the fourth: each unit ends as its own chip deserves, and the
// exit code is that of the worst.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code  int
		chips [4]bad
	}{
		"a bad unit wins over a refused one": {exitNo, [4]bad{
			{faults: nor.Faults{Flip: map[uint32]byte{0x1234: 0x10}}, outcome: "FAIL", cause: "verify-mismatch"},
			{faults: nor.Faults{IgnoreLocks: true}, outcome: "FAIL", cause: "lock-not-effective"},
			{faults: nor.Faults{ID: []byte{0xEF, 0x40, 0x19}}, outcome: "REFUSED", cause: "wrong-part"},
			{faults: nor.Faults{}, outcome: "PASS", cause: ""},
		}},
		"processors that nobody holds": {exitError, [4]bad{
			{outcome: "ERROR", cause: "contact-unstable", processor: true},
			{outcome: "PASS", processor: true, held: true},
			{outcome: "PASS", held: true},
			{outcome: "ERROR", cause: "contact-unstable", processor: true},
		}},
		"a bad station wins over a bad unit": {exitError, [4]bad{
			{faults: nor.Faults{FailProgram: true}, outcome: "FAIL", cause: "operation-failed"},
			{faults: nor.Faults{StuckBusy: true}, outcome: "FAIL", cause: "stuck-busy"},
			{faults: nor.Faults{WeakContact: 20}, outcome: "ERROR", cause: "contact-unstable"},
			{faults: nor.Faults{}, outcome: "PASS", cause: ""},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && c.code == exitError {
				t.Skip("NOT RUN: a chip that stays busy is waited for")
			}
			t.Parallel()
			p := newPosition(t)
			defer p.close()
			serials := []string{"TB-0001", "TB-0002", "TB-0003", "TB-0004"}
			if code := p.runFaulty(serials, c.chips[:]); code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			out, _ := p.expect(exitDone, "unit", "list", "--json")
			var units []struct{ Serial, Outcome, Cause string }
			if err := json.Unmarshal([]byte(out), &units); err != nil || len(units) != len(serials) {
				t.Fatalf("%d units, %v", len(units), err)
			}
			for _, u := range units {
				want := c.chips[u.Serial[len(u.Serial)-1]-'1']
				if u.Outcome != want.outcome || u.Cause != want.cause {
					t.Errorf("%s: %s %s, want %s %s", u.Serial, u.Outcome, u.Cause, want.outcome, want.cause)
				}
			}

			// The chips are good now. What FAILed stays so until rework, everything else can be finished.
			for i, serial := range serials {
				before := boardBytes(t, p.board(serial))
				want := exitDone
				if c.chips[i].outcome == "FAIL" {
					want = exitRefused
				}
				_, errs := p.expect(want, "run", "small.yaml", "--slot", "1="+serial)
				if want == exitDone {
					chip := openBoard(t, p.board(serial))
					provisioned(t, chip, bootRegion())
					chip.Close()
					continue
				}
				if !strings.Contains(errs, "REFUSED: serial "+serial+" failed before: ") || !strings.Contains(errs, "This unit needs rework") {
					t.Errorf("%s: %s", serial, errs)
				}
				if boardBytes(t, p.board(serial)) != before {
					t.Errorf("%s: the chip of a unit that needs rework was written to", serial)
				}
			}
		})
	}
}

// boardBytes is what a board's chip holds, in short.
func boardBytes(t *testing.T, file string) string {
	t.Helper()
	chip := openBoard(t, file)
	defer chip.Close()
	return string(chip.Bytes(0, 2*bootSize))
}

// runFaulty is `station run` with serials in the slots 1, 2, ... and faults in their chips, which no command line can ask for.
func (p *position) runFaulty(serials []string, chips []bad) int {
	t := p.t
	t.Helper()
	a := &app{stdout: &p.output, stderr: &p.output, dataDir: p.data()}
	cfg, err := a.builtInConfig()
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range chips {
		cfg.Slots[i].HoldReset = c.held
	}
	b, err := a.openWith(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	// The same line again, but one whose hands are ours.
	bus, err := b.bus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line := bus.(*sim.Line)
	if b.rack, err = fixtures.NewRack(bus, cfg.rackSlots()); err != nil {
		t.Fatal(err)
	}
	recipe, err := loadRecipe(filepath.Join(p.dir, "small.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var scans []pair
	processors := map[int]*sim.Processor{}
	for i, serial := range serials {
		scans = append(scans, pair{cfg.Slots[i].Name, serial})
	}
	if err := b.insert(recipe, scans, nil); err != nil {
		t.Fatal(err)
	}
	for i, s := range scans {
		chip := line.Remove(b.places[s.slot])
		chip.SetFaults(chips[i].faults)
		if chips[i].processor {
			processors[i] = line.Processor(chip, uint64(i))
		}
		if err := line.Insert(b.places[s.slot], chip); err != nil {
			t.Fatal(err)
		}
	}
	err = a.conclude(a.provision(t.Context(), b, job{recipe: recipe, operator: "op7"}, scans, nil, func(provision.Event) {}))
	for i, p := range processors {
		held := chips[i].held
		if p.Held() || held && p.Fights() > 0 || p.Releases() > 0 != held {
			t.Errorf("slot %d: held %v, %d fights, %d releases", i+1, p.Held(), p.Fights(), p.Releases())
		}
	}
	var e *exitErr
	if errors.As(err, &e) {
		return e.code
	}
	if err != nil {
		t.Fatal(err)
	}
	return exitDone
}
