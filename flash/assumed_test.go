package flash

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"station/sim/nor"
)

// assumptions are facts that no source confirms, each with the other reading: of the chip, of the profile, or of both. use relies on the fact.
var assumptions = []struct {
	path    string // as in Part.Assumed
	name    string // of the part
	chip    func(*nor.Options)
	profile func(*Part)
	use     func(context.Context, *Chip, *wire) error
	mine    string // what the error says where only the profile has the other reading; "" where that does no harm
	its     string // likewise where only the chip has it
}{
	{"vlb_4k_boundary_sectors", "MT25QL256ABA", func(o *nor.Options) { o.WholeSectorVLB = true }, func(p *Part) { p.VLB4KBoundary = false },
		func(ctx context.Context, c *Chip, _ *wire) error {
			return c.LockVolatile(ctx, false, c.part.VolatileCells()[0])
		}, ErrCells.Error(), ErrCells.Error()},
	{"nvlb_mask", "MT25QL256ABA", func(o *nor.Options) { o.UnlockedReads01 = true }, func(p *Part) { p.NVLBMask = 0xFE },
		func(ctx context.Context, c *Chip, _ *wire) error {
			got, err := c.Protection(ctx)
			if err == nil && got.Locked(0, 65536) { // what is said to be locked is probed
				err = c.ProbeLocked(ctx, 0)
			}
			return err
		}, "", ""}, // the shipped mask reads both chips; the other mask and the other chip are the test below
	{"program_refused", "MT25QL256ABA", func(o *nor.Options) { o.RefusedProgramBit1 = true }, func(p *Part) { p.ProgramRefused = 0x02 },
		func(ctx context.Context, c *Chip, _ *wire) error {
			return errors.Join(c.LockNonvolatile(ctx, 0), c.ProbeLocked(ctx, 0))
		}, "", "was not refused (flag status 0x82)"}, // bits beside those that are wanted say no less that it was refused
	{"blank_password", "MT25QL256ABA", func(o *nor.Options) { o.BlankPassword00 = true }, func(p *Part) { p.BlankPassword = 0x00 },
		func(ctx context.Context, c *Chip, _ *wire) error {
			pw := testPassword
			return c.ProgramPassword(ctx, &pw)
		}, "not sent: already programmed", "not sent: already programmed"},
	{"lock_refused", "MT25QL256ABA", func(o *nor.Options) { o.FrozenSilent = true }, func(p *Part) { p.LockRefused = 0 }, useFrozen, "predicted", "predicted"},
	{"lock_erase_refused", "MT25QL256ABA", func(o *nor.Options) { o.FrozenSilent = true }, func(p *Part) { p.LockEraseRefused = 0 }, useFrozenErase, "predicted", "predicted"},
	{"crc", "MT25QL256ABA", func(o *nor.Options) { o.CRC.Unreflected = true }, func(p *Part) { p.CRC.Reflected = false }, useCRC, "CRC of 0x", "CRC of 0x"},
	{"crc", "MT25QL256ABA", func(o *nor.Options) { o.CRC.NoDummy = true }, func(p *Part) { p.CRC.ReadDummy = 0 }, useCRC, "CRC of 0x", "CRC of 0x"},
	// Entering 4-byte mode makes a profile that follows the mode fit either chip.
	{"crc", "MT25QL256ABA", func(o *nor.Options) { o.CRC.ModeAddresses = true }, func(p *Part) { p.CRC.AddressBytes = 0 }, useCRC, "", ErrNotExecuted.Error()},
	{"crc", "MT25QL256ABA", func(o *nor.Options) { o.CRC.StopExcluded = true }, func(p *Part) { p.CRC.StopIncluded = false }, useCRC, "CRC of 0x", "CRC of 0x"},
	{"crc", "MT25QL256ABA", func(o *nor.Options) { o.CRC.NeedsWEL = true }, func(p *Part) { p.CRC.WriteEnable = true }, useCRC, "", ErrNotExecuted.Error()},
	{"volatile_refused", "MT25QL256ABA", func(o *nor.Options) { o.LockedDownRaises = true }, func(p *Part) { p.VolatileRefused = 0x12 },
		func(ctx context.Context, c *Chip, w *wire) error {
			cell := c.part.VolatileCells()[20]
			if err := c.LockVolatile(ctx, true, cell); err != nil {
				return err
			}
			return refusal(ctx, c, w, Command{ActVolatile, cell}, append(address(0xE1, cell.Addr, 4), 0))
		}, "predicted", "predicted"},
	{"otp", "MT25QL256ABA", func(o *nor.Options) { o.OTPWraps = true }, nil, useOTP, "", ""},
	{"otp", "MT25QL256ABA", func(o *nor.Options) { o.LockedOTPSilent = true }, nil, useOTP, "", ""},
	{"rescue", "MT25QL256ABA", func(o *nor.Options) { o.NoRescue = true }, func(p *Part) { p.Rescue = []int{2} }, useQuad, ErrAbsent.Error(), ErrAbsent.Error()},
	{"dies", "MT25QL02GCBB", func(o *nor.Options) { o.DieWIP = true }, nil,
		func(ctx context.Context, c *Chip, w *wire) error {
			if err := c.erase(ctx, Op{Addr: 3 << 26, Size: 65536}); err != nil {
				return err
			}
			return c.Read(ctx, 3<<26, make([]byte, 1))
		}, "", ""},
	{"stacked_protection", "MT25QL01GBBB", func(o *nor.Options) { o.FirstDieProtection = true }, func(p *Part) { p.StackedProtection = true },
		func(ctx context.Context, c *Chip, w *wire) error {
			err := c.LockNonvolatile(ctx, c.part.Sectors()-1)
			if errors.Is(err, ErrStacked) && len(w.sent) == 0 {
				return nil // what is not known is not done
			}
			return errors.Join(err, c.EraseNonvolatileLocks(ctx))
		}, "", ""},
}

// useQuad wakes the chip from quad protocol.
func useQuad(ctx context.Context, c *Chip, w *wire) error {
	w.raw([]byte{0x35})
	_, err := Identify(ctx, w, c.part)
	return err
}

func useOTP(ctx context.Context, c *Chip, w *wire) error {
	err := errors.Join(c.ProgramOTP(ctx, 0, []byte("x")), c.LockOTP(ctx))
	if err == nil && !errors.Is(c.ProgramOTP(ctx, 1, []byte("y")), ErrOTPLocked) {
		err = errors.New("a locked area was not refused")
	}
	return err
}

// useFrozen and useFrozenErase compare a refusal with its prediction.
func useFrozen(ctx context.Context, c *Chip, w *wire) error {
	return useRefusal(ctx, c, w, Command{ActLock, Range{0, 65536}}, []byte{0xE3, 0, 0, 0, 0})
}

func useFrozenErase(ctx context.Context, c *Chip, w *wire) error {
	return useRefusal(ctx, c, w, Command{Action: ActEraseLocks}, []byte{0xE4})
}

func useRefusal(ctx context.Context, c *Chip, w *wire, cmd Command, out []byte) error {
	if err := c.Freeze(ctx); err != nil {
		return err
	}
	return refusal(ctx, c, w, cmd, out)
}

// refusal sends a command that the chip is to refuse, and compares what it says with the prediction.
func refusal(ctx context.Context, c *Chip, w *wire, cmd Command, out []byte) error {
	state, err := c.Protection(ctx)
	if err != nil {
		return err
	}
	w.raw([]byte{0x06}, out)
	_, fsr := w.status()
	w.raw([]byte{0x50}, []byte{0x04})
	if refusal := state.Refuses(cmd); refusal == nil || fsr&fsrErrors != refusal.FSR {
		return errors.New("the chip did not refuse as predicted")
	}
	return nil
}

// useCRC has a range checked whose content is known, behind the first 16 MiB.
func useCRC(ctx context.Context, c *Chip, _ *wire) error {
	at := c.part.Size - 0x10000
	if err := c.program(ctx, at, []byte("some content, and more")); err != nil {
		return err
	}
	return c.CheckCRC(ctx, Range{at, 12}, CRC64(c.part.CRC.Reflected, []byte("some content")))
}

// Where profile and chip agree, whichever way, what relies on the fact works; where they do not, it works all the same or says why not.
func TestAssumptions(t *testing.T) {
	for i, a := range assumptions {
		p, err := partNamed(a.name)
		must(t, err)
		root, _, _ := strings.Cut(a.path, ".")
		if known := slices.ContainsFunc(p.Assumed, func(s string) bool { return s == a.path || s == root }); !known && a.path != "dies" && a.path != "stacked_protection" {
			t.Errorf("%s does not say that %s is assumed", a.name, a.path)
		}
		try := func(chip, profile bool) error {
			var err error
			synctest.Test(t, func(t *testing.T) {
				p, err2 := partNamed(a.name)
				must(t, err2)
				o := nor.Options{Pace: nor.Real}
				if chip {
					a.chip(&o)
				}
				if profile {
					a.profile(p)
				}
				must(t, p.Validate())
				c, w := identified(t, a.name, o, p)
				err = a.use(t.Context(), c, w)
			})
			return err
		}
		says := func(what string, err error, want string) {
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%d %s, %s: got %v, want %q", i, a.path, what, err, want)
			}
		}
		says("both as shipped", try(false, false), "")
		if a.profile != nil {
			says("another profile", try(false, true), a.mine)
		}
		if a.chip != nil {
			says("another chip", try(true, false), a.its)
		}
		if a.chip != nil && a.profile != nil && a.path != "nvlb_mask" && a.path != "rescue" && a.path != "stacked_protection" {
			says("both another", try(true, true), "")
		}
	}
}

// Where both are other, and that does not fit either: a mask without the bit that tells, a chip without rescue, locks of one die only.
func TestAssumptionsThatCannotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p, err := partNamed("MT25QL256ABA")
		must(t, err)
		p.NVLBMask = 0xFE
		c, _ := identified(t, p.Name, nor.Options{UnlockedReads01: true}, p)
		got, err := c.Protection(ctx)
		must(t, err)
		if !got.Locked(0, p.Size) {
			t.Error("that mask reads 01 as locked")
		}
		as[*UnprotectedError](t, c.ProbeLocked(ctx, 0))
		is(t, c.EraseNonvolatileLocks(ctx), ErrNotExecuted)

		w := newWire(t, "MT25QL256ABA", nor.Options{NoRescue: true})
		w.raw([]byte{0x35})
		_, err = Identify(ctx, w)
		is(t, err, ErrAbsent)

		p, err = partNamed("MT25QL01GBBB")
		must(t, err)
		p.StackedProtection = true
		c, _ = identified(t, p.Name, nor.Options{FirstDieProtection: true}, p)
		must(t, c.LockNonvolatile(ctx, p.Sectors()-1))
		is(t, c.EraseNonvolatileLocks(ctx), ErrNotExecuted)
	})
}
