package serprog_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"station/sim/nor"
	"station/sim/serprog"
)

const flashrom = "/usr/sbin/flashrom"

// judge is Debian's flashrom, which knows nothing of this project, before a simulated chip.
type judge struct {
	t    *testing.T
	name string // the chip's, in flashrom
	dir  string
	chip *nor.Chip
	pins *pins
	s    *serprog.Server
	addr string

	counted uint64 // effects that erases has told
}

// pins are the chip's, and note the opcodes that pass.
type pins struct {
	*nor.Chip
	mu   sync.Mutex
	seen map[byte]int
	deaf string // opcodes that do not reach the chip
	head bool   // no byte of the frame has passed
}

func (p *pins) Select() {
	p.head = true
	p.Chip.Select()
}

func (p *pins) Shift(out, in []byte) {
	if p.head && len(out) > 0 {
		p.head = false
		p.mu.Lock()
		p.seen[out[0]]++
		p.mu.Unlock()
		if strings.IndexByte(p.deaf, out[0]) >= 0 {
			out = append([]byte{0x00}, out[1:]...) // no command
		}
	}
	p.Chip.Shift(out, in)
}

// newJudge serves a chip until the test ends.
func newJudge(t *testing.T, name string, chip *nor.Chip, deaf string) *judge {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &pins{Chip: chip, seen: map[byte]int{}, deaf: deaf}
	s, done := serprog.New(p, serprog.Options{}), make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &judge{t: t, name: name, dir: t.TempDir(), chip: chip, pins: p, s: s, addr: ln.Addr().String()}
}

// try runs flashrom and gives what it says, and what that cost.
func (j *judge) try(args ...string) (string, serprog.Counts, error) {
	args = append([]string{"-p", "serprog:ip=" + j.addr, "-c", j.name}, args...)
	for again := 2; ; again-- {
		before := j.s.Counts()
		limit, cancel := context.WithTimeout(j.t.Context(), 2*time.Minute)
		out, err := exec.CommandContext(limit, flashrom, args...).CombinedOutput()
		cancel()
		// Its opening waits for answers for a fixed half second, which a busy machine may miss. No chip has been asked by then.
		if late := err != nil && strings.Contains(string(out), "Programmer initialization failed"); !late || again == 0 {
			return string(out), j.s.Counts().Sub(before), err
		}
		j.t.Logf("flashrom is run again: %s", out)
	}
}

// run is try, and wants flashrom to succeed and to say what is given.
func (j *judge) run(says string, args ...string) serprog.Counts {
	j.t.Helper()
	out, counts, err := j.try(args...)
	if err != nil || !strings.Contains(out, says) {
		j.t.Fatalf("flashrom %q: %v, want %q\n%s", args, err, says, out)
	}
	return counts
}

// erasures is what erases tells.
type erasures struct {
	byOpcode map[byte]int // frames that the chip was sent
	sent     int          // the sum
	effects  uint64       // erases that the chip carried out
}

// erases tells of all since it was asked last.
func (j *judge) erases() erasures {
	j.pins.mu.Lock()
	defer j.pins.mu.Unlock()
	e := erasures{byOpcode: map[byte]int{}}
	for _, op := range []byte(smallErases + "\xC7\x60\xC4") {
		if n := j.pins.seen[op]; n > 0 {
			e.byOpcode[op] = n
			e.sent += n
		}
	}
	clear(j.pins.seen)
	now := j.chip.Counters()[nor.CountErase]
	e.effects, j.counted = now-j.counted, now
	return e
}

// write makes a file of the test's.
func (j *judge) write(name string, content []byte) string {
	j.t.Helper()
	path := filepath.Join(j.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		j.t.Fatal(err)
	}
	return path
}

// present fails or skips the test where flashrom is not installed.
func present(t *testing.T) {
	if _, err := os.Stat(flashrom); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("flashrom is not installed")
		}
		t.Skip("NOT RUN: flashrom is not installed")
	}
	if testing.Short() {
		t.Skip("NOT RUN: flashrom takes seconds")
	}
}

func newPart(t *testing.T, part string) *nor.Chip {
	t.Helper()
	chip, err := nor.New(part, [14]byte{7}, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return chip
}

// program writes p at an address through the pins, page by page.
func program(chip serprog.Chip, at int, p []byte) {
	for len(p) > 0 {
		n := min(256-at%256, len(p))
		chip.Select()
		chip.Shift([]byte{0x06}, nil)
		chip.Deselect()
		chip.Select()
		chip.Shift([]byte{0x12, byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}, nil)
		chip.Shift(p[:n], nil)
		chip.Deselect()
		at, p = at+n, p[n:]
	}
}
