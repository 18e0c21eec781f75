package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"station/provision"
)

// watch shows what the engine does: a bar for each slot on a terminal, plain lines otherwise. done ends the showing.
func (a *app) watch(ctx context.Context) (watch func(provision.Event), done func()) {
	if f, ok := a.stderr.(*os.File); ok && isTerminal(f) {
		w := newBars(mpb.NewWithContext(context.WithoutCancel(ctx), mpb.WithOutput(f), mpb.WithWidth(40)))
		return w.event, w.done
	}
	var mu sync.Mutex
	return func(ev provision.Event) {
		mu.Lock()
		defer mu.Unlock()
		writeLine(a.stderr, ev)
	}, func() {}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "" && os.Getenv("TERM") != "dumb"
}

// writeLine is one event as a line of text; progress is left out.
func writeLine(w io.Writer, ev provision.Event) {
	at := ""
	if ev.Of > 0 {
		at = fmt.Sprintf("%d/%d ", ev.Step, ev.Of)
	}
	switch ev.Kind {
	case provision.Progress, provision.StepEnded:
		return
	case provision.StepBegan:
		if ev.Permanent {
			at += "PERMANENT "
		}
		printf(w, "slot %s  %s  %s%s\n", ev.Slot, ev.Serial, at, ev.Title)
	case provision.Warned:
		printf(w, "slot %s  %s  warning: %s\n", ev.Slot, ev.Serial, ev.Title)
	case provision.Planned:
		printf(w, "slot %s  %s  %s%s\n", ev.Slot, ev.Serial, at, ev.Title)
	case provision.Ended:
		printf(w, "slot %s  %s  %s  %s\n", ev.Slot, ev.Serial, ev.Result.Outcome, ev.Title)
	default:
		printf(w, "slot %s  %s  %s  %s\n", ev.Slot, ev.Serial, ev.Kind, ev.Title)
	}
}

// bars shows one bar for each slot.
type bars struct {
	p     *mpb.Progress
	mu    sync.Mutex
	slots map[string]*slotBar
}

// slotBar is a bar and the text before it, which mpb's own goroutine reads: under no lock that an event may hold
// while it waits for that goroutine.
type slotBar struct {
	bar   *mpb.Bar
	label atomic.Pointer[string]
}

func newBars(p *mpb.Progress) *bars { return &bars{p: p, slots: map[string]*slotBar{}} }

func (w *bars) event(ev provision.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.slots[ev.Slot]
	if s == nil {
		s = &slotBar{}
		s.label.Store(new(string))
		w.slots[ev.Slot] = s
		// A bar that begins without a total does not take its being full for its end.
		s.bar = w.p.AddBar(0, mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return *s.label.Load() },
			decor.WC{W: 72, C: decor.DindentRight})), mpb.AppendDecorators(decor.Percentage()))
	}
	if ev.Kind == provision.Warned { // it stays, and its bar goes on
		printf(w.p, "slot %s  %s  warning: %s\n", ev.Slot, ev.Serial, ev.Title)
		return
	}
	label := fmt.Sprintf("slot %s  %s  ", ev.Slot, ev.Serial)
	if ev.Of > 0 && ev.Step > 0 {
		label += fmt.Sprintf("%d/%d ", ev.Step, ev.Of)
	}
	if ev.Permanent {
		label += "PERMANENT "
	}
	switch ev.Kind {
	case provision.Progress:
		label += ev.Title + ", " + ev.Move
		s.bar.SetTotal(max(1, ev.Total), false)
		s.bar.SetCurrent(ev.Done)
	case provision.Ended:
		label += string(ev.Result.Outcome)
		s.bar.SetTotal(-1, true)
		delete(w.slots, ev.Slot) // the slot's next unit gets a bar of its own
	default:
		label += ev.Title
	}
	label = shown(label)
	s.label.Store(&label)
}

func (w *bars) done() { w.p.Wait() }
