package ftdi

// fifo is a byte queue of fixed size.
type fifo struct {
	buf        []byte
	head, tail int
}

func (f *fifo) len() int   { return f.tail - f.head }
func (f *fifo) free() int  { return len(f.buf) - f.len() }
func (f *fifo) clear()     { f.head, f.tail = 0, 0 }
func (f *fifo) next() byte { return f.buf[f.head] }

// put appends as much of p as fits.
func (f *fifo) put(p []byte) int {
	if f.head > 0 && len(f.buf)-f.tail < len(p) {
		f.tail = copy(f.buf, f.buf[f.head:f.tail])
		f.head = 0
	}
	n := copy(f.buf[f.tail:], p)
	f.tail += n
	return n
}

// take moves up to len(p) bytes from the front to p.
func (f *fifo) take(p []byte) int {
	n := copy(p, f.buf[f.head:f.tail])
	f.drop(n)
	return n
}

func (f *fifo) drop(n int) {
	if f.head += n; f.head == f.tail {
		f.clear()
	}
}
