package nor

import (
	"crypto/subtle"
	"math/rand/v2"
	"time"
)

// The board stores the array inverted, so that blank cells are zeros: a blank chip is a sparse file and an
// untouched piece of memory.

var ones = func() (p [4096]byte) {
	for i := range p {
		p[i] = 0xFF
	}
	return p
}()

func invert(p []byte) {
	for len(p) > 0 {
		n := subtle.XORBytes(p, p, ones[:])
		p = p[n:]
	}
}

// cells reads the array as it is, from any address on, wrapping at its end.
func (c *Chip) cells(p []byte, addr uint32) error {
	for len(p) > 0 {
		addr &= c.part.size - 1
		n := min(len(p), int(c.part.size-addr))
		if err := c.board.read(p[:n], addr); err != nil {
			c.err = err
			return err
		}
		invert(p[:n])
		p, addr = p[n:], addr+uint32(n)
	}
	return nil
}

// readArray is what the pins tell of the array: its faults included, FF where the board is dead.
func (c *Chip) readArray(p []byte, addr uint32) {
	if c.cells(p, addr) != nil {
		for i := range p {
			p[i] = 0xFF
		}
		return
	}
	for at, mask := range c.opts.Faults.Flip {
		// every time that the read passes the cell
		for i := int((at - addr) & (c.part.size - 1)); i < len(p); i += int(c.part.size) {
			p[i] ^= mask
		}
	}
}

func (c *Chip) runProgram(f *frame) {
	op := operation{kind: program, addr: f.at &^ 255, n: 256, data: f.data}
	if c.protected(op.addr, op.n) {
		flags := byte(fsrProgram | fsrProtection)
		if c.opts.RefusedProgramBit1 {
			flags = fsrProtection
		}
		c.raise(flags, op)
		return
	}
	c.start(op, c.part.times.program)
}

// eraseOf makes the erase of the unit of that size that holds the address.
func eraseOf(unit uint32) func(*Chip, *frame) {
	return func(c *Chip, f *frame) {
		t := c.part.times.erase4K
		switch unit {
		case 32 << 10:
			t = c.part.times.erase32K
		case 64 << 10:
			t = c.part.times.erase64K
		}
		c.runErase(f.at&^(unit-1), unit, t)
	}
}

// runDieErase is C7 and 60 on a part of one die, and C4 on a stacked part: refused when anything at all in the die is
// protected.
func (c *Chip) runDieErase(f *frame) {
	n := c.part.dieSize()
	c.runErase(f.at&^(n-1), n, c.part.times.die)
}

func (c *Chip) runErase(addr, n uint32, t time.Duration) {
	op := operation{kind: erase, addr: addr, n: n}
	if c.protected(addr, n) {
		c.raise(fsrErase|fsrProtection, op)
		return
	}
	c.start(op, t)
}

// start begins a self-timed operation. While another one is suspended none begins (assumed: ignored).
func (c *Chip) start(op operation, t time.Duration) {
	if c.st.running {
		return
	}
	c.st.op = op
	c.st.running = true
	now := c.now()
	c.st.ready = now
	if c.opts.Pace == Real && op.kind != lockedSector {
		c.st.ready = now.Add(c.ownTime(op, t))
	}
	faults := &c.opts.Faults
	cut := faults.Cut == 1
	faults.Cut = max(faults.Cut-1, 0)
	switch {
	case cut && faults.CutDone:
		c.end()
		c.powerDown()
	case cut:
		c.powerDown()
	case c.st.ready.After(now) || faults.StuckBusy:
		c.save()
	default:
		c.end()
	}
}

// ownTime is what an operation takes whose typical time is t.
func (c *Chip) ownTime(op operation, t time.Duration) time.Duration {
	if op.kind != program && op.kind != erase {
		return t
	}
	f := 1.0
	if c.opts.Scale > 0 {
		f = c.opts.Scale
	}
	if spread := c.opts.Spread; spread > 0 {
		var before uint64
		for _, n := range c.st.counts {
			before += n
		}
		dice := rand.New(rand.NewPCG(c.opts.Seed, uint64(op.addr)<<32|before))
		f *= 1 + spread*(2*dice.Float64()-1)
		if dice.IntN(256) == 0 {
			f *= 3
		}
	}
	return time.Duration(f * float64(t))
}

// settle ends the operation in progress when its time has come.
func (c *Chip) settle() {
	if c.st.busy() && c.err == nil && !c.opts.Faults.StuckBusy && !c.now().Before(c.st.ready) {
		c.end()
	}
}

// end is the operation's success, or its failure inside. The state goes to the board first, with the
// operation in it as a redo record, then the array changes.
func (c *Chip) end() {
	s := &c.st
	s.running = false
	if s.op.kind.enabled() {
		s.wel = false
	}
	failed, flag := c.opts.Faults.FailProgram && s.op.kind.enabled(), byte(fsrProgram)
	if s.op.kind.erases() {
		failed, flag = c.opts.Faults.FailErase, fsrErase
	}
	if failed {
		c.raise(flag, s.op)
		s.op.kind = nothing
	}
	c.apply()
	c.save()
	c.redo()
}

// apply brings the operation's effect into the registers and counts it.
func (c *Chip) apply() {
	s := &c.st
	switch s.op.kind {
	case program:
		c.count(CountProgram)
	case erase:
		c.count(CountErase)
	case writeSR:
		s.sr = byte(s.op.value) & srRetained
	case writeNVCR:
		s.nvcr = s.op.value
	case programSPR:
		if s.op.value != s.spr {
			c.count(CountSectorProtection)
		}
		s.spr &= s.op.value
	case lockSector:
		s.nvlb[s.op.n/8] |= 1 << (s.op.n % 8)
		c.count(CountLock)
	case unlockAll:
		clear(c.unlockable())
		c.count(CountUnlockAll)
	case programPassword:
		c.applyPassword()
	case comparePassword:
		c.applyCompare()
	case packet:
		c.applyPacket()
	case programOTP:
		c.applyOTP()
	case checkCRC:
		c.applyCRC()
	case signedWrite, signedErase, signedProtect:
		c.applyBlock()
	}
}

// redo applies an operation that has ended to the array. Doing it again changes nothing.
func (c *Chip) redo() {
	if c.err != nil || c.st.running {
		return
	}
	switch op := &c.st.op; op.kind {
	case program, signedWrite:
		c.programPage(op.addr, &op.data)
	case erase, signedErase:
		c.fail(c.board.blank(op.addr, op.n))
	}
}

// programPage clears the bits that are 0 in data; NOR programs nothing else.
func (c *Chip) programPage(addr uint32, data *[256]byte) {
	old := &c.page
	if c.cells(old[:], addr) != nil {
		return
	}
	for i := range old {
		old[i] &= data[i]
	}
	invert(old[:])
	c.fail(c.board.write(old[:], addr))
}

// suspend is 75: an array operation of less than a die stops, and the chip is ready for reads. No other operation can be
// suspended.
func (c *Chip) suspend(*frame) {
	s := &c.st
	array := s.op.kind == program || s.op.kind == erase && s.op.n < c.part.dieSize()
	if s.busy() && array {
		s.suspended, s.left = true, s.ready.Sub(c.now())
	}
}

// resume is 7A.
func (c *Chip) resume(*frame) {
	if c.st.suspended {
		c.st.suspended, c.st.ready = false, c.now().Add(c.st.left)
	}
}

// tear leaves an operation that loses its power half done: undefined data in its unit, drawn from the seed.
func (c *Chip) tear() {
	s := &c.st
	if !s.running {
		return
	}
	dice := rand.New(rand.NewPCG(c.opts.Seed, s.seq))
	switch op := &s.op; op.kind {
	case program:
		c.tearProgram(op, dice)
	case erase:
		c.tearErase(op, dice)
	case unlockAll:
		for i, locks := 0, c.unlockable(); i < len(locks); i++ {
			locks[i] &= byte(dice.Uint32())
		}
	case programPassword:
		c.tearPassword(dice)
	case packet:
		c.tearPacket(dice)
	case programOTP:
		c.tearOTP(dice)
	case signedWrite, signedErase, signedProtect:
		c.tearBlock(dice)
	case checkCRC, signedRead: // nothing to harm
	default:
		if dice.IntN(2) == 0 { // one cell: it holds or it does not
			c.apply()
		}
	}
	s.running, s.suspended = false, false
	s.op = operation{}
}

// tearProgram leaves some bits that are not cleared yet.
func (c *Chip) tearProgram(op *operation, dice *rand.Rand) {
	for i := range op.data {
		op.data[i] |= byte(dice.Uint32())
	}
	c.programPage(op.addr, &op.data)
}

// tearErase leaves each 4 KiB of the unit as it was, erased, or of no defined value.
func (c *Chip) tearErase(op *operation, dice *rand.Rand) {
	var p [4 << 10]byte
	for at := op.addr; at < op.addr+op.n && c.err == nil; at += uint32(len(p)) {
		switch dice.IntN(3) {
		case 1:
			c.fail(c.board.blank(at, uint32(len(p))))
		case 2:
			for i := range p {
				p[i] = byte(dice.Uint32())
			}
			c.fail(c.board.write(p[:], at))
		}
	}
}
