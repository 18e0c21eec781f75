package dediprog_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/dediprog"
	"station/sim/nor"
	"station/spi/spitest"
)

// host is what a test does to a device.
type host struct {
	*dediprog.Device
	t *testing.T
}

func newHost(t *testing.T, m dediprog.Model, o dediprog.Options) *host {
	t.Helper()
	h := &host{dediprog.New(m, o), t}
	t.Cleanup(h.Close)
	return h
}

// control does a control transfer and returns its data stage.
func (h *host) control(kind, request byte, value, index uint16, data []byte) ([]byte, error) {
	setup := [8]byte{kind, request, byte(value), byte(value >> 8), byte(index), byte(index >> 8), byte(len(data)), byte(len(data) >> 8)}
	n, err := h.Control(setup, data)
	return data[:n], err
}

func (h *host) mustControl(kind, request byte, value, index uint16, data []byte) []byte {
	h.t.Helper()
	p, err := h.control(kind, request, value, index, data)
	if err != nil || len(p) != len(data) {
		h.t.Fatalf("request %02x %02x %04x %04x: %d bytes, %v", kind, request, value, index, len(p), err)
	}
	return p
}

// frame is a transceive of V2 and later.
func (h *host) frame(out []byte, n int) []byte {
	h.t.Helper()
	wanted := uint16(0)
	if n > 0 {
		wanted = 1
	}
	h.mustControl(0x42, 0x01, wanted, 0, bytes.Clone(out))
	if n == 0 {
		return nil
	}
	return h.mustControl(0xC2, 0x01, 0, 0, make([]byte, n))
}

// in fetches a block as soon as there is one.
func (h *host) in() []byte {
	h.t.Helper()
	p := make([]byte, 512)
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(10 * time.Microsecond) {
		n, ok, err := h.In(0, p)
		if err != nil {
			h.t.Fatal(err)
		}
		if ok {
			return p[:n]
		}
	}
	h.t.Fatal("no block came")
	return nil
}

// out sends a page as soon as it is taken.
func (h *host) out(data []byte) {
	h.t.Helper()
	p := append(bytes.Clone(data), bytes.Repeat([]byte{0xFF}, 512-len(data))...)
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(10 * time.Microsecond) {
		n, err := h.Out(0, p)
		if err != nil {
			h.t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	h.t.Fatal("the page was not taken")
}

// board attaches a chip and switches its supply on.
func (h *host) board(part string, pace nor.Pace) *nor.Chip {
	h.t.Helper()
	chip, err := nor.New(part, [14]byte{7}, nor.Options{Pace: pace})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.Attach(0, chip); err != nil {
		h.t.Fatal(err)
	}
	h.mustControl(0x42, 0x09, 0x10, 0, nil)
	return chip
}

// TestRequests asks for what a host may ask, and for what stalls, of each version of the protocol.
func TestRequests(t *testing.T) {
	v1, v2, v3 := newHost(t, dediprog.SF100, dediprog.Options{Firmware: [3]int{4, 9, 9}}), newHost(t, dediprog.SF100, dediprog.Options{}), newHost(t, dediprog.SF600, dediprog.Options{})
	for i, row := range []struct {
		h             *host
		kind, request byte
		value, index  uint16
		n             int // of the data stage
		answer        string
		stalls        bool
		lit, leds     byte
		millivolts    int
		checksSupply  bool
	}{
		{h: v1, kind: 0xC2, request: 0x08, n: 16, answer: "SF100 V:4.9.9   "},
		{h: v2, kind: 0xC2, request: 0x08, n: 16, answer: "SF100 V:5.5.1   "},
		{h: v3, kind: 0xC2, request: 0x08, n: 32, answer: "SF600 V:7.2.22                  "},
		{h: v1, kind: 0xC3, request: 0x07, index: 0xEF00, n: 3, answer: "\x01\x02\x03"},
		{h: v1, kind: 0xC3, request: 0x0B, n: 1, answer: "\x6F"},
		{h: v3, kind: 0xC3, request: 0x0B, n: 1, stalls: true},
		{h: v3, kind: 0x42, request: 0x0A, value: 1},
		{h: v2, kind: 0x42, request: 0x0A, value: 1, stalls: true},
		{h: v2, kind: 0x42, request: 0x04, value: 4, stalls: true},
		{h: v1, kind: 0x42, request: 0x61, value: 2, stalls: true}, // before 5.0.0
		{h: v2, kind: 0x42, request: 0x61, value: 7},
		{h: v2, kind: 0x42, request: 0x61, value: 8, stalls: true},
		{h: v1, kind: 0x42, request: 0x07, value: 9, index: 5, lit: 2},
		{h: v2, kind: 0x42, request: 0x07, value: 0x0300, lit: 4},
		{h: v2, kind: 0x42, request: 0x09, value: 0x12, checksSupply: true, millivolts: 1800},
		{h: v2, kind: 0x42, request: 0x09, value: 0x13, stalls: true, checksSupply: true, millivolts: 1800},
		{h: v2, kind: 0x42, request: 0x09, value: 0, checksSupply: true, millivolts: 0},
		{h: v2, kind: 0x42, request: 0x01, n: 17, stalls: true},
		{h: v2, kind: 0xC2, request: 0x01, n: 3, stalls: true}, // nothing was sent before
		{h: v2, kind: 0x42, request: 0x99, stalls: true},
	} {
		p, err := row.h.control(row.kind, row.request, row.value, row.index, make([]byte, row.n))
		if (err != nil) != row.stalls || err != nil && !errors.Is(err, dediprog.ErrStall) || row.answer != "" && string(p) != row.answer {
			t.Errorf("row %d: %q, %v", i, p, err)
		}
		if row.lit != 0 && row.h.LEDs() != row.lit {
			t.Errorf("row %d: LEDs %d are lit", i, row.h.LEDs())
		}
		if row.checksSupply && row.h.Millivolts() != row.millivolts {
			t.Errorf("row %d: %d mV", i, row.h.Millivolts())
		}
	}
}

// TestAsleep: old firmware answers nothing before it was woken up.
func TestAsleep(t *testing.T) {
	h := newHost(t, dediprog.SF100, dediprog.Options{Firmware: [3]int{5, 1, 9}, Asleep: true})
	if _, err := h.control(0xC2, 0x08, 0, 0, make([]byte, 16)); !errors.Is(err, dediprog.ErrStall) {
		t.Errorf("asleep: %v", err)
	}
	h.mustControl(0xC3, 0x0B, 0, 0, make([]byte, 1))
	h.mustControl(0xC2, 0x08, 0, 0, make([]byte, 16))
}

// TestSupply: the board has power while VCC is on, and without it nobody hears a frame.
func TestSupply(t *testing.T) {
	h := newHost(t, dediprog.SF100, dediprog.Options{})
	chip := h.board("MT25QL128ABA", nor.None)
	id := []byte{0x20, 0xBA, 0x18}
	for range 2 {
		if got := h.frame([]byte{0x9F}, 3); !chip.Powered() || !bytes.Equal(got, id) {
			t.Errorf("with VCC: powered %v, ID % x", chip.Powered(), got)
		}
		ups := chip.PowerUps()
		h.mustControl(0x42, 0x09, 0, 0, nil)
		if got := h.frame([]byte{0x9F}, 3); chip.Powered() || !bytes.Equal(got, []byte{0xFF, 0xFF, 0xFF}) {
			t.Errorf("without VCC: powered %v, ID % x", chip.Powered(), got)
		}
		h.mustControl(0x42, 0x09, 0x11, 0, nil)
		if n := chip.PowerUps() - ups; n != 1 {
			t.Errorf("VCC came back %d times", n)
		}
	}
	if err := h.Attach(0, nil); err != nil || !chip.Powered() {
		t.Errorf("taken off the pins: %v, powered %v", err, chip.Powered())
	}
	if err := h.Attach(0, chip); err != nil {
		t.Fatal(err)
	}
	h.Close()
	if chip.Powered() {
		t.Error("the board has power without its programmer")
	}
	if _, err := h.control(0xC2, 0x08, 0, 0, make([]byte, 16)); !errors.Is(err, dediprog.ErrGone) {
		t.Errorf("unplugged: %v", err)
	}
	if err := h.Attach(1, chip); err == nil {
		t.Error("there is a second channel")
	}
}

// TestFrames: what a transceive is at the pins; and that the next command ends one whose answer nobody fetched.
func TestFrames(t *testing.T) {
	for _, row := range []struct {
		name string
		h    *host
	}{
		{"V1", newHost(t, dediprog.SF100, dediprog.Options{Firmware: [3]int{5, 1, 0}})},
		{"V3", newHost(t, dediprog.SF600, dediprog.Options{})},
	} {
		chip := &spitest.Chip{}
		if err := row.h.Attach(0, chip); err != nil {
			t.Fatal(err)
		}
		row.h.mustControl(0x42, 0x09, 0x10, 0, nil)
		value, index := uint16(1), uint16(0)
		if row.name == "V1" {
			value, index = 0, 1
		}
		row.h.mustControl(0x42, 0x01, 0, 0, []byte{0x06})
		row.h.mustControl(0x42, 0x01, value, index, []byte{0x05})
		if !chip.Selected() {
			t.Errorf("%s: chip select rose before the answer", row.name)
		}
		row.h.mustControl(0xC2, 0x01, 0, 0, make([]byte, 16))
		row.h.mustControl(0x42, 0x01, value, index, []byte{0x9F})
		row.h.mustControl(0x42, 0x01, 0, 0, []byte{0x04})
		row.h.mustControl(0x42, 0x04, 1, 0, nil) // another target
		row.h.mustControl(0x42, 0x01, 0, 0, []byte{0x55})
		row.h.mustControl(0x42, 0x04, 0, 0, nil)
		var got [][]byte
		for _, s := range chip.Since(0) {
			got = append(got, s.Bytes)
		}
		want := [][]byte{{0x06}, append([]byte{0x05}, make([]byte, 16)...), {0x9F}, {0x04}}
		if len(got) != len(want) || chip.Selected() || chip.Stray() != 0 {
			t.Fatalf("%s: the chip saw % x, stray %d", row.name, got, chip.Stray())
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%s: frame %d is % x, want % x", row.name, i, got[i], want[i])
			}
		}
	}
}

// packet is a command packet of each version.
func packet(version, count int, mode, opcode byte, addr uint32, reads bool) (p []byte, value, index uint16) {
	p = []byte{byte(count), byte(count >> 8), 0, mode, opcode}
	if version == 1 {
		return p, uint16(addr), uint16(addr >> 16)
	}
	p = append(p, 0, byte(addr), byte(addr>>8), byte(addr>>16), byte(addr>>24))
	switch {
	case version == 3 && reads:
		p = append(p, 0, 0)
	case version == 3:
		p = append(p, 0, 1, 0, 0)
	}
	return p, 0, 0
}

// TestBulk writes pages and reads them back, in every mode of every version.
func TestBulk(t *testing.T) {
	for _, row := range []struct {
		version        int
		model          dediprog.Model
		opts           dediprog.Options
		part           string
		write, writeOp byte
		read, readOp   byte
		addr           uint32
	}{
		{1, dediprog.SF100, dediprog.Options{Firmware: [3]int{5, 4, 9}}, "MT25QL128ABA", 1, 0, 1, 0, 0x10200},
		{1, dediprog.SF600, dediprog.Options{Firmware: [3]int{6, 8, 9}}, "MT25QL128ABA", 1, 0, 2, 0, 0x10200},
		{2, dediprog.SF100, dediprog.Options{}, "MT25QL256ABA", 11, 0x12, 5, 0x0C, 0x1010200},
		{2, dediprog.SF600, dediprog.Options{Firmware: [3]int{7, 2, 21}}, "MT25QL128ABA", 1, 0x02, 1, 0x03, 0x10200},
		{3, dediprog.SF600, dediprog.Options{}, "MT25QL256ABA", 11, 0x12, 5, 0x0C, 0x1010200},
		{3, dediprog.SF600, dediprog.Options{Pace: dediprog.Real}, "MT25QL128ABA", 1, 0, 2, 0x0B, 0x10200},
	} {
		for _, pace := range []nor.Pace{nor.None, nor.Real} {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, row.model, row.opts)
				chip := h.board(row.part, pace)
				time.Sleep(time.Second) // the chip's power-up
				data := make([]byte, 4*256)
				for i := range data {
					data[i] = byte(i*7 + i>>8)
				}
				p, value, index := packet(row.version, 4, row.write, row.writeOp, row.addr, false)
				h.mustControl(0x42, 0x30, value, index, p)
				for at := 0; at < len(data); at += 256 {
					h.out(data[at : at+256])
				}
				time.Sleep(10 * time.Millisecond)
				if !bytes.Equal(chip.Bytes(row.addr, len(data)), data) {
					t.Errorf("%+v: the chip holds something else", row)
				}
				p, value, index = packet(row.version, 2, row.read, row.readOp, row.addr, true)
				h.mustControl(0x42, 0x20, value, index, p)
				if got := append(h.in(), h.in()...); !bytes.Equal(got, data) {
					t.Errorf("%+v: it reads back otherwise", row)
				}
				if _, ok, err := h.In(0, make([]byte, 512)); ok || err != nil {
					t.Errorf("%+v: a third block, %v", row, err)
				}
				for _, wrong := range [][]byte{p[:len(p)-1], append(bytes.Clone(p), 0), append([]byte{0, 0}, p[2:]...), append(append(bytes.Clone(p[:3]), 99), p[4:]...)} {
					if _, err := h.control(0x42, 0x20, value, index, wrong); !errors.Is(err, dediprog.ErrStall) {
						t.Errorf("%+v: command packet % x: %v", row, wrong, err)
					}
				}
			})
		}
	}
}

// TestAbandoned: a command ends the bulk read under way, and its blocks are lost.
func TestAbandoned(t *testing.T) {
	h := newHost(t, dediprog.SF600, dediprog.Options{})
	h.board("MT25QL128ABA", nor.None)
	p, value, index := packet(3, 100, 1, 0, 0, true)
	h.mustControl(0x42, 0x20, value, index, p)
	h.in()
	if got := h.frame([]byte{0x9F}, 3); !bytes.Equal(got, []byte{0x20, 0xBA, 0x18}) {
		t.Errorf("ID % x", got)
	}
	if _, ok, err := h.In(0, make([]byte, 512)); ok || err != nil {
		t.Errorf("a block of the read before: %v", err)
	}
}

// TestTime holds the wire's time: pages follow each other as the chip lets them, blocks as the clock does, and a request waits for the page in work.
func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, dediprog.SF600, dediprog.Options{Pace: dediprog.Real})
		h.board("MT25QL128ABA", nor.Real)
		h.mustControl(0x42, 0x61, 5, 0, nil) // 1.5 MHz
		time.Sleep(time.Second)
		const byteTime = 8 * time.Second / 1_500_000
		ready := make(chan struct{}, 1)
		h.Notify(0, func() {
			select {
			case ready <- struct{}{}:
			default:
			}
		})
		const pages = 50
		p, value, index := packet(3, pages, 1, 0, 0, false)
		h.mustControl(0x42, 0x30, value, index, p)
		start := time.Now()
		for range pages {
			for {
				if n, err := h.Out(0, make([]byte, 512)); err != nil {
					t.Fatal(err)
				} else if n > 0 {
					break
				}
				<-ready
			}
		}
		h.frame([]byte{0x05}, 1)
		took := (time.Since(start) + h.Busy()) / pages
		if least := 261*byteTime + 100*time.Microsecond; took < least || took > least+300*time.Microsecond {
			t.Errorf("a page took %v, want at least %v", took, least)
		}
		time.Sleep(time.Second)
		const blocks = 64
		p, value, index = packet(3, blocks, 1, 0, 0, true)
		start = time.Now()
		h.mustControl(0x42, 0x20, value, index, p)
		for got := 0; got < blocks; {
			_, ok, err := h.In(0, make([]byte, 512))
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				got++
				continue
			}
			<-ready
		}
		if took, want := time.Since(start), blocks*512*byteTime; took < want || took > want+100*time.Microsecond {
			t.Errorf("%d blocks took %v, want %v", blocks, took, want)
		}
	})
}

// TestMutePage: a chip that never gets ready holds the firmware up for so long and no longer.
func TestMutePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, dediprog.SF600, dediprog.Options{Pace: dediprog.Real})
		h.mustControl(0x42, 0x09, 0x10, 0, nil)
		p, value, index := packet(3, 2, 1, 0, 0, false)
		h.mustControl(0x42, 0x30, value, index, p)
		h.out(make([]byte, 256))
		start := time.Now()
		h.out(make([]byte, 256))
		if took := time.Since(start); took < 100*time.Millisecond || took > 110*time.Millisecond {
			t.Errorf("the next page was taken after %v", took)
		}
	})
}

// TestFaults: each at its count, and what can be done afterwards.
func TestFaults(t *testing.T) {
	for _, row := range []struct {
		name   string
		faults dediprog.Faults
		in     error
	}{
		{"hang", dediprog.Faults{HangAfter: 3}, nil},
		{"stall", dediprog.Faults{StallAfter: 3}, dediprog.ErrStall},
		{"unplug", dediprog.Faults{UnplugAfter: 3}, dediprog.ErrGone},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t, dediprog.SF600, dediprog.Options{Faults: row.faults})
			chip := h.board("MT25QL128ABA", nor.None)
			p, value, index := packet(3, 8, 1, 0, 0, false)
			h.mustControl(0x42, 0x30, value, index, p)
			for range 3 {
				h.out(make([]byte, 256))
			}
			_, _ = h.Out(0, make([]byte, 512))
			synctest.Wait()
			if n, err := h.Out(0, make([]byte, 512)); n != 0 || !errors.Is(err, row.in) {
				t.Errorf("%s: OUT took %d, %v", row.name, n, err)
			}
			if _, ok, err := h.In(0, make([]byte, 512)); ok || !errors.Is(err, row.in) {
				t.Errorf("%s: IN %v", row.name, err)
			}
			if b := chip.Bytes(2*256, 512); b[0] != 0 || b[256] != 0xFF {
				t.Errorf("%s: another number of pages than three was programmed", row.name)
			}
			if row.in == dediprog.ErrStall {
				h.mustControl(0x02, 0x01, 0, 0x01, nil)
				h.out(make([]byte, 256))
			}
			if gone := row.in == dediprog.ErrGone; chip.Powered() == gone {
				t.Errorf("%s: powered %v", row.name, chip.Powered())
			}
		})
	}
}

// TestWrongPacket: a packet that no command asked for, or of another size, stalls the endpoint until that is cleared.
func TestWrongPacket(t *testing.T) {
	h := newHost(t, dediprog.SF100, dediprog.Options{})
	h.board("MT25QL128ABA", nor.None)
	for _, n := range []int{512, 100} {
		if n == 100 {
			p, value, index := packet(2, 1, 1, 0, 0, false)
			h.mustControl(0x42, 0x30, value, index, p)
		}
		for range 2 {
			if _, err := h.Out(0, make([]byte, n)); !errors.Is(err, dediprog.ErrStall) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		h.mustControl(0x02, 0x01, 0, 0x02, nil)
	}
	h.out(make([]byte, 256)) // the command is still there
}
