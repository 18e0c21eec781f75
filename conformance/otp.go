package conformance

import "bytes"

var otp = []Case{
	{Name: "4B reads the same bytes each time, behind eight dummy clocks", Section: "2.3", needs: hasOTP, run: func(b *bench) {
		size := b.part.OTPSize
		p := b.otp(0, size+1)
		b.same("4B again", b.otp(0, size+1), p)
		b.same("4B from the middle on", b.otp(size/2, size+1-size/2), p[size/2:])
		b.same("4B of the control byte", b.otp(size, 1), p[size:])
		b.check(!b.early(p), "4B answers without dummy clocks")
		if p[size]&1 != 0 {
			b.observe(false, "not locked")
		} else {
			b.observe(false, "locked")
		}
	}},
	{Name: "4B takes four address bytes in 4-byte mode", Section: "2.3", needs: hasOTP | wide, run: func(b *bench) {
		n := b.part.OTPSize + 1
		p := b.otp(0, n)
		b.enabled(limitShort, 0xB7)
		b.same("4B", b.read(n, append(wide4(0x4B, 0), 0)...), p)
		b.same("4B from its second byte on", b.read(n-1, append(wide4(0x4B, 1), 0)...), p[1:])
	}},
	{Name: "what 4B goes on with behind the control byte", Section: "2.3", needs: hasOTP, run: func(b *bench) {
		// Data that are no more than the profile's and differ from what comes behind them are what can tell.
		size := b.part.OTPSize
		p := b.otp(0, 4*(size+1))
		tail := len(p) - 1 // the first of the bytes that are all alike up to the end
		for tail > 0 && p[tail-1] == p[tail] {
			tail--
		}
		period := 1
		for period < len(p) && !bytes.Equal(p[period:], p[:len(p)-period]) {
			period++
		}
		switch {
		case tail == 0:
			b.observe(false, "all bytes are %02X", p[0])
		case period <= len(p)/2:
			b.observe(period != size+1, "byte 0 again, behind %d bytes and the control byte", period-1)
		case tail <= len(p)/2:
			b.observe(tail > size, "the control byte again; there are %d bytes before it, or more", tail)
		default:
			b.observe(true, "no end within %d bytes", len(p))
		}
	}},
}

// early tells whether what comes amid the dummy clocks is data: the byte before, at each address. Where all bytes are alike nobody can tell.
func (b *bench) early(p []byte) bool {
	alike, differ := true, false
	for at := 1; at < len(p); at++ {
		alike = alike && b.byte(narrow(0x4B, at)...) == p[at-1]
		differ = differ || p[at] != p[0]
	}
	return alike && differ
}

// otp reads n bytes of the one-time-programmable area in 3-byte mode.
func (b *bench) otp(at, n int) []byte { return b.read(n, narrow(0x4B, at, 0)...) }
