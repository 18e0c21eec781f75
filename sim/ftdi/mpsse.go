package ftdi

import "time"

// MPSSE opcodes, fact sheet 4.4. The data commands 10..3F are bit fields (pins.go).
const (
	cmdSetLow, cmdReadLow   = 0x80, 0x81
	cmdSetHigh, cmdReadHigh = 0x82, 0x83
	cmdLoopOn, cmdLoopOff   = 0x84, 0x85
	cmdDivisor              = 0x86
	cmdFlush                = 0x87
	cmdWaitHigh, cmdWaitLow = 0x88, 0x89
	cmdDiv5Off, cmdDiv5On   = 0x8A, 0x8B
	cmd3PhaseOn             = 0x8C
	cmd3PhaseOff            = 0x8D
	cmdClockBits            = 0x8E
	cmdClockBytes           = 0x8F
	cmdClockWaitHigh        = 0x94
	cmdClockWaitLow         = 0x95
	cmdAdaptiveOn           = 0x96
	cmdAdaptiveOff          = 0x97
	cmdClockUntilHigh       = 0x9C
	cmdClockUntilLow        = 0x9D
	cmdDriveZero            = 0x9E
	badCommand              = 0xFA
)

// engine is the state of the MPSSE interpreter: what is known of the command under way, and the clock.
type engine struct {
	driveZero bool // knows 9E

	busy    bool // op is valid
	op      byte
	operand [3]byte
	have    int
	left    int  // bytes still to clock
	held    bool // waits for a pin that will not move

	divisor    int
	div5       bool
	threePhase bool

	in [chunk]byte
}

// reset is what setting the bit mode does.
func (e *engine) reset() {
	*e = engine{driveZero: e.driveZero, div5: true}
}

// thirds is the time of n clocks in thirds of a nanosecond: SK = 60 MHz / (2 (1 + divisor)), or a fifth of that.
func (e *engine) thirds(n int) int64 {
	t := int64(n) * int64(1+e.divisor) * 100
	if e.div5 {
		t *= 5
	}
	if e.threePhase {
		t = t * 3 / 2
	}
	return t
}

// byteTime is the time of eight clocks.
func (e *engine) byteTime() time.Duration { return time.Duration(e.thirds(8) / 3) }

// operands is how many bytes follow an opcode before it is executed; the data of byte-wise writes is streamed.
func (e *engine) operands(op byte) int {
	switch {
	case op >= opOut && op < 0x40 && op&opBits == 0:
		return 2
	case op >= opOut && op < 0x40 && op&opOut != 0:
		return 2
	case op >= opOut && op < 0x40:
		return 1
	}
	switch op {
	case cmdSetLow, cmdSetHigh, cmdDivisor, cmdClockBytes, cmdClockUntilHigh, cmdClockUntilLow:
		return 2
	case cmdClockBits:
		return 1
	case cmdDriveZero:
		if e.driveZero {
			return 2
		}
	}
	return 0
}

func (e *engine) isData() bool { return e.op >= opOut && e.op < 0x40 }

// execute does the next bit of work: takes a byte of a command, or clocks a piece of its data. False where it
// has to wait for bytes, for room, or for ever.
func (c *channel) execute() bool {
	e := &c.engine
	if e.held {
		return false
	}
	if e.left > 0 {
		return c.stream()
	}
	if e.busy && e.have == e.operands(e.op) {
		return c.command() // had no room for its answer
	}
	if c.tripped() || c.toChip.len() == 0 {
		return false
	}
	b := c.toChip.next()
	c.take(1)
	if !e.busy {
		e.busy, e.op, e.have = true, b, 0
	} else {
		e.operand[e.have] = b
		e.have++
	}
	if e.have == e.operands(e.op) {
		c.command()
	}
	return true
}

// command executes a command whose operands are there. False where its answer has no room.
func (c *channel) command() bool {
	e := &c.engine
	word := int(e.operand[0]) | int(e.operand[1])<<8
	if c.room() < 2 { // the longest answer; a full FIFO stops the engine whatever comes next
		return false
	}
	e.busy = false
	gpio := c.pins.readLow()&pinGPIO1 != 0
	switch {
	case e.isData() && e.op&opBits != 0:
		n := int(e.operand[0]&7) + 1
		c.timeTarget()
		in := c.pins.bits(e.op, n, e.operand[1])
		c.spend(n)
		if e.op&opIn != 0 {
			c.answer(in)
		}
		return true
	case e.isData():
		e.busy, e.left = true, word+1
		return true
	}
	switch e.op {
	case cmdSetLow:
		c.timeTarget()
		c.pins.setLow(e.operand[0], e.operand[1])
	case cmdSetHigh:
		c.pins.high, c.pins.highDir = e.operand[0], e.operand[1]
	case cmdReadLow:
		c.answer(c.pins.readLow())
	case cmdReadHigh:
		c.answer(c.pins.readHigh())
	case cmdLoopOn, cmdLoopOff:
		c.pins.loopback = e.op == cmdLoopOn
	case cmdDivisor:
		e.divisor = word
	case cmdFlush:
		c.note(event{flush: true})
	case cmdWaitHigh, cmdWaitLow, cmdClockWaitHigh, cmdClockWaitLow:
		high := e.op == cmdWaitHigh || e.op == cmdClockWaitHigh
		e.held = gpio != high
	case cmdDiv5Off, cmdDiv5On:
		e.div5 = e.op == cmdDiv5On
	case cmd3PhaseOn, cmd3PhaseOff:
		e.threePhase = e.op == cmd3PhaseOn
	case cmdClockBits:
		n := int(e.operand[0]&7) + 1
		c.timeTarget()
		c.pins.bits(0, n, 0)
		c.spend(n)
	case cmdClockBytes:
		e.busy, e.left = true, word+1
	case cmdClockUntilHigh, cmdClockUntilLow:
		if gpio != (e.op == cmdClockUntilHigh) {
			e.busy, e.left = true, word+1
		}
	case cmdAdaptiveOn, cmdAdaptiveOff:
		// RTCK is not wired; without it nothing slows the clock.
	case cmdDriveZero:
		if !e.driveZero {
			c.answer(badCommand, e.op)
		}
	default:
		c.answer(badCommand, e.op)
	}
	return true
}

// stream clocks the next piece of a byte-wise command. False where it has to wait for bytes or for room.
func (c *channel) stream() bool {
	e := &c.engine
	n := min(e.left, chunk)
	if c.real {
		n = min(n, max(1, int(piece/e.byteTime())))
	}
	op := e.op
	if !e.isData() {
		op = 0
	}
	var out, in []byte
	if op&opIn != 0 {
		n = min(n, c.room())
		if c.real { // so that the packet has its time
			n = min(n, payload-c.toHost.len()%payload)
		}
		in = e.in[:n]
	}
	if op&opOut != 0 {
		if c.real {
			n = min(n, pieceOut)
		}
		if n = min(n, c.toChip.len()); n > 0 && c.allowed(n) == 0 {
			c.tripped()
			return false
		}
		n = c.allowed(n)
		out = c.toChip.buf[c.toChip.head : c.toChip.head+n]
		if in != nil {
			in = in[:n]
		}
	}
	if n == 0 {
		return false
	}
	if c.pins.heard {
		c.timeTarget()
	}
	c.pins.bytes(op, n, out, in)
	c.flip(in)
	c.spend(8 * n)
	if out != nil {
		c.take(n)
	}
	if in != nil {
		c.answer(in...)
	}
	if e.left -= n; e.left == 0 {
		e.busy = false
		c.note(event{}) // the wire is done
	}
	return true
}

// setMode is the bit mode request: the engine starts afresh and lets go of all pins.
func (c *channel) setMode(mode byte) {
	c.mpsse = mode == 0x02 && c.capable
	c.engine.reset()
	c.pins.loopback = false
	c.pins.setLow(0, 0)
	c.pins.high, c.pins.highDir, c.pins.di = 0, 0, true
}
