package nor_test

import (
	"bytes"
	"crypto"
	_ "crypto/md5"
	_ "crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"station/sim/nor"
)

var uid = [14]byte{0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAC, 0xAD}

func newChip(t testing.TB, part string, o nor.Options) *nor.Chip {
	t.Helper()
	c, err := nor.New(part, uid, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// do is one frame: bytes out, n bytes in.
func do(c *nor.Chip, n int, out ...byte) []byte {
	in := make([]byte, n)
	c.Select()
	c.Shift(out, nil)
	if n > 0 {
		c.Shift(nil, in)
	}
	c.Deselect()
	return in
}

// write is a write enable and a frame.
func write(c *nor.Chip, out ...byte) {
	do(c, 0, 0x06)
	do(c, 0, out...)
}

func status(c *nor.Chip) byte { return do(c, 1, 0x05)[0] }
func flags(c *nor.Chip) byte  { return do(c, 1, 0x70)[0] }

func with(data []byte, head ...byte) []byte { return append(head, data...) }

func expect(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: % X, want % X", what, got, want)
	}
}

func TestIdentification(t *testing.T) {
	const md5, sha256 = 0, 1
	hash := [2]func([]byte) string{
		func(p []byte) string { h := crypto.MD5.New(); h.Write(p); return hex.EncodeToString(h.Sum(nil)) },
		func(p []byte) string { h := crypto.SHA256.New(); h.Write(p); return hex.EncodeToString(h.Sum(nil)) },
	}
	const of256, of512 = "5ea738216f68c9f98987bb3725699a32", "610efba1647e00ac6db18beb11e84c04"
	const of1G = "e49dfee6eeb73c55e94c07a8c7d352dd7d8774b830a64ed1059ef6e7bc833668"
	rows := []struct {
		part string
		id   []byte
		kind int
		sum  string // of the first 136 bytes of SFDP; "": derived, no dump to compare with
		mib  int
	}{
		{"MT25QL01GBBB", []byte{0x20, 0xBA, 0x21, 0x10, 0x44, 0x00}, sha256, of1G, 128},
		{"MT25QL02GCBB", []byte{0x20, 0xBA, 0x22, 0x10, 0x44, 0x00}, 0, "", 256},
		{"MT25QL128ABA", []byte{0x20, 0xBA, 0x18, 0x10, 0x44, 0x00}, 0, "", 16},
		{"MT25QL128ABB", []byte{0x20, 0xBA, 0x18, 0x12, 0x00, 0x8C}, 0, "", 16},
		{"MT25QL256ABA", []byte{0x20, 0xBA, 0x19, 0x10, 0x44, 0x00}, md5, of256, 32},
		{"MT25QL512ABB", []byte{0x20, 0xBA, 0x20, 0x10, 0x44, 0x00}, md5, of512, 64},
		{"MT25QU01GBBB", []byte{0x20, 0xBB, 0x21, 0x10, 0x44, 0x00}, sha256, of1G, 128},
		{"MT25QU02GCBB", []byte{0x20, 0xBB, 0x22, 0x10, 0x44, 0x00}, 0, "", 256},
		{"MT25QU128ABB", []byte{0x20, 0xBB, 0x18, 0x12, 0x00, 0x8C}, 0, "", 16},
		{"MT25QU256ABA", []byte{0x20, 0xBB, 0x19, 0x10, 0x44, 0x00}, md5, of256, 32},
		{"MT25QU256ABA-1SIT", []byte{0x20, 0xBB, 0x19, 0x10, 0x44, 0x73}, md5, of256, 32},
		{"MT25QU512ABB", []byte{0x20, 0xBB, 0x20, 0x10, 0x44, 0x00}, md5, of512, 64},
	}
	names := []string{}
	for _, row := range rows {
		part := row.part
		names = append(names, part)
		c := newChip(t, part, nor.Options{})
		headers, third, table88 := byte(1), filled(8, 0xFF), filled(8, 0xFF)
		if row.id[5] == 0x8C {
			headers = 2
			third = []byte{0x03, 0x00, 0x01, 0x02, 0x88, 0x00, 0x00, 0xFF}
			table88 = []byte{0x38, 0x9B, 0x96, 0xF0, 0x05, 0x0A, 0x05, 0xFF}
		}
		expect(t, part+" 9F", do(c, 20, 0x9F), slices.Concat(row.id, uid[:]))
		expect(t, part+" 9E", do(c, 3, 0x9E), row.id[:3])
		write(c, 0xB7) // SFDP has 3 address bytes in 4-byte mode, too
		table := do(c, 144, 0x5A, 0, 0, 0, 0)
		expect(t, part+" SFDP headers less 1", table[6:7], []byte{headers})
		expect(t, part+" SFDP third header", table[0x18:0x20], third)
		expect(t, part+" SFDP 88h", table[0x88:], table88)
		table = table[:136]
		if got := hash[row.kind](table); row.sum != "" && got != row.sum {
			t.Errorf("%s SFDP: %x sums to %s, want %s", part, table, got, row.sum)
		}
		bits := 1 + (int(table[0x34]) | int(table[0x35])<<8 | int(table[0x36])<<16 | int(table[0x37])<<24)
		if bits/8 != row.mib<<20 || c.Size() != row.mib<<20 {
			t.Errorf("%s: SFDP %d bytes, the array has %d", part, bits/8, c.Size())
		}
		if row.mib >= 64 {
			expect(t, part+" SFDP chip erase time", table[0x5B:0x5C], []byte{0xE1})
		}
		expect(t, part+" SFDP from 7Eh over the end", do(c, 0x84, 0x5A, 0, 0, 0x7E, 0)[0x82:], []byte{0x53, 0x46})
		expect(t, part+" registers", slices.Concat(do(c, 2, 0xB5), do(c, 1, 0x85), do(c, 1, 0x65), do(c, 1, 0xC8), do(c, 2, 0x2D), do(c, 1, 0xA7)),
			[]byte{0xFF, 0xFF, 0xFB, 0xFF, 0x00, 0xFF, 0xFF, 0x01})
		write(c, 0xC5, 0xFF)
		expect(t, part+" bits of the extended address register", do(c, 1, 0xC8), []byte{byte((row.mib - 1) >> 4)})
		if part != c.Part() || uid != c.UID() {
			t.Errorf("%s: Part %s, UID %X", part, c.Part(), c.UID())
		}
	}
	if got := nor.Parts(); !slices.Equal(got, names) {
		t.Errorf("Parts: %q, want %q", got, names)
	}
	if _, err := nor.New("MT25QL999", uid, nor.Options{}); !errors.Is(err, nor.ErrPart) {
		t.Errorf("unknown part: %v", err)
	}
}

// Whatever is no command of the part is answered FF and changes nothing; so is a chip that floats.
func TestUnknownOpcodes(t *testing.T) {
	known := []byte{0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0B, 0x0C, 0x12, 0x13, 0x20, 0x21, 0x2C, 0x2D, 0x50, 0x52, 0x5A, 0x60, 0x61, 0x65,
		0x66, 0x70, 0x75, 0x7A, 0x81, 0x85, 0x99, 0x9E, 0x9F, 0xA6, 0xA7, 0xAB, 0xB1, 0xB5, 0xB7, 0xB9, 0xC5, 0xC7, 0xC8, 0xD8, 0xDC,
		0x27, 0x28, 0x29, 0x35, 0x42, 0x4B, 0x96, 0x9B, 0xE0, 0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE8, 0xE9} // not 5C: revision A; not C4: one die
	for _, op := range []byte{0xA2, 0xD2, 0x32, 0x34, 0x38, 0x3E, 0x3B, 0x6B, 0xBB, 0xEB, 0xAF, 0xF5, 0x2B, 0x68, 0xC4} {
		if slices.Contains(known, op) {
			t.Fatalf("%02X is tested elsewhere", op)
		}
	}
	c := newChip(t, "MT25QL256ABA", nor.Options{})
	do(c, 0, 0x06)
	for op := range 256 {
		if slices.Contains(known, byte(op)) {
			continue
		}
		expect(t, fmt.Sprintf("opcode %02X", op), do(c, 8, byte(op), 0, 0, 0), bytes.Repeat([]byte{0xFF}, 8))
	}
	expect(t, "state afterwards", append(c.Bytes(0, 8), status(c), flags(c)), append(filled(8, 0xFF), 0x02, 0x80))
	in := make([]byte, 3)
	c.Shift([]byte{0x9F, 0, 0}, in)
	expect(t, "not selected", in, []byte{0xFF, 0xFF, 0xFF})
	c.Power(false)
	expect(t, "without power", do(c, 3, 0x9F), []byte{0xFF, 0xFF, 0xFF})
	do(c, 0, 0x06)
	if c.Powered() {
		t.Error("Powered after Power(false)")
	}
	c.Power(true)
	expect(t, "write enable was not taken", []byte{status(c)}, []byte{0x00})
}

func TestAddressing(t *testing.T) {
	c := newChip(t, "MT25QL512ABB", nor.Options{})
	write(c, 0x12, 0x03, 0x00, 0x01, 0x02, 0xAB)
	expect(t, "13", do(c, 2, 0x13, 0x03, 0x00, 0x01, 0x02), []byte{0xAB, 0xFF})
	expect(t, "0C", do(c, 2, 0x0C, 0x03, 0x00, 0x01, 0x02, 0), []byte{0xAB, 0xFF})
	expect(t, "03 in 3-byte mode", do(c, 1, 0x03, 0x00, 0x01, 0x02), []byte{0xFF})
	write(c, 0xC5, 0xFF)
	expect(t, "EAR keeps the bits that the part has", do(c, 1, 0xC8), []byte{0x03})
	expect(t, "03 with EAR", do(c, 1, 0x03, 0x00, 0x01, 0x02), []byte{0xAB})
	expect(t, "0B with EAR", do(c, 1, 0x0B, 0x00, 0x01, 0x02, 0), []byte{0xAB})
	do(c, 0, 0xB7)
	expect(t, "B7 without write enable", []byte{flags(c)}, []byte{0x80})
	write(c, 0xB7)
	expect(t, "B7", []byte{flags(c), status(c)}, []byte{0x81, 0x00})
	expect(t, "03 in 4-byte mode ignores EAR", do(c, 1, 0x03, 0x00, 0x00, 0x01, 0x02), []byte{0xFF})
	expect(t, "03 in 4-byte mode", do(c, 1, 0x03, 0x03, 0x00, 0x01, 0x02), []byte{0xAB})
	expect(t, "read wraps at the end", do(c, 2, 0x13, 0x03, 0xFF, 0xFF, 0xFF), []byte{0xFF, 0xFF})
	write(c, 0x5C, 0x03, 0x00, 0x7F, 0xFF)
	expect(t, "5C on revision B", do(c, 1, 0x13, 0x03, 0x00, 0x01, 0x02), []byte{0xFF})
	write(c, 0xE9)
	expect(t, "E9", []byte{flags(c)}, []byte{0x80})
}

func TestPageProgram(t *testing.T) {
	c := newChip(t, "MT25QL128ABA", nor.Options{})
	write(c, 0x02, 0, 0, 0xFE, 1, 2, 3, 4)
	expect(t, "wraps in its page", slices.Concat(c.Bytes(0xFC, 6), c.Bytes(0, 3)), []byte{0xFF, 0xFF, 1, 2, 0xFF, 0xFF, 3, 4, 0xFF})
	long := make([]byte, 300)
	for i := range long {
		long[i] = byte(i)
	}
	write(c, with(long, 0x02, 0, 0x01, 0x00)...)
	want := make([]byte, 256)
	for i := range want {
		want[i] = byte(i)
	}
	copy(want, long[256:])
	expect(t, "of 300 bytes the last 256 stay", c.Bytes(0x100, 256), want)
	write(c, 0x02, 0, 0x02, 0x00, 0xF0)
	write(c, 0x02, 0, 0x02, 0x00, 0x3C)
	expect(t, "bits only clear", c.Bytes(0x200, 1), []byte{0x30})
	write(c, 0x02, 0, 0x03, 0x00)
	expect(t, "no data, no program", append(c.Bytes(0x300, 1), status(c)), []byte{0xFF, 0x02})
}

// Bits come and go one by one as well, and the same frame is the same however it is cut.
func TestBits(t *testing.T) {
	c := newChip(t, "MT25QL256ABA", nor.Options{})
	c.Select()
	var got uint32
	for _, b := range []byte{0x9F, 0, 0, 0} {
		got = got<<3 | uint32(c.ShiftBits(b, 3))
		got = got<<5 | uint32(c.ShiftBits(b<<3, 5))
	}
	c.Deselect()
	if got != 0xFF20BA19 {
		t.Errorf("ID in pieces of 3 and 5 bits: %08X", got)
	}
	c.Select()
	c.ShiftBits(0x9F, 4)
	in := make([]byte, 2)
	c.Shift([]byte{0xF0, 0x00}, in) // the opcode's second half, then the ID
	c.Deselect()
	expect(t, "bytes off their borders", in, []byte{0xF2, 0x0B})
}

func TestFaults(t *testing.T) {
	c := newChip(t, "MT25QL128ABA", nor.Options{Seed: 7})
	write(c, 0x02, 0, 0, 0, 0x55)

	c.SetFaults(nor.Faults{StuckBusy: true})
	write(c, 0x02, 0, 1, 0, 0x55)
	expect(t, "stuck busy", []byte{status(c), flags(c)}, []byte{0x03, 0x00})
	expect(t, "stuck busy takes no read", do(c, 1, 0x03, 0, 0, 0), []byte{0xFF})
	c.SetFaults(nor.Faults{})
	expect(t, "no longer stuck", append(c.Bytes(0x100, 1), status(c)), []byte{0x55, 0x00})

	c.SetFaults(nor.Faults{FailProgram: true})
	write(c, 0x02, 0, 2, 0, 0x55)
	expect(t, "program fails", append(c.Bytes(0x200, 1), status(c), flags(c)), []byte{0xFF, 0x00, 0x90})
	write(c, 0xE3, 0, 0, 0, 0)
	if c.LockedNonvolatile(0) {
		t.Error("E3 held although programs fail")
	}
	do(c, 0, 0x50)
	c.SetFaults(nor.Faults{FailErase: true})
	write(c, 0x20, 0, 0, 0)
	expect(t, "erase fails", append(c.Bytes(0, 1), status(c), flags(c)), []byte{0x55, 0x00, 0xA0})
	do(c, 0, 0x50)

	c.SetFaults(nor.Faults{IgnoreLocks: true})
	write(c, 0xE3, 0, 0, 0, 0)
	write(c, 0xE5, 0, 0, 0, 1)
	write(c, 0x02, 0, 0, 0, 0x11)
	expect(t, "a chip that lies", slices.Concat(do(c, 1, 0xE2, 0, 0, 0, 0), do(c, 1, 0xE8, 0, 0, 0), c.Bytes(0, 1), []byte{flags(c)}),
		[]byte{0x00, 0x01, 0x11, 0x80})

	c.SetFaults(nor.Faults{Flip: map[uint32]byte{1: 0x80, 0x400: 0x01}, ID: []byte{0xEF, 0x40}})
	expect(t, "bad cell", do(c, 3, 0x03, 0, 0, 0), []byte{0x11, 0x7F, 0xFF})
	expect(t, "bad cell again", do(c, 3, 0x03, 0, 0, 0), []byte{0x11, 0x7F, 0xFF})
	expect(t, "wrong ID", do(c, 3, 0x9F), []byte{0xEF, 0x40, 0x18})

	c.SetFaults(nor.Faults{WeakContact: 20})
	one, two := do(c, 4096, 0x03, 0, 0, 0), do(c, 4096, 0x03, 0, 0, 0)
	if bytes.Equal(one, two) {
		t.Error("a weak contact read the same twice")
	}
	wrong := 0
	for _, b := range one[2:] {
		if b != 0xFF {
			wrong++
		}
	}
	if wrong < 100 || wrong > 400 {
		t.Errorf("%d of 4094 bytes garbled at 1 in 20", wrong)
	}
}

// Of a byte that gets lost the chip sees no clock: what follows is shorter for it. About as many as asked for are lost.
func TestDropByte(t *testing.T) {
	c := newChip(t, "MT25QL256ABA", nor.Options{Seed: 3})
	for page := range 16 {
		write(c, at4(0x12, page<<8, pageOf(uint32(page)*0x10203)...)...)
	}
	array := c.Bytes(0, 4096)
	c.SetFaults(nor.Faults{DropByte: 100})
	c.Select()
	c.Shift([]byte{0x13, 0, 0, 0, 0}, nil)
	got := make([]byte, 4096)
	c.Shift(nil, got)
	c.Deselect()
	lost, rest := 0, array
	for _, b := range got {
		if b == rest[0] {
			rest = rest[1:]
		} else if lost++; b != 0xFF {
			t.Fatalf("neither the next byte of the array nor FF: %02X", b)
		}
	}
	if lost < 20 || lost > 80 {
		t.Errorf("%d of 4096 bytes lost at 1 in 100", lost)
	}
	wrong := 0
	for range 1000 {
		if id := do(c, 3, 0x9F); !slices.Equal(id, []byte{0x20, 0xBA, 0x19}) {
			wrong++
		}
	}
	if wrong < 10 || wrong > 90 {
		t.Errorf("%d of 1000 IDs wrong", wrong)
	}
	// off byte borders it is the same
	c.SetFaults(nor.Faults{DropByte: 1})
	c.Select()
	c.ShiftBits(0x90, 4)
	in := []byte{0, 0}
	c.Shift(nil, in)
	c.SetFaults(nor.Faults{})
	c.ShiftBits(0xF0, 4)
	id := make([]byte, 3)
	c.Shift(nil, id)
	c.Deselect()
	expect(t, "lost within a byte", append(in, id...), []byte{0xFF, 0xFF, 0x20, 0xBA, 0x19})
}

func TestPowerUps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	c := create(t, path, "MT25QL128ABA", nor.Options{})
	for range 3 {
		cycle(c)
	}
	c.Power(true) // is on
	reset(c)
	c.Power(false)
	c = reopen(t, c, path, nor.Options{})
	defer c.Close()
	if n := c.PowerUps(); n != 3 {
		t.Errorf("%d power-ups of 3", n)
	}
	if c.Power(true); c.PowerUps() != 4 {
		t.Errorf("%d power-ups of 4", c.PowerUps())
	}
}

// Run with -race: the pins, the supply and the looks behind them from several goroutines.
func TestConcurrentUse(t *testing.T) {
	c := newChip(t, "MT25QL128ABA", nor.Options{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 50 {
				write(c, 0x02, byte(i), byte(j), 0, 1, 2, 3)
				do(c, 16, 0x03, 0, 0, 0)
				c.Power(j%10 != 0)
				c.Bytes(0, 16)
				c.Counters()
				c.SetFaults(nor.Faults{})
			}
		})
	}
	wg.Wait()
	c.Power(true)
	expect(t, "afterwards", do(c, 2, 0x9F), []byte{0x20, 0xBA})
}
