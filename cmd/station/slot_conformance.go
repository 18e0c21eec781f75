package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"station/conformance"
	"station/flash"
	"station/recipes"
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
	at.changes = true
	return a.onChip(ctx, at, func(s *seated) error {
		p := s.chip.Part()
		switch {
		case r.Addr%p.Sector != 0 || r.Size%p.Sector != 0 || r.Size < leastArea || r.Addr > p.Size-r.Size:
			return exit(exitRefused, fmt.Errorf("--area %s is not four whole sectors of 64KiB, or more, of the %s of %s; nothing was touched", r, sizeText(p.Size), p.Name))
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
	if most := s.conn.Limits().MaxAnswer; most > 0 {
		return exit(exitRefused, fmt.Errorf("REFUSED: slot %s: the statements need longer commands than this programmer carries (%d bytes): use a slot with a programmer of another kind", s.slot, most))
	}
	v := &verdicts{app: s.app, slot: s.slot}
	power, person := s.supply()
	o := conformance.Options{
		Power: power,
		Kept: func() {
			s.app.clearLine()
			printf(s.app.stderr, "slot %s: the chip was not without supply: take the board out for a moment\n", s.slot)
		},
		Area: conformance.Range{Addr: int(r.Addr), Size: int(r.Size)},
		Full: r.Size == p.Size,
		// Bit 0 alone is written there: a chip that comes up with four address bytes is one that the station knows how to talk to.
		NVCR:   p.NVCR != nil && p.NVCR.Change&1 != 0 && p.CanProtect() == nil,
		Begin:  v.begin,
		Report: v.report,
	}
	printf(s.app.stderr, "slot %s  %s  try %d statements of the data sheet\n", s.slot, p.Name, len(conformance.Cases()))
	if person {
		printf(s.app.stderr, "slot %s: the board will have to be reseated %d times: you are asked each time\n", s.slot, conformance.PowerCycles(suitePart(p), o))
	}
	_, err := conformance.Run(ctx, s.conn, suitePart(p), o)
	s.app.clearLine()
	switch {
	case errors.Is(err, conformance.ErrState):
		return exit(exitRefused, fmt.Errorf("REFUSED: slot %s: %w; nothing was changed, and a recipe with `config: {nvcr: 0xFFFF}` brings the register back", s.slot, err))
	case errors.Is(err, conformance.ErrContact):
		return exit(exitError, fmt.Errorf("ERROR: slot %s: the contact is unstable: reseat the board; if it happens again, clean the slot (%w)", s.slot, err))
	case errors.Is(err, conformance.ErrBusy):
		return exit(exitNo, fmt.Errorf("FAIL: slot %s: %w", s.slot, err))
	case errors.Is(err, errNobody):
		return exit(exitError, fmt.Errorf("ERROR: slot %s: %w", s.slot, err))
	case err != nil:
		return err
	case v.err != nil:
		return v.err
	}
	return v.end(ctx, s)
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
	out := conformance.Part{Size: int(p.Size), Dies: p.Dies, ID: p.ID, AddressBytes: p.AddressBytes, RPMC: p.RPMC != nil,
		StackedProtection: p.StackedProtection, VLB4K: p.VLB4KBoundary, NVLBMask: p.NVLBMask, Rescue: p.Rescue,
		ProgramRefused: p.ProgramRefused, EraseRefused: p.EraseRefused, LockRefused: p.LockRefused, LockEraseRefused: p.LockEraseRefused, VolatileRefused: p.VolatileRefused,
		Longest: map[byte]time.Duration{0x02: p.Program.Max, 0x01: p.StatusWrite.Max, 0xE3: p.LockSet.Max, 0xE4: p.LockErase.Max}}
	for _, e := range p.Erases {
		out.Erase5C = out.Erase5C || e.Opcode4 == 0x5C
		out.Longest[e.Opcode] = e.Max
	}
	if e := p.DieErase; e != nil {
		out.Longest[e.Opcode] = e.Max
	}
	if p.OTP != nil {
		out.OTPSize = p.OTP.Size
	}
	if p.NVCR != nil {
		out.Longest[0xB1] = p.NVCR.Write.Max
	}
	if c := p.CRC; c != nil {
		out.CRC = &conformance.CRC{Reflected: c.Reflected, AddressBytes: c.AddressBytes, StopIncluded: c.StopIncluded, WriteEnable: c.WriteEnable, ReadDummy: c.ReadDummy}
		out.Longest[0x9B] = c.Limit
	}
	return out
}

// clearLine takes away what begin of verdicts left on a terminal.
func (a *app) clearLine() {
	if f, ok := a.stderr.(*os.File); ok && isTerminal(f) {
		fmt.Fprint(f, "\r\x1b[K")
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

// summaryJSON ends the lines of verdictJSON.
type summaryJSON struct {
	Summary struct {
		Part     string `json:"part"`
		UID      string `json:"uid"`
		Passed   int    `json:"passed"`
		Failed   int    `json:"failed"`
		Observed int    `json:"observed"`
		Differ   int    `json:"differ"` // observed, not as the profile says
		Skipped  int    `json:"skipped"`
		Locked   int    `json:"locked"` // skipped for locks that were found
	} `json:"summary"`
}

// verdicts prints results as they come, and counts them.
type verdicts struct {
	app    *app
	slot   string
	counts [4]int // by conformance.Status
	differ int
	locked int
	err    error // of the output
}

// begin shows the statement under way: each on a terminal, else those that take minutes.
func (v *verdicts) begin(c conformance.Case) {
	n := 1
	for _, some := range v.counts {
		n += some
	}
	if f, ok := v.app.stderr.(*os.File); ok && isTerminal(f) {
		text := []rune(fmt.Sprintf("slot %s  %d/%d  %s", v.slot, n, len(conformance.Cases()), c.Name))
		fmt.Fprintf(f, "\r\x1b[K%s", string(text[:min(len(text), 79)]))
	} else if c.Minutes() {
		printf(v.app.stderr, "slot %s  %d/%d  %s: this takes minutes\n", v.slot, n, len(conformance.Cases()), c.Name)
	}
}

func (v *verdicts) report(r conformance.Result) {
	v.app.clearLine()
	v.counts[r.Status]++
	if r.Differs {
		v.differ++
	}
	if r.Locked {
		v.locked++
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
func (v *verdicts) end(ctx context.Context, s *seated) error {
	var j summaryJSON
	n := &j.Summary
	n.Part, n.UID, n.Passed, n.Failed, n.Observed = s.chip.Part().Name, s.chip.UID(), v.counts[conformance.Pass], v.counts[conformance.Fail], v.counts[conformance.Observed]
	n.Differ, n.Skipped, n.Locked = v.differ, v.counts[conformance.Skipped], v.locked
	var err error
	if v.app.json {
		err = v.app.printLine(j)
	} else {
		_, err = printf(v.app.stdout, "%s %s: %d passed, %d failed, %d observed (%d not as the profile says), %d skipped\n", n.Part, n.UID, n.Passed, n.Failed, n.Observed, n.Differ, n.Skipped)
	}
	switch {
	case err != nil:
		return err
	case n.Failed > 0:
		return exit(exitNo, fmt.Errorf("FAIL: slot %s: %d statements of the data sheet are not true of this chip", s.slot, n.Failed))
	case n.Locked > 0:
		how := fmt.Sprintf("`station chip unlock --slot %s --yes` clears them", s.slot)
		if err := s.chip.Part().CanProtect(); err != nil {
			how = fmt.Sprintf("the station clears none: %v", err)
		} else if r, err := s.chip.Registers(ctx); err == nil && r.SR != 0 && r.SR&0x5C == 0 {
			how += fmt.Sprintf(", but not SR %02X, which protects no block: 06 and 01 00 with any SPI tool do", r.SR)
		}
		return exit(exitRefused, fmt.Errorf("slot %s: the chip is not in the state that the suite needs: %d statements were skipped for lock bits or block protection that were set before; %s", s.slot, n.Locked, how))
	}
	return nil
}
