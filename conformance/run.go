package conformance

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"station/spi"
)

// How often the ID is read: before the first case, and behind a failure and the last one, where a contact that garbles one answer byte in
// thousands is still to be noticed.
const (
	looks     = 64
	suspicion = 512
)

// Run tries all cases on the chip of conn. The results are in the order of Cases, one for each case unless an error ended the
// run: ErrContact, ErrBusy, ErrState, that of ctx, or what conn says, wrapped with the name of the case. A part of another ID
// is no error: the first case fails, and the others are skipped. When ctx ends, the chip is still brought
// back to what it was, but for the data of the Area.
func Run(ctx context.Context, conn spi.Conn, part Part, o Options) ([]Result, error) {
	if err := valid(part, o.Area); err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, run: ctx, conn: conn, part: part, opt: o, dirty: map[int]bool{}, took: map[byte]*waits{}}
	if err := b.meet(); err != nil {
		return nil, err
	}
	var results []Result
	for _, c := range Cases() {
		r, err := b.try(c)
		if err != nil && b.set {
			return results, fmt.Errorf("%s: %w (lock bits of the area may be set, E4 clears them)", c.Name, err)
		}
		if err != nil {
			return results, fmt.Errorf("%s: %w", c.Name, err)
		}
		results = append(results, r)
		if o.Report != nil {
			o.Report(r)
		}
	}
	if b.stranger() == "" && !b.contact(suspicion) && b.err == nil {
		return results, fmt.Errorf("%w: the ID is not always % X at the end", ErrContact, b.id)
	}
	return results, b.err
}

func valid(p Part, a Range) error {
	switch {
	case p.Size < 4*sector || p.Size%sector != 0 || p.Dies < 1 || p.Size%p.Dies != 0:
		return fmt.Errorf("a part of %d bytes in %d dies makes no sense", p.Size, p.Dies)
	case p.AddressBytes != 3 && p.AddressBytes != 4:
		return fmt.Errorf("a part with %d address bytes makes no sense", p.AddressBytes)
	case a.Size == 0:
		return nil
	case a.Size < 4*sector || a.Addr%sector != 0 || a.Size%sector != 0 || a.Addr < 0 || a.Addr+a.Size > p.Size:
		return fmt.Errorf("the area of %X bytes at %08X is not four whole sectors or more of a part of %X bytes", a.Size, a.Addr, p.Size)
	}
	return nil
}

// ordinary are the bits of NVCR that have to be 1 for a chip that comes up as the statements expect it: dummy clocks, protocols,
// segment, address bytes.
const ordinary = 0xF02F

// meet reads what the chip is and how it was found. A chip of another part is left alone behind its ID.
func (b *bench) meet() error {
	b.pause(afterWake, 0xAB)
	if b.stuck(b.each(0x05)) {
		return fmt.Errorf("%w: before the first case", ErrBusy)
	}
	b.id = b.read(20, 0x9F)
	steady := b.contact(looks)
	switch {
	case b.err != nil:
		return b.err
	case !steady || len(bytes.Trim(b.id[:3], "\x00\xFF")) == 0:
		return fmt.Errorf("%w: the ID reads % X, want it always the same, and neither 00 nor FF", ErrContact, b.id)
	case b.stranger() != "":
		return nil
	}
	b.nvcr = b.read(2, 0xB5) // before the first reset, behind which such a chip might not be reached any more
	if v := uint16(b.nvcr[0]) | uint16(b.nvcr[1])<<8; b.err == nil && v&ordinary != ordinary {
		return fmt.Errorf("NVCR is %04X: %w", v, ErrState)
	}
	b.reset()
	b.send(0x50)
	b.sr = b.sr05() &^ (wel | wip)
	b.boot = b.vlb(2 * sector)
	b.mark = b.marked(0, b.part.Size)
	b.shut = b.marked(b.opt.Area.Addr, b.opt.Area.Addr+b.opt.Area.Size)
	b.held = b.lockable()
	return b.err
}

// stranger says that another part answers, or nothing.
func (b *bench) stranger() string {
	if bytes.Equal(b.id[:6], b.part.ID[:]) {
		return ""
	}
	return fmt.Sprintf("another part answers: % X, not % X", b.id[:6], b.part.ID)
}

// contact tells whether the ID still is what it was, so many times.
func (b *bench) contact(times int) bool {
	for range times {
		if !bytes.Equal(b.read(20, 0x9F), b.id) {
			return false
		}
	}
	return true
}

// try runs one case. What fails has to fail twice, and alike: a contact that is good for all looks at the ID may still spoil a frame.
func (b *bench) try(c Case) (Result, error) {
	if who := b.stranger(); who != "" {
		if c.Name == identity {
			return Result{Case: c, Status: Fail, Detail: who, Evidence: []string{exchange{[]byte{0x9F}, b.id}.String()}}, nil
		}
		return Result{Case: c, Status: Skipped, Detail: who}, nil
	}
	if why, locked := b.unmet(c.needs); why != "" {
		return Result{Case: c, Status: Skipped, Detail: why, Locked: locked}, nil
	}
	if b.opt.Begin != nil {
		b.opt.Begin(c)
	}
	first, err := b.once(c)
	for range 2 {
		if err != nil || !b.kept {
			break
		}
		b.again()
		first, err = b.once(c)
	}
	if err != nil || first.Status != Fail || b.unclean {
		return first, err
	}
	second, err := b.once(c)
	if err == nil && (second.Status != Fail || second.Detail != first.Detail) {
		return Result{}, fmt.Errorf("%w: it failed (%s), and then did not, or otherwise (%s)", ErrContact, first.Detail, second.Detail)
	}
	return first, err
}

// once runs one case between two looks at the contact, and tidies up.
func (b *bench) once(c Case) (Result, error) {
	b.result, b.ended, b.trace, b.limit = Result{Case: c, Status: Pass}, false, nil, limitErase
	b.vcr, b.kept = 0, false
	if now := b.read(20, 0x9F); !bytes.Equal(now, b.id) && b.err == nil {
		return Result{}, fmt.Errorf("%w: the ID reads % X, and was % X", ErrContact, now, b.id)
	}
	b.trace = nil
	c.run(b)
	cause, outer := b.err, b.ctx
	// Tidying up does not end with ctx, and never waits for ever.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(outer), limitTidy)
	defer cancel()
	b.ctx, b.err = ctx, nil
	wrong := b.tidy()
	b.ctx = outer
	switch {
	case cause != nil:
		return Result{}, cause
	case b.err != nil:
		return Result{}, b.err
	case wrong != nil:
		return Result{}, wrong
	}
	return b.result, nil
}

// tidy brings the chip back to what it was before the case. The error says that it does not answer as before.
func (b *bench) tidy() error {
	result := b.result
	b.result, b.ended, b.trace = Result{}, false, nil
	b.restore()
	undone := b.result
	if undone.Status == Fail {
		b.result, b.ended, b.trace = Result{}, false, nil
		if b.restore(); b.result.Status != Fail && b.err == nil {
			return fmt.Errorf("%w: the case could not be undone (%s), and then could", ErrContact, undone.Detail)
		}
	}
	b.result, b.ended, b.unclean = result, false, undone.Status == Fail
	if l := b.each(0x05); b.stuck(l) {
		return fmt.Errorf("%w: 05 reads %02X", ErrBusy, l.sr())
	}
	times := 1
	if b.unclean || result.Status == Fail {
		times = suspicion
	}
	if !b.contact(times) && b.err == nil {
		return fmt.Errorf("%w: the ID is not always % X behind the case", ErrContact, b.id)
	}
	if b.unclean && result.Status != Fail {
		b.result = Result{Case: result.Case, Status: Fail, Detail: "could not be undone: " + undone.Detail, Evidence: undone.Evidence}
	}
	return nil
}

// stuck reads both status registers twice, and tells whether they answer, and alike, that the chip is busy.
func (b *bench) stuck(first look) bool {
	flags, again, more := b.each(0x70), b.each(0x05), b.each(0x70)
	b.batch(first, flags, again, more)
	sr, fsr := first.sr(), flags.fsr()
	return sr != 0xFF && sr&wip != 0 && fsr&0x88 == 0 && again.sr() == sr && more.fsr() == fsr
}

// restore wakes the chip, ends what is under way, and takes back locks, modes and registers. Its failures are those of a case.
func (b *bench) restore() {
	b.pause(afterWake, 0xAB)
	b.wait(b.limit)
	if b.fsr()&0x44 != 0 {
		b.send(0x7A)
		b.wait(b.limit)
	}
	b.reset()
	b.send(0x50)
	if b.set && b.byte(0xA7)&1 == 0 && b.opt.Power != nil {
		b.switchOff() // where it keeps its supply the freeze tells
	}
	if b.fsr()&1 != 0 {
		b.enabled(limitShort, 0xE9)
	}
	if now := b.read(2, 0xB5); !bytes.Equal(now, b.nvcr) && b.opt.NVCR {
		b.enabled(limitNVCR, 0xB1, b.nvcr[0], b.nvcr[1])
		b.same("NVCR", b.read(2, 0xB5), b.nvcr)
		b.reset()
	}
	if b.sr05()&^(wel|wip) != b.sr {
		b.enabled(limitShort, 0x01, b.sr)
	}
	b.unlock()
	b.send(0x50)
	sr, fsr := b.sr05(), b.fsr()
	b.check(sr == b.sr && fsr == 0x80, "status %02X, flag status %02X, want %02X and 80", sr, fsr, b.sr)
}

// unlock clears the lock bits that the case set. Where it cannot, none is set any more.
func (b *bench) unlock() {
	if !b.set {
		return
	}
	b.enabled(limitErase, 0xE4)
	b.check(b.byte(0xA7)&1 != 0, "the freeze does not end")
	if at := b.marked(0, b.part.Size); at >= 0 {
		b.failf("the sector at %08X is still locked behind E4", at)
	}
	if b.ended {
		b.held = "lock bits could not be taken back"
	}
	b.set = b.ended
}

// reset sends 66 and 99.
func (b *bench) reset() {
	b.send(0x66)
	b.pause(afterReset, 0x99)
}

// last is the last statement of a run.
var last = []Case{{Name: "the chip is left as it was found, and what was written to is blank", Section: "12", run: leave}}

func leave(b *bench) {
	for _, at := range slices.Sorted(maps.Keys(b.dirty)) {
		b.blank(at)
	}
	if at := b.marked(0, b.part.Size); at != b.mark {
		b.failf("the first locked sector is %X, was %X", at, b.mark)
	}
	b.same("NVCR", b.read(2, 0xB5), b.nvcr)
	b.check(b.sr05() == b.sr, "status is not %02X", b.sr)
}
