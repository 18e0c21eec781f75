package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"station/fixtures"
	"station/fixtures/usb"
	"station/flash"
	"station/provision"
	"station/spi"
)

func (a *app) chip() *cobra.Command {
	c := &cobra.Command{Use: "chip", Short: "An engineer's look at the part in a slot, without a recipe and without a line in the ledger"}
	c.AddCommand(a.chipInfo(), a.chipRead(), a.chipVerify(), a.chipWrite(), a.chipErase(), a.chipProtection(), a.chipUnlock())
	return c
}

// seat says which chip a command is about.
type seat struct {
	slot, board, part, recipes string
	clock                      string // SPI clock instead of the slot's; "" is the slot's
	changes                    bool   // what the chip holds may change
}

func seatFlags(c *cobra.Command) *seat {
	var s seat
	f := c.Flags()
	f.StringVar(&s.slot, "slot", "", "`NAME` of the slot")
	f.StringVar(&s.board, "sim-board", "", "insert this board `FILE` into the slot first (simulated stations only)")
	f.StringVar(&s.part, "part", "", "`PART` that it has to be (default: any that the station knows)")
	f.StringVar(&s.recipes, "recipes", "recipes", "`DIR`ectory of the recipes; its parts/*.yaml are profiles, too")
	c.MarkFlagRequired("slot")
	return &s
}

// seated is an open slot, for as long as one command takes.
type seated struct {
	seat
	app   *app
	bench *bench
	conn  spi.Conn
	parts []*flash.Part // that it may be
	other []*flash.Part // that the slot does not feed
	chip  *flash.Chip   // nil until it is identified
	watch func(provision.Event)
	title string // of what was shown to begin, "" for nothing
}

// inSlot opens the station and the slot, and does something to what is there.
func (a *app) inSlot(ctx context.Context, at *seat, do func(*seated) error) error {
	return a.onBench(ctx, at, (*bench).bus, func(b *bench, parts []*flash.Part, watch func(provision.Event)) error {
		return a.leased(ctx, b, at, parts, watch, do)
	})
}

// onBench opens the station over a bus, with the board in its slot, and does something about the slot.
func (a *app) onBench(ctx context.Context, at *seat, bus func(*bench, context.Context) (usb.Bus, error), do func(*bench, []*flash.Part, func(provision.Event)) error) error {
	parts := a.profiles(at.recipes)
	if at.part != "" {
		p, err := profile(parts, at.part)
		if err != nil {
			return err
		}
		parts = []*flash.Part{p}
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	b, err := a.openOver(ctx, cfg, bus)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.seat(at); err != nil {
		return err
	}
	if err := b.checkVolts(at); err != nil {
		return err
	}
	watch, done := a.watch(ctx)
	err = do(b, parts, watch)
	done()
	return err
}

// leased does something to what is in a slot of an open station.
func (a *app) leased(ctx context.Context, b *bench, at *seat, parts []*flash.Part, watch func(provision.Event), do func(*seated) error) error {
	volts := b.rack.Volts(at.slot)
	var fed, other []*flash.Part
	for _, p := range parts {
		if provision.Feeds(volts, p) {
			fed = append(fed, p)
		} else {
			other = append(other, p)
		}
	}
	if len(fed) == 0 {
		why := "no part that this station knows takes that"
		if at.part != "" {
			why = fmt.Sprintf("%s takes %v V", other[0].Name, other[0].Volts)
		}
		return exit(exitRefused, fmt.Errorf("REFUSED: slot %s gives %v V, and %s: the slot was not opened", at.slot, volts, why))
	}
	conn, release, err := b.rack.LeaseAt(ctx, at.slot, at.clock)
	var slot *fixtures.SlotError
	switch {
	case errors.As(err, &slot) && slot.Misconfigured():
		return exit(exitRefused, fmt.Errorf("REFUSED: %w", err))
	case err != nil:
		return exit(exitError, err)
	}
	defer func() {
		if err := release(); err != nil {
			printf(a.stderr, "warning: %s\n", err)
		}
	}()
	s := &seated{seat: *at, app: a, bench: b, conn: conn, parts: fed, other: other, watch: watch}
	err = provision.Caught(func() error { return do(s) })
	var p *provision.PanicError
	if errors.As(err, &p) {
		tellPanic(a.stderr, p)
	}
	err = s.fault(ctx, err)
	s.over(err)
	return err
}

// checkVolts refuses to change a chip in a slot that does not say which voltage its fixture gives. Whoever only reads is warned.
func (b *bench) checkVolts(at *seat) error {
	if b.rack.Volts(at.slot) != 0 {
		return nil
	}
	why := fmt.Sprintf("slot %s does not say which voltage its fixture gives, so no part can be held against it: set `volts` of this slot in config.yaml to what a meter shows there (`station slot bind %[1]s --volts V` writes it)", at.slot)
	if at.changes {
		return exit(exitRefused, fmt.Errorf("REFUSED: %s; nothing was touched", why))
	}
	printf(b.stderr, "warning: %s\n", why)
	return nil
}

// seat puts the board file into the slot, where one is named.
func (b *bench) seat(at *seat) error {
	if !slices.ContainsFunc(b.rack.Slots(), func(s fixtures.Slot) bool { return s.Name == at.slot }) {
		return exit(exitRefused, fmt.Errorf("there is no slot %q; `station slot list` shows them", at.slot))
	}
	switch {
	case at.board == "":
		return nil
	case !b.simulated:
		return exit(exitRefused, errors.New("--sim-board is for simulated stations; this one is real"))
	}
	if err := b.boards.InsertFile(at.slot, b.places[at.slot], at.board); err != nil {
		return exit(exitRefused, err)
	}
	return nil
}

// onChip is inSlot with the chip identified, and ready.
func (a *app) onChip(ctx context.Context, at *seat, do func(*seated) error) error {
	return a.inSlot(ctx, at, func(s *seated) error {
		if err := s.identify(ctx); err != nil {
			return err
		}
		return do(s)
	})
}

// errTakeOut says that the part is one of another voltage.
var errTakeOut = errors.New("take it out")

func (s *seated) identify(ctx context.Context) (err error) {
	stop := s.patience()
	s.chip, err = flash.Identify(ctx, s.conn, s.parts...)
	stop()
	if err != nil {
		var part *flash.WrongPartError
		if errors.As(err, &part) {
			for _, p := range s.other {
				if [3]byte(p.ID[:3]) == [3]byte(part.Got[:3]) { // they tell density and voltage
					return fmt.Errorf("a part like %s takes %v V, and slot %s gives %v V: %w: %w", p.Name, p.Volts, s.slot, s.bench.rack.Volts(s.slot), errTakeOut, err)
				}
			}
		}
		return err
	}
	taken := s.chip.Part()
	for _, p := range s.parts {
		if p.ID == taken.ID && p != taken {
			printf(s.app.stderr, "warning: slot %s: taken for %s; the profile %s has this ID, too: --part %s takes it for that\n", s.slot, taken.Name, p.Name, p.Name)
		}
	}
	for _, word := range s.chip.Recovered() {
		printf(s.app.stderr, "slot %s: the chip was left in %s, and was recovered from it\n", s.slot, word)
	}
	return nil
}

// patience says, after a while, what a chip that does not identify is awaited for. stop ends it.
func (s *seated) patience() (stop func()) {
	const while = 2 * time.Second
	var longest time.Duration
	for _, p := range s.parts {
		longest = max(longest, p.Longest())
	}
	known, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-known:
		case <-time.After(while):
			printf(s.app.stderr, "slot %s: no ID after %v: either the programmer does not answer, or the chip was left busy, which is awaited for up to %v; Ctrl-C ends that\n", s.slot, while, longest)
		}
	}()
	return func() {
		close(known)
		<-over
	}
}

// left is what is known of the chip when somebody stopped a command.
func (s *seated) left(ctx context.Context) string {
	const limit = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if s.chip == nil {
		return "the chip was not identified, and may be busy with what another program began"
	}
	busy, err := s.chip.Busy(ctx)
	switch {
	case err != nil:
		return fmt.Sprintf("whether the chip is ready is not known (%v)", err)
	case busy:
		return fmt.Sprintf("the chip is busy, for up to %v: leave it its power", s.chip.Part().Longest())
	}
	return "the chip is ready"
}

// silent is what else no chip can be.
const silent = "one that another program left in DTR or XIP answers after its power was taken away, and in no other way"

// fault is the sentence and the exit code of what went wrong with a chip. Before it blames a chip it tests the contact again.
func (s *seated) fault(ctx context.Context, err error) error {
	var (
		said     *exitErr
		unstable *flash.UnstableError
		other    *flash.OtherChipError
		part     *flash.WrongPartError
		sfdp     *flash.WrongSFDPError
		mismatch *flash.MismatchError
		busy     *flash.BusyError
		op       *flash.OperationError
		locked   *flash.ProtectedError
	)
	bad := func(why string) error {
		return exit(exitError, fmt.Errorf("ERROR: slot %s: %s: reseat the board; if it happens again, clean the slot (%w)", s.slot, why, err))
	}
	switch {
	case err == nil, errors.As(err, &said):
		return err
	case errors.Is(err, context.Canceled):
		return exit(exitAborted, fmt.Errorf("ABORTED: slot %s: someone stopped it; %s", s.slot, s.left(ctx)))
	case errors.As(err, new(*provision.PanicError)):
		return exit(exitError, fmt.Errorf("ERROR: slot %s: the program failed: %w: call the person who looks after the station", s.slot, err))
	case errors.Is(err, flash.ErrAbsent) && s.bench.simulated:
		return exit(exitError, fmt.Errorf("ERROR: slot %s: no chip answers: put a board in with --sim-board FILE; %s", s.slot, silent))
	case errors.Is(err, flash.ErrAbsent):
		return exit(exitError, fmt.Errorf("ERROR: slot %s: no chip answers: put the board in, or reseat it; if it happens again, clean the slot; %s (%w)", s.slot, silent, err))
	case errors.As(err, &unstable), errors.Is(err, flash.ErrUnsteady):
		return bad("the contact is unstable")
	case errors.As(err, &other):
		return bad("another chip answers than before")
	case errors.As(err, &busy) && !busy.StuckBusy:
		return bad("the chip stopped answering")
	case errors.As(err, &part), errors.As(err, &sfdp), errors.Is(err, flash.ErrSFDP):
		return exit(exitRefused, fmt.Errorf("REFUSED: slot %s: %w; nothing was changed, and `station chip info` tells more", s.slot, err))
	case errors.As(err, &mismatch), errors.As(err, &busy), errors.As(err, &op), errors.As(err, &locked), errors.Is(err, flash.ErrNotExecuted):
		if s.chip != nil {
			if contact := s.chip.Contact(context.WithoutCancel(ctx)); contact != nil {
				err = errors.Join(err, contact)
				return bad("the contact is unstable")
			}
		}
		return exit(exitNo, fmt.Errorf("slot %s: %w", s.slot, err))
	}
	return exit(exitError, fmt.Errorf("ERROR: slot %s: %w: check the programmer and its cable", s.slot, err))
}

// begins shows what comes next; progress then measures it.
func (s *seated) begins(title string) {
	s.title = title
	s.watch(provision.Event{Kind: provision.StepBegan, Slot: s.slot, Serial: s.who(), Title: title})
}

func (s *seated) progress(move string) func(done, total int64) {
	return func(done, total int64) {
		s.watch(provision.Event{Kind: provision.Progress, Slot: s.slot, Serial: s.who(), Title: s.title, Move: move, Done: done, Total: total})
	}
}

// who is what stands in the place of a serial: nobody scanned one.
func (s *seated) who() string {
	if s.chip == nil {
		return "-"
	}
	return s.chip.Part().Name
}

// over ends the showing of what began.
func (s *seated) over(err error) {
	if s.title == "" {
		return
	}
	result := &provision.Result{Outcome: "done"}
	if err != nil {
		result.Outcome = "not done"
	}
	s.watch(provision.Event{Kind: provision.Ended, Slot: s.slot, Serial: s.who(), Title: s.title, Result: result})
}
