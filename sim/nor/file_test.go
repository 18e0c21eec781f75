package nor_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

func create(t testing.TB, path, part string, o nor.Options) *nor.Chip {
	t.Helper()
	c, err := nor.Create(path, part, uid, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func reopen(t testing.TB, c *nor.Chip, path string, o nor.Options) *nor.Chip {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := nor.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever the chip was, it is again after its process: registers, locks, write enable, mode, power, counters.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	c := create(t, path, "MT25QL256ABA", nor.Options{})
	write(c, 0x12, 1, 2, 3, 4, 0xAB)
	write(c, 0x01, 0x18)
	write(c, 0xE3, 0, 1, 0, 0)
	write(c, 0xE1, 0, 1, 0, 0, 0x03)
	write(c, 0xE1, 0x01, 0xFF, 0xF0, 0, 0x01)
	write(c, 0xC5, 0x01)
	write(c, 0x81, 0x3B)
	write(c, 0x61, 0xFA)
	write(c, 0xB1, 0xFF, 0xEF)
	write(c, 0xB7)
	write(c, 0x02, 0, 1, 0, 0, 0) // refused: locked
	write(c, 0xA6)
	write(c, 0x2C, 0xFB, 0xFF)
	do(c, 0, 0x06)
	all := func() []byte {
		return slices.Concat(registers(c), do(c, 2, 0x2D), do(c, 1, 0xE0, 0x01, 0xFF, 0xF0, 0), do(c, 20, 0x9F), c.Bytes(0x1020300, 8), fmt.Append(nil, c.Counters()))
	}
	want := all()
	c = reopen(t, c, path, nor.Options{})
	expect(t, "registers", all(), want)
	do(c, 0, 0x66)
	c = reopen(t, c, path, nor.Options{})
	do(c, 0, 0x99)
	if status(c) != 0x18 {
		t.Error("66 was forgotten")
	}
	do(c, 0, 0xB9)
	c = reopen(t, c, path, nor.Options{})
	expect(t, "asleep", do(c, 1, 0x9F), []byte{0xFF})
	c.Power(false)
	c = reopen(t, c, path, nor.Options{})
	if c.Powered() {
		t.Error("opening the file switched the power on")
	}
	c.Power(true)
	expect(t, "powered up", do(c, 1, 0x9F), []byte{0x20})
	c.Close()
	expect(t, "closed", do(c, 1, 0x9F), []byte{0xFF})
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// So are password, root keys, counters, HMAC key registers and the reply.
func TestReopenPermanent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	c := create(t, path, authenta, nor.Options{})
	root := bytes.Repeat([]byte{0x5A}, 32)
	key := hmacKey(root, 7)
	write(c, with(secret, 0x28)...)
	op1(c, rootKeyPacket(0, bytes.Repeat([]byte{0xA5}, 32)))
	op1(c, rootKeyPacket(3, root))
	op1(c, updatePacket(3, root, 7))
	op1(c, incrementPacket(3, key, 0))
	op1(c, requestPacket(3, key, bytes.Repeat([]byte{9}, 12)))
	write(c, 0x2C, 0xFB, 0xFF)
	answered, held := reply(c), permanent(c)
	c = reopen(t, c, path, nor.Options{})
	defer func() { c.Close() }()
	expect(t, "reply", reply(c), answered)
	if got := permanent(c); got != held {
		t.Errorf("%s, not %s", got, held)
	}
	if got := op1(c, incrementPacket(3, key, 1)); got != 0x80 || c.CounterValue(3) != 2 {
		t.Errorf("the HMAC key register is lost: %02X", got)
	}
	held = permanent(c)
	c.Power(false)
	c = reopen(t, c, path, nor.Options{})
	c.Power(true)
	if got := permanent(c); got != held || !c.Frozen() {
		t.Errorf("after the power came back: %s, not %s", got, held)
	}
	if got := op1(c, incrementPacket(3, key, 2)); got != 0x08 {
		t.Errorf("the HMAC key register outlives the power: %02X", got)
	}
}

// Counters, range and reply of the authenticated commands are kept, and a block goes on by wall time.
func TestReopenSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := nor.Options{Pace: nor.Real}
		path := filepath.Join(t.TempDir(), "chip")
		c := create(t, path, authenta, o)
		defer func() { c.Close() }()
		wait := func() { time.Sleep(50 * time.Millisecond) }
		do(c, 0, with(signerOf(c).protect(0x30000, 0x20000), 0x9B)...)
		wait()
		do(c, 0, with(signerOf(c).write(0x30000, []byte{0x5A}), 0x9B)...)
		wait()
		answered, held := do(c, 74, 0x96, 0), signed(c)
		c = reopen(t, c, path, o)
		expect(t, "reply", do(c, 74, 0x96, 0), answered)
		if got := signed(c); got != held || held != "power-on 1, command 2, range 30000+20000, 1 writes, 0 erases, 1 ranges" {
			t.Errorf("%s, before %s", got, held)
		}
		s := signerOf(c)
		block := s.erase(0x30000)
		do(c, 0, with(block, 0x9B)...)
		time.Sleep(49 * time.Millisecond)
		c = reopen(t, c, path, o)
		expect(t, "still busy", append(do(c, 1, 0x96, 0), c.Bytes(0x30000, 1)...), []byte{0x01, 0x5A})
		c.Close()
		time.Sleep(time.Millisecond)
		var err error
		if c, err = nor.Open(path, o); err != nil {
			t.Fatal(err)
		}
		expect(t, "done", do(c, 41, 0x96, 0), append([]byte{0x80}, s.reply(block)...))
		expect(t, "erased", c.Bytes(0x30000, 1), []byte{0xFF})
		c.Power(false)
		c = reopen(t, c, path, o)
		c.Power(true)
		if got := signed(c); got != "power-on 2, command 3, range 30000+20000, 1 writes, 1 erases, 1 ranges" {
			t.Errorf("after the power came back: %s", got)
		}
	})
}

// A stacked board keeps the flags of each die.
func TestReopenStacked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	c := create(t, path, "MT25QL02GCBB", nor.Options{})
	write(c, at4(0x12, 4*dieSize-256, 0x5A)...)
	write(c, at4(0xE3, dieSize)...)
	write(c, at4(0xE3, 4*dieSize-1)...)
	write(c, at4(0x12, dieSize, 0)...)
	write(c, at4(0xDC, 4*dieSize-1)...)
	want := []byte{0x80, 0x92, 0x80, 0xA2}
	expect(t, "flags", allFlags(c, 4), want)
	c = reopen(t, c, path, nor.Options{})
	defer func() { c.Close() }()
	expect(t, "flags", allFlags(c, 4), want)
	expect(t, "array", c.Bytes(4*dieSize-256, 1), []byte{0x5A})
	if !c.LockedNonvolatile(1024) || !c.LockedNonvolatile(4095) || c.LockedNonvolatile(0) {
		t.Error("locks are not kept")
	}
}

// An operation goes on by wall time while nobody holds the file.
func TestReopenWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := nor.Options{Pace: nor.Real}
		path := filepath.Join(t.TempDir(), "chip")
		c := create(t, path, "MT25QL256ABA", o)
		defer func() { c.Close() }()
		write(c, 0x02, 0, 0, 0, 0)
		time.Sleep(time.Millisecond)
		write(c, 0xD8, 0, 0, 0)
		c = reopen(t, c, path, o)
		expect(t, "still busy", []byte{status(c), flags(c)}, []byte{0x03, 0x00})
		c.Close()
		time.Sleep(159 * time.Millisecond)
		var err error
		if c, err = nor.Open(path, o); err != nil {
			t.Fatal(err)
		}
		expect(t, "still busy later", []byte{status(c), flags(c)}, []byte{0x03, 0x00})
		expect(t, "not erased yet", c.Bytes(0, 1), []byte{0x00})
		c.Close()
		time.Sleep(time.Millisecond)
		if c, err = nor.Open(path, o); err != nil {
			t.Fatal(err)
		}
		expect(t, "done", append(c.Bytes(0, 1), status(c), flags(c)), []byte{0xFF, 0x00, 0x80})
	})
}

func TestOneOpener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	c := create(t, path, "MT25QL128ABA", nor.Options{})
	if _, err := nor.Open(path, nor.Options{}); !errors.Is(err, nor.ErrInUse) {
		t.Errorf("second opener: %v", err)
	}
	if _, err := nor.Create(path, "MT25QL128ABA", uid, nor.Options{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("Create over a board: %v", err)
	}
	if _, err := nor.Create(path+"2", "MT25", uid, nor.Options{}); !errors.Is(err, nor.ErrPart) {
		t.Errorf("Create of an unknown part: %v", err)
	}
	if _, err := nor.Open(path+"2", nor.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of nothing: %v", err)
	}
	c.Close()
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(names) != 1 {
		t.Errorf("left in the folder: %v, %v", names, err)
	}
	c, err = nor.Open(path, nor.Options{})
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	c.Close()
}

// Blank cells cost no disk, before and after erases.
func TestSparse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	c := create(t, path, "MT25QL512ABB", nor.Options{})
	defer c.Close()
	write(c, 0x12, 2, 0, 0, 0, 0)
	write(c, 0xC7)
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != 64<<20+3*4096 || st.Blocks*512 > 64<<10 {
		t.Errorf("%d bytes long, %d on disk", st.Size, st.Blocks*512)
	}
}

func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "chip")
	c := create(t, path, "MT25QL128ABA", nor.Options{})
	write(c, 0x02, 0, 0, 0, 0x42)
	write(c, 0xE3, 0, 1, 0, 0)
	c.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		what   string
		damage func(b []byte) []byte
		want   error // nil: opens
	}{
		{"empty", func(b []byte) []byte { return nil }, nor.ErrCorrupt},
		{"header only", func(b []byte) []byte { return b[:100] }, nor.ErrCorrupt},
		{"last byte cut off", func(b []byte) []byte { return b[:len(b)-1] }, nor.ErrCorrupt},
		{"too long", func(b []byte) []byte { return append(b, 0) }, nor.ErrCorrupt},
		{"other magic", func(b []byte) []byte { b[0] = 'X'; return b }, nor.ErrCorrupt},
		{"other version", func(b []byte) []byte { b[8] = 1; return b }, nor.ErrCorrupt},
		{"bit in the header", func(b []byte) []byte { b[50] ^= 1; return b }, nor.ErrCorrupt},
		{"one slot", func(b []byte) []byte { b[4096+20] ^= 1; return b }, nil},
		{"other slot", func(b []byte) []byte { b[8192+20] ^= 1; return b }, nil},
		{"both slots", func(b []byte) []byte { b[4096+20] ^= 1; b[8192+20] ^= 1; return b }, nor.ErrCorrupt},
		{"slots zeroed", func(b []byte) []byte { clear(b[4096:12288]); return b }, nor.ErrCorrupt},
		{"slot of absurd length", func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[4096+4:], 1<<31)
			binary.LittleEndian.PutUint32(b[8192+4:], 1<<31)
			return b
		}, nor.ErrCorrupt},
	} {
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, row.damage(slices.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := nor.Open(bad, nor.Options{})
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.what, err, row.want)
		}
		if err == nil {
			expect(t, row.what, c.Bytes(0, 1), []byte{0x42})
			c.Close()
		}
	}
}

// The process dies between the state and the array, or within the array: opening the file does the rest.
func TestRedo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	c := create(t, path, authenta, nor.Options{})
	defer func() { c.Close() }()
	const array = 3 * 4096
	for _, op := range [][]byte{
		with(pageOf(0x01020304), 0x02, 0x01, 0x23, 0x00),
		with(pageOf(0xF0F0F0F0), 0x02, 0x01, 0x23, 0x00),
		{0x20, 0x01, 0x23, 0x45},
		with(pageOf(0x05060708), 0x02, 0x01, 0x40, 0x80),
		with(signer{uid, 1, 0}.write(0x12300, pageOf(0x01020304)), 0x9B),
		with(signer{uid, 1, 1}.erase(0x12000), 0x9B),
		{0xD8, 0x01, 0x00, 0x00},
	} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(c, op...)
		want := c.Bytes(0, c.Size())
		if c.CommandCounter() != map[byte]uint64{0x02: 0, 0x20: 0, 0x9B: uint64(op[2]) + 1, 0xD8: 2}[op[0]] {
			t.Fatalf("% X: %s", op[:4], signed(c))
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		for _, written := range []int{0, 0x12310, 0x12400, 0x14080} { // bytes of the array that made it
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(before[array+written:array+0x30000], array+int64(written)); err != nil {
				t.Fatal(err)
			}
			f.Close()
			if c, err = nor.Open(path, nor.Options{}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.Bytes(0, c.Size()), want) {
				t.Errorf("% X cut after %d bytes of the array is not made good", op[:4], written)
			}
			c.Close()
		}
		if c, err = nor.Open(path, nor.Options{}); err != nil {
			t.Fatal(err)
		}
	}
}

// A full disk makes the chip dead, with the reason; opened again with room, the operation that was accepted is there.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chip")
	c := create(t, path, "MT25QL128ABA", nor.Options{})
	limit := syscall.Rlimit{}
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	// no disk to fill: a limit on file size fails writes past it in the same way
	low := limit
	low.Cur = 1 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &low); err != nil {
		t.Fatal(err)
	}
	write(c, 0x02, 0x80, 0, 0, 0x42)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if c.Err() == nil {
		t.Fatal("no error")
	}
	expect(t, "dead", do(c, 2, 0x05), []byte{0xFF, 0xFF})
	if err := c.Close(); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("Close: %v", err)
	}
	c, err := nor.Open(path, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	expect(t, "afterwards", append(c.Bytes(0x800000, 1), status(c)), []byte{0x42, 0x00})
}

// One page as a driver writes it: enable, program, look.
func BenchmarkProgramFile(b *testing.B) {
	c := create(b, filepath.Join(b.TempDir(), "chip"), "MT25QL256ABA", nor.Options{})
	defer c.Close()
	page := with(make([]byte, 256), 0x12, 0, 0, 0, 0)
	in := make([]byte, 1)
	i := 0
	for b.Loop() {
		page[2], page[3] = byte(i>>8), byte(i)
		i++
		c.Select()
		c.Shift([]byte{0x06}, nil)
		c.Deselect()
		c.Select()
		c.Shift(page, nil)
		c.Deselect()
		c.Select()
		c.Shift([]byte{0x05}, nil)
		c.Shift(nil, in)
		c.Deselect()
	}
}

func BenchmarkReadFile(b *testing.B) {
	c := create(b, filepath.Join(b.TempDir(), "chip"), "MT25QL256ABA", nor.Options{})
	defer c.Close()
	in := make([]byte, c.Size())
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		c.Select()
		c.Shift([]byte{0x13, 0, 0, 0, 0}, nil)
		c.Shift(nil, in)
		c.Deselect()
	}
}
