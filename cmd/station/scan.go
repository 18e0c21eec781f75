package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"station/kiosk"
	"station/ledger"
	"station/provision"
)

// scanning is units that are provisioned one after the other as their serials are scanned. What is done when is decided by provision.Line; here is whoever
// tells it what happens, and does what it wants.
type scanning struct {
	app     *app
	bench   *bench
	voice   voice
	job     job
	engine  *provision.Engine
	line    *provision.Line
	scanner bool                                 // something may be scanned
	room    func(open []ledger.Run) []ledger.Run // leaves out open runs that are not to go on; nil for none
	asks    chan ask                             // of whoever does not type at this program; nil for nobody
	hands   *hands                               // of a simulated station; nil where people's hands are looked for
	pause   time.Duration                        // between two looks at a slot

	orders  map[string]chan work
	stops   map[string]context.CancelCauseFunc // of the runs under way, by slot
	ended   chan outcome
	refused chan outcome
	refuses chan struct{} // closed when the last refusal is written down; nil before the first
	seen    chan sight
	running int                  // runs, and refusals that are not written down yet
	who     kiosk.Who            // who asks right now, nobody where their ID is ""
	by      map[string]kiosk.Who // by slot, who scanned what it is scanned or armed for
}

// voice is how a line is heard: on a terminal, or on the pages. None of its methods waits for a person.
type voice interface {
	// say says what the line decided: Tell, Ask, Arm, Empty or Acknowledged. who had it decided.
	say(d provision.Decision, who kiosk.Who)
	// result tells how a run ended, or a refusal.
	result(o outcome)
	// sees tells, from the goroutine of a slot, that it was looked at, or why it cannot be: the same is told once.
	sees(slot string, err error)
	// warn tells, from any goroutine, of trouble that is no unit's.
	warn(text string)
	// stands tells where the slots stand: after whatever happened, and before what is said to that.
	stands(line *provision.Line)
}

// work is a run for the goroutine of its slot.
type work struct {
	ctx   context.Context // of this run alone
	order provision.Order
}

// ask is something that somebody wants of the line, to be done on its goroutine.
type ask struct {
	who  kiosk.Who
	do   func() []provision.Decision
	done chan []provision.Decision // takes what do decided, and what became of that; has room for it
}

func (a *app) newScanning(ctx context.Context, b *bench, v voice, j job, watch func(provision.Event), open []ledger.Run) *scanning {
	s := &scanning{app: a, bench: b, voice: v, job: j, engine: b.engine(ctx, watch), pause: lookPause, orders: map[string]chan work{}, stops: map[string]context.CancelCauseFunc{},
		ended: make(chan outcome), refused: make(chan outcome), seen: make(chan sight), by: map[string]kiosk.Who{}}
	names := b.config.usable()
	for _, name := range names {
		s.orders[name] = make(chan work, 1)
	}
	s.line = provision.NewLine(j.recipe, names, open)
	return s
}

// scan provisions what is scanned, until the input ends. resume begins with the open runs whose boards are in slots; without scanner nothing else is done.
func (a *app) scan(ctx context.Context, b *bench, j job, scanner, resume, simHands bool) error {
	open, err := b.db.OpenRuns()
	if err != nil {
		return exit(exitError, err)
	}
	watch, done := a.watch(ctx)
	voice := &terminal{app: a}
	s := a.newScanning(ctx, b, voice, j, watch, open)
	if b.simulated {
		s.hands, s.pause = &hands{told: simHands, quiet: !simHands}, 0
	}
	w := &wedge{}
	if scanner {
		w = a.readLines(ctx)
	}
	s.scanner = scanner
	s.work(ctx, w, resume)
	done()
	err = a.conclude(voice.results)
	code := exitDone
	var e *exitErr
	if errors.As(err, &e) {
		code = e.code
	}
	if w.err != nil {
		return exit(worse(code, exitError), fmt.Errorf("the scanner cannot be read any more: %w", w.err))
	}
	if resume && !scanner {
		if open, unread := b.db.OpenRuns(); unread != nil {
			return exit(worse(code, exitError), unread)
		} else if len(open) > 0 {
			if e != nil {
				err = e.err
			}
			return exit(worse(code, exitDecision), err)
		}
	}
	return err
}

// work goes on until nothing is scanned any more and nothing runs. Nobody but the goroutine of work has the line; each slot has a goroutine of its own, which looks
// at it or runs what is in it, and so never both at once.
func (s *scanning) work(ctx context.Context, w *wedge, resume bool) {
	first := s.lookAll(ctx)
	stop := make(chan struct{})
	var slots sync.WaitGroup
	for name, orders := range s.orders {
		slots.Go(func() {
			defer crashed(s.app.stderr)
			s.attend(ctx, stop, name, orders)
		})
	}
	defer slots.Wait()
	defer close(stop)
	if resume {
		// Whose board is where is settled before simulated hands take the others out.
		var all []provision.Decision
		for _, v := range first {
			all = append(all, s.line.Seen(v.slot, v.present, v.uid)...)
		}
		s.do(ctx, append(s.resume(), all...))
	} else {
		for _, v := range first {
			s.do(ctx, s.line.Seen(v.slot, v.present, v.uid))
		}
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	lines, stopped := w.lines, ctx.Done()
	for lines != nil || s.running > 0 {
		take := lines
		if s.busyHands(ctx) {
			take = nil
		}
		select {
		case text, more := <-take:
			if more {
				s.scanned(ctx, text)
				continue
			}
			lines = nil
			s.do(ctx, s.line.End())
		case a := <-s.asks:
			s.who = a.who
			a.done <- s.do(ctx, a.do())
			s.who = kiosk.Who{}
		case o := <-s.ended:
			s.running--
			s.stops[o.Slot](nil)
			s.voice.result(o)
			s.do(ctx, s.line.Ended(o.Slot, o.Result))
		case o := <-s.refused:
			s.running--
			s.voice.result(o)
		case v := <-s.seen:
			if s.line.State(v.slot) != provision.Running { // otherwise it was looked at before the run began
				s.do(ctx, s.line.Seen(v.slot, v.present, v.uid))
			}
		case now := <-tick.C:
			s.do(ctx, s.line.Tick(now))
		case <-stopped:
			lines, stopped = nil, nil
			s.do(ctx, s.line.End())
		}
	}
}

// attend looks at a slot, and runs what it is told to, until stop.
func (s *scanning) attend(ctx context.Context, stop chan struct{}, slot string, orders chan work) {
	e := eye{slot: slot}
	defer s.close(&e)
	for {
		var wait <-chan time.Time
		if s.hands == nil {
			wait = time.After(s.pause)
		}
		select {
		case o := <-orders:
			s.close(&e)
			s.ended <- s.bench.provisionOne(o.ctx, s.engine, o.order)
			e = eye{slot: slot}
			continue
		case <-stop:
			return
		case <-wait:
		}
		if v, settled := s.look(ctx, &e); settled {
			select {
			case s.seen <- v:
			case <-stop:
				return
			}
		}
	}
}

// scanned takes a line of the scanner, or one for simulated hands.
func (s *scanning) scanned(ctx context.Context, text string) {
	all, err := s.scan(ctx, text)
	if err != nil {
		s.voice.warn(err.Error())
		return
	}
	s.do(ctx, all)
}

// scan is what a code, or a line for simulated hands, is decided to mean.
func (s *scanning) scan(ctx context.Context, text string) ([]provision.Decision, error) {
	if s.hands != nil && s.hands.told {
		if done, is, err := s.handle(ctx, text); is {
			return done, err
		}
	}
	if err := readable("serial", text, longestName); err != nil {
		return nil, err
	}
	return s.line.Scan(time.Now(), text), nil
}

// do does what the line decided, and what it decides of that. It returns all that was done.
func (s *scanning) do(ctx context.Context, all []provision.Decision) (done []provision.Decision) {
	for len(all) > 0 {
		d := all[0]
		all = all[1:]
		if !s.scanner && (d.Do == provision.Ask || d.Do == provision.Empty) || d.Do == provision.Empty && s.line.State(d.Slot) != provision.Occupied {
			continue // nobody is there, or it was resumed
		}
		done = append(done, d)
		switch d.Do {
		case provision.Begin:
			s.begin(ctx, d)
		case provision.Refuse:
			s.refuse(ctx, d)
		case provision.Recall:
			all = append(all, s.resume()...)
		default:
			if d.Serial != "" && (d.Do == provision.Ask || d.Do == provision.Arm) {
				s.by[d.Slot] = cmp.Or(s.who, s.by[d.Slot])
			}
			if d.Do != provision.Empty || !s.hands.silent() || d.Cause != "" {
				s.voice.stands(s.line)
				s.voice.say(d, s.who)
			}
			all = append(all, s.move(ctx, d)...)
		}
	}
	s.voice.stands(s.line)
	return done
}

// order is the job for the unit of a decision, by whoever asks for it now or scanned it before.
func (s *scanning) order(d provision.Decision) provision.Order {
	j := s.job
	who := cmp.Or(s.who, s.by[d.Slot], kiosk.Who{ID: j.operator, Authenticated: j.authenticated})
	j.operator, j.authenticated = who.ID, who.Authenticated
	return j.order(pair{d.Slot, d.Serial}, d.Values)
}

func (s *scanning) begin(ctx context.Context, d provision.Decision) {
	ctx, stop := context.WithCancelCause(ctx)
	s.running++
	s.stops[d.Slot] = stop
	s.orders[d.Slot] <- work{ctx, s.order(d)}
}

// refuseWait is how long what is said next waits for a refusal, so that both are said in their order.
const refuseWait = time.Second

// refuse writes a refusal down, after those before it. Where the disk hangs, the scanning goes on.
func (s *scanning) refuse(ctx context.Context, d provision.Decision) {
	before, done := s.refuses, make(chan struct{})
	s.refuses = done
	s.running++
	order := s.order(d)
	go func() {
		defer crashed(s.app.stderr)
		if before != nil {
			<-before
		}
		s.refused <- outcome{Result: s.engine.Refuse(ctx, order, d.Cause, d.Message, d.Next)}
		close(done)
	}()
	limit := time.After(refuseWait)
	for {
		select {
		case o := <-s.refused:
			s.running--
			s.voice.result(o)
		case <-done:
			return
		case <-limit:
			return
		}
	}
}

func (s *scanning) resume() []provision.Decision {
	open, err := s.bench.db.OpenRuns()
	if err != nil {
		s.voice.warn(fmt.Sprintf("the open runs cannot be read: %v", err))
		return nil
	}
	if s.room != nil {
		open = s.room(open)
	}
	return s.line.Resume(open)
}

// slots are the names of those that take boards, in the order of the configuration.
func (s *scanning) slots() []string { return s.bench.config.usable() }
