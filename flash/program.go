package flash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"station/spi"
)

// Page programs are sent many at a time, each before it is known that the one before has ended. While a chip is busy it takes nothing but
// status reads, so a page that comes too early is ignored whole: it counts only when the chip was seen ready before its write enable, and is
// sent again otherwise. Nothing is ever programmed twice into other bits or at another address by that.
const (
	batchTime    = 100 * time.Millisecond // of one batch: the step of progress and of cancellation
	firstBatch   = 16                     // pages, while nobody knows how long this chip takes
	mostBatch    = 512                    // pages
	leastSamples = 4                      // status bytes in which the end of a program is awaited
	usualSamples = 16
	mostSamples  = 8 << 10 // on links that keep no Idle
	fewLate      = 32      // of so many pages one may be late before the chip is given more time
	manyLate     = 8       // likewise, much more
	headerLen    = 5       // opcode and address, at most
	pageFrames   = 3       // write enable, its latch, program; two for each die follow
)

// page is what one page program is to do. data stays in one page.
type page struct {
	addr int64
	data []byte
}

// pages are the page programs of ops, one after the other.
type pages struct {
	ops  []Op
	at   int64 // bytes of ops[0] that are gone
	size int64 // of a page
	most int   // bytes of data that one frame holds
}

func (p *pages) next() (page, bool) {
	if len(p.ops) == 0 {
		return page{}, false
	}
	op := p.ops[0]
	addr := op.Addr + p.at
	n := min(op.Size-p.at, p.size-addr%p.size, int64(p.most))
	next := page{addr, op.Data[p.at : p.at+n]}
	if p.at += n; p.at == op.Size {
		p.ops, p.at = p.ops[1:], 0
	}
	return next, true
}

// batch is a run of page programs under way, and what the runs before it taught of the chip. Its buffers are used again and again.
type batch struct {
	wait   time.Duration // from a program to the first status sample that is expected to be ready; 0: nothing is known
	window time.Duration // while nothing is known: how long samples are taken
	most   int           // pages of the next batch

	pages  []page
	redo   []page // were ignored, because the one before was late
	alone  []page // were ignored, and nobody knows why
	busy   []int  // of each page: samples before the first that was ready
	frames []spi.Frame
	out    []byte // commands
	in     []byte // answers
	n      int    // status samples of a page
}

// programs carries out those of ops, of which none is an erase, on a chip that is ready.
func (c *Chip) programs(ctx context.Context, ops []Op, step func(n int64)) error {
	if firmware, ok := c.conn.(spi.PageProgrammer); ok {
		return c.programsInFirmware(ctx, firmware, ops, step)
	}
	limits := c.conn.Limits()
	if limits.MaxFrame <= headerLen {
		return fmt.Errorf("program: the link's frames of %d bytes hold no data", limits.MaxFrame)
	}
	b := &c.batch
	b.redo = b.redo[:0]
	if b.most == 0 {
		b.window, b.most = c.part.Program.Typ*3/2, firstBatch
	}
	source := pages{ops: ops, size: c.part.Page, most: limits.MaxFrame - headerLen}
	for {
		b.pages = append(b.pages[:0], b.redo...)
		b.redo = b.redo[:0]
		for len(b.pages) < b.most {
			p, ok := source.next()
			if !ok {
				break
			}
			b.pages = append(b.pages, p)
		}
		if len(b.pages) == 0 {
			return nil
		}
		if err := c.programBatch(ctx, limits); err != nil {
			return err
		}
		var done int64
		for _, p := range b.pages {
			done += int64(len(p.data))
		}
		for _, p := range b.redo {
			done -= int64(len(p.data))
		}
		if done > 0 {
			step(done)
		}
	}
}

// programBatch sends the pages of c.batch and judges each. What was ignored is left in c.batch.redo; the first page never is.
func (c *Chip) programBatch(ctx context.Context, limits spi.Limits) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := &c.batch
	idle := b.timing(limits, c.part.Program.Typ)
	c.encode(idle)
	limit := c.part.Limit(c.part.Program.Max)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(len(b.pages))*(idle+time.Duration(b.bytes())*limits.ByteTime)+limit+linkLimit)
	defer cancel()
	if err := c.conn.Do(bounded, b.frames...); err != nil {
		p := b.pages[0]
		if f, ok := errors.AsType[*spi.FrameError](err); ok && f.Index < len(b.frames) {
			p = b.pages[f.Index/(pageFrames+2*c.dies)]
		}
		return fmt.Errorf("%s: %w", at("program", p.addr), err)
	}
	began := time.Now().Add(-idle - time.Duration(b.n)*limits.ByteTime) // the last page
	late := 0
	b.busy, b.alone = b.busy[:0], b.alone[:0]
	ready, last := true, b.pages[0] // the chip, before the page; the page that was accepted last
	for i, p := range b.pages {
		enabled, s, busy := c.seen(i)
		switch {
		case s.fsr&fsrErrors != 0 && !s.floating():
			now, err := c.wait(bounded, "program", last.addr, began, limit, shortestPoll)
			if err != nil {
				return err
			}
			return c.refused(bounded, last, p, ready, s, now)
		case !ready:
			b.redo = append(b.redo, p)
			if enabled&(statusWEL|statusWIP) == statusWEL {
				last = p // no proof that it was taken, but then it is the one that keeps the chip busy
			}
		case enabled&(statusWEL|statusWIP) != statusWEL || c.dies == 1 && s.ready() && s.sr&statusWEL != 0:
			// It was not taken, and no page before it is why. (Of a stacked part the latch may be what one die told before another was ready.)
			b.alone = append(b.alone, p)
		default:
			last = p
		}
		if ready = s.ready(); !ready {
			late++
		}
		b.busy = append(b.busy, busy)
	}
	b.learn(limits, late, idle, c.part.Program.Typ)
	if !ready {
		s, err := c.wait(bounded, "program", last.addr, began, limit, shortestPoll)
		if err == nil {
			err = c.judge(bounded, command{"program", last.addr, nil, c.part.Program}, s)
		}
		if err != nil {
			return err
		}
	}
	for _, p := range b.alone {
		if err := c.programAlone(bounded, p); err != nil {
			return err
		}
	}
	return nil
}

// timing sets how many status samples end a page, and returns the Idle between the program and these. As long as nothing is known of the chip, samples alone
// tell how long it takes.
func (b *batch) timing(limits spi.Limits, typ time.Duration) (idle time.Duration) {
	t := limits.ByteTime
	end := b.wait + b.margin(limits, typ) // of the samples
	switch {
	case t == 0:
		b.n = usualSamples
	case b.wait == 0:
		end, b.n = b.window, int(b.window/t)
	case limits.HostIdle:
		b.n = int((end + t - 1) / t)
	default:
		b.n = int((end - b.wait) / t)
	}
	b.n = max(leastSamples, min(b.n, mostSamples, limits.MaxFrame-1))
	grain := max(limits.Grain, 1)
	if n := (b.n + 1 + grain - 1) / grain * grain; n <= limits.MaxFrame {
		b.n = n - 1
	}
	if t == 0 && b.wait == 0 {
		return typ
	}
	return max(0, end-time.Duration(b.n)*t)
}

// margin is the time of the samples in which the end is awaited.
func (b *batch) margin(limits spi.Limits, typ time.Duration) time.Duration {
	return max(leastSamples*limits.ByteTime, min(usualSamples*limits.ByteTime, typ/8))
}

// bytes are those of one page on the wire, about.
func (b *batch) bytes() int { return 1 + 2 + headerLen + 256 + 1 + b.n + 2 }

// learn fits the next batch to how this one went, of which so many pages were still busy at their last status sample, the first one being taken after idle. The samples are put around the end of
// all pages but the few that are slowest by far.
func (b *batch) learn(limits spi.Limits, late int, idle, typ time.Duration) {
	b.most = min(2*b.most, mostBatch)
	if limits.ByteTime == 0 {
		b.wait = max(b.wait, typ)
		if late*fewLate > len(b.pages) {
			b.wait += b.wait / 4
		}
		if limits.HostIdle {
			b.most = 1 // the host waits after each page: nothing is won by more
		}
		return
	}
	slices.Sort(b.busy)
	samples := b.busy[len(b.busy)-1-(len(b.busy)+fewLate/2)/fewLate]
	half := b.margin(limits, typ) / 2
	switch {
	case b.wait == 0 && samples == b.n:
		b.window *= 2
		b.most = firstBatch
		return
	case b.wait > 0 && samples == 0 && idle > 0:
		// It is less, and samples tell how much.
		b.window, b.wait, b.most = b.wait, 0, firstBatch
		return
	case samples < b.n:
		b.wait = max(half, idle+time.Duration(samples)*limits.ByteTime-half)
	case late*manyLate > len(b.pages):
		b.wait += b.wait / 4
		b.most = max(firstBatch, b.most/4)
	default:
		b.wait += 2 * half
	}
	b.most = max(1, min(b.most, int(batchTime/(b.wait+time.Duration(b.bytes())*limits.ByteTime))))
	if limits.HostIdle && idle > 0 {
		b.most = 1
	}
}

var (
	writeEnable = []byte{opWriteEnable}
	readStatus  = []byte{opReadStatus}
	readFlags   = []byte{opReadFlags}
)

// answers is how many bytes a page of the batch answers.
func (c *Chip) answers() int { return 1 + c.batch.n + 1 + 2*(c.dies-1) }

// encode makes the frames of the batch.
func (c *Chip) encode(idle time.Duration) {
	b := &c.batch
	if n := len(b.pages) * c.answers(); cap(b.in) < n {
		b.in = make([]byte, n)
	}
	if n := len(b.pages) * (headerLen + int(c.part.Page)); cap(b.out) < n {
		b.out = make([]byte, 0, n)
	}
	b.frames, b.out, b.in = b.frames[:0], b.out[:0], b.in[:len(b.pages)*c.answers()]
	for i, p := range b.pages {
		in := b.in[i*c.answers() : (i+1)*c.answers()]
		at := len(b.out)
		b.out = append(c.appendAddressed(b.out, opProgram, opProgram4, p.addr), p.data...)
		b.frames = append(b.frames,
			spi.Frame{Out: writeEnable},
			spi.Frame{Out: readStatus, In: in[:1]},
			spi.Frame{Out: b.out[at:], Idle: idle},
			spi.Frame{Out: readStatus, In: in[1 : 1+b.n]},
			spi.Frame{Out: readFlags, In: in[1+b.n : 2+b.n]})
		for rest := in[2+b.n:]; len(rest) > 0; rest = rest[2:] {
			b.frames = append(b.frames, spi.Frame{Out: readStatus, In: rest[:1]}, spi.Frame{Out: readFlags, In: rest[1:2]})
		}
	}
}

// seen is what page i answered: the status register behind its write enable, both registers behind its program by all dies together as look.status
// merges them, and how many samples were busy before the first one that was not.
func (c *Chip) seen(i int) (enabled byte, s status, busy int) {
	in := c.batch.in[i*c.answers() : (i+1)*c.answers()]
	n := c.batch.n
	s = status{in[n], in[1+n]}
	for busy < n && in[1+busy]&statusWIP != 0 {
		busy++
	}
	for rest := in[2+n:]; len(rest) > 0; rest = rest[2:] {
		s.sr |= rest[0]
		s.fsr = s.fsr&rest[1]&fsrReady | (s.fsr|rest[1])&^fsrReady
	}
	return in[0], s, busy
}

// programAlone is a page that a batch could not place, with every check that a single command has.
func (c *Chip) programAlone(ctx context.Context, p page) error {
	if _, err := c.ready(ctx, c.part.Limit(c.part.Program.Max)); err != nil {
		return err
	}
	return c.execute(ctx, command{"program", p.addr, append(c.addressed(opProgram, opProgram4, p.addr), p.data...), c.part.Program})
}

// refused finds the page that raised an error flag, which s tells of a chip that is ready again: p, behind which it was seen first; or, where the chip had not been ready before p, the late one.
func (c *Chip) refused(ctx context.Context, late, p page, ready bool, seen, s status) error {
	switch {
	case s.fsr&fsrErrors == 0: // they stay until they are cleared
		return fmt.Errorf("%s: %w", at("program", p.addr), &UnstableError{"read flag status", -1, []byte{seen.fsr}, []byte{s.fsr}})
	case ready:
		return c.judge(ctx, command{"program", p.addr, nil, c.part.Program}, s)
	}
	err := c.judge(ctx, command{"program", late.addr, nil, c.part.Program}, s)
	for _, one := range []page{late, p} {
		if again := c.programAlone(ctx, one); again != nil {
			return again
		}
	}
	return err
}
