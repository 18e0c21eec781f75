package flash

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

func TestRegisters(t *testing.T) {
	for _, p := range Parts() {
		c, w := identified(t, p.Name, nor.Options{})
		got, err := c.Registers(t.Context())
		must(t, err)
		if want := (Registers{0, 0x80, 0xFFFF, 0xFB, 0xFF, 0}); got != want {
			t.Errorf("%s: %+v", p.Name, got)
		}
		if w.trips != 2 {
			t.Errorf("%d round trips", w.trips)
		}
	}
	c, w := identified(t, "MT25QL256ABA", nor.Options{})
	for _, set := range [][]byte{{0x01, 0x5C}, {0xB1, 0x7F, 0xFF}, {0x81, 0xEB}, {0x61, 0xFB}, {0xC5, 0x01}, {0xB7}} {
		w.raw([]byte{0x06}, set)
	}
	w.raw([]byte{0x06})
	got, err := c.Registers(t.Context())
	must(t, err)
	if want := (Registers{0x5E, 0x81, 0xFF7F, 0xEB, 0xFB, 0x01}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	n := 0
	w.forge = func(out, in []byte) {
		if out[0] == 0x85 {
			if n++; n == 2 {
				in[0] ^= 1
			}
		}
	}
	_, err = c.Registers(t.Context())
	as[*UnstableError](t, err)
}

// Every bit by itself: allowed ones are those of the mask, and the error names the field.
func TestCheckNVCR(t *testing.T) {
	p, err := partNamed("MT25QL256ABA")
	must(t, err)
	fields := [16]string{"address bytes", "128 Mb segment", "dual protocol", "quad protocol", "RESET#/HOLD#", "DTR protocol", "", "", "",
		"XIP", "XIP", "XIP", "dummy cycles", "dummy cycles", "dummy cycles", "dummy cycles"}
	for bit, field := range fields {
		v := uint16(0xFFFF) &^ (1 << bit)
		err := p.CheckNVCR(v)
		if allowed := p.NVCR.Change>>bit&1 != 0; (err == nil) != allowed || allowed != (bit <= 1 || bit == 4 || bit >= 6 && bit <= 8) {
			t.Errorf("bit %d: %v", bit, err)
		} else if err != nil && !strings.Contains(err.Error(), field) {
			t.Errorf("bit %d: %v does not name %q", bit, err, field)
		}
		p.NVCR.Change = 0xFFFF
		if err := p.CheckNVCR(v); (err != nil) != (bit == 9 || bit == 10) { // XIP 110 and 101 are reserved
			t.Errorf("bit %d, all allowed: %v", bit, err)
		}
		p.NVCR.Change = 0x01D3
	}
	for v, word := range map[uint16]string{0xFE3F: "000 of output drive is reserved", 0xFF3F: "100 of output drive is reserved"} {
		if err := p.CheckNVCR(v); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%04X: %v", v, err)
		}
	}
	p.NVCR.Change = 0xFFFF
	if err := p.CheckNVCR(0xFDFF); err == nil || !strings.Contains(err.Error(), "110 of XIP at power-on is reserved") {
		t.Errorf("%v", err)
	}
	must(t, p.CheckNVCR(0xFFFF))
	must(t, p.CheckNVCR(0xFFFE))
	p.NVCR = nil
	is(t, p.CheckNVCR(0xFFFF), ErrNoNVCR)
}

func TestWriteNVCR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range single() {
			c, w := identified(t, p.Name, nor.Options{Pace: nor.Real})
			must(t, c.WriteNVCR(t.Context(), 0xFFFF)) // holds it
			if w.count(0xB1) != 0 {
				t.Error("what is there was written")
			}
			for _, v := range []uint16{0xFFFE, 0xFF7F, 0xFFED, 0xFFFF} {
				must(t, c.WriteNVCR(t.Context(), v))
				r, err := c.Registers(t.Context())
				must(t, err)
				if r.NVCR != v || r.FSR&1 != 0 {
					t.Errorf("%s: %+v", p.Name, r)
				}
			}
			must(t, c.WriteNVCR(t.Context(), 0xFFFE))
			must(t, c.Reset(t.Context()))
			if _, fsr := w.status(); fsr != 0x81 || !c.wide {
				t.Errorf("%s: flag status 0x%02X", p.Name, fsr)
			}
			write(t, c, Extent{p.Size - 4096, 4096, []byte{1, 2}})
			w.idle(t)
		}
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		for _, v := range []uint16{0x0FFF, 0xFFF7, 0xFFFB, 0xFFDF, 0xF1FF, 0xFE3F} {
			if c.WriteNVCR(t.Context(), v) == nil {
				t.Errorf("%04X was written", v)
			}
		}
		if w.trips != 0 {
			t.Error("bad input reached the chip")
		}
		// What somebody else set outside of the mask is not changed silently.
		w.raw([]byte{0x06}, []byte{0xB1, 0xFF, 0x7F})
		time.Sleep(time.Second)
		if err := c.WriteNVCR(t.Context(), 0xFFFE); err == nil || !strings.Contains(err.Error(), "dummy cycles from 0111 to 1111") || w.count(0xB1) != 0 {
			t.Errorf("%v", err)
		}
		w.raw([]byte{0x06}, []byte{0xB1, 0xFF, 0xFF})
		time.Sleep(time.Second)
		w.drop = dropping(0xB1)
		is(t, c.WriteNVCR(t.Context(), 0xFFFE), ErrNotExecuted)
		w.drop = nil
		w.idle(t)
		w.chip.SetFaults(nor.Faults{FailProgram: true})
		as[*OperationError](t, c.WriteNVCR(t.Context(), 0xFFFE))
		w.idle(t)
		w.chip.SetFaults(nor.Faults{StuckBusy: true})
		if e := as[*BusyError](t, c.WriteNVCR(t.Context(), 0xFFFE)); e.Limit != 3*time.Second || !e.StuckBusy {
			t.Errorf("%v", e)
		}
	})
}
