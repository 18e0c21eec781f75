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

// memory is a board that ends with its process: one block for each 64 KiB, nil where it is blank.
type memory struct{ blocks [][]byte }

const block = 64 << 10

// pieces calls do for each block's part of addr..addr+n-1.
func (m *memory) pieces(addr, n uint32, do func(b *[]byte, from, to uint32)) {
	for n > 0 {
		from := addr % block
		k := min(n, block-from)
		do(&m.blocks[addr/block], from, from+k)
		addr, n = addr+k, n-k
	}
}

func (m *memory) read(p []byte, addr uint32) error {
	m.pieces(addr, uint32(len(p)), func(b *[]byte, from, to uint32) {
		if *b == nil {
			clear(p[:to-from])
		} else {
			copy(p, (*b)[from:to])
		}
		p = p[to-from:]
	})
	return nil
}

func (m *memory) write(p []byte, addr uint32) error {
	m.pieces(addr, uint32(len(p)), func(b *[]byte, from, to uint32) {
		if *b == nil {
			*b = make([]byte, block)
		}
		p = p[copy((*b)[from:to], p):]
	})
	return nil
}

func (m *memory) blank(addr, n uint32) error {
	m.pieces(addr, n, func(b *[]byte, from, to uint32) {
		if to-from == block {
			*b = nil
		} else if *b != nil {
			clear((*b)[from:to])
		}
	})
	return nil
}

func (m *memory) save([]byte, uint64) error { return nil }
func (m *memory) close() error              { return nil }
