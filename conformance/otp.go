package conformance

import "bytes"

// otpSize is 64 bytes of data and the control byte.
const otpSize = 65

var otp = []Case{
	{Name: "4B reads the same 65 bytes each time, behind eight dummy clocks", Section: "2.3", needs: hasOTP, run: func(b *bench) {
		p := b.otp(0, otpSize)
		b.same("4B again", b.otp(0, otpSize), p)
		b.same("4B from 000010 on", b.otp(0x10, otpSize-0x10), p[0x10:])
		b.same("4B of the control byte", b.otp(0x40, 1), p[0x40:])
		b.check(!b.early(p), "4B answers without dummy clocks")
		if p[0x40]&1 != 0 {
			b.observe(false, "not locked")
		} else {
			b.observe(false, "locked")
		}
	}},
	{Name: "4B takes four address bytes in 4-byte mode", Section: "2.3", needs: hasOTP | wide, run: func(b *bench) {
		p := b.otp(0, otpSize)
		b.enabled(limitShort, 0xB7)
		b.same("4B", b.read(otpSize, append(wide4(0x4B, 0), 0)...), p)
		b.same("4B from 00000010 on", b.read(otpSize-0x10, append(wide4(0x4B, 0x10), 0)...), p[0x10:])
	}},
	{Name: "what 4B goes on with behind the control byte", Section: "2.3", needs: hasOTP, run: func(b *bench) {
		p := b.otp(0, otpSize+8)
		switch more := p[otpSize:]; {
		case bytes.Equal(more, p[:8]) && bytes.Equal(more, bytes.Repeat(p[0x40:0x41], 8)):
			b.observe(false, "byte 0 again or the control byte, which are alike")
		case bytes.Equal(more, p[:8]):
			b.observe(false, "byte 0 again")
		case bytes.Equal(more, bytes.Repeat(p[0x40:0x41], 8)):
			b.observe(false, "the control byte again")
		default:
			b.observe(false, "% X", more)
		}
	}},
}

// early tells whether what comes amid the dummy clocks is data: the byte before, at each address. Where all bytes are alike nobody can tell.
func (b *bench) early(p []byte) bool {
	alike, differ := true, false
	for at := 1; at < otpSize; at++ {
		alike = alike && b.byte(narrow(0x4B, at)...) == p[at-1]
		differ = differ || p[at] != p[0]
	}
	return alike && differ
}

// otp reads n bytes of the one-time-programmable area in 3-byte mode.
func (b *bench) otp(at, n int) []byte { return b.read(n, narrow(0x4B, at, 0)...) }
