package conformance

import (
	"fmt"
	"time"

	"station/spi"
)

// waits are what was seen of one kind of operation.
type waits struct {
	n           int
	busy, ready time.Duration // the longest that it surely took, and the longest until the chip was seen ready
}

// kinds are the operations that are timed: those of Part.Longest, and which opcodes are of each.
var kinds = []struct {
	op    byte
	name  string
	also  []byte
	needs need
}{
	{0x02, "02, a page program", []byte{0x12}, area},
	{0x20, "20, an erase of 4 KiB", []byte{0x21}, area},
	{0x52, "52, an erase of 32 KiB", []byte{0x5C}, area},
	{0xD8, "D8, an erase of 64 KiB", []byte{0xDC}, area},
	{0xC7, "C7, an erase of all", []byte{0x60}, area | single},
	{0xC4, "C4, an erase of a die", nil, area | stacked},
	{0x01, "01, a status register write", nil, area},
	{0xB1, "B1, a write of NVCR", nil, area | nvcr},
	{0xE3, "E3, setting a lock bit", nil, area | locks},
	{0xE4, "E4, clearing all lock bits", nil, area | locks},
	{0x9B, "9B 27, a CRC check", nil, area | hasCRC | standard},
}

// longest observes how long each kind of operation took at most in all cases before, refused ones included.
func longest() (cases []Case) {
	for _, k := range kinds {
		cases = append(cases, Case{Name: "the longest wait for " + k.name, Section: "7", needs: k.needs, run: func(b *bench) {
			w, most := b.waited(k.op), b.part.Longest[k.op]
			if w.n == 0 {
				b.skipf("none was sent")
				return
			}
			told := fmt.Sprintf("ready within %v", w.ready)
			if w.busy > 0 {
				told = fmt.Sprintf("%v to %v", w.busy, w.ready)
			}
			if most == 0 {
				b.observe(false, "%s, of %d", told, w.n)
				return
			}
			b.observe(w.busy > most, "%s, of %d; the profile says %v at most", told, w.n, most)
		}})
	}
	return cases
}

// timed sends frames, waits until the chip is ready, and notes how long the last of them took: from the end of the transfer to the last
// poll that found it busy is what it surely took.
func (b *bench) timed(limit time.Duration, fs ...spi.Frame) {
	begun := time.Now()
	b.frames(fs...)
	sent := time.Now()
	busy := b.wait(limit)
	if b.ended || b.err != nil {
		return
	}
	w := b.waited(fs[len(fs)-1].Out[0])
	w.n++
	w.ready = max(w.ready, time.Since(begun))
	if !busy.IsZero() {
		w.busy = max(w.busy, busy.Sub(sent))
	}
}

// waited are the waits of an opcode's kind.
func (b *bench) waited(op byte) *waits {
	for _, k := range kinds {
		for _, twin := range k.also {
			if op == twin {
				op = k.op
			}
		}
	}
	if b.took[op] == nil {
		b.took[op] = &waits{}
	}
	return b.took[op]
}
