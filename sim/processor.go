package sim

import (
	"math/rand/v2"
	"sync"

	"station/sim/ftdi"
	"station/sim/nor"
)

// Processor is a board's own, on the wires of its flash: master of the same bus, which boots from the flash when it gets power or its reset line rises, and runs from then
// on. Where the line is low its pins float, and what a programmer does goes to the flash as if there were no processor.
//
// While it runs, both drive the wires, and of two that do low wins. So the flash is selected while either selects it, a clock of either is one, and of the bits
// that a programmer sends only those arrive as 1 that the processor leaves at 1. What the processor does is drawn from its seed, whenever the programmer moves the
// wires; in between it does nothing that the flash would keep.
type Processor struct {
	*nor.Chip // the flash; it has the supply and the time of the board

	mu       sync.Mutex
	rng      *rand.Rand
	low      bool // the reset line
	high     bool // driven so by the programmer
	bus      bool // the programmer drives the wires
	own, its bool // chip select as the processor and as the programmer drive it: true is low
	releases int
	fights   int
}

var (
	_ ftdi.Target     = (*Processor)(nil)
	_ ftdi.Timed      = (*Processor)(nil)
	_ ftdi.Resettable = (*Processor)(nil)
)

// Processor puts a processor on the board of a flash, which is in no place yet.
func (l *Line) Processor(flash *nor.Chip, seed uint64) *Processor {
	p := &Processor{Chip: flash, rng: rand.New(rand.NewPCG(seed, 0))}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.processors[flash] = p
	return p
}

// target is what a board hangs on the pins. l.mu is held.
func (l *Line) target(chip *nor.Chip) ftdi.Target {
	if p := l.processors[chip]; p != nil {
		return p
	}
	return chip
}

// Releases is how often the processor left its reset because the line rose.
func (p *Processor) Releases() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.releases
}

// Held tells whether the reset line is low.
func (p *Processor) Held() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.low
}

// Fights is how often the programmer began to drive what the board drives too: the wires while the processor ran, or the reset line, high, which belongs to a
// supervisor that pulls it low.
func (p *Processor) Fights() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fights
}

// Drives is what the programmer's outputs do. One that takes the wires together with the reset line meets a processor that runs.
func (p *Processor) Drives(low, high, bus bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bus && !p.bus && p.runs() || high && !p.high {
		p.fights++
	}
	if p.low && !low && p.Powered() {
		p.releases++
	}
	if low && !p.low {
		p.choose(false)
	}
	p.low, p.high, p.bus = low, high, bus
}

// runs says that the processor drives the wires. p.mu is held, here and below.
func (p *Processor) runs() bool { return !p.low && p.Powered() }

// choose is the processor's chip select: an edge where the programmer's is high.
func (p *Processor) choose(low bool) {
	was := p.own || p.its
	p.own = low
	p.edge(was)
}

// edge tells the flash what became of its chip select, which is low where either pulls it.
func (p *Processor) edge(was bool) {
	switch now := p.own || p.its; {
	case now && !was:
		p.Chip.Select()
	case was && !now:
		p.Chip.Deselect()
	}
}

// meddle is what the processor does meanwhile: one time in four its chip select moves, and some clocks of its own pass.
func (p *Processor) meddle() {
	if !p.runs() {
		return
	}
	if p.rng.IntN(4) == 0 {
		p.choose(!p.own)
	}
	if n := p.rng.IntN(8); n > 0 {
		p.Chip.ShiftBits(byte(p.rng.Uint32()), n)
	}
}

// mixed is what arrives of out.
func (p *Processor) mixed(out byte) byte {
	if p.runs() {
		out &= byte(p.rng.Uint32())
	}
	return out
}

// Select is the programmer's falling edge of chip select.
func (p *Processor) Select() {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.own || p.its
	p.its = true
	p.edge(was)
	p.meddle()
}

// Shift is whole bytes that the programmer clocks.
func (p *Processor) Shift(out, in []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.runs() {
		p.Chip.Shift(out, in)
		return
	}
	for i := range max(len(out), len(in)) {
		var b byte
		if out != nil {
			b = out[i]
		}
		b = p.Chip.ShiftBits(p.mixed(b), 8)
		if in != nil {
			in[i] = b
		}
		p.meddle()
	}
}

// ShiftBits is the n upper bits of out that the programmer clocks.
func (p *Processor) ShiftBits(out byte, n int) byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Chip.ShiftBits(p.mixed(out), n)
}

// Deselect is the programmer's rising edge of chip select.
func (p *Processor) Deselect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meddle()
	was := p.own || p.its
	p.its = false
	p.edge(was)
}
