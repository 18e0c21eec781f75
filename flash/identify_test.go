package flash

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

func TestIdentifyEveryPart(t *testing.T) {
	for _, p := range Parts() {
		c, w := identified(t, p.Name, nor.Options{})
		if c.Part().Name != p.Name {
			t.Errorf("%s was taken for a %s", p.Name, c.Part().Name)
		}
		if c.UID() != "A102030405060708090A0B0C0DE0" {
			t.Errorf("%s: UID %s", p.Name, c.UID())
		}
		if id := c.ID(); [6]byte(id[:6]) != [6]byte(p.ID) || [14]byte(id[6:]) != testUID {
			t.Errorf("%s: ID %X", p.Name, id)
		}
		w.idle(t)
	}
}

// Identify is the first thing that happens to an unknown board: it may only look.
func TestIdentifyOnlyReads(t *testing.T) {
	w := newWire(t, "MT25QL256ABA", nor.Options{})
	w.raw([]byte{0x06}, []byte{0xE3, 0, 5, 0, 0}, []byte{0x06}, []byte{0xA6}, []byte{0x06})
	_, err := Identify(t.Context(), w)
	must(t, err)
	for _, op := range w.sent {
		if op != 0x9F && op != 0x5A && op != 0x05 && op != 0x70 && op != 0x85 {
			t.Errorf("Identify sent %02X", op)
		}
	}
	if sr, _ := w.status(); sr&2 == 0 || !w.chip.Frozen() || !w.chip.LockedNonvolatile(5) {
		t.Error("Identify changed the chip's state")
	}
}

func TestIdentifyAbsent(t *testing.T) {
	w := newWire(t, "MT25QL256ABA", nor.Options{})
	w.chip.Power(false)
	_, err := Identify(t.Context(), w)
	is(t, err, ErrAbsent)
	w.forge = func(_, in []byte) { clear(in) }
	_, err = Identify(t.Context(), w)
	is(t, err, ErrAbsent)
	// Status looks fine, the ID does not.
	w.chip.Power(true)
	w.forge = func(out, in []byte) {
		if out[0] == 0x9F {
			clear(in)
		}
	}
	_, err = Identify(t.Context(), w)
	is(t, err, ErrAbsent)
}

func TestIdentifyWrongPart(t *testing.T) {
	// Differing in the last of six bytes only: the secure variant.
	w := newWire(t, "MT25QL256ABA", nor.Options{Faults: nor.Faults{ID: []byte{0x20, 0xBA, 0x19, 0x10, 0x44, 0x73}}})
	_, err := Identify(t.Context(), w)
	e := as[*WrongPartError](t, err)
	if e.Got.String() != "20BA19104473" || len(e.Want) != len(Parts()) {
		t.Errorf("%+v", e)
	}
	p, err := partNamed("MT25QU512ABB")
	must(t, err)
	w.chip.SetFaults(nor.Faults{})
	_, err = Identify(t.Context(), w, p)
	as[*WrongPartError](t, err)
}

func TestIdentifyWrongSFDP(t *testing.T) {
	for name, c := range map[string]struct {
		offset int
		value  byte
		field  string
	}{
		"density":   {0x37, 0x1F, "size"},
		"4K opcode": {0x4D, 0x21, "opcodes of the 4096-byte erase"},
		"64K twin":  {0x85, 0xD8, "opcodes of the 65536-byte erase"},
		"page":      {0x58, 0x9B, "page"},
		"3 bytes":   {0x32, 0xF9, "address bytes"},
		"table":     {0x80, 0xFE, "4-byte instruction table"},
		"signature": {0, 'X', ""},
	} {
		w := newWire(t, "MT25QL256ABA", nor.Options{})
		w.forge = func(out, in []byte) {
			if out[0] == 0x5A {
				in[c.offset] = c.value
			}
		}
		_, err := Identify(t.Context(), w)
		if c.field == "" {
			is(t, err, ErrSFDP)
		} else if e := as[*WrongSFDPError](t, err); e.Field != c.field {
			t.Errorf("%s: field %q", name, e.Field)
		}
	}
}

func TestIdentifyUnstable(t *testing.T) {
	for seed := range uint64(20) {
		w := newWire(t, "MT25QL256ABA", nor.Options{Seed: seed, Faults: nor.Faults{WeakContact: 30}})
		synctest.Test(t, func(t *testing.T) {
			_, err := Identify(t.Context(), w)
			if err == nil {
				t.Fatalf("seed %d: a weak contact was not noticed", seed)
			}
			as[*UnstableError](t, err)
		})
	}
	// One byte of the second SFDP reading only.
	n := 0
	w := newWire(t, "MT25QL256ABA", nor.Options{})
	w.forge = func(out, in []byte) {
		if out[0] == 0x5A {
			if n++; n == 2 {
				in[0x33] ^= 1
			}
		}
	}
	_, err := Identify(t.Context(), w)
	if e := as[*UnstableError](t, err); e.Addr != 0x33 {
		t.Errorf("%v", e)
	}
}

func TestIdentifyAwaitsBusyChip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		w.raw([]byte{0x06}, []byte{0xDC, 0, 1, 0, 0})
		start := time.Now()
		_, err := Identify(t.Context(), w)
		must(t, err)
		if d := time.Since(start); d < 50*time.Millisecond || d > 300*time.Millisecond {
			t.Errorf("took %v", d)
		}
	})
}

func TestIdentifyStuckBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, "MT25QL256ABA", nor.Options{Faults: nor.Faults{StuckBusy: true}})
		w.raw([]byte{0x06}, []byte{0xDC, 0, 1, 0, 0})
		start := time.Now()
		_, err := Identify(t.Context(), w, single()...)
		if e := as[*BusyError](t, err); !e.StuckBusy || e.Limit != 3*time.Second || time.Since(start) != e.Limit {
			t.Errorf("%v after %v", e, time.Since(start))
		}
		p, err := Present(t.Context(), w)
		if err != nil || !p {
			t.Errorf("a busy chip is present: %v, %v", p, err)
		}
	})
}

func TestIdentifyLinkError(t *testing.T) {
	w := newWire(t, "MT25QL256ABA", nor.Options{})
	gone := errors.New("gone")
	for _, op := range []byte{0x05, 0x9F, 0x5A} {
		w.fail = func(out []byte) error {
			if out[0] == op {
				return gone
			}
			return nil
		}
		_, err := Identify(t.Context(), w)
		is(t, err, gone)
		as[*spi.FrameError](t, err)
	}
}

func TestContact(t *testing.T) {
	c, w := identified(t, "MT25QL256ABA", nor.Options{Seed: 3})
	must(t, c.Contact(t.Context()))
	w.chip.SetFaults(nor.Faults{WeakContact: 20})
	as[*UnstableError](t, c.Contact(t.Context()))
	w.chip.SetFaults(nor.Faults{})
	good := w.chip
	other, err := nor.New("MT25QL256ABA", [14]byte{9}, nor.Options{})
	must(t, err)
	w.chip = other
	if e := as[*OtherChipError](t, c.Contact(t.Context())); e.Want != c.ID() || e.Got[6] != 9 {
		t.Errorf("%v", e)
	}
	// Nothing is read from the wrong chip either.
	as[*OtherChipError](t, c.Read(t.Context(), 0, make([]byte, 4)))
	_, err = c.Protection(t.Context())
	as[*OtherChipError](t, err)
	w.chip = good
	w.chip.Power(false)
	is(t, c.Contact(t.Context()), ErrAbsent)
	is(t, c.Verify(t.Context(), []Extent{{0, 100, nil}}, nil), ErrAbsent) // floating FF is no blank chip
	w.chip.Power(true)
	must(t, c.Contact(t.Context()))
	// A chip that hangs answers by its status registers.
	w.chip.SetFaults(nor.Faults{StuckBusy: true})
	w.raw([]byte{0x06}, []byte{0xDC, 0, 1, 0, 0})
	must(t, c.Contact(t.Context()))
}

func TestPresent(t *testing.T) {
	w := newWire(t, "MT25QU512ABB", nor.Options{})
	for _, on := range []bool{true, false} {
		w.chip.Power(on)
		if got, err := Present(t.Context(), w); err != nil || got != on {
			t.Errorf("power %v: present %v, %v", on, got, err)
		}
	}
	w.fail = func([]byte) error { return errors.New("gone") }
	if _, err := Present(t.Context(), w); err == nil {
		t.Error("a broken link says nothing about presence")
	}
}

// A glance tells presence and chip, and what it sends changes nothing: not even what Identify would recover a chip from.
func TestGlance(t *testing.T) {
	w := newWire(t, "MT25QU512ABB", nor.Options{})
	c, err := Identify(t.Context(), w)
	must(t, err)
	glance := func(what string, present bool, uid string) {
		t.Helper()
		w.sent = nil
		got, id, err := Glance(t.Context(), w)
		if err != nil || got != present || id != uid {
			t.Errorf("%s: present %v, UID %q, %v", what, got, id, err)
		}
		for _, op := range w.sent {
			if op != 0x9F && op != 0x05 && op != 0x70 {
				t.Errorf("%s: sent %02X", what, op)
			}
		}
	}
	glance("at rest", true, c.UID())
	w.raw([]byte{0x06})
	glance("with its write enable latch set", true, c.UID())
	if sr, _ := w.status(); sr&2 == 0 {
		t.Error("the latch was cleared")
	}
	n := 0
	w.forge = func(out, in []byte) {
		if out[0] == 0x9F {
			n++
			in[19] ^= byte(n)
		}
	}
	glance("over a bad contact", true, "")
	w.forge = func(out, in []byte) {
		switch out[0] {
		case 0x9F:
			for i := range in {
				in[i] = 0xFF // a busy chip does not decode it
			}
		case 0x05:
			in[0] = 0x01
		case 0x70:
			in[0] = 0x00
		}
	}
	glance("busy", true, "")
	w.forge = nil
	w.raw([]byte{0xB9})
	glance("asleep", false, "")
	w.chip.Power(false)
	glance("away", false, "")
	w.fail = func([]byte) error { return errors.New("gone") }
	if _, _, err := Glance(t.Context(), w); err == nil {
		t.Error("a broken link says nothing about presence")
	}
}

// Ready is what both registers say: either one alone is still busy.
func TestBothRegistersTellReady(t *testing.T) {
	for name, s := range map[string]status{"status": {0x01, 0x80}, "flag status": {0x00, 0x01}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(t, "MT25QL256ABA", nor.Options{})
			w.forge = func(out, in []byte) {
				for i := range in {
					switch out[0] {
					case 0x05:
						in[i] = s.sr
					case 0x70:
						in[i] = s.fsr
					}
				}
			}
			_, err := Identify(t.Context(), w, single()...)
			if e := as[*BusyError](t, err); e.SR != s.sr || e.FSR != s.fsr {
				t.Errorf("%s alone: %v", name, e)
			}
		})
	}
}
