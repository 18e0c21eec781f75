package nor_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"station/sim/nor"
)

// A board of version 2 opens as it was left, is version 4 from then on, and lacks nothing that came since.
func TestVersion2(t *testing.T) {
	path := oldBoard(t, "testdata/v2.chip")
	for range 2 { // as version 2, and as what opening it made of it
		c, err := nor.Open(path, nor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		root, ok := c.RootKey(3)
		n := c.Counters()
		if c.Part() != authenta || c.UID() != uid || !ok || !bytes.Equal(root, bytes.Repeat([]byte{0x5A}, 32)) || c.CounterValue(3) != 1 || c.Password() != [8]byte(secret) ||
			c.SPR() != 0xFFFB || n[nor.CountProgram] != 3 || n[nor.CountLock] != 1 || n[nor.CountPassword] != 1 || n[nor.CountIncrement] != 1 {
			t.Errorf("%s, UID %X, %s", c.Part(), c.UID(), permanent(c))
		}
		expect(t, "registers", registers(c), []byte{0x1A, 0x81, 0xFF, 0xEF, 0x3B, 0xFA, 0x00, 0x01, 0x03, 0x00})
		expect(t, "array", slices.Concat(c.Bytes(0, 2), c.Bytes(0x200, 5)), []byte{0x42, 0xFF, 1, 2, 3, 4, 0xFF})
		expect(t, "OTP", do(c, 65, 0x4B, 0, 0, 0, 0, 0), filled(65, 0xFF))
		if c.PowerUps() != 0 || n[nor.CountOTP] != 0 {
			t.Errorf("%d power-ups, counters %v", c.PowerUps(), n)
		}
		if got := signed(c); got != "power-on 1, command 0, range 0+0, 0 writes, 0 erases, 0 ranges" {
			t.Error(got)
		}
		c.Close()
		expectVersion4(t, path)
	}
	c, err := nor.Open(path, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(c, 0x42, 0, 0, 0, 0x3F, 0x77)
	cycle(c)
	c = reopen(t, c, path, nor.Options{})
	defer c.Close()
	if got := c.OTP(); got[0x3F] != 0x77 || c.PowerUps() != 1 {
		t.Errorf("what is new is not kept: OTP % X, %d power-ups", got, c.PowerUps())
	}
}

// So does one of version 3, whose power-ups were counted.
func TestVersion3(t *testing.T) {
	path := oldBoard(t, "testdata/v3.chip")
	for range 2 {
		c, err := nor.Open(path, nor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		root, ok := c.RootKey(3)
		n := c.Counters()
		if c.Part() != authenta || c.UID() != uid || !ok || !bytes.Equal(root, bytes.Repeat([]byte{0x5A}, 32)) || c.CounterValue(3) != 1 || c.Password() != [8]byte(secret) || c.PowerUps() != 2 ||
			c.SPR() != 0xFFFF || n[nor.CountProgram] != 3 || n[nor.CountLock] != 1 || n[nor.CountPassword] != 1 || n[nor.CountIncrement] != 1 || n[nor.CountOTP] != 1 || c.OTP()[0x3F] != 0x77 {
			t.Errorf("%s, UID %X, %d power-ups, OTP % X, %s", c.Part(), c.UID(), c.PowerUps(), c.OTP(), permanent(c))
		}
		expect(t, "registers", registers(c), []byte{0x00, 0x92, 0xFF, 0xFF, 0xFB, 0xFF, 0x00, 0x01, 0x00, 0x00})
		expect(t, "array", slices.Concat(c.Bytes(0, 2), c.Bytes(0x200, 5), c.Bytes(0x300, 1)), []byte{0x42, 0xFF, 1, 2, 3, 4, 0xFF, 5})
		message := append(bytes.Repeat([]byte{9}, 12), 0, 0, 0, 1)
		expect(t, "reply", reply(c), slices.Concat([]byte{0x80}, message, mac(hmacKey(root, 7), message...)))
		if got := signed(c); got != "power-on 3, command 0, range 0+0, 0 writes, 0 erases, 0 ranges" {
			t.Error(got)
		}
		c.Close()
		expectVersion4(t, path)
	}
	c, err := nor.Open(path, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	relay(c, signerOf(c).write(0, []byte{0x40}))
	c = reopen(t, c, path, nor.Options{})
	defer c.Close()
	if c.CommandCounter() != 1 || c.Bytes(0, 1)[0] != 0x40 {
		t.Errorf("what is new is not kept: %s", signed(c))
	}
}

// oldBoard is a copy of an Authenta board of an older version: testdata has the first pages, blank cells are behind them.
func oldBoard(t *testing.T, name string) (path string) {
	t.Helper()
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "chip")
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 3*4096+16<<20); err != nil {
		t.Fatal(err)
	}
	return path
}

func expectVersion4(t *testing.T, path string) {
	t.Helper()
	head, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "version", head[8:10], []byte{4, 0})
}
