package usbip

// Accepts tells whether a header is one that a kernel may send, and how many bytes of data follow it.
func Accepts(p *[48]byte) (follow int, ok bool) {
	c, err := parse(p)
	if err != nil || c.code == cmdUnlink || c.in {
		return 0, err == nil
	}
	return c.length, true
}
