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
		"each in turn": {nil, []step{plug("2-1", dual), words("b"), plug("2-1", dual), words("A"), plug("2-2", small)},
			[]slotEdit{placed("1", "2-1", "B"), placed("2", "2-1", "A"), placed("3", "2-2", "")}, "which channel is wired to slot 1, A or B?"},
		"taken out and plugged in again":         {[]string{"3"}, []step{plug("1-9", small)}, []slotEdit{placed("3", "1-9", "")}, "slot 3 (now 1-2): plug in its programmer alone"},
		"one that is taken":                      {[]string{"3", "1"}, []step{plug("2-1", dual), words("A"), plug("2-1", dual), words("A"), words("x y z"), words("stop")}, []slotEdit{placed("1", "2-1", "A")}, "is slot 1's already"},
		"the place of one that is not asked for": {[]string{"3"}, []step{plug("1-1", dual), words("A"), plug("1-5", small)}, []slotEdit{placed("3", "1-5", "")}, "slot 3: USB port 1-1 channel A is slot 1's already"},
		"the place of one that comes later": {nil, []step{words("1-2"), words("skip"), words("skip"), words("stop"), words("1-1 A")}, []slotEdit{placed("1", "1-2", ""), placed("3", "1-1", "A")},
			"slot 3: USB port 1-2 is slot 1's already: give each its own port, or channels A and B of one programmer\nso `stop` is not possible: bind that one too"},
		"typed, skipped and stopped": {nil, []step{words("skip"), words("nonsense"), words("1-4.2 a"), words("stop")}, []slotEdit{placed("2", "1-4.2", "A")}, `port "nonsense" is not a USB port path`},
		"volts that nobody knew": {[]string{"5", "3"}, []step{plug("2-2", small), words("tcp:host:6"), plug("2-3", small), words("33"), words("1.8")},
			[]slotEdit{placed("3", "2-2", ""), fed(placed("5", "tcp:host:6", ""), "1.8")}, `volts "33" is not a number of volts from 1 to 5`},
		"volts that nobody knows": {[]string{"5"}, []step{words("tcp:host:6"), words("skip")}, []slotEdit{placed("5", "tcp:host:6", "")}, "slot 5 does not say which voltage its fixture gives"},
		"on a network, by name":   {[]string{"4"}, []step{words("tcp:host:2")}, []slotEdit{placed("4", "tcp:host:2", "")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := sim.NewLine(sim.Options{})
				defer line.Close()
				plug("1-9", small)(line, nil) // was there before
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

// TestBindStopped: Ctrl-C binds nothing, and the end of the input binds what there is so far.
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
		a = &app{stdin: strings.NewReader("1-5\n"), stderr: io.Discard}
		if got, err := a.askOver(t.Context(), a.readLines(t.Context()), rack, all); err != nil || !reflect.DeepEqual(got, []slotEdit{placed("1", "1-5", "")}) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// TestPrintBinding: whoever was asked has seen the changes.
func TestPrintBinding(t *testing.T) {
	j := bindingJSON{"config.yaml", true, []keyChange{{"1", "port", "1-1", "1-2"}}}
	for asked, want := range map[bool]string{true: "written to config.yaml\n", false: "slot 1  port  1-1  ->  1-2\nwritten to config.yaml\n"} {
		var out bytes.Buffer
		if err := (&app{stdout: &out}).printBinding(j, asked); err != nil || out.String() != want {
			t.Errorf("asked %v: %q, want %q, %v", asked, &out, want, err)
		}
	}
}
