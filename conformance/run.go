package conformance

import (
	"bytes"
	"context"
	"fmt"

	"station/spi"
)

// looks is how often the ID is read before the first case and after each failure: a contact that garbles one answer byte in
// some hundreds is noticed.
const looks = 64

// Run tries all cases on the chip of conn. The results are in the order of Cases, one for each case unless an error ended the
// run: ErrContact, ErrBusy, that of ctx, or what conn says, wrapped with the name of the case. A part of another ID
// is no error: the first case fails, and the others are skipped. When ctx ends, the chip is still brought
// back to what it was, but for the data of the Area.
func Run(ctx context.Context, conn spi.Conn, part Part, o Options) ([]Result, error) {
	if err := valid(part, o.Area); err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, conn: conn, part: part, opt: o, dirty: map[int]bool{}}
	if err := b.meet(); err != nil {
		return nil, err
	}
	var results []Result
	for _, c := range Cases() {
		r, err := b.try(c)
		if err != nil {
			return results, fmt.Errorf("%s: %w", c.Name, err)
		}
		results = append(results, r)
		if o.Report != nil {
			o.Report(r)
		}
	}
	return results, nil
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

// meet reads what the chip is and how it was found.
func (b *bench) meet() error {
	b.id = b.read(20, 0x9F)
	if !b.contact() || len(bytes.Trim(b.id[:3], "\x00\xFF")) == 0 {
		if b.err != nil {
			return b.err
		}
		return fmt.Errorf("%w: the ID reads % X, and not always", ErrContact, b.id)
	}
	if b.stranger() != "" {
		return nil
	}
	b.pause(afterReset, 0x66)
	b.pause(afterReset, 0x99)
	b.send(0x50)
	b.sr = b.sr05() &^ (wel | wip)
	b.nvcr = b.read(2, 0xB5)
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

// contact tells whether the ID still is what it was, looks times.
func (b *bench) contact() bool {
	for range looks {
		if !bytes.Equal(b.read(20, 0x9F), b.id) {
			return false
		}
	}
	return true
}

// try runs one case between two looks at the contact, and tidies up.
func (b *bench) try(c Case) (Result, error) {
	b.result, b.ended, b.trace = Result{Case: c, Status: Pass}, false, nil
	switch who := b.stranger(); {
	case who != "" && len(b.id) > 0 && c.Name == identity:
		b.result.Status, b.result.Detail = Fail, who
		return b.result, nil
	case who != "":
		b.result.Status, b.result.Detail = Skipped, who
		return b.result, nil
	}
	if why := b.unmet(c.needs); why != "" {
		b.result.Status, b.result.Detail = Skipped, why
		return b.result, nil
	}
	if !bytes.Equal(b.read(20, 0x9F), b.id) && b.err == nil {
		return Result{}, fmt.Errorf("%w: the ID is another before the case", ErrContact)
	}
	b.trace = nil
	c.run(b)
	cause := b.err
	// Tidying up must not end with ctx, and never waits for ever.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), limitTidy)
	defer cancel()
	outer := b.ctx
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
	result, trace := b.result, b.trace
	b.result, b.ended, b.trace = Result{}, false, nil
	b.restore()
	unclean, evidence := b.result.Detail, b.result.Evidence
	b.result, b.ended, b.trace = result, false, trace
	if sr, fsr := b.sr05(), b.fsr(); sr != 0xFF && sr&wip != 0 && fsr&0x80 == 0 && fsr&0x08 == 0 && b.sr05() == sr && b.fsr() == fsr {
		return fmt.Errorf("%w: status %02X, flag status %02X", ErrBusy, sr, fsr)
	}
	suspect := unclean != "" || result.Status == Fail
	if now := b.read(20, 0x9F); b.err == nil && (!bytes.Equal(now, b.id) || suspect && !b.contact()) {
		return fmt.Errorf("%w: the ID reads % X behind the case, and was % X", ErrContact, now, b.id)
	}
	if unclean != "" && result.Status != Fail {
		b.result.Status, b.result.Detail, b.result.Differs = Fail, "could not be undone: "+unclean, false
		b.result.Evidence = evidence
	}
	return nil
}

// restore wakes the chip, ends what is under way, and takes back locks, modes and registers. Its failures are those of a case.
func (b *bench) restore() {
	b.pause(afterWake, 0xAB)
	for range 2 { // an erase, and a program inside of its suspension
		if b.fsr()&0x44 != 0 {
			b.send(0x7A)
		}
		b.wait(limitBulk)
	}
	b.reset()
	b.send(0x50)
	if b.set && b.byte(0xA7)&1 == 0 && b.opt.Power != nil {
		b.cycle()
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
	if b.set {
		b.enabled(limitErase, 0xE4)
		for i := range min(b.opt.Area.Size/sector, 4) {
			b.check(!b.locked(b.sector(i)), "the sector at %08X is still locked behind E4", b.sector(i))
		}
		b.set = b.ended
	}
	b.send(0x50)
	sr, fsr := b.sr05(), b.fsr()
	b.check(sr == b.sr && fsr == 0x80, "status %02X, flag status %02X, want %02X and 80", sr, fsr, b.sr)
}

// reset sends 66 and 99.
func (b *bench) reset() {
	b.send(0x66)
	b.pause(afterReset, 0x99)
}

// cycle takes the supply away and gives it back.
func (b *bench) cycle() {
	for _, on := range []bool{false, true} {
		if b.ended || b.err != nil {
			return
		}
		b.err = b.opt.Power(b.ctx, on)
	}
	b.frames(spi.Frame{Idle: afterPower})
}

// last is the last statement of a run.
var last = []Case{{Name: "the chip is left as it was found, and what was written to is blank", Section: "12", run: leave}}

func leave(b *bench) {
	for at := range b.dirty {
		b.blank(at)
	}
	for at := 0; at < b.part.Size && b.held == ""; at += sector {
		b.check(!b.locked(at), "the sector at %08X is locked", at)
	}
	b.same("NVCR", b.read(2, 0xB5), b.nvcr)
	b.check(b.sr05() == b.sr, "status is not %02X", b.sr)
}
