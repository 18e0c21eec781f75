package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestChipHoldsIt asks the board after a run through programs that know nothing of the station: flashrom for the content, plain SPI frames for
// the locks, both over the serprog protocol.
func TestChipHoldsIt(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: flashrom takes seconds")
	}
	flashrom := judge(t, "flashrom")
	t.Parallel()
	p := newPosition(t)
	defer p.close()
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
	addr, stop := p.serve(p.board("TB-0001"))

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	file := filepath.Join(p.dir, "content.bin")
	out, err := exec.CommandContext(ctx, flashrom, "-p", "serprog:ip="+addr, "-c", "MT25QL256", "-r", file).CombinedOutput()
	if err != nil {
		t.Fatalf("flashrom: %v\n%s", err, out)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := append(bootRegion(), bytes.Repeat([]byte{0xFF}, 32<<20-bootSize)...)
	if !bytes.Equal(got, want) {
		t.Error("flashrom reads something else than the recipe's image in the boot region and FF elsewhere")
	}

	w := dialSerprog(t, addr)
	for _, s := range []struct {
		name   string
		addr   uint32
		locked bool
	}{{"first of boot", 0, true}, {"last of boot", bootSize - 1<<16, true}, {"after boot", bootSize, false}, {"last", 32<<20 - 1<<16, false}} {
		if bit := w.spi(1, read4(0xE2, s.addr)...)[0]; (bit&1 == 0) != s.locked {
			t.Errorf("sector %s: lock bit reads %02X", s.name, bit)
		}
		before := w.spi(4, read4(0x13, s.addr)...)
		w.spi(0, 0x50)
		w.spi(0, 0x06)
		w.spi(0, append(read4(0x12, s.addr), 0, 0, 0, 0)...)
		flags, after := w.spi(1, 0x70)[0], w.spi(4, read4(0x13, s.addr)...)
		switch {
		case s.locked && (flags&0x12 != 0x12 || !bytes.Equal(before, after)):
			t.Errorf("sector %s: a page program: flag status %02X, %X -> %X, want it refused", s.name, flags, before, after)
		case !s.locked && (flags&0x12 != 0 || !bytes.Equal(after, []byte{0, 0, 0, 0})):
			t.Errorf("sector %s: a page program: flag status %02X, %X -> %X, want it done", s.name, flags, before, after)
		}
		w.spi(0, 0x04)
	}
	w.Close()
	stop()

	chip := openBoard(t, p.board("TB-0001"))
	defer chip.Close()
	for s := range chip.Size() >> 16 {
		if chip.LockedNonvolatile(s) != (s < bootSize>>16) {
			t.Errorf("sector %d: locked %t", s, chip.LockedNonvolatile(s))
		}
	}
	if !bytes.Equal(chip.Bytes(0, bootSize), bootRegion()) {
		t.Error("the locked region was changed")
	}
	if chip.Frozen() {
		t.Error("the freeze survived the way to another fixture")
	}
}

// serve offers a board as `station sim serprog` does, until stop, which wants it to end well.
func (p *position) serve(board string, flags ...string) (addr string, stop func()) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	p.t.Cleanup(cancel)
	c := p.command(ctx, append([]string{"sim", "serprog", "--state", board}, flags...)...)
	var errs bytes.Buffer
	c.Stderr = &errs
	pipe, err := c.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := pipe.Read(line)
	addr, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "listening on ")
	if err != nil || !ok {
		p.t.Fatalf("sim serprog said %q, %v", line[:n], err)
	}
	return addr, func() {
		p.t.Helper()
		c.Process.Signal(os.Interrupt)
		io.Copy(&p.output, pipe)
		if err := c.Wait(); err != nil || errs.Len() > 0 {
			p.t.Errorf("sim serprog after Ctrl-C: %v\n%s", err, &errs)
		}
	}
}

// wire is a serprog client that does one thing.
type wire struct {
	net.Conn
	t *testing.T
}

func dialSerprog(t *testing.T, addr string) *wire {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	return &wire{c, t}
}

// spi is one assertion of chip select: serprog's command 13 with both lengths in three bytes, low byte first.
func (w *wire) spi(in int, out ...byte) []byte {
	w.t.Helper()
	lengths := binary.LittleEndian.AppendUint64(nil, uint64(len(out))|uint64(in)<<24)
	if _, err := w.Write(append(append([]byte{0x13}, lengths[:6]...), out...)); err != nil {
		w.t.Fatal(err)
	}
	answer := make([]byte, 1+in)
	if _, err := io.ReadFull(w, answer); err != nil || answer[0] != 0x06 {
		w.t.Fatalf("frame %X: answer %X, %v", out, answer, err)
	}
	return answer[1:]
}

// read4 is an opcode with a four-byte address.
func read4(op byte, addr uint32) []byte { return binary.BigEndian.AppendUint32([]byte{op}, addr) }
