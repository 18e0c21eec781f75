package nor

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"
)

// A slot fits its page, whatever the part.
func TestSlotFits(t *testing.T) {
	for name, p := range parts {
		s := blankState(p)
		if n := len(s.encode(nil)); n > filePage {
			t.Errorf("%s: the slot has %d bytes, the page %d", name, n, filePage)
		}
	}
}

// FuzzSlot gives state slots any content under a right checksum: what is accepted is written back the same, and its redo
// record stays within the array.
func FuzzSlot(f *testing.F) {
	standard, authenta, stacked := parts["MT25QL256ABA"], parts["MT25QL128ABB"], parts["MT25QL01GBBB"]
	s := blankState(standard)
	f.Add(s.encode(nil)[8:])
	s.seq, s.wel, s.running, s.ready, s.left = 7, true, true, time.Unix(1, 2), time.Second
	s.op = operation{kind: program, addr: 0x1FFFF00, n: 256}
	s.counts[0], s.counts[slotCounters-1] = 1, 2
	f.Add(s.encode(nil)[8:])
	s.op = operation{kind: erase, addr: 0, n: standard.size}
	f.Add(s.encode(nil)[8:])
	s.op = operation{kind: erase, addr: 0xFFFFF000, n: 4096}
	f.Add(s.encode(nil)[8:])
	s = blankState(authenta)
	s.op = operation{kind: packet, n: 64}
	s.password, s.spr = [8]byte{1, 2, 3}, 0xFFFB
	s.rpmc = rpmc{status: 0x80, reply: [48]byte{1, 47: 2}, counters: [counters]counter{3: {written: true, loaded: true, value: 5, root: [32]byte{6}, hmac: [32]byte{7}}}}
	f.Add(s.encode(nil)[8:])
	long := s.encode(nil)
	f.Add(long[8 : len(long)-slotVersion3]) // as of version 2
	s = blankState(standard)
	s.op = operation{kind: checkCRC, addr: 0x1FFFFFF, n: 1}
	s.otp, s.gprr, s.powerUps = [otpSize]byte{1, 64: 2}, 3, 4
	f.Add(s.encode(nil)[8:])
	s.op.n = 2
	f.Add(s.encode(nil)[8:])
	s = blankState(stacked)
	s.op = operation{kind: erase, addr: 64 << 20, n: 64 << 20}
	s.errors = [maxDies]byte{1, 2, 3, 4}
	f.Add(s.encode(nil)[8:])
	s.op = operation{kind: erase, addr: 0, n: 128 << 20}
	f.Add(s.encode(nil)[8:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		b := make([]byte, 8, 8+len(content))
		binary.LittleEndian.PutUint32(b[4:], uint32(len(content)))
		binary.LittleEndian.PutUint32(b, crc32.Checksum(content, castagnoli))
		b = append(b, content...)
		var p part
		var got state
		ok := false
		for _, p = range []part{standard, authenta, stacked} { // their slots differ in length
			if got, ok = decodeSlot(p, b); ok {
				break
			}
		}
		if !ok {
			return
		}
		if got.op.kind == packet && (!p.rpmc || got.op.n == 0 || got.op.n > 256) {
			t.Errorf("packet of %d bytes on %s", got.op.n, p.name)
		}
		again := got.encode(nil)
		if len(b) < len(again) { // version 2
			if !bytes.Equal(again[8:len(b)], b[8:]) || got.otp != blankOTP || got.errors != [maxDies]byte{got.errors[0]} {
				t.Errorf("% X is written back as % X", b[:32], again[:32])
			}
		} else if !bytes.Equal(again, b) {
			t.Errorf("% X is written back as % X", b[:32], again[:32])
		}
		if got.op.kind == erase && got.op.n > p.dieSize() {
			t.Errorf("redo record erases 0x%x bytes of dies of 0x%x", got.op.n, p.dieSize())
		}
		if got.op.kind == program || got.op.kind == erase || got.op.kind == checkCRC {
			if uint64(got.op.addr)+uint64(got.op.n) > uint64(p.size) {
				t.Errorf("redo record passes the array: 0x%08x, 0x%x bytes", got.op.addr, got.op.n)
			}
		}
		b[0]++
		if _, ok := decodeSlot(p, b); ok {
			t.Error("a wrong checksum is accepted")
		}
	})
}
