package provision

import (
	"context"
	"errors"
	"strings"
	"testing"

	"station/flash"
	"station/ledger"
	"station/sim/nor"
	"station/spi"
)

// supply is a socket that says what it gives.
type supply struct {
	*socket
	volts  float64
	leased int
}

func (s *supply) Volts(string) float64 { return s.volts }

func (s *supply) Lease(ctx context.Context, slot string) (spi.Conn, func() error, error) {
	s.leased++
	return s.socket.Lease(ctx, slot)
}

// TestWrongVoltage: a slot is not leased for a recipe whose parts take another voltage, and a chip that takes another one than the slot
// gives is not touched.
func TestWrongVoltage(t *testing.T) {
	const high, low = "MT25QL256ABA", "MT25QU256ABA"

	for _, c := range []struct {
		name, parts, chip string
		volts             float64
		cause             string // "" passes
		leased            int
	}{
		{"not known", high, high, 0, "volts-unknown", 0},
		{"right", high, high, 3.3, "", 1},
		{"within 10 %", high, high, 3.0, "", 1},
		{"a Dediprog's", high, high, 3.5, "", 1},
		{"exactly 10 %", high, high, 3.63, "", 1},
		{"beyond", high, high, 3.64, "wrong-voltage", 0},
		{"too high for all", low, low, 3.3, "wrong-voltage", 0},
		{"too low for all", high, high, 1.8, "wrong-voltage", 0},
		{"right for the one that is there", high + ", " + low, low, 1.8, "", 1},
		{"right for the one that is not there", high + ", " + low, low, 3.3, "wrong-voltage", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(t, Options{})
			bench := &supply{socket: l.socket, volts: c.volts}
			l.engine = New(bench, l.books, Options{Software: "station test"})
			chip, err := nor.New(c.chip, [14]byte{7}, nor.Options{})
			if err != nil {
				t.Fatal(err)
			}
			l.socket.put("1", chip)
			res := l.run(recipeFor(t, c.parts, 1, full), "1", "S1")
			if c.cause == "" {
				l.want(res, ledger.Pass, "")
			} else {
				l.want(res, ledger.Refused, c.cause)
			}
			if bench.leased != c.leased {
				t.Errorf("leased %d times, want %d", bench.leased, c.leased)
			}
			if n := chip.Counters()[nor.CountProgram]; (n > 0) != (c.cause == "") {
				t.Errorf("%d programs", n)
			}
		})
	}
}

// TestVoltageSentence: every part is named with what it takes.
func TestVoltageSentence(t *testing.T) {
	r := &run{e: New(&supply{socket: newSocket(), volts: 2.5}, nil, Options{}), o: Order{Slot: "3"}}
	var v *verdict
	err := r.checkVoltage(&flash.Part{Name: "MT25QL128ABB", Volts: 3.3}, &flash.Part{Name: "MT25QU128ABB", Volts: 1.8})
	if !errors.As(err, &v) || v.message != "slot 3 gives 2.5 V, and MT25QL128ABB takes 3.3 V, MT25QU128ABB takes 1.8 V" || !strings.Contains(v.next, "volts in the configuration") {
		t.Errorf("%v", err)
	}
}

// TestFeeds: 3.5 V feeds a part of 3.3 V, and none of 3.0 V.
func TestFeeds(t *testing.T) {
	for _, c := range []struct {
		volts, takes float64
		want         bool
	}{{3.5, 3.3, true}, {3.5, 3.0, false}, {3.3, 3.0, true}, {2.5, 1.8, false}, {1.8, 1.8, true}, {0, 3.0, true}} {
		if got := Feeds(c.volts, &flash.Part{Volts: c.takes}); got != c.want {
			t.Errorf("%v V for a part of %v V: %v", c.volts, c.takes, got)
		}
	}
}
