package provision

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"station/ledger"
	"station/sim/nor"
	"station/spi"
)

// narrow is a socket whose programmer carries commands of 16 bytes.
type narrow struct{ *socket }

func (n narrow) Lease(ctx context.Context, slot string) (spi.Conn, func() error, error) {
	c, release, err := n.socket.Lease(ctx, slot)
	return narrowPins{c}, release, err
}

type narrowPins struct{ spi.Conn }

func (p narrowPins) Limits() spi.Limits {
	l := p.Conn.Limits()
	l.MaxAnswer = 16
	return l
}

// TestProgrammerCannot: a recipe with a command that the programmer cannot carry is refused before the chip hears anything, and any other is carried out.
func TestProgrammerCannot(t *testing.T) {
	const write = "  - write: {region: boot, image: boot}\n"
	for _, c := range []struct {
		name, steps string
		fits        bool
	}{
		{"readback", full, true},
		{"short raw", write + "  - raw: {send: 9F, read: 16}\n", true},
		{"long raw", write + "  - raw: {send: 9F, read: 17}\n", false},
		{"crc", "  - write: {region: boot, image: boot, verify: crc}\n", false},
		{"otp", write + "  - otp: {fields: [{text: serial, size: 8, pad: 0x20}], lock: false}\npermanent: [otp]\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(t, Options{})
			l.engine = New(narrow{l.socket}, l.books, Options{Software: "station test", AllowRaw: true})
			chip, err := nor.New("MT25QL256ABA", [14]byte{7}, nor.Options{})
			if err != nil {
				t.Fatal(err)
			}
			l.socket.put("1", chip)
			heard := 0
			l.socket.before = func(string, spi.Frame) error { heard++; return nil }
			res := l.run(recipe(t, 1, c.steps), "1", "S1")
			if c.fits {
				l.want(res, ledger.Pass, "")
				return
			}
			l.want(res, ledger.Refused, "programmer-cannot")
			if heard > 0 || !strings.Contains(res.Message, "carries commands of 16 bytes") {
				t.Errorf("the chip heard %d frames: %s", heard, res.Message)
			}
		})
	}
}

// misconfigured is a socket of a slot that does not fit its programmer.
type misconfigured struct {
	*socket
	is bool
}

func (m misconfigured) Lease(context.Context, string) (spi.Conn, func() error, error) {
	return nil, nil, fmt.Errorf("leasing: %w", slotFault(m.is))
}

type slotFault bool

func (slotFault) Error() string         { return "slot 1: set `channel`" }
func (f slotFault) Misconfigured() bool { return bool(f) }

// TestMisconfigured: a slot whose configuration is wrong refuses the unit with what to correct; other failures of the programmer are the station's.
func TestMisconfigured(t *testing.T) {
	for is, cause := range map[bool]string{true: "fixture-config", false: "fixture"} {
		l := newLine(t, Options{})
		l.engine = New(misconfigured{l.socket, is}, l.books, Options{Software: "station test"})
		res := l.run(recipe(t, 1, full), "1", "S1")
		l.want(res, map[bool]ledger.Outcome{true: ledger.Refused, false: ledger.Error}[is], cause)
		if !strings.Contains(res.Message, "slot 1: set `channel`") || strings.Contains(res.Next, "cable") == is {
			t.Errorf("%s: %s %s", cause, res.Message, res.Next)
		}
	}
}
