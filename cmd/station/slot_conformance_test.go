package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/conformance"
	"station/flash"
	"station/provision"
	"station/sim/nor"
)

// TestSiliconNamesCases: every statement that docs/silicon.md sends its reader to is one of the suite's, and every fact that a profile assumes has its row.
func TestSiliconNamesCases(t *testing.T) {
	text, err := os.ReadFile("../../docs/silicon.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`suite \*([^*]+)\*`).FindAllStringSubmatch(string(text), -1)
	if len(named) < 30 {
		t.Errorf("only %d are named", len(named))
	}
	for _, n := range named {
		if !slices.ContainsFunc(conformance.Cases(), func(c conformance.Case) bool { return c.Name == n[1] }) {
			t.Errorf("the suite has no %q", n[1])
		}
	}
	// And nothing that a profile assumes is forgotten there.
	for _, p := range flash.Parts() {
		for _, fact := range p.Assumed {
			if !strings.Contains(string(text), "`"+fact+"`") && !strings.Contains(string(text), "`"+fact+".") {
				t.Errorf("there is no row for %s, which %s assumes", fact, p.Name)
			}
		}
	}
}

// TestSlotTestSaysNo: which exit code and which words slot test has for a bad chip, a bad contact, and Ctrl-C; a chip that does not hold its
// locks is a FAIL with the frames that show it.
func TestSlotTestSaysNo(t *testing.T) {
	t.Parallel()
	area := flash.Range{Size: leastArea}
	garbled := func(every int) func(out, in []byte) {
		n := 0
		return func(out, in []byte) {
			if out[0] != 0x9F {
				return
			}
			if n++; n > 100 && n%every == 0 {
				in[7] ^= 0x10
			}
		}
	}
	for _, c := range []struct {
		name   string
		faults nor.Faults
		forge  func(out, in []byte)
		stop   int // transfers, 0: never
		do     func(ctx context.Context, s *seated) error
		code   int
		want   []string
	}{
		{name: "good", do: func(ctx context.Context, s *seated) error { return s.suite(ctx, area) }, want: []string{": the supply cannot be switched", " 0 failed"}},
		{name: "locks that do not hold", faults: nor.Faults{IgnoreLocks: true}, do: func(ctx context.Context, s *seated) error { return s.suite(ctx, area) }, code: exitNo,
			want: []string{"\nFAIL ", "FAIL: slot 1: ", "statements of the data sheet are not true of this chip"}},
		{name: "a bad contact in the suite", forge: garbled(90), do: func(ctx context.Context, s *seated) error { return s.suite(ctx, area) }, code: exitError,
			want: []string{"ERROR: slot 1: the contact is unstable: reseat the board"}},
		{name: "Ctrl-C in the suite", stop: 300, do: func(ctx context.Context, s *seated) error { return s.suite(ctx, area) }, code: exitAborted, want: []string{"ABORTED: slot 1"}},
		{name: "a bad contact", forge: garbled(200), do: contactErr, code: exitError,
			want: []string{"contact     BAD\n", "; 5 others\n", "5 of 1000 readings of the ID, 0 of 10 of the SFDP and 0 of the status differ", "reseat the board; if it happens again, clean the slot"}},
		{name: "Ctrl-C in the contact test", stop: 100, do: contactErr, code: exitAborted, want: []string{"ABORTED: slot 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := flash.Parts()[2]
				chip, err := nor.New(p.Name, [14]byte{1}, nor.Options{Pace: nor.Real, Faults: c.faults})
				if err != nil {
					t.Fatal(err)
				}
				pins := &pinsConn{chip: chip}
				var out bytes.Buffer
				s := &seated{seat: seat{slot: "1"}, app: &app{stdout: &out, stderr: &out}, bench: &bench{}, conn: pins, parts: []*flash.Part{p}, watch: func(provision.Event) {}}
				if err := s.identify(t.Context()); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				pins.forge = c.forge
				if c.stop > 0 {
					pins.after, pins.cancel = c.stop, cancel
				}
				err = s.fault(ctx, c.do(ctx, s))
				code := 0
				var said *exitErr
				if errors.As(err, &said) {
					code = said.code
					out.WriteString(said.Error())
				} else if err != nil {
					t.Fatal(err)
				}
				if code != c.code {
					t.Errorf("exit %d, want %d\n%s", code, c.code, &out)
				}
				for _, want := range c.want {
					if !strings.Contains(out.String(), want) {
						t.Errorf("no %q in\n%s", want, &out)
					}
				}
			})
		})
	}
}

// poweredPins switches the supply of its chip, and hears whether that has a time limit.
type poweredPins struct {
	pinsConn
	limited bool
}

func (p *poweredPins) Power(ctx context.Context, on bool) error {
	_, p.limited = ctx.Deadline()
	p.chip.Power(on)
	return nil
}

// TestSupply: a programmer that switches the supply is used; else a person reseats the board and says so, and nothing goes on before it makes
// contact again; nobody there, or Ctrl-C, ends it.
func TestSupply(t *testing.T) {
	t.Parallel()
	part := flash.Parts()[2]
	newChip := func(t *testing.T) *nor.Chip {
		chip, err := nor.New(part.Name, [14]byte{1}, nor.Options{Pace: nor.Real})
		if err != nil {
			t.Fatal(err)
		}
		return chip
	}
	synctest.Test(t, func(t *testing.T) {
		pins := &poweredPins{pinsConn: pinsConn{chip: newChip(t)}}
		s, err := testSeat(t, pins, part)
		if err != nil {
			t.Fatal(err)
		}
		power, person := s.supply()
		before := pins.chip.PowerUps()
		if err := power(t.Context(), false); err != nil || pins.chip.Powered() || person || !pins.limited {
			t.Errorf("off: %v, powered %t, with a limit %t", err, pins.chip.Powered(), pins.limited)
		}
		if err := power(t.Context(), true); err != nil || pins.chip.PowerUps() != before+1 {
			t.Errorf("on: %v, %d power-ups", err, pins.chip.PowerUps()-before)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		chip := newChip(t)
		s, err := testSeat(t, &pinsConn{chip: chip}, part)
		if err != nil {
			t.Fatal(err)
		}
		if power, person := s.supply(); power != nil || person {
			t.Error("nobody is there, and yet somebody would reseat")
		}
		var said bytes.Buffer
		s.app.stderr = &said
		in, person := io.Pipe()
		ask := s.askReseat(bufio.NewReader(in))
		go func() {
			chip.Power(false)
			person.Write([]byte("\n"))
			time.Sleep(time.Second) // the spring bounces
			chip.Power(true)
		}()
		start := time.Now()
		if err := ask(t.Context()); err != nil || time.Since(start) < time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if want := "Take the board out of slot 1, put the same board back, and press Enter.\n"; said.String() != want {
			t.Errorf("it said %q", &said)
		}
		// A board that does not come back is asked for again, for as long as it takes.
		said.Reset()
		go func() {
			chip.Power(false)
			person.Write([]byte("\n"))
			time.Sleep(time.Hour)
			chip.Power(true)
			person.Write([]byte("\n"))
		}()
		start = time.Now()
		if err := ask(t.Context()); err != nil || time.Since(start) < time.Hour || strings.Count(said.String(), "Take the board out") != 2 || !strings.Contains(said.String(), "no chip answers") {
			t.Errorf("a board that comes back late: %v after %v\n%s", err, time.Since(start), &said)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		if err := ask(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Ctrl-C: %v", err)
		}
		person.Close()
		synctest.Wait()
		if err := ask(t.Context()); !errors.Is(err, io.EOF) || !errors.Is(err, errNobody) {
			t.Errorf("nobody: %v", err)
		}
	})
}

// contactErr is what slot test says of the contact at the slot's clock.
func contactErr(ctx context.Context, s *seated) error {
	if err := s.wake(ctx); err != nil {
		return err
	}
	j, m, err := s.contact(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.app.printContact(j), m.Err())
}
