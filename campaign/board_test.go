package campaign

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"station/ledger"
	"station/sim/nor"
)

// board is one unit: its label, its chip, and what was done to it.
type board struct {
	w      *world
	n      int
	serial string
	mac    [6]byte
	chip   *nor.Chip
	uid    string
	slot   *slot // nil while nobody holds it in one

	born    string // what its chip lies about; "" for an honest one
	faults  nor.Faults
	noisy   bool // its wires flipped bits: nobody can tell what is the chip's fault
	sick    bool // its chip failed for good
	garbled int  // permanent commands that reached it with a flipped bit
	begun   bool // the ledger knows it
	passed  bool
	closed  bool // by a person
	failed  bool
	sent    map[string]string // kind and index -> escrow of the intent under which it was sent last
}

const locksNothing = "locks protect nothing"

func bornWith(lie string) string { return "chip lies: " + lie }

// lies are what a chip may be born with.
var lies = map[string]func(*nor.Faults){
	locksNothing:                     func(f *nor.Faults) { f.IgnoreLocks = true },
	"password reads blank":           func(f *nor.Faults) { f.PasswordReadsFF = true },
	"protection register reads FFFF": func(f *nor.Faults) { f.SPRReadsFFFF = true },
}

func (w *world) newBoard(n int) *board {
	b := &board{w: w, n: n, serial: fmt.Sprintf(w.serial, n+1), mac: [6]byte{2, 0, 0, 0, 0, byte(n)}, sent: map[string]string{}}
	var uid [14]byte
	binary.BigEndian.PutUint64(uid[:], w.seed+1)
	uid[13] = byte(n + 1)
	var err error
	b.chip, err = nor.New(w.part, uid, nor.Options{Size: w.size, Pace: nor.Pace(w.pace()), Seed: w.dice.Uint64(), Permanent: b.heard})
	if err != nil {
		w.t.Fatal(err)
	}
	b.uid = strings.ToUpper(hex.EncodeToString(uid[:]))
	if w.dice.IntN(12) == 0 && !w.paced {
		names := slices.Sorted(maps.Keys(lies))
		if !w.password {
			names = []string{locksNothing}
		}
		b.born = names[w.dice.IntN(len(names))]
		w.faults[bornWith(b.born)]++
		b.spoil(lies[b.born])
	}
	return b
}

// spoil changes the chip's faults.
func (b *board) spoil(change func(*nor.Faults)) {
	change(&b.faults)
	b.chip.SetFaults(b.faults)
}

// heal takes the faults away that came from outside.
func (b *board) heal() {
	b.faults = nor.Faults{FailProgram: b.faults.FailProgram}
	if b.born != "" {
		lies[b.born](&b.faults)
	}
	b.chip.SetFaults(b.faults)
}

// excused: nobody can promise that this unit passes.
func (b *board) excused() bool { return b.born != "" || b.noisy || b.sick || b.torn() }

// torn: a one-time word of the chip holds what no escrow has.
func (b *board) torn() bool {
	if pw := b.chip.Password(); !blank(pw[:]) && !b.w.escrowed(b.uid, ledger.KindPasswordIntent, 0, pw[:]) {
		return true
	}
	for i := range 2 {
		if key, ok := b.chip.RootKey(i); ok && !b.w.escrowed(b.uid, ledger.KindRootKeyIntent, i, key) {
			return true
		}
	}
	return false
}

func blank(p []byte) bool { return bytes.Count(p, []byte{0xFF}) == len(p) }

// heard is a permanent command at the chip's pins, before it has an effect: there is a durable intent for it alone, made since the run was begun or
// taken up, and the escrow opens the very secret that is on the wire (promises 1 and 2).
func (b *board) heard(command []byte, garbled bool) {
	w := b.w
	if s := b.slot; s != nil {
		s.note("chip %d hears %02X", b.n, command[0])
	}
	if command[0] == 0x28 && w.heard28 != nil {
		w.heard28()
	}
	if garbled {
		b.garbled++
		return
	}
	switch {
	case command[0] == 0x9B && command[1] >= 0xF0:
		b.hearsBlock(command[1:])
	case command[0] == 0x9B && len(command) != map[byte]int{0: 64, 2: 40}[command[1]]: // cut off: it has no effect
	case command[0] == 0x28:
		if i := w.spend(b, "28", func(i *intent) bool { return i.kind == ledger.KindPasswordIntent }); i != nil {
			w.mustOpen(b, "28", i, command[1:])
		}
	case command[0] == 0x2C:
		w.spend(b, "2C", func(i *intent) bool { return i.kind == ledger.KindModeIntent })
	case command[0] == 0x42:
		w.spend(b, "42", func(i *intent) bool { return strings.HasPrefix(i.what, "OTP area") })
	case command[1] == 0:
		if i := w.spend(b, "9B 00", func(i *intent) bool { return i.kind == ledger.KindRootKeyIntent && i.index == int(command[2]) }); i != nil {
			w.mustOpen(b, "9B 00", i, command[4:36])
		}
	default:
		value := binary.BigEndian.Uint32(command[4:])
		want := fmt.Sprintf("counter %d: %d to %d", command[2], value, value+1)
		w.spend(b, "9B 02", func(i *intent) bool { return i.what == want })
	}
}
