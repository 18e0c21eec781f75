package main

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/fixtures"
	"station/flash"
	"station/provision"
	"station/sim"
	"station/sim/ftdi"
	"station/sim/nor"
)

// heard is a chip, and what it hears: the first byte of each frame, with the time of its bytes.
type heard struct {
	*nor.Chip
	perByte time.Duration
	begins  bool
	frames  []heardFrame
	forge   bool // what is answered to 5A
}

type heardFrame struct {
	opcode  byte
	perByte time.Duration
}

func (h *heard) At(_ time.Time, perByte time.Duration) { h.perByte = perByte }

func (h *heard) Select() { h.begins = true; h.Chip.Select() }

func (h *heard) Shift(out, in []byte) {
	if h.begins {
		h.frames = append(h.frames, heardFrame{out[0], h.perByte})
	}
	h.begins = false
	h.Chip.Shift(out, in)
	if n := len(h.frames); h.forge && h.frames[n-1].opcode == 0x5A && n%3 == 0 && len(in) > 0 {
		in[0] ^= 1
	}
}

// TestClimb: over wires that are bad above a clock a chip hears nothing but READ ID there, whatever clock the slot has, and clocks rise from 1 MHz on. What is
// sent to find out what it is goes at the lowest.
func TestClimb(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		clock  string
		above  int // Hz; 0: the wires are good
		asleep bool
		ok     bool
		stable string
		sfdps  int
		forge  bool
	}{
		"good":                          {"", 0, false, true, "30MHz", contactSFDPs, false},
		"good, and the highest clock":   {"30MHz", 0, false, true, "30MHz", contactSFDPs, false},
		"good, and a clock below all":   {"400kHz", 0, false, true, "30MHz", contactSFDPs, false},
		"asleep":                        {"", 0, true, true, "30MHz", contactSFDPs, false},
		"its own clock is too high":     {"", 12e6, false, false, "10MHz", 0, false},
		"much too high":                 {"30MHz", 4e6, false, false, "3MHz", 0, false},
		"between two that are tried":    {"4.3MHz", 4e6, false, false, "3MHz", 0, false},
		"low enough":                    {"2MHz", 12e6, false, true, "10MHz", contactSFDPs, false},
		"as high as it may be":          {"10MHz", 10e6, false, true, "10MHz", contactSFDPs, false},
		"all are too high":              {"", 500e3, false, false, "", 0, false},
		"all but one that is below all": {"400kHz", 500e3, false, true, "", contactSFDPs, false},
		"an ID that is alike, and an SFDP that is not": {"2MHz", 0, false, false, "1MHz", contactSFDPs, true},
		"the same at the highest clock":                {"30MHz", 0, false, false, "15MHz", contactSFDPs, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chip, err := nor.New("MT25QL256ABA", [14]byte{1}, nor.Options{Pace: nor.Real})
				if err != nil {
					t.Fatal(err)
				}
				chip.Power(true)
				if c.asleep {
					chip.Select()
					chip.Shift([]byte{0xB9}, nil)
					chip.Deselect()
					time.Sleep(time.Second)
				}
				h := &heard{Chip: chip, forge: c.forge}
				dev := ftdi.New(ftdi.FT232H, ftdi.Options{Pace: ftdi.Real, Faults: ftdi.Faults{FlipAbove: c.above, FlipBits: 0x41, FlipEvery: 37}})
				line := sim.NewLine(sim.Options{})
				defer line.Close()
				if err := line.Plug("1-1", dev); err != nil {
					t.Fatal(err)
				}
				if err := dev.Attach(0, h); err != nil {
					t.Fatal(err)
				}
				b := &bench{}
				if b.rack, err = fixtures.NewRack(line, []fixtures.Slot{{Name: "1", Port: "1-1", Volts: "3.3", Clock: c.clock}}); err != nil {
					t.Fatal(err)
				}
				var said bytes.Buffer
				a, at, watch := &app{stdout: &said, stderr: &said}, seat{slot: "1"}, func(provision.Event) {}
				own, chosen, err := a.ownClock(t.Context(), b, at, flash.Parts(), watch)
				if err != nil || !chosen || len(h.frames) > 0 {
					t.Fatalf("%v, chosen %v, heard %v", err, chosen, h.frames)
				}
				climb := &climb{app: a, bench: b, at: at, parts: flash.Parts(), watch: watch, own: own}
				if err := climb.run(t.Context()); err != nil {
					t.Fatal(err)
				}
				j := climb.contact
				if j.OK != c.ok || (climb.err() == nil) != c.ok || j.SFDPs != c.sfdps || stable(climb.tried) != c.stable || j.ByteNS != own.Nanoseconds() {
					t.Errorf("%+v, stable %q: %v", j, stable(climb.tried), climb.err())
				}
				if known := j.Part == "MT25QL256ABA"; known == (c.above == 500e3 && c.clock == "") {
					t.Errorf("it is %q", j.Part)
				}
				for i, tried := range climb.tried {
					if !tried.OK && i < len(climb.tried)-1 {
						t.Errorf("bad at %s, and it went on to %s", tried.Clock, climb.tried[i+1].Clock)
					}
				}
				lowest := slices.MaxFunc(h.frames, func(a, b heardFrame) int { return int(a.perByte - b.perByte) }).perByte
				for i, f := range h.frames {
					if i > 0 && f.perByte > h.frames[i-1].perByte {
						t.Fatalf("frame %d, %02X, has %v a byte, and the one before %v", i, f.opcode, f.perByte, h.frames[i-1].perByte)
					}
					if f.opcode != 0x9F && c.above > 0 && f.perByte < 8*time.Second/time.Duration(c.above) {
						t.Fatalf("frame %d is %02X, with %v a byte, where the wires are bad", i, f.opcode, f.perByte)
					}
					// Of these a bad one is a write, an erase or a mode to a chip that mistakes it.
					if !slices.Contains([]byte{0x9F, 0x05, 0x70, 0x5A}, f.opcode) && f.perByte != lowest {
						t.Fatalf("frame %d is %02X, with %v a byte: not the lowest clock", i, f.opcode, f.perByte)
					}
				}
			})
		})
	}
}
