package usbguest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"station/sim/ch341a"
	"station/sim/ftdi"
	"station/sim/nor"
)

// stamp is what a program says, and when it had said until.
type stamp struct {
	all   bytes.Buffer
	until string
	at    time.Time
}

func (s *stamp) Write(p []byte) (int, error) {
	s.all.Write(p)
	if s.at.IsZero() && strings.Contains(s.all.String(), s.until) {
		s.at = time.Now()
	}
	return len(p), nil
}

// TestInRun has the station provision two units at once, through libusb and this kernel, on two families. flashrom reads back what it wrote, and writes
// what the station then verifies. Then one programmer is pulled while both slots are at it: an ERROR in that slot, before any time-out, and a PASS in the
// other; and the same command finishes the unit after the replug, through a programmer that the station has never seen.
func TestInRun(t *testing.T) {
	inGuest(t)
	const at, size = 0x20000, 32 * kib
	b := newBench(t)
	dir := t.TempDir()
	left, right := ftdi.New(ftdi.FT2232H, ftdi.Options{Pace: ftdi.Real}), ch341a.New(ch341a.Options{Pace: ch341a.Real})
	var uid byte
	board := func() *nor.Chip {
		uid++
		chip, err := nor.New("MT25QL128ABA", [14]byte{uid}, nor.Options{Pace: nor.Real})
		if err != nil {
			t.Fatal(err)
		}
		return chip
	}
	one, two := board(), board()
	b.plug("1-1", left, 2, one)
	b.plug("1-2", right, 1, two)
	save(t, dir, "config.yaml", fmt.Appendf(nil, `station: guest
data: %s/data
slots:
  - {name: left, port: %q, channel: A, volts: "3.3", clock: 1MHz} # a page takes 2 ms, so that the middle is not missed
  - {name: right, port: %q, volts: "3.3"}
`, dir, filepath.Base(device(t, "6010")), filepath.Base(device(t, "5512"))))
	content := random(size)
	save(t, dir, "content", content)
	recipe := save(t, dir, "guest.yaml", fmt.Appendf(nil, `schema: 1
recipe: guest
version: 1
title: In the guest
parts: [MT25QL128ABA]
serial: '^G-[0-9]$'
images:
  content: {file: content, sha256: %x}
regions:
  content: {at: 0x%x, size: 32KiB}
elsewhere: keep
steps:
  - write: {region: content, image: content}
`, sha256.Sum256(content), at))
	config := []string{"--config", filepath.Join(dir, "config.yaml")}
	b.run(station, append(config, "init")...)
	run := func(serials ...string) (string, error) {
		args := append(config, "run", recipe)
		for _, s := range serials {
			args = append(args, "--slot", s)
		}
		return output(station, args...)
	}
	holds := func(chip *nor.Chip) {
		t.Helper()
		if !bytes.Equal(chip.Bytes(at, size), content) {
			t.Error("the board does not hold what the station says it wrote")
		}
	}

	if out, err := run("left=G-1", "right=G-2"); err != nil || strings.Count(out, "PASS") < 2 {
		t.Fatalf("two units at once: %v\n%s", err, out)
	}
	holds(one)
	holds(two)

	image := bytes.Repeat([]byte{0xFF}, one.Size())
	copy(image[at:], content)
	const theirs = 0x400000
	copy(image[theirs:], random(16*kib))
	file := save(t, dir, "image", image)
	layout := save(t, dir, "layout", fmt.Appendf(nil, "%08x:%08x ours\n%08x:%08x theirs\n", at, at+size-1, theirs, theirs+16*kib-1))
	for slot, programmer := range map[string]string{"left": "ft2232_spi:type=2232H,port=A", "right": "ch341a_spi"} {
		flash := func(region, does string) {
			b.run(flashrom, "-p", programmer, "-c", "MT25QL128", "-l", layout, "-i", region, "-N", does, file)
		}
		flash("ours", "-v")
		flash("theirs", "-w")
		b.run(station, append(config, "chip", "verify", "--slot", slot, "--at", fmt.Sprintf("0x%x", theirs), save(t, dir, "theirs", random(16*kib)))...)
	}

	one, two = board(), board()
	if err := errors.Join(left.Attach(0, one), right.Attach(0, two)); err != nil {
		t.Fatal(err)
	}
	var pulled time.Time
	gone := make(chan error, 1)
	go func() {
		for one.Bytes(at+0x100, 1)[0] != content[0x100] {
			time.Sleep(time.Millisecond)
		}
		pulled = time.Now()
		gone <- b.Unplug("1-1")
	}()
	var said stamp
	cmd := exec.CommandContext(t.Context(), station, append(config, "run", recipe, "--slot", "left=G-3", "--slot", "right=G-4")...)
	cmd.Stdout, cmd.Stderr, said.until = &said, &said, "left  G-3  ERROR"
	err := cmd.Run()
	out := said.all.String()
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 3 || !strings.Contains(out, "unplugged") || strings.Count(out, "ERROR") == 0 || strings.Count(out, "PASS") == 0 {
		t.Errorf("unplugged in mid-write: %v\n%s", err, out)
	}
	if took := said.at.Sub(pulled); said.at.IsZero() || took > 5*time.Second {
		t.Errorf("the slot ended %v after its programmer was pulled", took)
	}
	holds(two)
	if bytes.Equal(one.Bytes(at, size), content) {
		t.Error("the programmer was pulled after the write, not during it")
	}
	b.wait("the kernel to lose it", func() bool { return len(b.attached()) == 1 })
	b.plug("1-1", ftdi.New(ftdi.FT2232H, ftdi.Options{Pace: ftdi.Real}), 2, one)
	if out, err := run("left=G-3", "right=G-4"); err != nil {
		t.Errorf("after the replug: %v\n%s", err, out)
	}
	holds(one)
	if out := b.run(station, append(config, "audit", "verify")...); !strings.Contains(out, "ledger verified") {
		t.Errorf("audit verify: %s", out)
	}
}
