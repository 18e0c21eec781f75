package conformance

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"station/spi"
)

// bench is one run on one chip. Once a case has ended (failed, skipped, link lost) its further frames are not sent and
// read zeros, so that cases need no error paths.
type bench struct {
	ctx  context.Context
	conn spi.Conn
	part Part
	opt  Options

	id   []byte // 20 bytes of 9F
	sr   byte   // status register as found, bits 7 to 2
	nvcr []byte // as found, low byte first
	held string // why lock bits may not be set
	mark int    // the first sector whose nonvolatile lock bit is set, or -1
	shut int    // the same in the Area
	boot byte   // volatile lock bits behind reset: 0 but on secure parts

	dirty map[int]bool  // sectors written to, by address
	set   bool          // lock bits were set, perhaps
	limit time.Duration // the longest that the case under way had to wait for

	unclean bool // the last case could not be undone

	run  context.Context // of Run, for whom tidying up must not end
	vcr  byte            // VCR as a case changed it for a witness of power-off, or 0
	kept bool            // the chip was not without supply, and the case proves nothing

	took map[byte]*waits // by the opcodes of Part.Longest

	result Result // of the case under way
	ended  bool
	err    error // the link or ctx failed
	trace  []exchange
}

// exchange is one frame as it was.
type exchange struct{ out, in []byte }

func (e exchange) String() string {
	s := short(e.out)
	if len(e.in) > 0 {
		s += " > " + short(e.in)
	}
	return s
}

func short(p []byte) string {
	if len(p) > 24 {
		return fmt.Sprintf("% X ... %d bytes", p[:24], len(p))
	}
	return fmt.Sprintf("% X", p)
}

// evidence is how many of the last frames a failure quotes.
const evidence = 16

// frames are sent in one Do.
func (b *bench) frames(fs ...spi.Frame) {
	if b.ended || b.err != nil {
		return
	}
	if err := b.conn.Do(b.ctx, fs...); err != nil {
		b.err = err
		return
	}
	for _, f := range fs {
		b.trace = append(b.trace, exchange{bytes.Clone(f.Out), bytes.Clone(f.In)})
	}
	if n := len(b.trace) - evidence; n > 0 {
		b.trace = b.trace[n:]
	}
}

// read sends one frame and returns the n bytes of its answer.
func (b *bench) read(n int, out ...byte) []byte {
	in := make([]byte, n)
	b.frames(spi.Frame{Out: out, In: in})
	return in
}

func (b *bench) byte(out ...byte) byte { return b.read(1, out...)[0] }

func (b *bench) send(out ...byte) { b.read(0, out...) }

// pause sends one frame and leaves the chip alone for d.
func (b *bench) pause(d time.Duration, out ...byte) { b.frames(spi.Frame{Out: out, Idle: d}) }

// enabled sends 06, then out, and waits until the chip is ready.
func (b *bench) enabled(limit time.Duration, out ...byte) {
	b.timed(limit, spi.Frame{Out: []byte{0x06}}, spi.Frame{Out: out})
}

// wait polls both status registers until all dies tell that the chip is ready. It returns when the last poll began that found it
// busy, zero if none did.
func (b *bench) wait(limit time.Duration) (busy time.Time) {
	b.limit = max(b.limit, limit)
	idle := min(max(limit/2000, 20*time.Microsecond), 20*time.Millisecond)
	for end := time.Now().Add(limit); !b.ended && b.err == nil; {
		kept, now := b.trace, time.Now()
		sr, fsr := b.sr05(), b.fsr()
		if sr&wip == 0 && fsr&0x80 != 0 {
			return busy
		}
		busy = now
		if time.Now().After(end) {
			b.failf("busy for longer than %v", limit)
			return busy
		}
		b.frames(spi.Frame{Idle: idle})
		b.trace = kept // one poll is evidence enough
	}
	return busy
}

// look is some frames of a batch; looked at once the batch is done.
type look []spi.Frame

// out is a frame without an answer, in one with n bytes of it, slow one after which the chip is left alone.
func out(p ...byte) look       { return look{{Out: p}} }
func in(n int, p ...byte) look { return look{{Out: p, In: make([]byte, n)}} }
func slow(p ...byte) look      { return look{{Out: p, Idle: afterWake / 2}} }

// batch sends the frames of all looks in one Do.
func (b *bench) batch(all ...look) {
	var fs []spi.Frame
	for _, l := range all {
		fs = append(fs, l...)
	}
	b.frames(fs...)
}

// each reads a status register once for each die: on stacked parts each frame may tell of another die.
func (b *bench) each(op byte) look {
	var l look
	for range b.part.Dies {
		l = append(l, in(1, op)...)
	}
	return l
}

// sr is what the frames of each(05) tell of the whole part, fsr what those of each(70) tell: it is ready when all dies are.
func (l look) sr() (v byte) {
	for _, f := range l {
		v |= f.In[0]
	}
	return v
}

func (l look) fsr() byte {
	v, ready := byte(0), byte(0x80)
	for _, f := range l {
		v |= f.In[0]
		ready &= f.In[0]
	}
	return v&0x7F | ready
}

// sr05 and fsr are the status registers of the whole part.
func (b *bench) sr05() byte {
	l := b.each(0x05)
	b.batch(l)
	return l.sr()
}

func (b *bench) fsr() byte {
	l := b.each(0x70)
	b.batch(l)
	return l.fsr()
}

// Bits of the two status registers.
const (
	wip    = 0x01
	wel    = 0x02
	bp     = 0x5C
	failed = 0x3A // flag status: erase, program, reserved, protection
)

func (b *bench) failf(format string, args ...any) {
	if b.ended || b.err != nil {
		return
	}
	b.ended = true
	b.result.Status, b.result.Detail, b.result.Differs = Fail, fmt.Sprintf(format, args...), false
	for _, e := range b.trace {
		b.result.Evidence = append(b.result.Evidence, e.String())
	}
}

// skipf ends a case that finds no ground to be tried on.
func (b *bench) skipf(format string, args ...any) {
	if b.ended || b.err != nil {
		return
	}
	b.ended = true
	b.result.Status, b.result.Detail = Skipped, fmt.Sprintf(format, args...)
}

// observe makes the result Observed with these words, unless the case fails yet.
func (b *bench) observe(differs bool, format string, args ...any) {
	if b.ended || b.err != nil {
		return
	}
	b.result.Status, b.result.Detail, b.result.Differs = Observed, fmt.Sprintf(format, args...), differs
}

// check fails the case where ok is false.
func (b *bench) check(ok bool, format string, args ...any) {
	if !ok {
		b.failf(format, args...)
	}
}

// same fails the case where an answer is another than expected.
func (b *bench) same(what string, got, want []byte) {
	if !bytes.Equal(got, want) {
		b.failf("%s is %s, want %s", what, short(got), short(want))
	}
}

// status fails the case where SR without its nonvolatile bits, or the error bits of FSR, are others.
func (b *bench) status(when string, sr, errors byte) {
	got, flags := b.sr05()&(wel|wip), b.fsr()&failed
	b.check(got == sr && flags == errors, "%s: WEL and WIP are %02X and the error bits %02X, want %02X and %02X", when, got, flags, sr, errors)
}
