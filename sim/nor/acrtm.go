package nor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"
)

// ACRTM is the authenticated commands (A-CRTM) of the parts that have replay-protected counters. The command map of real parts is
// not public: this one is invented, docs/acrtm-invented.md specifies it, and no real part answers to it. A block comes with 9B as RPMC
// packets do, and without write enable; 96 reads the outcome. The HMAC that ends a block is under a session key, another one after each power-up.
//
// This type holds what the map leaves open.
type ACRTM struct {
	// RangeOpen: 02, 20 and their kin work in the protected range as anywhere. Otherwise they are refused as in a locked sector.
	RangeOpen bool

	// How long each command takes with Pace Real. 0 stands for 5, 50 and 5 ms, and 2 ms for Read: what changes nothing, and what is
	// refused. A measurement takes 15 ns a byte more.
	Write, Erase, Protect, Read time.Duration
}

// ACRTMFaults are those of the authenticated commands.
type ACRTMFaults struct {
	// LoseAnswer: the answer to the signed block of this number, 1 being the next, is lost, once: 96 tells what it tells after a reset,
	// whatever the block does. 0 is never.
	LoseAnswer int
	// FlipStatus: these bits of the status byte that 96 tells of a block are turned over, in every read. Not while the chip is busy.
	FlipStatus byte
	// PowerOnStays: power-ups are not counted, so that an old session key holds again.
	PowerOnStays bool
}

// acrtm is the state of the engine. The status byte is that of RPMC.
type acrtm struct {
	powerOn, command uint64   // the two counters
	addr, size       uint32   // the protected range; none where size is 0
	block            bool     // 96 tells of a block: this reply, not RPMC's
	reply            [72]byte // zeros where it failed; stale where block is false
}

// Commands, each the first two bytes of a block.
const (
	blockCounters = 0xF000
	blockMeasure  = 0xF001
	blockWrite    = 0xF100
	blockErase    = 0xF101
	blockProtect  = 0xF200
)

// payloads are the bytes between head and HMAC of each.
var payloads = map[uint16]int{blockCounters: 0, blockMeasure: 4 + 4 + 16, blockWrite: 4 + 256, blockErase: 4, blockProtect: 4 + 4}

const (
	blockHead = 2 + 2 + 8 // name, length of the payload, command counter
	maxBlock  = blockHead + 4 + 256 + sha256.Size
)

// rpmcLocked is the status of a block that meets a lock, or of a second protected range.
const rpmcLocked = rpmcKeyState

// FactoryKey is what all device secrets come from. It is published and protects nothing.
func FactoryKey() [32]byte { return sha256.Sum256([]byte("station simulated factory key")) }

// PowerOnCounter is a look behind the pins: how many power-ups were counted, the one at the factory included. 0 on standard parts.
func (c *Chip) PowerOnCounter() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.part.rpmc {
		return 0
	}
	return c.st.acrtm.powerOn
}

// CommandCounter is a look behind the pins: how many signed blocks took effect, which is the sum of three of Counters.
func (c *Chip) CommandCounter() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return c.st.acrtm.command
}

// ProtectedRange is a look behind the pins: the range that only signed blocks change; size 0 where there is none.
func (c *Chip) ProtectedRange() (addr, size uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return c.st.acrtm.addr, c.st.acrtm.size
}

// sessionKey is that of this power-up.
func (c *Chip) sessionKey() []byte {
	key := FactoryKey()
	return sum(sum(key[:], c.uid[:]), binary.BigEndian.AppendUint64(nil, c.st.acrtm.powerOn))
}

// runBlock is 9B with a block of the map. It is judged now; what it does, and what 96 tells of it, waits until its time is over.
func (c *Chip) runBlock(name uint16, b []byte) {
	if c.st.running {
		return // suspended: see start
	}
	a, faults := &c.st.acrtm, &c.opts.Faults.ACRTM
	op, status := c.judge(name, b)
	var reply []byte
	if status == rpmcDone {
		reply = c.replyTo(name, b, op)
	}
	if name != blockCounters {
		if faults.LoseAnswer == 1 {
			status, reply = 0, nil
		}
		faults.LoseAnswer = max(faults.LoseAnswer-1, 0)
	}
	c.st.rpmc.status, a.block, a.reply = status, true, [72]byte{}
	copy(a.reply[:], reply)
	c.start(op, c.opts.ACRTM.time(op))
}

// judge checks a block, in the order of the map, and returns what it is to do: nothing, where the status is not that of success.
func (c *Chip) judge(name uint16, b []byte) (operation, byte) {
	be, size, pause := binary.BigEndian, payloads[name], operation{kind: signedRead}
	switch {
	case name == blockCounters && len(b) == 4 && be.Uint16(b[2:]) == 0:
		return pause, rpmcDone
	case name == blockCounters, len(b) != blockHead+size+sha256.Size, int(be.Uint16(b[2:])) != size:
		return pause, rpmcBad
	}
	text := b[:blockHead+size]
	op, unit := effect(name, text[blockHead:])
	switch a := &c.st.acrtm; {
	case !hmac.Equal(sum(c.sessionKey(), text), b[len(text):]):
		return pause, rpmcBad
	case be.Uint64(b[4:]) != a.command:
		return pause, rpmcMismatch
	case op.n == 0 || op.n > c.part.size || op.addr > c.part.size-op.n || op.addr%unit != 0 || op.n%unit != 0:
		return pause, rpmcBad
	case op.kind == signedProtect && a.size != 0, op.kind != signedProtect && op.kind != signedRead && c.locked(op.addr, op.n):
		return pause, rpmcLocked
	}
	return op, rpmcDone
}

// effect is what a block with that payload is to do, and the unit that its range is of.
func effect(name uint16, payload []byte) (op operation, unit uint32) {
	op.addr = binary.BigEndian.Uint32(payload)
	switch name {
	case blockMeasure:
		op.kind, op.n, unit = signedRead, binary.BigEndian.Uint32(payload[4:]), 1
	case blockWrite:
		op.kind, op.n, unit = signedWrite, 256, 256
		copy(op.data[:], payload[4:])
	case blockErase:
		op.kind, op.n, unit = signedErase, 4<<10, 4<<10
	case blockProtect:
		op.kind, op.n, unit = signedProtect, binary.BigEndian.Uint32(payload[4:]), 64<<10
	}
	return op, unit
}

// replyTo is the reply to a good block.
func (c *Chip) replyTo(name uint16, b []byte, op operation) []byte {
	a := &c.st.acrtm
	counter := binary.BigEndian.AppendUint64(nil, a.command)
	switch name {
	case blockCounters:
		return append(binary.BigEndian.AppendUint64(nil, a.powerOn), counter...)
	case blockMeasure:
		place, nonce, digest := b[blockHead:blockHead+8], b[blockHead+8:blockHead+24], c.digest(op.addr, op.n)
		return slices.Concat(counter, digest, sum(c.sessionKey(), slices.Concat(b[:2], nonce, counter, place, digest)))
	}
	counter, whole := binary.BigEndian.AppendUint64(nil, a.command+1), sha256.Sum256(b)
	return append(counter, sum(c.sessionKey(), slices.Concat(b[:2], counter, whole[:]))...)
}

// digest is what the chip itself reads: its bad cells included.
func (c *Chip) digest(addr, n uint32) []byte {
	h := sha256.New()
	p := make([]byte, min(n, block))
	for ; n > 0; n -= uint32(len(p)) {
		p = p[:min(n, block)]
		c.readArray(p, addr)
		h.Write(p)
		addr += uint32(len(p))
	}
	return h.Sum(nil)
}

func (o ACRTM) time(op operation) time.Duration {
	t, normal := o.Read, 2*time.Millisecond
	switch op.kind {
	case signedWrite:
		t, normal = o.Write, 5*time.Millisecond
	case signedErase:
		t, normal = o.Erase, 50*time.Millisecond
	case signedProtect:
		t, normal = o.Protect, 5*time.Millisecond
	}
	if t == 0 {
		t = normal
	}
	if op.kind == signedRead {
		t += time.Duration(op.n) * 15 * time.Nanosecond
	}
	return t
}

// applyBlock is the end of a good block that changes the chip.
func (c *Chip) applyBlock() {
	s := &c.st
	failed := c.opts.Faults.FailProgram
	if s.op.kind == signedErase {
		failed = c.opts.Faults.FailErase
	}
	if failed {
		s.op.kind, s.acrtm.reply = nothing, [72]byte{}
		if s.rpmc.status == rpmcDone { // not lost
			s.rpmc.status = rpmcFatal
		}
		return
	}
	c.holdBlock()
}

// holdBlock is what of a block is no cell of the array.
func (c *Chip) holdBlock() {
	a, op := &c.st.acrtm, &c.st.op
	a.command++
	switch op.kind {
	case signedWrite:
		c.count(CountSignedWrite)
	case signedErase:
		c.count(CountSignedErase)
	case signedProtect:
		a.addr, a.size = op.addr, op.n
		c.count(CountProtect)
	}
}

// tearBlock is a good block without its power: the cells torn, and the counter as it was or one more; the protected range with it.
func (c *Chip) tearBlock(dice *rand.Rand) {
	held := dice.IntN(2) == 0
	switch op := &c.st.op; op.kind {
	case signedWrite:
		c.tearProgram(op, dice)
	case signedErase:
		c.tearErase(op, dice)
	}
	if held {
		c.holdBlock()
	}
}

// inRange tells whether the protected range has any byte of addr..addr+n-1, and keeps plain commands from it.
func (c *Chip) inRange(addr, n uint32) bool {
	a := &c.st.acrtm
	return !c.opts.ACRTM.RangeOpen && addr < a.addr+a.size && addr+n > a.addr
}

// boot is what power-up and reset do to it.
func (a *acrtm) boot() { a.block = false }
