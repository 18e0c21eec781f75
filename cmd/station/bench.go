package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"station/fixtures"
	"station/fixtures/usb"
	"station/flash"
	"station/provision"
	"station/recipes"
	"station/sim"
	"station/sim/ftdi"
	"station/sim/nor"
	"station/spi"
)

// benchJob is what `bench` is asked for.
type benchJob struct {
	slots []string
	where span
	pace  string // of the simulated station's own boards
	own   bool   // the boards are nobody's
	timed bool   // wire and flash take their time
	force bool
	dir   string // of the recipes
}

func (a *app) bench() *cobra.Command {
	j := benchJob{where: span{size: "1MiB"}}
	var destructive bool
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast slots write and verify, all at once, and hold it against what wire and flash need",
		Long: "Writes a random pattern into every slot at once, verifies it, and prints for each slot what wire and flash need and what it took.\n" +
			"A simulated station uses boards of its own for it. On a real one what the range holds is lost.",
		Example: "  station bench --destructive\n  station bench --slot 1 --slot 2 --at 0x100000 --size 4MiB --destructive",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	f.StringArrayVar(&j.slots, "slot", nil, "`NAME` of a slot; repeat for more (default: all)")
	f.StringVar(&j.where.at, "at", "0", "first `ADDRESS`, of a sector of 64KiB")
	f.StringVar(&j.where.size, "size", j.where.size, "`BYTES` from there on, whole sectors")
	f.StringVar(&j.pace, "pace", "real", "of a simulated station: real: wire, USB and flash take their time; none: they take none")
	f.StringVar(&j.dir, "recipes", "recipes", "`DIR`ectory of the recipes; its parts/*.yaml are profiles, too")
	f.BoolVar(&destructive, "destructive", false, "do it on a real station: what the range holds is lost")
	f.BoolVar(&j.force, "force", false, "even to a chip that the ledger knows as passed, or has an open run of")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		if j.own, err = isSimulated(cfg.Data); err != nil {
			return ledgerErr(cfg.Data, err)
		}
		switch {
		case j.pace != "real" && j.pace != "none":
			return exit(exitRefused, fmt.Errorf("--pace %q: want none or real", j.pace))
		case !j.own && c.Flags().Changed("pace"):
			return exit(exitRefused, errors.New("--pace is for simulated stations; this one is real"))
		case !j.own && !destructive:
			return exit(exitRefused, errors.New("nothing was touched: with --destructive what the chips hold in the range is destroyed"))
		}
		j.timed = !j.own || j.pace == "real"
		overBus := (*bench).bus
		if j.own {
			overBus = func(b *bench, _ context.Context) (usb.Bus, error) { return b.ownBoards(j.timed) }
		}
		b, err := a.openOver(c.Context(), cfg, overBus)
		if err != nil {
			return err
		}
		defer b.Close()
		return a.benchSlots(c.Context(), b, j)
	}
	return c
}

// benchPart is what a board of the bench's own has where the slot can feed it: the part that most is written about, of one die. Elsewhere it is the
// first that fits.
const benchPart = "MT25QL256ABA"

// ownBoards is a virtual line like the station's, with a new board in every slot that ends with the process: those of the data
// directory are left alone.
func (b *bench) ownBoards(timed bool) (usb.Bus, error) {
	pace, o := ftdi.None, nor.Options{}
	if timed {
		pace, o.Pace = ftdi.Real, nor.Real
	}
	line := sim.NewLine(sim.Options{Pace: pace})
	if err := b.plug(line, pace); err != nil {
		return nil, err
	}
	parts := slices.DeleteFunc(flash.Parts(), func(p *flash.Part) bool { return !slices.Contains(nor.Parts(), p.Name) })
	if i := slices.IndexFunc(parts, func(p *flash.Part) bool { return p.Name == benchPart }); i > 0 {
		parts[0], parts[i] = parts[i], parts[0]
	}
	for _, s := range b.config.rackSlots() {
		rack, err := fixtures.NewRack(nil, []fixtures.Slot{s})
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(parts, func(p *flash.Part) bool { return provision.Feeds(rack.Volts(s.Name), p) })
		if i < 0 {
			continue // an empty slot says so itself
		}
		chip, err := nor.New(parts[i].Name, sim.UID("BENCH-"+s.Name), o)
		if err != nil {
			return nil, err
		}
		if err := line.Insert(b.places[s.Name], chip); err != nil {
			return nil, err
		}
	}
	return line, nil
}

// benchSlots measures all slots at once, and prints those that could be measured.
func (a *app) benchSlots(ctx context.Context, b *bench, j benchJob) error {
	if len(j.slots) == 0 {
		j.slots = b.config.usable()
	}
	for i, name := range j.slots {
		at := &seat{slot: name, changes: true}
		if err := errors.Join(b.seat(at), b.checkVolts(at)); err != nil {
			return err
		}
		if slices.Contains(j.slots[:i], name) {
			return exit(exitRefused, fmt.Errorf("--slot %s is given twice", name))
		}
	}
	if err := j.check(); err != nil {
		return err
	}
	parts := a.profiles(j.dir)
	watch, done := a.watch(ctx)
	results, errs := make([]benchJSON, len(j.slots)), make([]error, len(j.slots))
	var all, ready sync.WaitGroup // ready: nobody begins before all can, so that they share the bus all the time
	ready.Add(len(j.slots))
	for i, name := range j.slots {
		all.Go(func() {
			waiting := sync.OnceFunc(ready.Done)
			defer waiting()
			errs[i] = a.leased(ctx, b, &seat{slot: name}, parts, watch, func(s *seated) (err error) {
				results[i], err = s.measure(ctx, j, func() { waiting(); ready.Wait() })
				return err
			})
		})
	}
	all.Wait()
	done()
	var measured []benchJSON
	for i, err := range errs {
		if err == nil {
			measured = append(measured, results[i])
		}
	}
	return a.concludeBench(measured, errs)
}

// check looks at what no chip is needed for.
func (j *benchJob) check() error {
	at, err := j.where.start()
	if err != nil {
		return err
	}
	size, err := recipes.ParseSize(j.where.size)
	if err != nil {
		return exit(exitRefused, fmt.Errorf("--size %w", err))
	}
	if at%benchSector != 0 || size%benchSector != 0 || size == 0 {
		return exit(exitRefused, fmt.Errorf("%s from 0x%06X on are not whole sectors of 64KiB; nothing was touched", sizeText(size), at))
	}
	return nil
}

// benchSector is the sector of every part (flash: Validate).
const benchSector = 64 << 10

// measure writes the pattern and verifies it. together is called when all is prepared, and waits for the others.
func (s *seated) measure(ctx context.Context, job benchJob, together func()) (benchJSON, error) {
	watch := &stopwatch{Conn: s.conn}
	s.conn = watch
	if _, ok := watch.Conn.(spi.PageProgrammer); ok {
		s.conn = pageStopwatch{watch}
	}
	if err := s.identify(ctx); err != nil {
		return benchJSON{}, err
	}
	p := s.chip.Part()
	r, err := job.where.of(p)
	if err != nil {
		return benchJSON{}, err
	}
	if !job.own && !job.force {
		if err := s.free(); err != nil {
			return benchJSON{}, err
		}
	}
	// Another one each time: a part that holds the pattern already would have nothing to do.
	var seed [32]byte
	crand.Read(seed[:])
	want := []flash.Extent{{Addr: r.Addr, Size: r.Size, Data: make([]byte, r.Size)}}
	rand.NewChaCha8(seed).Read(want[0].Data)
	plan, err := s.benchPlan(ctx, job.own, want)
	if err != nil {
		return benchJSON{}, err
	}
	byteTime := s.conn.Limits().ByteTime
	out := benchJSON{Slot: s.slot, Fixture: s.bench.rack.Describe(s.slot), Part: p.Name, UID: s.chip.UID(), At: r.Addr, Size: r.Size}
	out.Write.Predicted = predicted(plan.Typical(byteTime)-plan.Typical(0), plan.Typical(0), r.Size)
	out.Verify.Predicted = predicted(time.Duration(r.Size)*byteTime, 0, r.Size)
	together()
	s.begins(fmt.Sprintf("write %s from 0x%06X on", sizeText(r.Size), r.Addr))
	if out.Write.Measured, err = s.time(watch, job.timed, r.Size, func() error { return s.chip.Apply(ctx, plan, s.progress("writing")) }); err != nil {
		return benchJSON{}, err
	}
	out.Write.Batches = watch.calls
	out.Verify.Measured, err = s.time(watch, job.timed, r.Size, func() error { return s.chip.Verify(ctx, want, s.progress("verifying")) })
	out.Verify.Batches = watch.calls
	return out, err
}

// benchPlan looks at what is in the way. A board of the bench's own is blank, and nothing is locked on it.
func (s *seated) benchPlan(ctx context.Context, own bool, want []flash.Extent) (*flash.Plan, error) {
	p := s.chip.Part()
	if own {
		return flash.NewPlan(p, want, func(int) flash.Knowledge { return flash.Knowledge{Blank: true} })
	}
	known, err := s.chip.Compare(ctx, want, nil)
	if err != nil {
		return nil, err
	}
	plan, err := flash.NewPlan(p, want, known.Sector)
	if err != nil {
		return nil, err
	}
	return plan, s.unlocked(ctx, plan)
}

// stopwatch is an spi.Conn that notes what passes through it.
type stopwatch struct {
	spi.Conn
	bytes  int64
	idle   time.Duration
	inside time.Duration // of Do
	calls  int64
}

func (w *stopwatch) Do(ctx context.Context, frames ...spi.Frame) error {
	for i := range frames {
		w.bytes += int64(len(frames[i].Out) + len(frames[i].In))
		w.idle += frames[i].Idle
	}
	w.calls++
	began := time.Now()
	err := w.Conn.Do(ctx, frames...)
	w.inside += time.Since(began)
	return err
}

// pageStopwatch is a stopwatch over firmware that programs pages by itself; the chip's time is in the transfers.
type pageStopwatch struct{ *stopwatch }

func (w pageStopwatch) ProgramPages(ctx context.Context, command, data []byte) error {
	w.bytes += int64(len(data))
	w.calls++
	began := time.Now()
	err := w.Conn.(spi.PageProgrammer).ProgramPages(ctx, command, data)
	w.inside += time.Since(began)
	return err
}

// time does something and tells how long it took and where that time went; not timed: wire and flash took none of it.
func (s *seated) time(w *stopwatch, timed bool, size int64, do func() error) (splitJSON, error) {
	*w = stopwatch{Conn: w.Conn}
	slept, began := s.chip.Slept(), time.Now()
	err := do()
	total := time.Since(began)
	slept = s.chip.Slept() - slept
	var wire, idle time.Duration
	if timed {
		wire, idle = time.Duration(w.bytes)*w.Limits().ByteTime, w.idle
	}
	return measured(total, w.inside, wire, idle, slept, size), err
}
