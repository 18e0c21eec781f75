package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/fixtures"
	"station/fixtures/usb"
	"station/sim"
	"station/sim/ch341a"
	"station/sim/ftdi"
)

// TestBindByPlugging has a person plug in one programmer after the other, and answer what is asked.
func TestBindByPlugging(t *testing.T) {
	slots := []fixtures.Slot{{Name: "1", Port: "1-1", Channel: "A", Volts: "3.3"}, {Name: "2", Port: "1-1", Channel: "B", Volts: "3.3"}, {Name: "3", Port: "1-2", Volts: "3.3"},
		{Name: "4", Port: "tcp:host:1", Volts: "3.3"}, {Name: "5", Port: "tcp:host:5"}}
	fed := func(e slotEdit, volts string) slotEdit { e.set["volts"] = volts; return e }
	plug := func(port string, dev func() sim.Device) func(*sim.Line, io.Writer) {
		return func(l *sim.Line, _ io.Writer) {
			l.Unplug(port)
			time.Sleep(time.Second)
			if err := l.Plug(port, dev()); err != nil {
				t.Error(err)
			}
		}
	}
	dual := func() sim.Device { return ftdi.New(ftdi.FT2232H, ftdi.Options{}) }
	small := func() sim.Device { return ch341a.New(ch341a.Options{}) }
	hub := func(ports ...string) func(*sim.Line, io.Writer) { // whose devices come one after the other
		return func(l *sim.Line, _ io.Writer) {
			for _, port := range ports {
				l.Unplug(port)
			}
			for _, port := range ports {
				time.Sleep(time.Second)
				if err := l.Plug(port, small()); err != nil {
					t.Error(err)
				}
			}
		}
	}
	words := func(text string) func(*sim.Line, io.Writer) {
		return func(_ *sim.Line, w io.Writer) { io.WriteString(w, text+"\n") }
	}
	type step = func(*sim.Line, io.Writer)
	for name, c := range map[string]struct {
		names []string
		steps []step
		want  []slotEdit
		says  string
	}{
		"each in turn": {nil, []step{plug("2-1", dual), words("b"), words("same"), plug("2-1", dual), words("A"), words("1.8"), plug("2-2", small), words("skip")},
			[]slotEdit{placed("1", "2-1", "B"), fed(placed("2", "2-1", "A"), "1.8"), fed(placed("3", "2-2", ""), "")}, "which channel is wired to slot 1, A or B?"},
		"taken out and plugged in again": {[]string{"3"}, []step{plug("1-9", small), words("same")}, []slotEdit{placed("3", "1-9", "")}, "slot 3 (now 1-2): plug in its programmer alone"},
		"plugged in again where it was":  {[]string{"3"}, []step{plug("1-2", small)}, []slotEdit{placed("3", "1-2", "")}, "slot 3 is at 1-2\n"},
		"one that is taken": {[]string{"3", "1"}, []step{plug("2-1", dual), words("A"), words("same"), plug("2-1", dual), words("A"), words("x y z"), words("stop")}, []slotEdit{placed("1", "2-1", "A")},
			"is slot 1's already"},
		"the place of one that is not asked for": {[]string{"3"}, []step{plug("1-1", dual), words("A"), plug("1-5", small), words("same")}, []slotEdit{placed("3", "1-5", "")}, "slot 3: USB port 1-1 channel A is slot 1's already"},
		"the place of one that comes later": {nil, []step{words("1-2"), words("same"), words("skip"), words("skip"), words("stop"), words("1-1 A"), words("same")}, []slotEdit{placed("1", "1-2", ""), placed("3", "1-1", "A")},
			"slot 3: USB port 1-2 is slot 1's already: give each its own port, or channels A and B of one programmer\nso `stop` is not possible: bind that one too"},
		"typed, skipped and stopped": {nil, []step{words("skip"), words("nonsense"), words("1-4.2 a"), words("same"), words("stop")}, []slotEdit{placed("2", "1-4.2", "A")}, `port "nonsense" is not a USB port path`},
		"volts that nobody knew": {[]string{"5", "3"}, []step{plug("2-2", small), words("3.3"), words("tcp:host:6"), plug("2-3", small), words("33"), words("same"), words("1e0"), words("1.8")},
			[]slotEdit{fed(placed("3", "2-2", ""), "3.3"), fed(placed("5", "tcp:host:6", ""), "1.8")}, "volts \"33\" is not a number of volts from 1 to 5, such as 3.3 or 1.8\nslot 5: volts \"same\" is not a number of volts from 1 to 5, such as 3.3 or 1.8\nslot 5: volts \"1e0\" is not"},
		"volts that nobody knows": {[]string{"5"}, []step{words("tcp:host:6"), words("skip")}, []slotEdit{placed("5", "tcp:host:6", "")}, "slot 5 does not say which voltage its fixture gives"},
		"volts of another fixture": {[]string{"1", "3"}, []step{words("2-9 A"), words("stop")}, []slotEdit{fed(placed("1", "2-9", "A"), "")},
			"the fixture of slot 1 at 1-1 channel A gave 3.3 V: type the volts that a meter shows at this one, `same` where it is 3.3, or `skip` or `stop`, which leave the slot without"},
		"on a network, by name": {[]string{"4"}, []step{words("tcp:host:2"), words("same")}, []slotEdit{placed("4", "tcp:host:2", "")}, ""},
		"several behind a hub": {[]string{"3"}, []step{hub("2-1.1", "2-1.2"), hub("2-1.2"), words("same")}, []slotEdit{placed("3", "2-1.2", "")},
			"2 programmers came at once, at the USB ports 2-1.1, 2-1.2: take them out, and plug in that of slot 3 alone"},
		"a hub, and the slot that comes next": {[]string{"1", "3"}, []step{func(l *sim.Line, w io.Writer) { words("2-9")(l, w); hub("2-1.1", "2-1.2")(l, w); words("same")(l, w) }, words("stop")},
			[]slotEdit{placed("1", "2-9", "")}, "`skip` or `stop`\nCH341A at USB port 2-1.2 came before it was asked for: take it out, and plug it in again if it is that of slot 3\n"},
		"pulled out at once": {[]string{"3"}, []step{func(l *sim.Line, _ io.Writer) {
			hub("2-1.1")(l, nil)
			time.Sleep(time.Second)
			l.Unplug("2-1.1")
		}, words("stop")}, nil, "slot 3 (now 1-2)"},
		"typed, and its channel":     {[]string{"3"}, []step{words("2-7"), words("b"), words("same")}, []slotEdit{placed("3", "2-7", "B")}, "FT2232H at USB port 2-7: which channel is wired to slot 3, A or B?"},
		"typed, and no such channel": {[]string{"3"}, []step{words("1-9 B"), words("1-9"), words("same")}, []slotEdit{placed("3", "1-9", "")}, "the CH341A at USB port 1-9 has one channel, which needs no name: leave B out"},
		"typed, and nothing there": {[]string{"1"}, []step{words("1-8"), words("same")}, []slotEdit{placed("1", "1-8", "")},
			"slot 1 is at 1-8\nwarning: 1-8: nothing is plugged in there now, so nobody knows whether a programmer there has channels\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := sim.NewLine(sim.Options{})
				defer line.Close()
				plug("1-9", small)(line, nil) // these were there before
				plug("2-7", dual)(line, nil)
				rack, err := fixtures.NewRack(line, slots)
				if err != nil {
					t.Fatal(err)
				}
				in, person := io.Pipe()
				var says bytes.Buffer
				a := &app{stdin: in, stderr: &says}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				go func() {
					for _, do := range c.steps {
						time.Sleep(5 * time.Second)
						do(line, person)
					}
				}()
				got, err := a.askOver(ctx, a.readLines(ctx), rack, func(s fixtures.Slot) bool {
					return c.names == nil && !s.OnNetwork() || slices.Contains(c.names, s.Name)
				})
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("bound %v, want %v: %v", got, c.want, err)
				}
				if !strings.Contains(says.String(), c.says) {
					t.Errorf("said\n%swant %q", &says, c.says)
				}
				person.Close()
			})
		})
	}
}

// TestBindStopped: Ctrl-C binds nothing, and neither does the end of the input, wherever it comes.
func TestBindStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rack, err := fixtures.NewRack(sim.NewLine(sim.Options{}), []fixtures.Slot{{Name: "1", Port: "1-1"}, {Name: "2", Port: "1-2"}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		in, person := io.Pipe()
		a := &app{stdin: in, stderr: io.Discard}
		all := func(fixtures.Slot) bool { return true }
		time.AfterFunc(time.Minute, cancel)
		if got, err := a.askOver(ctx, a.readLines(ctx), rack, all); got != nil || !errors.Is(err, errUnwritten) {
			t.Errorf("%v, %v", got, err)
		}
		person.Close()
		for typed, want := range map[string]string{"": "slot 1 was bound", "nonsense\n": "slot 1 was bound", "1-5\n": "the volts of slot 1 were known", "1-5\n3.3\n": "slot 2 was bound"} {
			a = &app{stdin: strings.NewReader(typed), stderr: io.Discard}
			got, err := a.askOver(t.Context(), a.readLines(t.Context()), rack, all)
			var said *exitErr
			if got != nil || !errors.As(err, &said) || said.code != exitRefused || said.Error() != "the input ended before "+want+": nothing was written" {
				t.Errorf("%q: %v, %v", typed, got, err)
			}
		}
		a = &app{stdin: strings.NewReader(""), stderr: io.Discard}
		if yes, err := a.agreed(t.Context(), a.readLines(t.Context()), "?"); yes || err == nil {
			t.Errorf("agreed %v, %v", yes, err)
		}
	})
}

// TestPrintBinding: whoever was asked has seen the changes.
func TestPrintBinding(t *testing.T) {
	j := bindingJSON{"config.yaml", true, []keyChange{{"1", "port", "1-1", "1-2"}}}
	for edits, want := range []string{"no slot was bound, and nothing was written to config.yaml\n", "config.yaml says so already\n"} {
		var out bytes.Buffer
		if err := (&app{stdout: &out}).printBinding(bindingJSON{Config: "config.yaml"}, edits, true); err != nil || out.String() != want {
			t.Errorf("%d edits: %q, want %q, %v", edits, &out, want, err)
		}
	}
	for asked, want := range map[bool]string{true: "written to config.yaml\n", false: "slot 1  port  1-1  ->  1-2\nwritten to config.yaml\n"} {
		var out bytes.Buffer
		if err := (&app{stdout: &out}).printBinding(j, 1, asked); err != nil || out.String() != want {
			t.Errorf("asked %v: %q, want %q, %v", asked, &out, want, err)
		}
	}
}

// TestWired: what is plugged in decides which channel may be named, and where nothing can be seen that is said.
func TestWired(t *testing.T) {
	mouse := usb.Device{Port: "1-3", Vendor: 0x046D, Product: 0xC077, Name: "Mouse"}
	rack, err := fixtures.NewRack(stocked{programmer("1-1"), {Port: "1-2", Vendor: 0x1A86, Product: 0x5512}, mouse}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ port, channel, why, refused string }{
		{"1-1", "", "", "the FT2232H at USB port 1-1 has the channels A and B: say with --channel which one is wired to the slot"},
		{"1-1", "B", "", ""},
		{"1-2", "", "", ""},
		{"1-2", "A", "", ""},
		{"1-2", "B", "", "the CH341A at USB port 1-2 has one channel, which needs no name: leave B out"},
		{"1-3", "", "046d:c077 Mouse is plugged in there now, which is not a programmer that this station can drive", ""},
		{"1-4", "", "nothing is plugged in there now, so nobody knows whether a programmer there has channels", ""},
		{"tcp:host:1", "", "", ""},
	} {
		there, why := plugged(t.Context(), rack, c.port)
		refused := ""
		if err := there.wired(c.channel); err != nil {
			refused = err.Error()
		}
		if why != c.why || refused != c.refused {
			t.Errorf("%s %s: %q, refused %q", c.port, c.channel, why, refused)
		}
	}
}
