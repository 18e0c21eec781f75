package flash

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"station/sim/nor"
)

// life is one simulated chip under bare pins, and what it must be by the sum of what was done to it.
type life struct {
	*rand.Rand
	chip      *nor.Chip
	flash     *Chip // the same chip, through the driver
	state     Protection
	wide      bool
	witnesses [64]int64         // addresses that were programmed last; their bytes are not FF, or were erased since
	outcomes  map[[2]string]int // commands by what became of them
}

var lifePassword = []byte{0x11, 2, 3, 4, 5, 6, 7, 0x88}

func newLife(t *testing.T, n int, r *rand.Rand) *life {
	t.Helper()
	name := "MT25QL128ABA"
	if n%8 == 7 {
		name = "MT25QL01GBBB"
	}
	p, err := partNamed(name)
	must(t, err)
	o := nor.Options{Seed: uint64(n), FrozenSilent: n&1 != 0, WholeSectorVLB: n&2 != 0}
	p.VLB4KBoundary, p.StackedProtection = !o.WholeSectorVLB, true
	if o.FrozenSilent {
		p.LockRefused, p.LockEraseRefused = 0, 0
	}
	if p.Dies == 1 {
		p.DieErase = &Erase{Size: p.Size, Opcode: 0xC7, Typ: 38 * time.Second, Max: 114 * time.Second}
	}
	chip, err := nor.New(name, testUID, o)
	must(t, err)
	l := &life{Rand: r, chip: chip, outcomes: map[[2]string]int{}}
	l.flash, err = Identify(t.Context(), &wire{chip: chip, maxFrame: 70000}, p)
	must(t, err)
	l.state = Protection{SPR: 0xFFFF, Nonvolatile: make([]bool, p.Sectors()), Volatile: make([]byte, len(p.VolatileCells())), part: p}
	l.frame(0x06)
	l.frame(0x28, lifePassword...)
	return l
}

func (l *life) frame(op byte, more ...byte) {
	var opcode [1]byte
	opcode[0] = op
	l.chip.Select()
	l.chip.Shift(opcode[:], nil)
	if len(more) > 0 {
		l.chip.Shift(more, nil)
	}
	l.chip.Deselect()
}

// addressed is a frame with an address, and data: by op, as the mode wants it, or by op4.
func (l *life) addressed(op, op4 byte, addr int64, data ...byte) {
	b := [5]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}
	a := b[:4:4]
	if op4 != 0 && (l.state.part.Size > 16<<20 && !l.wide || l.IntN(2) == 0) {
		op = op4
	} else if !l.wide {
		a = a[1:]
	}
	l.frame(op, append(a, data...)...)
}

// read is one answer byte behind out.
func (l *life) read(out ...byte) byte {
	var in [1]byte
	l.chip.Select()
	l.chip.Shift(out, nil)
	l.chip.Shift(nil, in[:])
	l.chip.Deselect()
	return in[0]
}

// status is WEL, and error bits of all dies.
func (l *life) status() (enabled bool, errors byte) {
	for range l.state.part.Dies {
		errors |= l.read(0x70) & fsrErrors
	}
	return l.read(0x05)&statusWEL != 0, errors
}

func (l *life) sector() int64 {
	last := int64(l.state.part.Sectors() - 1)
	if n := l.IntN(8); n < 4 {
		return []int64{0, 1, last - 1, last}[n]
	}
	return l.Int64N(last + 1)
}

// command draws one, and how it is sent; nil where that needs a value.
func (l *life) command() (name string, cmd Command, send func()) {
	p := l.state.part
	sector := l.sector()
	addr := sector*p.Sector + l.Int64N(p.Sector)
	if l.IntN(2) == 0 {
		addr = l.witnesses[l.IntN(len(l.witnesses))] // somewhere that holds something
	}
	erase := func(name string, size int64, op, op4 byte) (string, Command, func()) {
		return name, Command{ActErase, Range{addr / size * size, size}}, func() { l.addressed(op, op4, addr) }
	}
	switch n := l.IntN(20); {
	case n < 5:
		return "program", Command{ActProgram, Range{addr, 1}}, nil
	case n < 7:
		return erase("erase 4K", 4096, 0x20, 0x21)
	case n < 9:
		if p.Size > 16<<20 && !l.wide {
			return erase("erase 4K", 4096, 0x20, 0x21)
		}
		return erase("erase 32K", 32768, 0x52, 0)
	case n < 11:
		return erase("erase 64K", 65536, 0xD8, 0xDC)
	case n < 12:
		if p.Dies == 1 {
			return "erase all", Command{ActErase, Range{0, p.Size}}, func() { l.frame([]byte{0xC7, 0x60}[l.IntN(2)]) }
		}
		if l.wide {
			return erase("erase die", p.dieSize(), 0xC4, 0)
		}
		return erase("erase 64K", 65536, 0xD8, 0xDC)
	case n < 14:
		at := sector * p.Sector
		return "E3", Command{ActLock, Range{at, p.Sector}}, func() { l.frame(0xE3, byte(at>>24), byte(at>>16), byte(at>>8), byte(at)) }
	case n < 15:
		return "E4", Command{ActEraseLocks, Range{}}, func() { l.frame(0xE4) }
	case n < 18:
		return "E5", Command{ActVolatile, Range{addr, 1}}, nil
	}
	return "01", Command{ActBlockStatus, Range{}}, nil
}

// step carries out one command behind a write enable, compares with the prediction, and brings the state up to date.
func (l *life) step(t *testing.T) {
	p := l.state.part
	name, cmd, send := l.command()
	value := byte(l.Uint32())
	switch cmd.Action {
	case ActProgram:
		send = func() { l.addressed(0x02, 0x12, cmd.Range.Addr, value) }
	case ActVolatile:
		if value &= 3; l.IntN(3) > 0 {
			value &= 1 // most cells are not locked down
		}
		send = func() { l.addressed(0xE5, 0xE1, cmd.Range.Addr, value) }
	case ActBlockStatus:
		if value &= 0xFC; l.IntN(2) == 0 {
			value &= 0x24 // often nothing, or a single sector
		}
		send = func() { l.frame(0x01, value) }
	}
	refusal := l.state.Refuses(cmd)
	r := cmd.Range
	var watched []int64
	if cmd.Action == ActProgram {
		watched = []int64{r.Addr}
	} else if cmd.Action == ActErase {
		for _, a := range l.witnesses {
			if r.Addr <= a && a < r.Addr+r.Size {
				watched = append(watched, a)
			}
		}
	}
	before := make([]byte, len(watched))
	for i, a := range watched {
		before[i] = l.chip.Bytes(uint32(a), 1)[0]
	}
	l.frame(0x06)
	send()
	enabled, errors := l.status()
	if refusal != nil {
		if errors != refusal.FSR || !enabled {
			t.Fatalf("%s at 0x%06X: flag status errors 0x%02X, write enable %v; predicted 0x%02X, true", name, r.Addr, errors, enabled, refusal.FSR)
		}
		l.frame(0x50)
		l.frame(0x04)
	} else if errors != 0 || enabled {
		t.Fatalf("%s at 0x%06X: flag status errors 0x%02X, write enable %v; predicted none", name, r.Addr, errors, enabled)
	}
	for i, a := range watched {
		now := l.chip.Bytes(uint32(a), 1)[0]
		switch {
		case refusal != nil && now != before[i],
			refusal == nil && cmd.Action == ActErase && now != 0xFF,
			refusal == nil && cmd.Action == ActProgram && now != before[i]&value:
			t.Fatalf("%s at 0x%06X: 0x%06X was 0x%02X and is 0x%02X, refused %v", name, r.Addr, a, before[i], now, refusal != nil)
		}
	}
	outcome := "done"
	if refusal != nil {
		outcome = "refused"
	} else {
		switch cmd.Action {
		case ActProgram:
			l.witnesses[l.IntN(len(l.witnesses))] = r.Addr
		case ActLock:
			l.state.Nonvolatile[r.Addr/p.Sector] = true
		case ActEraseLocks:
			clear(l.state.Nonvolatile)
		case ActVolatile:
			l.state.Volatile[p.cell(r.Addr)] = value
		case ActBlockStatus:
			l.state.SR = value
		}
	}
	l.outcomes[[2]string{name, outcome}]++
	a := r.Addr
	at := []byte{0xE2, byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}
	var got, want byte
	switch cmd.Action {
	case ActLock:
		if want = 0xFF; l.state.Nonvolatile[a/p.Sector] {
			want = 0
		}
		got = l.read(at...)
	case ActEraseLocks:
		if want = 0xFF; l.state.Nonvolatile[0] {
			want = 0
		}
		got = l.read(0xE2, 0, 0, 0, 0)
	case ActVolatile:
		at[0], want = 0xE0, l.state.Volatile[p.cell(a)]
		got = l.read(at...)
	case ActBlockStatus:
		want = l.state.SR
		got = l.read(0x05)
	}
	if got != want {
		t.Fatalf("%s at 0x%06X was %s, and reads 0x%02X, not 0x%02X", name, a, outcome, got, want)
	}
}

// event is what else moves the state: freeze, password, mode, reset, power.
func (l *life) event() {
	enable := func() { l.frame(0x06) }
	switch n := l.IntN(100); {
	case n < 6:
		enable()
		l.frame(0xA6)
		l.state.Frozen = true
	case n < 12: // the right password opens in password mode only
		l.frame(0x29, lifePassword...)
		if l.state.SPR == PasswordMode {
			l.state.Frozen = false
		}
	case n < 15:
		l.frame(0x29, bytes.Repeat([]byte{byte(n)}, 8)...)
	case n < 19:
		l.frame(0x66)
		l.frame(0x99)
		l.reset()
	case n < 22:
		l.chip.Power(false)
		l.chip.Power(true)
		l.reset()
	case n < 32:
		enable()
		l.frame([]byte{0xE9, 0xB7}[n%2])
		l.wide = n%2 == 1
	}
	l.frame(0x50)
	l.frame(0x04)
}

// mode programs the sector protection register, for the rest of this life.
func (l *life) mode(value uint16) {
	l.frame(0x06)
	l.frame(0x2C, byte(value), byte(value>>8))
	l.state.SPR = value
}

func (l *life) reset() {
	clear(l.state.Volatile)
	l.state.Frozen, l.wide = l.state.SPR == PasswordMode, false
}

// What E5 to a cell that is locked down raises is the profile's to say, and the prediction says it: the simulated chip ignores it without a word.
func TestVolatileRefusedIsPredicted(t *testing.T) {
	l := newLife(t, 0, rand.New(rand.NewPCG(1, 1)))
	const at = 0x30000
	lock := func() {
		l.frame(0x06)
		l.addressed(0xE5, 0xE1, at, 3)
	}
	lock()
	l.state.Volatile[l.state.part.cell(at)] = 3
	for _, bits := range []byte{0x00, 0x12, 0x22} {
		l.state.part.VolatileRefused = bits
		refusal := l.state.Refuses(Command{ActVolatile, Range{at, 1}})
		if refusal == nil || refusal.FSR != bits {
			t.Fatalf("profile %02X: predicted %+v", bits, refusal)
		}
		lock()
		enabled, errors := l.status()
		if !enabled || (errors == refusal.FSR) != (bits == 0) {
			t.Errorf("profile %02X: write enable %v, errors %02X", bits, enabled, errors)
		}
		l.frame(0x50)
		l.frame(0x04)
	}
}

// A million states of protection, drawn by a seeded walk: in each the chip does with a random command what flash predicts, and every ten
// thousand states all of its protection, read through the driver, is as the walk left it.
func TestMillion(t *testing.T) {
	states, lifetime := 1_000_000, 25_000
	if testing.Short() {
		states, lifetime = 20_000, 2_500
	}
	r := rand.New(rand.NewPCG(1, 2026))
	outcomes := map[[2]string]int{}
	modes := map[uint16]int{}
	var frozen, wide, read int
	start := time.Now()
	var l *life
	for n := range states {
		if n%lifetime == 0 {
			l = newLife(t, n/lifetime, r)
			l.outcomes = outcomes
		}
		if n%lifetime == lifetime/3 {
			if value := []uint16{FactoryMode, PasswordMode, PersistentMode}[n/lifetime%3]; value != FactoryMode {
				l.mode(value)
			}
		}
		l.event()
		l.step(t)
		if l.state.Frozen {
			frozen++
		}
		if l.wide {
			wide++
		}
		if modes[l.state.SPR]++; n%10_000 == 9_999 || n%lifetime == lifetime-1 {
			read++
			got, err := l.flash.Protection(t.Context())
			must(t, err)
			want := l.state
			if got.SR != want.SR || got.SPR != want.SPR || got.Frozen != want.Frozen || !slices.Equal(got.Nonvolatile, want.Nonvolatile) || !bytes.Equal(got.Volatile, want.Volatile) {
				t.Fatalf("state %d: the chip says\n%+v, the walk\n%+v", n, got, want)
			}
			if l.flash.wide != l.wide {
				t.Fatalf("state %d: 4-byte mode %v", n, l.flash.wide)
			}
		}
	}
	took := time.Since(start)
	t.Logf("%d states in %v, %d frozen, %d in 4-byte mode, modes %v; protection read %d times", states, took, frozen, wide, modes, read)
	for _, key := range slices.SortedFunc(maps.Keys(outcomes), func(a, b [2]string) int { return bytes.Compare([]byte(fmt.Sprint(a)), []byte(fmt.Sprint(b))) }) {
		t.Logf("%s %s: %d", key[0], key[1], outcomes[key])
	}
	for _, name := range []string{"program", "erase 4K", "erase 32K", "erase 64K", "erase all", "E3", "E4", "E5"} {
		for _, outcome := range []string{"done", "refused"} {
			if n := outcomes[[2]string{name, outcome}]; n < states/10_000 {
				t.Errorf("%s was %s %d times only", name, outcome, n)
			}
		}
	}
	if n := outcomes[[2]string{"01", "done"}]; n < states/10_000 { // W# is high: it is never refused
		t.Errorf("01 was done %d times only", n)
	}
	if len(modes) != 3 || frozen < states/20 || wide < states/20 {
		t.Error("the walk does not reach every kind of state")
	}
}
