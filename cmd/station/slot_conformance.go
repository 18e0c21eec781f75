package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"station/conformance"
	"station/flash"
	"station/recipes"
	"station/spi"
)

// leastArea is what the suite needs at least, and takes where none is named.
const leastArea = 256 << 10

// conform tries the statements of the data sheet on the chip of a slot.
func (a *app) conform(ctx context.Context, at *seat, area string, yes, force bool) error {
	r := flash.Range{Size: leastArea}
	if area != "" {
		var err error
		if r, err = parseArea(area); err != nil {
			return err
		}
	}
	return a.onChip(ctx, at, func(s *seated) error {
		p := s.chip.Part()
		switch {
		case r.Addr%p.Sector != 0 || r.Size%p.Sector != 0 || r.Size < leastArea || r.Addr > p.Size-r.Size:
			return exit(exitRefused, fmt.Errorf("--area %s is not four whole sectors of 64KiB, or more, of the %s of a %s; nothing was touched", r, sizeText(p.Size), p.Name))
		case !yes:
			return exit(exitRefused, fmt.Errorf("nothing was touched: with --yes %s of %s %s is destroyed, and registers and lock bits are written and brought back", r, p.Name, s.chip.UID()))
		}
		if !force {
			if err := s.free(); err != nil {
				return err
			}
		}
		return s.suite(ctx, r)
	})
}

// suite runs every case with r free to be destroyed.
func (s *seated) suite(ctx context.Context, r flash.Range) error {
	p := s.chip.Part()
	v := &verdicts{app: s.app}
	_, err := conformance.Run(ctx, s.conn, suitePart(p), conformance.Options{
		Power: s.supply(),
		Area:  conformance.Range{Addr: int(r.Addr), Size: int(r.Size)},
		Full:  r.Size == p.Size,
		// Bit 0 alone is written there: a chip that comes up with four address bytes is one that the station knows how to talk to.
		NVCR:   p.NVCR != nil && p.NVCR.Change&1 != 0,
		Report: v.report,
	})
	switch {
	case errors.Is(err, conformance.ErrContact):
		return exit(exitError, fmt.Errorf("ERROR: slot %s: the contact is unstable: reseat the board; if it happens again, clean the slot (%w)", s.slot, err))
	case errors.Is(err, conformance.ErrBusy):
		return exit(exitNo, fmt.Errorf("FAIL: slot %s: %w", s.slot, err))
	case err != nil:
		return err
	case v.err != nil:
		return v.err
	}
	return v.end(s)
}

// parseArea reads FIRST..LAST, both inside, as ranges are printed everywhere.
func parseArea(text string) (flash.Range, error) {
	a, b, ok := strings.Cut(text, "..")
	if !ok {
		return flash.Range{}, exit(exitRefused, fmt.Errorf("--area %q: want FIRST..LAST, such as 0x0..0x3FFFF", text))
	}
	first, err := recipes.ParseSize(a)
	if err != nil {
		return flash.Range{}, exit(exitRefused, fmt.Errorf("--area %w", err))
	}
	last, err := recipes.ParseSize(b)
	if err != nil {
		return flash.Range{}, exit(exitRefused, fmt.Errorf("--area %w", err))
	}
	if last < first {
		return flash.Range{}, exit(exitRefused, fmt.Errorf("--area %q ends before it begins", text))
	}
	return flash.Range{Addr: first, Size: last - first + 1}, nil
}

// suitePart tells the suite, which knows no profiles, what it needs to know of the part.
func suitePart(p *flash.Part) conformance.Part {
	out := conformance.Part{Size: int(p.Size), Dies: p.Dies, ID: p.ID, AddressBytes: p.AddressBytes, RPMC: p.RPMC != nil, OTP: p.OTP != nil, CRC: p.CRC != nil,
		StackedProtection: p.StackedProtection, VLB4K: p.VLB4KBoundary, NVLBMask: p.NVLBMask, ProgramRefused: p.ProgramRefused}
	for _, e := range p.Erases {
		out.Erase5C = out.Erase5C || e.Opcode4 == 0x5C
	}
	if p.CRC != nil {
		out.CRCReflected = p.CRC.Reflected
	}
	return out
}

// supply switches the part's supply: the programmer does, where it can, else the simulator's hands or a person reseat the board. nil: nobody is there.
func (s *seated) supply() func(context.Context, bool) error {
	if p, ok := s.conn.(spi.Powered); ok {
		return p.Power
	}
	var reseat func(context.Context) error
	if s.bench.simulated {
		reseat = func(ctx context.Context) error { return s.bench.boards.Reseat(ctx, s.slot) }
	} else if f, ok := s.app.stdin.(*os.File); ok && isTerminal(f) {
		reseat = s.askReseat(bufio.NewReader(f))
	} else {
		return nil
	}
	// Out and back are one motion, and nothing is asked of the chip in between.
	return func(ctx context.Context, on bool) error {
		if !on {
			return nil
		}
		return reseat(ctx)
	}
}

// askReseat asks a person, and waits until the board makes good contact again.
func (s *seated) askReseat(in *bufio.Reader) func(context.Context) error {
	return func(ctx context.Context) error {
		fmt.Fprintf(s.app.stderr, "Take the board out of slot %s, put the same board back, and press Enter.\n", s.slot)
		line := make(chan error, 1)
		go func() {
			_, err := in.ReadString('\n')
			line <- err
		}()
		select {
		case err := <-line:
			if err != nil {
				return fmt.Errorf("nobody answers: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		for range 100 {
			if err = s.chip.Contact(ctx); err == nil {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
		return err
	}
}

type verdictJSON struct {
	Case     string   `json:"case"`
	Section  string   `json:"section"` // of the fact sheet that the suite follows
	Result   string   `json:"result"`  // PASS, FAIL, SKIPPED, OBSERVED
	Detail   string   `json:"detail"`
	Differs  bool     `json:"differs"` // observed, and the profile assumes something else
	Evidence []string `json:"evidence"`
}

// verdicts prints results as they come, and counts them.
type verdicts struct {
	app    *app
	counts [4]int // by conformance.Status
	differ int
	err    error // of the output
}

func (v *verdicts) report(r conformance.Result) {
	v.counts[r.Status]++
	if r.Differs {
		v.differ++
	}
	word := strings.ToUpper(r.Status.String())
	if v.app.json {
		v.keep(v.app.printLine(verdictJSON{r.Case.Name, r.Case.Section, word, r.Detail, r.Differs, append([]string{}, r.Evidence...)}))
		return
	}
	text := fmt.Sprintf("%-8s  %-4s  %s", word, r.Case.Section, r.Case.Name)
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	if r.Differs {
		text += " (THE PROFILE SAYS OTHERWISE)"
	}
	_, err := printf(v.app.stdout, "%s\n", text)
	v.keep(err)
	for _, line := range r.Evidence {
		_, err := printf(v.app.stdout, "                %s\n", line)
		v.keep(err)
	}
}

func (v *verdicts) keep(err error) {
	if v.err == nil {
		v.err = err
	}
}

// end is the sum, and the exit code.
func (v *verdicts) end(s *seated) error {
	sum := fmt.Sprintf("%d passed, %d failed, %d observed (%d not as the profile says), %d skipped", v.counts[conformance.Pass], v.counts[conformance.Fail],
		v.counts[conformance.Observed], v.differ, v.counts[conformance.Skipped])
	if !v.app.json {
		if _, err := printf(v.app.stdout, "%s %s: %s\n", s.chip.Part().Name, s.chip.UID(), sum); err != nil {
			return err
		}
	}
	if v.counts[conformance.Fail] > 0 {
		return exit(exitNo, fmt.Errorf("FAIL: slot %s: %d statements of the data sheet are not true of this chip", s.slot, v.counts[conformance.Fail]))
	}
	return nil
}
