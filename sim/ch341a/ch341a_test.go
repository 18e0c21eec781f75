package ch341a

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"station/sim/nor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a target that writes down what reaches it, bit by bit, and answers with a fixed sequence of bytes
// that starts over at every falling edge of chip select.
type probe struct {
	trace strings.Builder
	bits  int // clocked since Select
}

func (p *probe) Select()   { p.trace.WriteString("["); p.bits = 0 }
func (p *probe) Deselect() { p.trace.WriteString("]") }

func (p *probe) Shift(out, in []byte) {
	for i := range max(len(out), len(in)) {
		var b byte
		if out != nil {
			b = out[i]
		}
		a := p.ShiftBits(b, 8)
		if in != nil {
			in[i] = a
		}
	}
}

func (p *probe) ShiftBits(out byte, n int) (in byte) {
	for i := range n {
		p.trace.WriteByte('0' + out<<i>>7)
		in = in<<1 | answerByte(p.bits/8)<<(p.bits%8)>>7
		p.bits++
	}
	return in
}

// answerByte is the probe's i-th answer: no palindrome, neither 00 nor FF.
func answerByte(i int) byte { return byte(0xC5 + 0x1D*i) }

// answers are the probe's, as A8 returns them.
func answers(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = bits.Reverse8(answerByte(from + i))
	}
	return b
}

func bitString(b ...byte) string {
	var s strings.Builder
	for _, x := range b {
		fmt.Fprintf(&s, "%08b", x)
	}
	return s.String()
}

func reversed(b ...byte) []byte {
	r := make([]byte, len(b))
	for i := range b {
		r[i] = bits.Reverse8(b[i])
	}
	return r
}

func probed(t *testing.T, o Options) (*Device, *probe) {
	t.Helper()
	d := New(o)
	t.Cleanup(d.Close)
	p := &probe{}
	if err := d.Attach(0, p); err != nil {
		t.Fatal(err)
	}
	return d, p
}

// drain takes the IN packets that are there.
func drain(t *testing.T, d *Device) (packets [][]byte) {
	t.Helper()
	for p := make([]byte, 32); ; {
		for synctest.Wait(); d.busy(); synctest.Wait() {
			time.Sleep(10 * time.Millisecond) // the wire takes its time
		}
		n, ok, err := d.In(0, p)
		if err != nil {
			t.Fatalf("IN: %v", err)
		}
		if !ok {
			return packets
		}
		if n == 0 || n > 31 {
			t.Fatalf("IN packet of %d bytes", n)
		}
		packets = append(packets, bytes.Clone(p[:n]))
	}
}

// exchange sends OUT transfers and collects IN packets meanwhile.
func exchange(t *testing.T, d *Device, transfers ...[]byte) (packets [][]byte) {
	t.Helper()
	for _, p := range transfers {
		for len(p) > 0 {
			n, err := d.Out(0, p)
			if err != nil {
				t.Fatalf("OUT: %v", err)
			}
			got := drain(t, d)
			packets = append(packets, got...)
			if p = p[n:]; n == 0 && len(got) == 0 {
				t.Fatal("OUT NAKs with nothing under way")
			}
		}
	}
	return append(packets, drain(t, d)...)
}

// What flashrom sends, fact sheet 2.3.
var (
	setStream   = []byte{0xAA, 0x61, 0x00}
	enablePins  = []byte{0xAB, 0xB7, 0x7F, 0x20}
	releasePins = []byte{0xAB, 0xB7, 0x40, 0x20}
	pulse       = []byte{0xAB, 0xB7, 0xB7, 0xB7, 0xB6, 0x20}
)

// transaction is one OUT transfer: the pulse packet, then A8 packets with out, and FF for n more bytes.
func transaction(n int, out ...byte) []byte {
	p := append(bytes.Clone(pulse), make([]byte, 32-len(pulse))...)
	data := append(reversed(out...), bytes.Repeat([]byte{0xFF}, n)...)
	for len(data) > 0 {
		m := min(31, len(data))
		p = append(append(p, 0xA8), data[:m]...)
		data = data[m:]
	}
	return p
}

func TestPackets(t *testing.T) {
	low, high := []byte{0xAB, 0xB6, 0x20}, []byte{0xAB, 0xB7, 0x20}
	spi := func(b ...byte) []byte { return append([]byte{0xA8}, b...) }
	full := spi(bytes.Repeat([]byte{0x03}, 31)...)
	edges := func(b byte, n int) (s []byte) { // n upper bits of b by hand
		for i := range n {
			v := 0x80 | 0x06 | b<<i>>7<<5
			s = append(s, v, v|0x08)
		}
		return s
	}
	uio := func(parts ...[]byte) []byte { return append(append([]byte{0xAB}, bytes.Join(parts, nil)...), 0x20) }
	first := answerByte(0)
	for _, c := range []struct {
		name  string
		send  [][]byte
		trace string
		want  [][]byte
	}{
		{"SPI goes least significant bit first", [][]byte{low, spi(0xF9, 0x01), high}, "[" + bitString(0x9F, 0x80) + "]", [][]byte{answers(0, 2)}},
		{"a packet is parsed alone", [][]byte{low, append(bytes.Clone(full), 0xA8, 0x80), high}, "[" + strings.Repeat(bitString(0xC0), 31) + bitString(0x01) + "]", [][]byte{answers(0, 31), answers(31, 1)}},
		{"one transfer of packets cut at 32", [][]byte{low, append(append(bytes.Clone(full), full...), 0xA8, 0x80, 0x80), high}, "[" + strings.Repeat(bitString(0xC0), 62) + bitString(1, 1) + "]", [][]byte{answers(0, 31), answers(31, 31), answers(62, 2)}},
		{"a short packet in mid transfer is none", [][]byte{low, append(spi(0xF9), high...), high}, "[" + bitString(0x9F, 0xD5, 0xED, 0x04) + "]", [][]byte{answers(0, 4)}},
		{"chip select stays low", [][]byte{low, spi(1), spi(2)}, "[" + bitString(0x80, 0x40), [][]byte{answers(0, 1), answers(1, 1)}},
		{"nothing to shift", [][]byte{low, spi(), high}, "[]", nil},
		{"deselected", [][]byte{spi(1, 2)}, "", [][]byte{{0xFF, 0xFF}}},
		{"chip select as an input floats high", [][]byte{{0xAB, 0x7E, 0xB6, 0x20}, spi(1)}, "", [][]byte{{0xFF}}},
		{"direction selects too", [][]byte{{0xAB, 0x7E, 0xB6, 0x7F, 0x7E, 0x20}}, "[]", nil},
		{"SCK as an input", [][]byte{{0xAB, 0x77, 0xB6, 0x20}, spi(1), high}, "[]", [][]byte{{0xFF}}},
		{"MOSI as an input floats high", [][]byte{{0xAB, 0x5F, 0x96, 0x20}, spi(0), high}, "[" + bitString(0xFF) + "]", [][]byte{answers(0, 1)}},
		{"SCK left high", [][]byte{{0xAB, 0xBF, 0xBE, 0x20}, spi(0xF9), {0xAB, 0x00, 0xB7, 0x20}}, "[" + bitString(0x9F) + "]", [][]byte{answers(0, 1), {0b11110110}}},
		{"two data pairs", [][]byte{{0xAA, 0x65, 0x00}, low, spi(1), {0xAA, 0x61, 0x00}, spi(1), high}, "[" + bitString(0x80) + "]", [][]byte{{0xFF}, answers(0, 1)}},

		{"edges by hand", [][]byte{uio([]byte{0x86}, edges(0x9F, 8), []byte{0x86, 0x87})}, "[" + bitString(0x9F) + "]", nil},
		{"edges and A8 feed one register", [][]byte{uio([]byte{0x86}, edges(0x90, 4)), spi(0xF9), uio(edges(0xF0, 4), []byte{0x86, 0x87})}, "[1001" + bitString(0x9F) + "1111]", [][]byte{{bits.Reverse8(first<<4 | answerByte(1)>>4)}}},
		{"MOSI that moves with SCK is late", [][]byte{uio([]byte{0x86, 0xAE, 0xA6, 0x8E, 0x86, 0x87})}, "[01]", nil},
		{"SCK high twice is one edge", [][]byte{uio([]byte{0x86, 0x8E, 0x8E, 0xAE, 0x86, 0x87})}, "[0]", nil},
		{"MISO by hand", [][]byte{uio([]byte{0x86, 0x8E, 0x00, 0x86, 0x8E, 0x00, 0x86, 0x8E, 0x00, 0x86, 0x87})}, "[000]",
			[][]byte{{0b01001110 | first&0x80, 0b01001110 | first<<1&0x80, 0b01001110 | first<<2&0x80}}},
		{"clock with chip select high", [][]byte{uio([]byte{0x87, 0x8F, 0x87, 0x8F})}, "", nil},
		{"chip select low twice is one edge", [][]byte{low, low, high, high}, "[]", nil},
		{"end ends", [][]byte{{0xAB, 0xB6, 0x20, 0xB7, 0x00, 0x00}}, "[", nil},
		{"the packet's end ends", [][]byte{{0xAB, 0xB6}, {0xB7}, {0xAB, 0xB7}}, "[]", nil},
		{"zeros without an end are samples", [][]byte{append([]byte{0xAB, 0x40}, make([]byte, 30)...)}, "", [][]byte{bytes.Repeat([]byte{0xFF}, 30)}},
		{"delays and unknown bytes do nothing", [][]byte{{0xAB, 0xC5, 0xFF, 0x01, 0x1F, 0x21, 0x3F, 0xB6, 0xC0, 0xB7, 0x20}}, "[]", nil},
		{"sample of the pins", [][]byte{{0xAB, 0x6A, 0x95, 0x00, 0x20}}, "", [][]byte{{0b11010101}}},

		{"I2C speeds and delays", [][]byte{{0xAA, 0x60, 0x61, 0x63, 0x4F, 0x51, 0x00, 0x65}, low, spi(1), high}, "[" + bitString(0x80) + "]", [][]byte{answers(0, 1)}},
		{"I2C is not there", [][]byte{{0xAA, 0x74, 0x81, 0xA0, 0x75}, {0xAA, 0xC4}}, "", nil},
		{"other packets are thrown away", [][]byte{{0xA1, 0xB6}, {0xA9, 0xAB, 0xB6}, {0x00}, append([]byte{0xA2}, make([]byte, 31)...), {}, low, high}, "[]", nil},
		{"release", [][]byte{low, spi(1), releasePins}, "[" + bitString(0x80) + "]", [][]byte{answers(0, 1)}},
		{"release while selected", [][]byte{low, spi(1), {0xAB, 0x40, 0x20}}, "[" + bitString(0x80) + "]", [][]byte{answers(0, 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, p := probed(t, Options{})
				exchange(t, d, setStream, enablePins)
				got := exchange(t, d, c.send...)
				if !slices.EqualFunc(got, c.want, bytes.Equal) {
					t.Errorf("answers % x, want % x", got, c.want)
				}
				if trace := p.trace.String(); trace != c.trace {
					t.Errorf("the target saw %s, want %s", trace, c.trace)
				}
			})
		})
	}
}

// flashrom's own sequences read the ID and a page of a chip, whose chip select rises with the next pulse.
func TestFlashromSequences(t *testing.T) {
	for _, coalesce := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := New(Options{Coalesce: coalesce})
			defer d.Close()
			chip, err := nor.New("MT25QL128ABA", [14]byte{1}, nor.Options{})
			if err != nil {
				t.Fatal(err)
			}
			chip.Power(true)
			if err := d.Attach(0, chip); err != nil {
				t.Fatal(err)
			}
			transfer := func(n int, out ...byte) []byte {
				t.Helper()
				packets := exchange(t, d, transaction(n, out...))
				all := bytes.Join(packets, nil)
				if len(all) != len(out)+n {
					t.Fatalf("%d answers to %d bytes", len(all), len(out)+n)
				}
				for i, p := range packets {
					if want := min(31, len(all)-31*i); !coalesce && len(p) != want {
						t.Errorf("packet %d has %d bytes, want %d", i, len(p), want)
					}
				}
				return reversed(all[len(out):]...)
			}
			if got := exchange(t, d, setStream, enablePins); got != nil {
				t.Errorf("the opening is answered % x", got)
			}
			if id := transfer(3, 0x9F); !bytes.Equal(id, []byte{0x20, 0xBA, 0x18}) {
				t.Errorf("ID % x", id)
			}
			page := make([]byte, 256)
			for i := range page {
				page[i] = byte(7 * i)
			}
			transfer(0, 0x06)
			transfer(0, append([]byte{0x02, 0, 0x12, 0}, page...)...)
			if n := chip.Counters()[nor.CountProgram]; n != 0 {
				t.Error("the program took effect before chip select rose")
			}
			if sr := transfer(2, 0x05); sr[1]&1 != 0 {
				t.Errorf("status % x", sr)
			}
			if n := chip.Counters()[nor.CountProgram]; n != 1 {
				t.Errorf("%d programs took effect", n)
			}
			if got := transfer(4096, 0x03, 0, 0x10, 0); !bytes.Equal(got[0x200:0x300], page) || got[0] != 0xFF {
				t.Error("4 KiB read differ")
			}
			exchange(t, d, releasePins)
		})
	}
}

// Plan B of fact sheet 2.5: a write enable and the head of a page program by hand, the rest in full packets, one transfer.
func TestBitBangedTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{})
		defer d.Close()
		chip, err := nor.New("MT25QL128ABA", [14]byte{1}, nor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		chip.Power(true)
		if err := d.Attach(0, chip); err != nil {
			t.Fatal(err)
		}
		var transfer []byte
		pins := func(v ...byte) { // packets of at most 30 pin writes
			for len(v) > 0 {
				n := min(30, len(v))
				p := append(append([]byte{0xAB}, v[:n]...), 0x20)
				transfer = append(transfer, append(p, make([]byte, 32-len(p))...)...)
				v = v[n:]
			}
		}
		byHand := func(b ...byte) (v []byte) {
			for _, x := range b {
				for i := range 8 {
					w := 0x86 | x<<i>>7<<5
					v = append(v, w, w|0x08)
				}
			}
			return v
		}
		pins(append(append([]byte{0x87, 0x86}, byHand(0x06)...), 0x86, 0x87)...)
		head := []byte{0x02, 0x00, 0x00, 0x00, 1, 2, 3, 4, 5, 6, 7, 8}
		pins(append([]byte{0x86}, byHand(head...)...)...)
		body := make([]byte, 248)
		for i := range body {
			body[i] = byte(9 + i)
		}
		for i := 0; i < len(body); i += 31 {
			transfer = append(append(transfer, 0xA8), reversed(body[i:i+31]...)...)
		}
		pins(0x87)
		exchange(t, d, enablePins, transfer)
		got := chip.Bytes(0, 256)
		for i := range got {
			if got[i] != byte(i+1) {
				t.Fatalf("byte %02x is %02x, want %02x", i, got[i], byte(i+1))
			}
		}
		if n := chip.Counters()[nor.CountProgram]; n != 1 {
			t.Errorf("%d programs took effect", n)
		}
	})
}

// A byte in by hand: samples while SCK is high, the pins that are driven among them, in one answer or in one each.
func TestSamples(t *testing.T) {
	first := answerByte(0)
	for _, c := range []struct {
		options Options
		driven  byte // of a sample, MISO excepted
		sizes   []int
	}{
		{Options{}, 0b01111110, []int{8}},
		{Options{InputsOnly: true}, 0b01000000, []int{8}},
		{Options{SampleAlone: true}, 0b01111110, []int{1, 1, 1, 1, 1, 1, 1, 1}},
		{Options{SampleAlone: true, InputsOnly: true, Segments: 1}, 0b01000000, []int{1, 1, 1, 1, 1, 1, 1, 1}},
		{Options{SampleAlone: true, Coalesce: true, Segments: 8}, 0b01111110, []int{8}},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, p := probed(t, c.options)
			packet := []byte{0xAB}
			for range 8 {
				packet = append(packet, 0xB6, 0xBE, 0x00)
			}
			exchange(t, d, enablePins)
			got := exchange(t, d, append(packet, 0xB7, 0x20))
			var sizes []int
			for _, a := range got {
				sizes = append(sizes, len(a))
			}
			var want []byte
			for i := range 8 {
				want = append(want, c.driven|first<<i&0x80)
			}
			if !slices.Equal(sizes, c.sizes) || !bytes.Equal(bytes.Join(got, nil), want) {
				t.Errorf("%+v: answers % x, want % x", c.options, got, want)
			}
			if trace := p.trace.String(); trace != "["+bitString(0xFF)+"]" {
				t.Errorf("%+v: the target saw %s", c.options, trace)
			}
		})
	}
}
