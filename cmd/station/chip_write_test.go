package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/flash"
	"station/provision"
	"station/sim/nor"
	"station/spi"
)

// TestChipOverBothFamilies writes, reads, verifies and erases through the program on a two-channel FTDI programmer (slot 1) and on a CH341A (slot 3), and looks
// behind the pins after each: the range is as told, and no byte beside it was changed, at borders of pages, erase units, sectors, and of the part.
func TestChipOverBothFamilies(t *testing.T) {
	t.Parallel()
	for _, slot := range []string{"1", "3"} {
		t.Run("slot "+slot, func(t *testing.T) {
			t.Parallel()
			p := newPosition(t)
			board := filepath.Join(p.dir, "b.chip")
			chip, err := nor.Create(board, "MT25QL128ABA", [14]byte{1, 2, 3}, nor.Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte{0xFF}, chip.Size())
			if err := chip.Close(); err != nil {
				t.Fatal(err)
			}
			p.expect(exitDone, "chip", "info", "--slot", slot, "--sim-board", board)
			behind := func(step string) {
				t.Helper()
				chip := openBoard(t, board)
				defer chip.Close()
				got := chip.Bytes(0, chip.Size())
				for i := range got {
					if got[i] != want[i] {
						t.Fatalf("%s: 0x%06X holds %02X, want %02X", step, i, got[i], want[i])
					}
				}
			}
			dice := rand.NewChaCha8([32]byte{'c', 'h', 'i', 'p'})
			file := filepath.Join(p.dir, "data.bin")
			for _, r := range []flash.Range{{Addr: 0, Size: 1}, {Addr: 0, Size: 8192}, {Addr: 0x0FFF, Size: 2}, {Addr: 0x0FFF, Size: 2}, {Addr: 0x1234, Size: 70000},
				{Addr: 0x0F00, Size: 0x1E01}, {Addr: 0xFFFF, Size: 0x10002}, {Addr: 0x2345, Size: 17}, {Addr: 16<<20 - 5000, Size: 5000}, {Addr: 16<<20 - 1, Size: 1}} {
				data := make([]byte, r.Size)
				dice.Read(data)
				if err := os.WriteFile(file, data, 0o644); err != nil {
					t.Fatal(err)
				}
				at, size := fmt.Sprintf("0x%X", r.Addr), fmt.Sprint(r.Size)
				p.expect(exitDone, "chip", "write", file, "--slot", slot, "--at", at, "--yes")
				copy(want[r.Addr:], data)
				behind("write " + r.String())
				p.expect(exitDone, "chip", "verify", file, "--slot", slot, "--at", at)
				back := filepath.Join(p.dir, "back.bin")
				p.expect(exitDone, "chip", "read", "--slot", slot, "--at", at, "--size", size, "-o", back, "--force")
				if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("read %s: another content, %v", r, err)
				}
			}
			for _, r := range []flash.Range{{Addr: 0x0800, Size: 0x1000}, {Addr: 0x3000, Size: 0x1000}, {Addr: 0x4FFF, Size: 0x10001}} {
				p.expect(exitDone, "chip", "erase", "--slot", slot, "--at", fmt.Sprintf("0x%X", r.Addr), "--size", fmt.Sprint(r.Size), "--yes")
				copy(want[r.Addr:r.Addr+r.Size], bytes.Repeat([]byte{0xFF}, int(r.Size)))
				behind("erase " + r.String())
			}
			p.close()
		})
	}
}

// TestWriteIsStopped ends a write at every one of its transfers, by Ctrl-C: what lies beside it in its erase units is as before, and the chip is ready.
func TestWriteIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, writeIsStopped)
}

func writeIsStopped(t *testing.T) {
	p := flash.Parts()[2]
	before := make([]byte, 80*p.Erases[0].Size)
	dice := rand.NewChaCha8([32]byte{'s', 't', 'o', 'p'})
	dice.Read(before)
	data := make([]byte, 78*p.Erases[0].Size)
	dice.Read(data)
	const at = 0x800
	stopped := 0
	for n := 0; ; n++ {
		chip, err := nor.New(p.Name, [14]byte{1}, nor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		pins := &pinsConn{chip: chip}
		s, err := testSeat(t, pins, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.change(t.Context(), "write", flash.Extent{Size: int64(len(before)), Data: before}, true, true); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		pins.after, pins.cancel = n, cancel
		err = s.fault(ctx, s.change(ctx, "write", flash.Extent{Addr: at, Size: int64(len(data)), Data: data}, true, true))
		got := chip.Bytes(0, len(before))
		if !bytes.Equal(got[:at], before[:at]) || !bytes.Equal(got[at+len(data):], before[at+len(data):]) {
			t.Fatalf("stopped at transfer %d (%v): what lies beside it was changed", n, err)
		}
		if left := pins.ask(0x05); left[0] != 0 {
			t.Fatalf("stopped at transfer %d: status %02X", n, left[0])
		}
		cancel()
		if err == nil {
			if !bytes.Equal(got[at:at+len(data)], data) {
				t.Error("it was not stopped, and is not written")
			}
			break
		}
		var said *exitErr
		if !errors.As(err, &said) || said.code != exitAborted || !strings.HasSuffix(err.Error(), "; the chip is ready") {
			t.Fatalf("stopped at transfer %d: %v", n, err)
		}
		stopped++
	}
	if stopped < 20 {
		t.Errorf("only %d transfers were tried", stopped)
	}
	t.Logf("stopped at %d transfers", stopped)
}

// TestBusyIsTold: a chip that another program left busy is not awaited in silence, and nobody who stops that is told that it is ready.
func TestBusyIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := flash.Parts()[4]
		chip, err := nor.New(p.Name, [14]byte{1}, nor.Options{Pace: nor.Real})
		if err != nil {
			t.Fatal(err)
		}
		pins := &pinsConn{chip: chip}
		var errs bytes.Buffer
		s := &seated{seat: seat{slot: "1"}, app: &app{stdout: io.Discard, stderr: &errs}, bench: &bench{}, conn: pins, parts: []*flash.Part{p}, watch: func(provision.Event) {}}
		if err := s.identify(t.Context()); err != nil || errs.Len() > 0 {
			t.Fatalf("%v, %s", err, &errs)
		}
		bulk := func() {
			for _, out := range []byte{0x06, 0xC7} {
				chip.Select()
				chip.Shift([]byte{out}, nil)
				chip.Deselect()
			}
		}
		bulk()
		stopped := fmt.Errorf("read: %w", context.Canceled)
		if text := s.fault(t.Context(), stopped).Error(); text != fmt.Sprintf("ABORTED: slot 1: someone stopped it; the chip is busy, for up to %v: leave it its power", p.Longest()) {
			t.Errorf("busy: %s", text)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := s.identify(ctx); err == nil {
			t.Fatal("the chip was not busy")
		}
		want := fmt.Sprintf("slot 1: no ID after 2s: either the programmer does not answer, or the chip was left busy, which is awaited for up to %v; Ctrl-C ends that\n", p.Longest())
		if errs.String() != want {
			t.Errorf("said %q, want %q", &errs, want)
		}
		if text := s.fault(t.Context(), stopped).Error(); !strings.HasSuffix(text, "; the chip was not identified, and may be busy with what another program began") {
			t.Errorf("unidentified: %s", text)
		}
		chip.Power(false)
		chip.Power(true)
		time.Sleep(time.Second) // it comes up
		if err := s.identify(t.Context()); err != nil {
			t.Fatal(err)
		}
		pins.forge = func(_, in []byte) {
			for i := range in {
				in[i] = 0xFF
			}
		}
		if text := s.fault(t.Context(), stopped).Error(); !strings.Contains(text, "; whether the chip is ready is not known (read status: no chip answers)") {
			t.Errorf("absent: %s", text)
		}
	})
}

// testSeat is a slot with an identified chip, without a station.
func testSeat(t *testing.T, conn spi.Conn, parts ...*flash.Part) (*seated, error) {
	s := &seated{seat: seat{slot: "1"}, app: &app{stdout: io.Discard, stderr: io.Discard}, bench: &bench{}, conn: conn, parts: parts, watch: func(provision.Event) {}}
	return s, s.identify(t.Context())
}

// pinsConn holds a simulated chip, and calls cancel when after more transfers have been made.
type pinsConn struct {
	chip   *nor.Chip
	after  int
	cancel func()
	forge  func(out, in []byte)
}

func (p *pinsConn) Limits() spi.Limits { return spi.Limits{MaxFrame: 1 << 17, Grain: 1} }

func (p *pinsConn) Do(ctx context.Context, frames ...spi.Frame) error {
	if p.cancel != nil {
		if p.after--; p.after < 0 {
			p.cancel()
		}
	}
	if err := ctx.Err(); err != nil {
		return &spi.FrameError{Sent: spi.No, Err: err}
	}
	for _, f := range frames {
		if len(f.Out) > 0 { // else it is time alone
			p.chip.Select()
			p.chip.Shift(f.Out, nil)
			p.chip.Shift(nil, f.In)
			p.chip.Deselect()
			if p.forge != nil {
				p.forge(f.Out, f.In)
			}
		}
		time.Sleep(f.Idle)
	}
	return nil
}

func (p *pinsConn) ask(out ...byte) []byte {
	in := make([]byte, 1)
	p.chip.Select()
	p.chip.Shift(out, nil)
	p.chip.Shift(nil, in)
	p.chip.Deselect()
	return in
}

// TestBadContactIsNoBadChip: what looks like a bad chip over a bad contact is an ERROR; over a good one it is the answer no.
func TestBadContactIsNoBadChip(t *testing.T) {
	t.Parallel()
	p := flash.Parts()[2]
	chip, err := nor.New(p.Name, [14]byte{1}, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pins := &pinsConn{chip: chip}
	s, err := testSeat(t, pins, p)
	if err != nil {
		t.Fatal(err)
	}
	verify := func() (code int, text string) {
		var said *exitErr
		err := s.fault(t.Context(), s.chip.Verify(t.Context(), []flash.Extent{{Addr: 0, Size: 100, Data: []byte{0}}}, nil))
		if !errors.As(err, &said) {
			t.Fatalf("%v", err)
		}
		return said.code, err.Error()
	}
	if code, text := verify(); code != exitNo || !strings.Contains(text, "mismatch at 0x000000: want 0x00, got 0xFF") {
		t.Errorf("good contact: %d, %s", code, text)
	}
	n := 0
	pins.forge = func(out, in []byte) {
		if n++; n > 12 && out[0] == 0x9F {
			in[10] ^= byte(n)
		}
	}
	if code, text := verify(); code != exitError || !strings.Contains(text, "the contact is unstable: reseat the board") {
		t.Errorf("bad contact: %d, %s", code, text)
	}
}

// TestChipInfoRecovers: however another program left the part in its slot, chip info finds it, says what it was left in, and it is ready for a write afterwards. The
// operation that is suspended takes its time, so the board is the simulator's with the pace of a real one.
func TestChipInfoRecovers(t *testing.T) {
	t.Parallel()
	p := flash.Parts()[4] // 4-byte mode matters to it
	for word, frames := range map[string][][]byte{
		"deep power-down":       {{0xB9}},
		"quad or dual protocol": {{0x06}, {0x61, 0x7F}},
		"4-byte mode":           {{0x06}, {0xB7}},
		"suspended erase":       {{0x06}, {0xD8, 0, 0, 0}, {0x75}},
	} {
		t.Run(word, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chip, err := nor.New(p.Name, [14]byte{1}, nor.Options{Pace: nor.Real})
				if err != nil {
					t.Fatal(err)
				}
				pins := &pinsConn{chip: chip}
				for _, f := range frames {
					chip.Select()
					chip.Shift(f, nil)
					chip.Deselect()
				}
				var out, errs bytes.Buffer
				s := &seated{seat: seat{slot: "1"}, app: &app{stdout: &out, stderr: &errs}, bench: &bench{}, conn: pins, parts: []*flash.Part{p}, watch: func(provision.Event) {}}
				if err := s.info(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(errs.String(), "the chip was left in "+word+", and was recovered from it") || !strings.Contains(out.String(), "recovered  "+word+"\n") {
					t.Errorf("%s%s", &errs, &out)
				}
				if err := s.change(t.Context(), "write", flash.Extent{Addr: 0x7FF, Size: 3, Data: []byte{1, 2, 3}}, true, true); err != nil {
					t.Errorf("a write afterwards: %v", err)
				}
			})
		})
	}
}
