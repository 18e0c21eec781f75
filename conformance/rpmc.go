package conformance

var rpmc = []Case{
	{Name: "96 answers an extended status behind one dummy byte, on parts with monotonic counters", Section: "10", needs: counters, run: func(b *bench) {
		p := b.read(1, 0x96, 0x00)
		b.same("96 again", b.read(1, 0x96, 0x00), p)
		b.check(p[0] == 0x00 || p[0] == 0x80, "the status is %02X, and no command was sent", p[0])
		b.check(b.fsr() == 0x80, "flag status is not 80")
	}},
}
