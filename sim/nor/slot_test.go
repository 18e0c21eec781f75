package nor

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"
)

// FuzzSlot gives state slots any content under a right checksum: what is accepted is written back the same, and its redo
// record stays within the array.
func FuzzSlot(f *testing.F) {
	p, authenta := parts["MT25QL256ABA"], parts["MT25QL128ABB"]
	s := blankState(p)
	f.Add(s.encode(nil)[8:])
	s.seq, s.wel, s.running, s.ready, s.left = 7, true, true, time.Unix(1, 2), time.Second
	s.op = operation{kind: program, addr: 0x1FFFF00, n: 256}
	s.counts[0], s.counts[slotCounters-1] = 1, 2
	f.Add(s.encode(nil)[8:])
	s.op = operation{kind: erase, addr: 0, n: p.size}
	f.Add(s.encode(nil)[8:])
	s.op = operation{kind: erase, addr: 0xFFFFF000, n: 4096}
	f.Add(s.encode(nil)[8:])
	s = blankState(authenta)
	s.op = operation{kind: packet, n: 64}
	s.password, s.spr = [8]byte{1, 2, 3}, 0xFFFB
	s.rpmc = rpmc{status: 0x80, reply: [48]byte{1, 47: 2}, counters: [counters]counter{3: {written: true, loaded: true, value: 5, root: [32]byte{6}, hmac: [32]byte{7}}}}
	f.Add(s.encode(nil)[8:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		b := make([]byte, 8, 8+len(content))
		binary.LittleEndian.PutUint32(b[4:], uint32(len(content)))
		binary.LittleEndian.PutUint32(b, crc32.Checksum(content, castagnoli))
		b = append(b, content...)
		p := p
		got, ok := decodeSlot(p, b)
		if !ok {
			p = authenta // its slots are shorter
			if got, ok = decodeSlot(p, b); !ok {
				return
			}
		}
		if got.op.kind == packet && (!p.rpmc || got.op.n == 0 || got.op.n > 256) {
			t.Errorf("packet of %d bytes on %s", got.op.n, p.name)
		}
		if again := got.encode(nil); !bytes.Equal(again, b) {
			t.Errorf("% X is written back as % X", b[:32], again[:32])
		}
		if got.op.kind == program || got.op.kind == erase {
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
