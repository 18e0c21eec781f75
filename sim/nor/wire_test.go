package nor_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"station/sim/nor"
)

// FuzzFrames plays any sequence of frames, power cuts and bits on two chips, on one in whole buffers and on the other
// bit by bit: they must answer the same and end the same, and never panic. A script is a row of frames: a byte n, then
// n%16 bytes out, with n/16%8 bytes read behind them, and n/128 for one bit more before chip select rises; n=0 is a
// power cycle.
func FuzzFrames(f *testing.F) {
	frame := func(read, extra byte, out ...byte) []byte {
		return append([]byte{extra<<7 | read<<4 | byte(len(out))}, out...)
	}
	script := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	enable := frame(0, 0, 0x06)
	f.Add(script(frame(7, 0, 0x9F), frame(2, 0, 0x70), frame(7, 0, 0x5A, 0, 0, 0x37, 0)))
	f.Add(script(enable, frame(0, 0, 0x02, 0, 0, 0xFE, 1, 2, 3), frame(7, 0, 0x03, 0, 0, 0), enable, frame(0, 1, 0x20, 0, 0, 0), frame(1, 0, 0x05)))
	f.Add(script(enable, frame(0, 0, 0xB7), enable, frame(0, 0, 0x12, 1, 2, 3, 4, 5), frame(3, 0, 0x0C, 1, 2, 3, 4, 0), []byte{0}, frame(1, 0, 0x70)))
	f.Add(script(enable, frame(0, 0, 0xE3, 0, 0, 0, 0), enable, frame(0, 0, 0xE5, 0, 1, 0, 3), enable, frame(0, 0, 0xA6), enable, frame(0, 0, 0xE4), frame(2, 0, 0xE2, 0, 0, 0, 0)))
	f.Add(script(enable, frame(0, 0, 0x2C, 0xFB, 0xFF), frame(0, 0, 0x66), frame(0, 0, 0x99), frame(1, 0, 0xA7), enable, frame(0, 0, 0x61, 0x7F), frame(3, 0, 0x9F)))
	f.Add(script(enable, frame(0, 0, 0x01, 0x7C), enable, frame(0, 0, 0xC7), frame(0, 0, 0xB9), frame(0, 0, 0xAB), enable, frame(0, 0, 0xC5, 1), frame(2, 0, 0xC8)))
	f.Add(script(enable, frame(0, 0, 0x28, 1, 2, 3, 4, 5, 6, 7, 8), frame(7, 0, 0x27), enable, frame(0, 0, 0x2C, 0xFB, 0xFF), []byte{0}, frame(0, 0, 0x29, 1, 2, 3, 4, 5, 6, 7, 8), frame(1, 0, 0xA7)))
	f.Add(script(frame(0, 0, 0x9B, 3, 0, 0), frame(7, 0, 0x96, 0), frame(0, 1, 0x9B), frame(1, 1, 0x96, 0)))
	f.Add(script(enable, frame(0, 0, 0xB7), enable, frame(0, 0, 0xC4, 5, 0, 0, 0), frame(1, 0, 0x70), frame(1, 0, 0x70), enable, frame(0, 0, 0xE3, 4, 0, 0, 0), frame(2, 0, 0xE2, 4, 0, 0, 0)))
	f.Add(script(enable, frame(0, 0, 0x42, 0, 0, 0x3F, 1, 0xFE), frame(5, 0, 0x4B, 0, 0, 0x3E, 0), frame(0, 0, 0x9B, 0x27, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0), frame(7, 0, 0x96, 0)))
	f.Add(script(enable, frame(0, 0, 0x02, 0, 0, 0, 1, 2, 3), enable, frame(0, 0, 0x81, 0x5B), frame(4, 0, 0x0B, 0, 0, 0), frame(0, 0, 0x35), frame(2, 0, 0x9F), frame(0, 0, 0xFF), frame(2, 0, 0x9F)))
	f.Fuzz(func(t *testing.T, script []byte) {
		for _, part := range []string{"MT25QL256ABA", authenta, "MT25QL01GBBB"} {
			playTwice(t, part, script)
		}
	})
}

func playTwice(t *testing.T, part string, script []byte) {
	whole, bits := newChip(t, part, nor.Options{}), newChip(t, part, nor.Options{})
	touched := []uint32{0} // pages
	for len(script) > 0 {
		n := int(script[0])
		script = script[1:]
		if n == 0 {
			for _, c := range []*nor.Chip{whole, bits} {
				c.Power(false)
				c.Power(true)
			}
			continue
		}
		out := script[:min(n%16, len(script))]
		script = script[len(out):]
		if len(out) >= 5 {
			at := binary.BigEndian.Uint32(out[1:]) // as 4 address bytes, and as 3 in either segment
			touched = append(touched, at&^255, at>>8&^255, 1<<24|at>>8&^255)
		}
		in := make([]byte, n/16%8)
		whole.Select()
		whole.Shift(out, nil)
		whole.Shift(nil, in)
		bits.Select()
		for _, b := range out {
			bits.ShiftBits(b, 3)
			bits.ShiftBits(b<<3, 5)
		}
		for i, want := range in {
			if got := bits.ShiftBits(0, 1)<<7 | bits.ShiftBits(0, 7); got != want {
				t.Fatalf("% X answers byte %d %02X in whole bytes and %02X in bits", out, i, want, got)
			}
		}
		if n/128 != 0 {
			whole.ShiftBits(0, 1)
			bits.ShiftBits(0, 1)
		}
		whole.Deselect()
		bits.Deselect()
	}
	if a, b := fmt.Sprint(registers(whole), permanent(whole), whole.OTP(), whole.Frozen()), fmt.Sprint(registers(bits), permanent(bits), bits.OTP(), bits.Frozen()); a != b {
		t.Errorf("in whole bytes %s, in bits %s", a, b)
	}
	for _, at := range touched {
		if !bytes.Equal(whole.Bytes(at, 256), bits.Bytes(at, 256)) {
			t.Errorf("the arrays differ in the page at 0x%08x", at)
		}
	}
}
