package nor

// board is where array and state live. The array in it is inverted: a blank cell is 0.
type board interface {
	read(p []byte, addr uint32) error
	write(p []byte, addr uint32) error
	blank(addr, n uint32) error // to zero
	save(slot []byte, seq uint64) error
	close() error
}

// fail makes the chip dead where err is not nil.
func (c *Chip) fail(err error) {
	if err != nil && c.err == nil {
		c.err = err
	}
}

// save brings the state to the board.
func (c *Chip) save() {
	if c.err != nil {
		return
	}
	c.st.seq++
	if _, ok := c.board.(*memory); ok {
		return // nobody will read it
	}
	c.slot = c.st.encode(c.slot[:0])
	c.fail(c.board.save(c.slot, c.st.seq))
}

// memory is a board that ends with its process.
type memory struct{ bytes []byte }

func (m *memory) read(p []byte, addr uint32) error  { copy(p, m.bytes[addr:]); return nil }
func (m *memory) write(p []byte, addr uint32) error { copy(m.bytes[addr:], p); return nil }

func (m *memory) blank(addr, n uint32) error {
	if int(n) == len(m.bytes) {
		m.bytes = make([]byte, n) // untouched memory costs nothing
		return nil
	}
	clear(m.bytes[addr : addr+n])
	return nil
}

func (m *memory) save([]byte, uint64) error { return nil }
func (m *memory) close() error              { return nil }
