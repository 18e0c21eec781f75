package pico

// port is the serial port as the firmware has it. Used by one goroutine.
type port Device

// Read waits for bytes from the host.
func (p *port) Read(into []byte) (int, error) {
	for {
		p.mu.Lock()
		if p.gone {
			p.mu.Unlock()
			return 0, ErrGone
		}
		n := copy(into, p.toChip)
		p.toChip = append(p.toChip[:0], p.toChip[n:]...)
		tell := p.ear(n > 0 && p.refused)
		p.mu.Unlock()
		tell()
		if n > 0 {
			return n, nil
		}
		<-p.came
	}
}

// Write says all of from to the host, or to nobody while DTR is low.
func (p *port) Write(from []byte) (n int, err error) {
	for {
		p.mu.Lock()
		switch {
		case p.gone:
			p.mu.Unlock()
			return n, ErrGone
		case !p.dtr:
			p.mu.Unlock()
			return len(from), nil
		}
		m := min(len(from)-n, p.opts.Buffer-len(p.toHost))
		p.toHost = append(p.toHost, from[n:n+m]...)
		n += m
		tell := p.ear(m > 0 && p.starved)
		p.mu.Unlock()
		tell()
		if n == len(from) {
			return n, nil
		}
		<-p.released
	}
}

// Held is how many bytes have come.
func (p *port) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.toChip)
}

// ear is the host's, where it is to hear something. It is called without p.mu.
func (p *port) ear(news bool) func() {
	if !news || p.notify == nil {
		return func() {}
	}
	return p.notify
}
