package flash

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"station/sim/nor"
)

// Opcodes by what a raw command may do with them: the whole table of the fact sheet, section 2.
func TestCheckRaw(t *testing.T) {
	for _, p := range Parts() {
		for reason, opcodes := range map[string][]byte{
			"cannot be undone": {0x28, 0x2C, 0x42, 0x68, 0x9B},
			"the password":     {0x27, 0x29},
			"programs":         {0x02, 0x12, 0xA2, 0xD2, 0x32, 0x34, 0x38, 0x3E},
			"erases":           {0x20, 0x21, 0x52, 0x5C, 0xD8, 0xDC, 0xC7, 0x60, 0xC4},
			"what is locked":   {0x01, 0xE5, 0xE1, 0xE3, 0xE4, 0xA6},
			"understands":      {0xB1, 0x81, 0x61, 0xC5, 0xB7, 0xE9, 0x35, 0xF5},
			"resets":           {0x66, 0x99, 0xB9, 0xAB},
			"suspends":         {0x75, 0x7A},
			"write_enable":     {0x06, 0x04},
			"interface rescue": {0xFF},
			"on several wires": {0x3B, 0x3C, 0xBB, 0xBC, 0x6B, 0x6C, 0xEB, 0xEC, 0xE7, 0xAF, 0x0D, 0x0E, 0x3D, 0xBD, 0xBE, 0x6D, 0xED, 0xEE},
			"it has no opcode": nil,
			"":                 {0x05, 0x70, 0x9F, 0x9E, 0x5A, 0x03, 0x13, 0x0B, 0x0C, 0x50, 0xB5, 0x85, 0x65, 0xC8, 0x96, 0x2B, 0x4B, 0x2D, 0xE8, 0xE0, 0xE2, 0xA7},
		} {
			outs := [][]byte{nil}
			if opcodes != nil {
				outs = nil
			}
			for _, op := range opcodes {
				outs = append(outs, []byte{op}, []byte{op, 0, 0, 0, 0})
			}
			for _, out := range outs {
				err := p.CheckRaw(out)
				if reason == "" {
					must(t, err)
				} else if is(t, err, ErrRaw); !strings.Contains(err.Error(), reason) {
					t.Errorf("% X: %v", out, err)
				}
			}
		}
	}
	// What the profile makes of an opcode counts, too.
	p, err := partNamed("MT25QL128ABB")
	must(t, err)
	p.RPMC.Op1 = 0x9C
	is(t, p.CheckRaw([]byte{0x9C}), ErrRaw)
}

func TestRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := identified(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		got, err := c.Raw(t.Context(), false, []byte{0x9F}, 20)
		must(t, err)
		if id := c.ID(); !bytes.Equal(got, id[:]) {
			t.Errorf("% X", got)
		}
		if got, err = c.Raw(t.Context(), false, []byte{0xB5}, 2); err != nil || !bytes.Equal(got, []byte{0xFF, 0xFF}) {
			t.Errorf("% X, %v", got, err)
		}
		if got, err = c.Raw(t.Context(), false, []byte{0x50}, 0); err != nil || len(got) != 0 {
			t.Errorf("% X, %v", got, err)
		}
		// The write enable latch comes and goes with the command.
		w.sent = nil
		_, err = c.Raw(t.Context(), true, []byte{0x2B}, 1)
		must(t, err)
		if i := slices.Index(w.sent, 0x06); i < 0 || w.sent[i+1] != 0x2B {
			t.Errorf("sent % X", w.sent)
		}
		w.idle(t)
		w.trips = 0
		for _, out := range [][]byte{nil, {0x28, 1, 2, 3, 4, 5, 6, 7, 8}, {0x2C, 0xFB, 0xFF}, {0xE3, 0, 0, 0, 0}, {0x29}} {
			_, err := c.Raw(t.Context(), true, out, 0)
			is(t, err, ErrRaw)
		}
		for _, n := range []int{-1, leastChunk + 1} {
			_, err := c.Raw(t.Context(), false, []byte{0x9F}, n)
			is(t, err, ErrRaw)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Raw(ctx, false, []byte{0x9F}, 20)
		is(t, err, context.Canceled)
		if w.trips != 0 {
			t.Error("something was sent")
		}
		// What the flag status tells of it is told, and cleaned.
		w.forge = func(out, in []byte) {
			if out[0] == 0x70 && w.count(0x2B) > 0 && w.count(0x50) == 0 {
				for i := range in {
					in[i] |= 0x10
				}
			}
		}
		w.sent = nil
		_, err = c.Raw(t.Context(), false, []byte{0x2B}, 1)
		if e := as[*OperationError](t, err); e.Op != "raw command 2B" || e.FSR != 0x90 {
			t.Errorf("%+v", e)
		}
		w.forge = nil
		gone := errors.New("gone")
		w.fail = func(out []byte) error {
			if out[0] == 0x2B {
				return gone
			}
			return nil
		}
		_, err = c.Raw(t.Context(), false, []byte{0x2B}, 1)
		is(t, err, gone)
	})
}
