package campaign

import (
	"slices"
	"strings"
	"time"

	"station/fixtures/usb"
	"station/ledger"
	"station/sim/nor"
)

// kind is one kind of fault, at one of the moments of a slot. Exactly one of now, breaks and disk says what it does.
type kind struct {
	name   string
	weight int // how often it is drawn
	at     []moment
	all    bool                        // it is the station's, not one slot's
	now    func(*world, *slot, *fault) // happens, and the slot goes on
	chip   func(*board, *fault)        // happens to the board that is in the slot, where one is
	breaks func(*world, *slot) error   // what the transfers end in, of which the device has taken a part
	disk   diskFault                   // what becomes of the commit
}

func (k *kind) fits(at moment) bool { return slices.Contains(k.at, at) }

// fault is one that is planned: the first moment that fits, from the after-th of the slot on, or from the after-th behind an intent of that kind on.
type fault struct {
	kind   *kind
	after  int
	behind string  // kind of an entry, "" for none
	part   float64 // of a transfer that the device takes: 0 is not done, 1 is done and unanswered
	odds   int     // of noise: one byte in so many
	board  *board  // that comes in place of another
}

// due tells whether a fault's time has come.
func (f *fault) due(s *slot) bool {
	if f.behind != "" {
		return s.intent == f.behind && s.moments-s.intended >= f.after
	}
	return s.moments >= f.after
}

func (f *fault) String() string { return f.name() }

func (f *fault) name() string {
	switch {
	case f.kind.breaks == nil:
		return f.kind.name
	case f.part == 0:
		return f.kind.name + ", not done"
	case f.part == 1:
		return f.kind.name + ", done and unanswered"
	}
	return f.kind.name + ", half done"
}

// diskFault is what becomes of a commit.
type diskFault int

const (
	_           diskFault = iota
	dieBefore             // the station dies before it
	dieAfter              // it is durable, and the station dies before it knows
	dieUnsigned           // it is durable, and the station dies before its checkpoint is signed
	full                  // no room: nothing was written
	unsynced              // fsync fails, and all was written
	lost                  // fsync fails, and nothing was
	mirrorless            // the ledger has it, and then the mirror is gone
)

var (
	onWire   = []moment{transfers}
	onCommit = []moment{commits}
	anywhere = []moment{transfers, commits, committed}
)

// kinds are all faults that happen at a moment. Those that a board is born with are in board_test.go.
var kinds = []*kind{
	{name: "station killed at a transfer", weight: 6, at: onWire, all: true, breaks: func(w *world, _ *slot) error {
		w.kill()
		return errDead
	}},
	{name: "station killed before a commit", weight: 3, at: onCommit, all: true, disk: dieBefore},
	{name: "station killed after a commit", weight: 3, at: []moment{committed}, all: true, disk: dieAfter},
	{name: "station killed before a checkpoint", weight: 1, at: onCommit, all: true, disk: dieUnsigned},
	{name: "disk full", weight: 1, at: onCommit, all: true, disk: full},
	{name: "fsync fails, the commit is there", weight: 2, at: onCommit, all: true, disk: unsynced},
	{name: "fsync fails, the commit is lost", weight: 2, at: onCommit, all: true, disk: lost},
	{name: "unplugged", weight: 4, at: onWire, breaks: func(w *world, s *slot) error {
		w.unplug(s)
		return usb.ErrGone
	}},
	{name: "time-out", weight: 3, at: onWire, breaks: func(*world, *slot) error { return usb.ErrTimeout }},
	{name: "stall", weight: 2, at: onWire, breaks: func(*world, *slot) error { return usb.ErrStall }},
	{name: "stopped by a person", weight: 2, at: anywhere, now: func(_ *world, s *slot, _ *fault) { s.cancel() }},
	{name: "power cut between operations", weight: 2, at: anywhere, chip: func(b *board, _ *fault) { b.chip.Power(false) }},
	{name: "power cut within an operation", weight: 6, at: onWire, chip: func(b *board, f *fault) {
		b.spoil(func(n *nor.Faults) { n.Cut, n.CutDone = 1, false })
	}},
	{name: "power cut behind an operation", weight: 4, at: onWire, chip: func(b *board, f *fault) {
		b.spoil(func(n *nor.Faults) { n.Cut, n.CutDone = 1, true })
	}},
	{name: "board taken out", weight: 2, at: anywhere, now: func(w *world, s *slot, _ *fault) { w.takeOut(s) }},
	{name: "board swapped", weight: 2, at: anywhere, now: func(w *world, s *slot, f *fault) {
		w.takeOut(s)
		w.swaps = append(w.swaps, swap{s, f.board, time.Now().Add(swapTime)})
	}},
	{name: "weak contact", weight: 2, at: anywhere, chip: func(b *board, f *fault) {
		b.noisy = true
		b.spoil(func(n *nor.Faults) { n.WeakContact = f.odds })
	}},
	{name: "bytes lost", weight: 1, at: anywhere, chip: func(b *board, f *fault) {
		b.noisy = true
		b.spoil(func(n *nor.Faults) { n.DropByte = f.odds })
	}},
	{name: "bits flipped to the chip", weight: 4, at: anywhere, chip: func(b *board, f *fault) {
		b.noisy = true
		b.spoil(func(n *nor.Faults) { n.FlipIn = f.odds })
	}},
	{name: "stuck busy", weight: 1, at: anywhere, chip: func(b *board, f *fault) {
		b.sick = true
		b.spoil(func(n *nor.Faults) { n.StuckBusy = true })
	}},
	{name: "programs fail", weight: 1, at: anywhere, chip: func(b *board, f *fault) {
		b.sick = true
		b.spoil(func(n *nor.Faults) { n.FailProgram = true })
	}},
	{name: mirrorGone, weight: 3, at: onCommit, all: true, now: func(w *world, _ *slot, _ *fault) { w.pull(true) }},
	{name: mirrorGone + " within a commit", weight: 3, at: onCommit, all: true, disk: mirrorless},
	{name: "clock jumps", weight: 1, at: anywhere, now: func(w *world, _ *slot, _ *fault) {
		w.clock.Add(int64(time.Duration(w.dice.IntN(96*3600)-48*3600) * time.Second))
	}},
}

const mirrorGone = "mirror gone"

// swapTime is how long hands need to put in another board.
const swapTime = time.Second

// swap is a board on its way into a slot.
type swap struct {
	slot  *slot
	board *board
	at    time.Time
}

// swapDue puts in the boards whose time has come, and tells how long it is to the next, an hour where there is none.
func (w *world) swapDue() time.Duration {
	for len(w.swaps) > 0 {
		s := w.swaps[0]
		if d := time.Until(s.at); d > 0 {
			return d
		}
		w.swaps = w.swaps[1:]
		if s.board.slot == nil && s.slot.board == nil {
			w.putIn(s.slot, s.board)
		}
	}
	return time.Hour
}

// harmless tells whether a fault is none to the slot that it happens to.
func (k *kind) harmless() bool { return k.name == "clock jumps" }

// draw plans a fault for a slot.
func (w *world) draw(s *slot) *fault {
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	n := w.dice.IntN(sum)
	f := &fault{after: 1 + w.dice.IntN(s.span), odds: []int{50, 500, 5000, 50000}[w.dice.IntN(4)]}
	for _, f.kind = range kinds {
		if n -= f.kind.weight; n < 0 && (w.mirror != "" || !strings.HasPrefix(f.kind.name, mirrorGone)) {
			break
		}
	}
	switch w.dice.IntN(6) {
	case 0: // what is written comes first, and in few transfers
		f.after = 1 + w.dice.IntN(s.span/8)
	case 1, 2: // so do the permanent commands, each behind its intent
		f.behind = []string{ledger.KindPasswordIntent, ledger.KindModeIntent, ledger.KindRootKeyIntent, ledger.KindPermanentIntent}[w.dice.IntN(4)]
		f.after = 1 + w.dice.IntN(15)
	}
	f.part = []float64{0, 1, w.dice.Float64()}[w.dice.IntN(3)]
	f.board = w.boards[w.dice.IntN(len(w.boards))]
	return f
}

func (w *world) count(s *slot, f *fault) {
	w.faults[f.name()]++
	if f.kind.harmless() {
		return
	}
	if f.kind.all {
		w.upset = true
	}
	s.hit = true
}

// unplug pulls a slot's programmer, of which another slot may be a channel.
func (w *world) unplug(s *slot) {
	if err := w.sim.Unplug(s.place.Port); err != nil {
		w.violate("unplugging: %v", err)
	}
	for _, o := range w.slots {
		if o.place.Port == s.place.Port {
			o.hit = true
		}
	}
}
