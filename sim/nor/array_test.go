package nor_test

import (
	"bytes"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"station/sim/nor"
)

// TestArrayModel drives random programs, erases and reads in all their address forms against a plain byte slice that
// knows two rules only: a program clears bits within its page, an erase sets a whole unit.
func TestArrayModel(t *testing.T) {
	run := func(rt *rapid.T, open func() *nor.Chip, again func(*nor.Chip) *nor.Chip) {
		c := open()
		defer func() { c.Close() }()
		size := c.Size()
		model := map[int]byte{} // what is not FF
		wide := false
		// places near each other, at the array's ends and around 16 MiB, so that operations meet
		address := rapid.Custom(func(t *rapid.T) int {
			base := rapid.SampledFrom([]int{0, 16<<20 - 0x2000, 16 << 20, 48 << 20, size/2 - 0x2000, size - 0x11000}).Draw(t, "base")
			return base + rapid.IntRange(0, 0x10FFF).Draw(t, "offset")
		})
		form := func(short, long byte, at int) []byte {
			full := []byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}
			switch {
			case rapid.Bool().Draw(rt, "long opcode"):
				return append([]byte{long}, full...)
			case wide:
				return append([]byte{short}, full...)
			}
			write(c, 0xC5, full[0])
			return append([]byte{short}, full[1:]...)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"program": func(rt *rapid.T) {
				at := address.Draw(rt, "at")
				data := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(rt, "data")
				write(c, with(data, form(0x02, 0x12, at)...)...)
				for i := max(0, len(data)-256); i < len(data); i++ {
					to := at&^255 | (at+i)&255
					old, ok := model[to]
					if !ok {
						old = 0xFF
					}
					model[to] = old & data[i]
				}
			},
			"erase": func(rt *rapid.T) {
				at := address.Draw(rt, "at")
				e := rapid.SampledFrom([]struct {
					short, long byte
					unit        int
				}{{0x20, 0x21, 4 << 10}, {0x52, 0x5C, 32 << 10}, {0xD8, 0xDC, 64 << 10}}).Draw(rt, "erase")
				write(c, form(e.short, e.long, at)...)
				for a := range model {
					if a/e.unit == at/e.unit {
						delete(model, a)
					}
				}
			},
			"mode": func(rt *rapid.T) {
				if wide = !wide; wide {
					write(c, 0xB7)
				} else {
					write(c, 0xE9)
				}
			},
			"reopen": func(rt *rapid.T) { c = again(c) },
			"": func(rt *rapid.T) {
				at := address.Draw(rt, "at")
				n := rapid.IntRange(1, 0x3000).Draw(rt, "n")
				got := do(c, n, form(0x03, 0x13, at)...)
				for i, b := range got {
					want, ok := model[(at+i)%size]
					if !ok {
						want = 0xFF
					}
					if b != want {
						rt.Fatalf("address 0x%07x reads %02X, the model has %02X", (at+i)%size, b, want)
					}
				}
				if f := flags(c); f&0x32 != 0 {
					rt.Fatalf("flag status %02X", f)
				}
			},
		})
	}
	for _, part := range []string{"MT25QL512ABB", "MT25QL02GCBB"} {
		t.Run("memory/"+part, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				run(rt, func() *nor.Chip { return newChip(t, part, nor.Options{}) }, func(c *nor.Chip) *nor.Chip { return c })
			})
		})
	}
	t.Run("file", func(t *testing.T) {
		path := ""
		rapid.Check(t, func(rt *rapid.T) {
			run(rt, func() *nor.Chip {
				path = filepath.Join(t.TempDir(), "chip")
				return create(t, path, "MT25QL512ABB", nor.Options{})
			}, func(c *nor.Chip) *nor.Chip { return reopen(t, c, path, nor.Options{}) })
		})
	})
}

func TestBulkErase(t *testing.T) {
	for _, op := range []byte{0xC7, 0x60} {
		c := newChip(t, "MT25QU256ABA", nor.Options{})
		for _, at := range []byte{0x00, 0x01} {
			write(c, 0x12, at, 0xFF, 0xFF, 0x00, 1, 2, 3)
		}
		write(c, op)
		if !bytes.Equal(c.Bytes(0, c.Size()), bytes.Repeat([]byte{0xFF}, c.Size())) {
			t.Errorf("%02X left something", op)
		}
	}
}

// TestTimes: each self-timed operation is busy until just its typical time is over; none takes any at pace None.
func TestTimes(t *testing.T) {
	for _, row := range []struct {
		what string
		out  []byte
		time time.Duration
	}{
		{"page program", []byte{0x02, 0, 0, 0, 0}, 120 * time.Microsecond},
		{"4 KiB erase", []byte{0x20, 0, 0, 0}, 48 * time.Millisecond},
		{"32 KiB erase", []byte{0x52, 0, 0, 0}, 112 * time.Millisecond},
		{"64 KiB erase", []byte{0xD8, 0, 0, 0}, 160 * time.Millisecond},
		{"bulk erase", []byte{0xC7}, 84 * time.Second},
		{"write SR", []byte{0x01, 0}, 1300 * time.Microsecond},
		{"write NVCR", []byte{0xB1, 0xFF, 0xFF}, 200 * time.Millisecond},
		{"E3", []byte{0xE3, 0, 0, 0, 0}, 100 * time.Microsecond},
		{"E4", []byte{0xE4}, 160 * time.Millisecond},
		{"2C", []byte{0x2C, 0xFD, 0xFF}, 100 * time.Microsecond},
		{"volatile lock", []byte{0xE5, 0, 0, 0, 1}, 0},
		{"freeze", []byte{0xA6}, 0},
		{"4-byte mode", []byte{0xE9}, 0},
		{"VCR", []byte{0x81, 0xFB}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
			write(c, row.out...)
			if row.time > 0 {
				expect(t, row.what+" begun", []byte{status(c), flags(c)}, []byte{0x03, 0x00})
				time.Sleep(row.time - 1)
				expect(t, row.what+" almost done", []byte{status(c), flags(c)}, []byte{0x03, 0x00})
				// status bytes of one long frame tell it, too
				c.Select()
				c.Shift([]byte{0x05}, nil)
				time.Sleep(time.Nanosecond)
				in := make([]byte, 1)
				c.Shift(nil, in)
				c.Deselect()
				expect(t, row.what+" done, one frame", in, []byte{0x00})
			}
			expect(t, row.what+" done", []byte{status(c), flags(c)}, []byte{0x00, 0x80})
			c = newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.None})
			write(c, row.out...)
			expect(t, row.what+" at pace None", []byte{status(c), flags(c)}, []byte{0x00, 0x80})
		})
	}
}

func TestSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChip(t, "MT25QL256ABA", nor.Options{Pace: nor.Real})
		write(c, 0x02, 1, 0, 0, 0x42)
		time.Sleep(time.Millisecond)
		write(c, 0xD8, 0, 0, 0)
		time.Sleep(100 * time.Millisecond)
		do(c, 0, 0x75)
		expect(t, "suspended", []byte{status(c), flags(c)}, []byte{0x02, 0xC0})
		time.Sleep(time.Second)
		expect(t, "reads go on", do(c, 1, 0x03, 1, 0, 0), []byte{0x42})
		do(c, 0, 0x7A)
		time.Sleep(60*time.Millisecond - 1)
		expect(t, "almost done", []byte{flags(c)}, []byte{0x00})
		time.Sleep(time.Nanosecond)
		expect(t, "done", []byte{status(c), flags(c)}, []byte{0x00, 0x80})
		write(c, 0xE4)
		do(c, 0, 0x75) // lock operations cannot be suspended
		expect(t, "E4 goes on", []byte{flags(c)}, []byte{0x00})
	})
}

// A power cut in an operation harms its own unit and nothing else, the same way for the same seed.
func TestPowerCut(t *testing.T) {
	tear := func(t *testing.T, seed uint64, out ...byte) (c *nor.Chip) {
		synctest.Test(t, func(t *testing.T) {
			c = newChip(t, "MT25QL128ABA", nor.Options{Pace: nor.Real, Seed: seed})
			for page := range 0x300 { // 192 KiB of zeros but for each page's last bytes
				write(c, with(make([]byte, 250), 0x02, byte(page>>8), byte(page), 0)...)
				time.Sleep(time.Millisecond)
			}
			write(c, out...)
			c.Power(false)
			c.Power(true)
			time.Sleep(time.Millisecond)
			expect(t, "ready after power-up", []byte{status(c), flags(c)}, []byte{0x00, 0x80})
		})
		return c
	}
	whole := tear(t, 1).Bytes(0, 0x30000)
	for _, row := range []struct {
		what         string
		out          []byte
		first, after int
	}{
		{"program", with(bytes.Repeat([]byte{0x00}, 256), 0x02, 0x01, 0x23, 0x00), 0x12300, 0x12400},
		{"4 KiB", []byte{0x20, 0x01, 0x23, 0x00}, 0x12000, 0x13000},
		{"64 KiB", []byte{0xD8, 0x01, 0x23, 0x00}, 0x10000, 0x20000},
	} {
		differ := false
		for seed := range uint64(4) {
			got := tear(t, seed, row.out...).Bytes(0, 0x30000)
			if !bytes.Equal(got[:row.first], whole[:row.first]) || !bytes.Equal(got[row.after:], whole[row.after:]) {
				t.Fatalf("%s, seed %d: harm outside 0x%x..0x%x", row.what, seed, row.first, row.after)
			}
			if !bytes.Equal(got, tear(t, seed, row.out...).Bytes(0, 0x30000)) {
				t.Fatalf("%s, seed %d: not the same twice", row.what, seed)
			}
			differ = differ || !bytes.Equal(got, whole)
		}
		if !differ {
			t.Errorf("%s: no seed harmed anything", row.what)
		}
	}
	held := map[bool]bool{}
	for seed := range uint64(20) {
		c := tear(t, seed, 0xE3, 0, 1, 0, 0)
		if c.LockedNonvolatile(0) || c.LockedNonvolatile(2) {
			t.Error("a torn E3 locked another sector")
		}
		held[c.LockedNonvolatile(1)] = true
		if c.LockedNonvolatile(1) != (c.Counters()[nor.CountLock] == 1) {
			t.Error("the counter disagrees with the lock")
		}
	}
	if len(held) != 2 {
		t.Error("a torn E3 always ends the same way")
	}
}
