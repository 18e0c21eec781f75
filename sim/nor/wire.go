package nor

import "time"

// frame is what has passed since chip select fell.
type frame struct {
	selected bool
	op       byte
	cmd      *command // nil: no opcode yet, or one that is not taken
	n        int      // whole bytes taken
	head     int      // bytes of opcode, address and dummy clocks
	addrEnd  int      // bytes of opcode and address
	addr     uint32   // as sent
	at       uint32   // where it points: extended, cut to the array
	start    uint32   // next array byte to answer
	garbled  bool     // a bit was flipped, or a byte lost, on its way
	skew     int      // clocks by which the data are off byte borders, after odd dummy clocks
	last     byte     // array byte before start, of which skew bits are still to come
	data     [256]byte

	bits   int  // of a byte under way, 0..7
	rx, tx byte // that byte, coming and going
}

func (f *frame) clear() { *f = frame{} }

// At says that the next call of Select, Shift, ShiftBits or Deselect happens at t, and each byte of a Shift so long after the one
// before: for programmers that run ahead of time.Now, which holds otherwise.
func (c *Chip) At(t time.Time, perByte time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.perByte = t, perByte
}

// now is the time for what passes on the wire.
func (c *Chip) now() time.Time {
	if c.onWire && !c.at.IsZero() {
		return c.at
	}
	return time.Now()
}

// enter begins a call from the wire; its end is leave.
func (c *Chip) enter() {
	c.mu.Lock()
	c.onWire = true
}

func (c *Chip) leave() {
	c.onWire, c.at = false, time.Time{}
	c.mu.Unlock()
}

// Select is chip select falling. A chip that is selected already starts over, and nothing of the old frame
// takes effect.
func (c *Chip) Select() {
	c.enter()
	defer c.leave()
	c.wire = frame{selected: true}
}

// Shift clocks whole bytes, most significant bit first: out goes to the chip while in is filled with what it
// answers. With out nil zeros are clocked, with in nil the answer is dropped; otherwise the shorter
// length counts. A chip that is not selected floats: FF.
func (c *Chip) Shift(out, in []byte) {
	c.enter()
	defer c.leave()
	n := len(in)
	if in == nil || out != nil && len(out) < n {
		n = len(out)
	}
	if in != nil {
		in = in[:n]
	}
	f := &c.wire
	timed := !c.at.IsZero()
	for i := 0; i < n; {
		if timed && i > 0 {
			c.at = c.at.Add(c.perByte)
		}
		if c.lost() {
			if in != nil {
				in[i] = 0xFF
			}
			i++
			continue
		}
		if f.bits == 0 && c.bulk(out, in, i, n) {
			break
		}
		if k := c.steady(n - i); k > 0 && f.bits == 0 && in != nil {
			fill(in[i:i+k], f.cmd.answer(c, 0))
			f.n += k
			i += k
			c.at = c.at.Add(time.Duration(k-1) * c.perByte)
			continue
		}
		var b byte
		if out != nil {
			b = out[i]
		}
		if f.bits == 0 {
			a := c.answer()
			c.take(b)
			if in != nil {
				in[i] = a
			}
		} else if a := c.clock(b, 8); in != nil {
			in[i] = a
		}
		i++
	}
	c.garble(in)
}

// ShiftBits clocks n bits, 1 to 8: the top n bits of out, bit 7 first. What the chip answers comes back in
// the low n bits, the last bit clocked in bit 0.
func (c *Chip) ShiftBits(out byte, n int) byte {
	c.enter()
	defer c.leave()
	return c.clock(out, min(max(n, 0), 8))
}

// Deselect is chip select rising: here the frame's command takes effect, if it is whole, and is in the
// board file when Deselect returns.
func (c *Chip) Deselect() {
	c.enter()
	defer c.leave()
	f := &c.wire
	defer f.clear()
	if !f.selected || !c.st.powered || c.err != nil || f.n == 0 && f.bits == 0 {
		return
	}
	c.settle()
	c.nextDie(f)
	seq, dirty := c.st.seq, c.rescued(f)
	taken := f.cmd != nil && f.cmd.run != nil && f.bits == 0 && f.cmd.complete(f.n-f.head) &&
		(!f.cmd.wel || c.st.wel) // without write enable nothing happens, and no flag tells
	if c.st.armed && !(taken && f.op == 0x99) {
		c.st.armed, dirty = false, true // 66 counts only directly before 99
	}
	if taken {
		c.tellPermanent(f)
		f.cmd.run(c, f)
		dirty = true
	}
	if dirty && c.st.seq == seq {
		c.save()
	}
}

// tellPermanent tells Options.Permanent of a command that it is for.
func (c *Chip) tellPermanent(f *frame) {
	if c.opts.Permanent == nil {
		return
	}
	data := f.data[:]
	switch f.op {
	case 0x28, 0x2C, 0x42:
	case 0x9B:
		if b := c.packet[0]; c.part.rpmc && f.n > f.head && (b == cmdWriteRootKey || b == cmdIncrement || b == blockWrite>>8 || b == blockProtect>>8) {
			data = c.packet[:]
			break
		}
		return
	default:
		return
	}
	n := min(f.n-f.head, len(data))
	if f.cmd.page { // its data lie where the address says
		n = otpSize
	}
	c.opts.Permanent(append([]byte{f.op}, data[:n]...), f.garbled)
}

// clock passes the top n bits of b, one by one.
func (c *Chip) clock(b byte, n int) (in byte) {
	f := &c.wire
	for ; n > 0; n-- {
		if f.bits == 0 {
			f.tx = c.answer()
		}
		in = in<<1 | f.tx>>(7-f.bits)&1
		f.rx = f.rx<<1 | b>>7
		b <<= 1
		if f.bits++; f.bits == 8 {
			f.bits = 0
			c.take(f.rx)
		}
	}
	return in
}

// take is a whole byte that arrived.
func (c *Chip) take(b byte) {
	f := &c.wire
	if !f.selected {
		return
	}
	if n := c.opts.Faults.FlipIn; n > 0 && c.noise.IntN(n) == 0 {
		b ^= 1 << c.noise.IntN(8)
		f.garbled = true
	}
	switch {
	case f.n == 0:
		c.decode(b)
	case f.cmd == nil:
	case f.n < f.addrEnd:
		f.addr = f.addr<<8 | uint32(b)
	}
	if f.cmd != nil && f.n >= f.head {
		i := f.n - f.head
		if f.cmd.page {
			i += int(f.at & 255) // wraps in its page; of more than 256 bytes the last remain
		}
		f.data[i&255] = b
		if f.cmd.free && i < len(c.packet) {
			c.packet[i] = b
		}
	}
	f.n++
	if f.cmd != nil && f.n == f.addrEnd {
		f.at = c.point(f)
		f.start = f.at
	}
}

// answer is the byte that the chip drives while it takes the next one.
func (c *Chip) answer() byte {
	f := &c.wire
	if f.cmd == nil || f.n < f.head || c.err != nil {
		return 0xFF
	}
	if f.cmd.array {
		var one [1]byte
		c.readArray(one[:], f.start)
		f.start++
		b := byte(uint16(f.last)<<8>>f.skew) | one[0]>>f.skew
		f.last = one[0]
		return b
	}
	if f.cmd.answer == nil {
		return 0xFF
	}
	return f.cmd.answer(c, f.n-f.head)
}

// bulk passes the rest of a Shift at once where no byte of it needs a look of its own: the data of array reads
// and page programs, and frames that the chip does not take.
func (c *Chip) bulk(out, in []byte, i, n int) bool {
	f := &c.wire
	switch {
	case c.opts.Faults.DropByte > 0 || f.skew > 0, c.opts.Faults.FlipIn > 0 && out != nil:
		return false
	case !f.selected || f.n > 0 && f.cmd == nil || c.err != nil:
		for j := i; j < len(in); j++ {
			in[j] = 0xFF
		}
	case f.cmd != nil && f.cmd.array && f.n >= f.head:
		if in != nil {
			c.readArray(in[i:n], f.start)
		}
		f.start += uint32(n - i)
	case f.cmd != nil && f.cmd.page && f.n >= f.head && in == nil:
		to := f.n - f.head + int(f.at&255)
		for j, b := range out[i:n] {
			f.data[(to+j)&255] = b
		}
	default:
		return false
	}
	f.n += n - i
	return true
}

// steady is how many of the next n bytes tell the same status: until the operation under way ends, where that is known on the wire.
func (c *Chip) steady(n int) int {
	f := &c.wire
	if f.cmd == nil || f.op != 0x05 && f.op != 0x70 || f.n < f.head || c.opts.Faults.DropByte > 0 || c.err != nil {
		return 0
	}
	c.settle()
	switch {
	case !c.st.busy():
		return n
	case c.at.IsZero() || c.perByte <= 0 || c.opts.Faults.StuckBusy:
		return 0
	}
	// settle has seen that ready is ahead
	return min(n, 1+int((c.st.ready.Sub(c.at)-1)/c.perByte))
}

func fill(p []byte, b byte) {
	for i := range p {
		p[i] = b
	}
}

// lost tells whether the next byte gets lost on its way.
func (c *Chip) lost() bool {
	n := c.opts.Faults.DropByte
	if n == 0 || c.noise.IntN(n) > 0 {
		return false
	}
	c.wire.garbled = true
	return true
}

// garble is the weak contact.
func (c *Chip) garble(in []byte) {
	if c.opts.Faults.WeakContact <= 0 || !c.wire.selected {
		return
	}
	for i := range in {
		if c.noise.IntN(c.opts.Faults.WeakContact) == 0 {
			in[i] ^= byte(1 + c.noise.IntN(255))
		}
	}
}
