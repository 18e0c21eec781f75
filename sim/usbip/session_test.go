package usbip_test

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"station/sim"
	"station/sim/ch341a"
	"station/sim/dediprog"
	"station/sim/ftdi"
	"station/sim/nor"
)

// withToy gives a client that has the toy.
func withToy(t *testing.T, f func(t *testing.T, l *line, d *toy, c *client)) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		l, d := serve(t), &toy{}
		if err := l.Plug("1-1", d); err != nil {
			t.Fatal(err)
		}
		f(t, l, d, l.attach("1-1", 1))
	})
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func TestOutAsTheDeviceHasRoom(t *testing.T) {
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		c.out(7, 2, fill(1, 100))
		c.out(8, 2, fill(2, 10))
		c.out(9, 2, nil)
		for range 3 {
			c.quiet()
			d.allow(32)
		}
		c.quiet()
		d.allow(4)
		c.done(7, 0, 100, nil)
		c.quiet()
		d.allow(10)
		c.done(8, 0, 10, nil)
		c.done(9, 0, 0, nil)
		if !bytes.Equal(d.took(), append(fill(1, 100), fill(2, 10)...)) {
			t.Errorf("the device took % X", d.took())
		}
	})
}

func TestInQueued(t *testing.T) {
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		for seq := range uint32(3) {
			c.in(10+seq, 2, 31)
		}
		c.in(13, 2, 64)
		c.in(14, 2, 64)
		c.in(15, 2, 64)
		c.quiet() // held, not answered with nothing
		d.give(fill(1, 31), fill(2, 31), fill(3, 5))
		c.done(10, 0, 31, fill(1, 31))
		c.done(11, 0, 31, fill(2, 31))
		c.done(12, 0, 5, fill(3, 5)) // a short packet ends it
		d.give(fill(4, 32))
		c.quiet()
		d.give(fill(4, 32))
		c.done(13, 0, 64, fill(4, 64)) // full
		d.give(fill(5, 32), fill(6, 1))
		c.done(14, 0, 33, append(fill(5, 32), 6))
		d.give(fill(7, 32), nil)
		c.done(15, 0, 32, fill(7, 32)) // an empty packet ends it too
		c.quiet()
		d.give(fill(8, 3), fill(9, 4)) // data that waits for its URB
		c.in(16, 2, 32)
		c.done(16, 0, 3, fill(8, 3))
		c.in(17, 2, 32)
		c.done(17, 0, 4, fill(9, 4))
	})
}

func TestInErrors(t *testing.T) {
	const babble, short = -75, -121
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		c.in(1, 2, 31)
		d.give(fill(1, 32))
		c.done(1, babble, 31, fill(1, 31))
		c.in(2, 2, 0)
		c.quiet()
		d.give(fill(2, 1))
		c.done(2, babble, 0, nil)
		c.in(3, 2, 0)
		d.give(nil)
		c.done(3, 0, 0, nil)
		notShort := header([10]uint32{1, 4, c.dev, 1, 2, 0x201, 64, 0, notIsochronous}, "")
		c.send(notShort)
		d.give(fill(4, 32), fill(4, 8))
		c.done(4, short, 40, fill(4, 40))
		c.send(append([]byte(nil), notShort...))
		d.give(fill(5, 32), fill(5, 32))
		c.done(4, 0, 64, fill(5, 64))
	})
}

// Endpoints that have nothing, and that do not exist.
func TestOtherEndpoints(t *testing.T) {
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		c.in(1, 1, 8)
		d.give(fill(1, 8))
		c.quiet()
		c.in(2, 3, 8)
		c.done(2, -32, 0, nil)
		c.out(3, 5, fill(1, 3))
		c.done(3, -32, 0, nil)
		c.unlink(4, 1)
		c.unlinked(4, -104)
	})
}

func TestUnlink(t *testing.T) {
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		for seq := range uint32(4) {
			c.in(1+seq, 2, 32)
		}
		c.unlink(100, 2) // from the middle: the others keep their order
		c.unlinked(100, -104)
		c.unlink(101, 2) // gone already
		c.unlinked(101, 0)
		c.unlink(102, 999) // never was
		c.unlinked(102, 0)
		d.give(fill(1, 3), fill(3, 3))
		c.done(1, 0, 3, fill(1, 3))
		c.done(3, 0, 3, fill(3, 3))
		c.unlink(103, 3) // the answer is out already
		c.unlinked(103, 0)
		c.unlink(104, 4)
		c.unlinked(104, -104)
		d.give(fill(9, 3)) // for nobody: it stays in the device
		c.quiet()

		// an OUT of which the device took a part: the rest is not sent
		d.allow(32)
		c.out(5, 2, fill(5, 100))
		c.out(6, 2, fill(6, 10))
		synctest.Wait()
		c.unlink(105, 5)
		c.unlinked(105, -104)
		d.allow(100)
		c.done(6, 0, 10, nil)
		if want := append(fill(5, 32), fill(6, 10)...); !bytes.Equal(d.took(), want) {
			t.Errorf("the device took % X", d.took())
		}
		// a number may come again once it is settled
		c.in(5, 2, 32)
		c.done(5, 0, 3, fill(9, 3))
	})
}

// Whatever the order of things, every URB is settled exactly once: by a RET_SUBMIT, or by a RET_UNLINK of -104 and no RET_SUBMIT
// before or after it; and IN data come in order with nothing lost but what was unlinked before it came.
func TestUnlinkRaces(t *testing.T) {
	var answered, unlinked int
	for seed := range uint64(20) {
		withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
			dice := rand.New(rand.NewPCG(seed, 1))
			const n = 300
			var others sync.WaitGroup
			defer others.Wait()
			others.Go(func() { // on the average as fast as the client
				dice := rand.New(rand.NewPCG(seed, 2))
				for i := range n {
					d.give([]byte{byte(i), byte(i >> 8)})
					time.Sleep(time.Duration(dice.IntN(2500)))
				}
			})
			messages := make([][]byte, n+10)
			unlinks := 0
			for i := range uint32(n) {
				messages[i] = append(messages[i], header([10]uint32{1, i, c.dev, 1, 2, 0x200, 32, 0, notIsochronous}, "")...)
				if dice.IntN(3) == 0 { // sooner or later
					at := i + dice.Uint32N(10)
					messages[at] = append(messages[at], header([10]uint32{2, 1000 + i, c.dev, 0, 0, i}, "")...)
					unlinks++
				}
			}
			others.Go(func() {
				for _, m := range messages {
					if _, err := c.conn.Write(m); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(dice.IntN(2500)))
				}
			})
			settled, last := map[uint32]bool{}, -1
			for len(settled) < n || unlinks > 0 {
				h := c.read(48)
				seq, status := uint32(h[6])<<8|uint32(h[7]), int32(h[20])<<24|int32(h[21])<<16|int32(h[22])<<8|int32(h[23])
				switch {
				case h[3] == 3:
					if settled[seq] || status != 0 || h[27] != 2 {
						t.Fatalf("seed %d: URB %d answered: settled %v, status %d, %d bytes", seed, seq, settled[seq], status, h[27])
					}
					settled[seq] = true
					p := c.read(2)
					if i := int(p[0]) | int(p[1])<<8; i != last+1 {
						t.Fatalf("seed %d: packet %d after %d", seed, i, last)
					}
					last++
				case h[3] == 4 && status == -104:
					if settled[seq-1000] {
						t.Fatalf("seed %d: URB %d unlinked after it was answered", seed, seq-1000)
					}
					settled[seq-1000] = true
					unlinked++
					unlinks--
				case h[3] == 4 && status == 0:
					if !settled[seq-1000] {
						t.Fatalf("seed %d: URB %d is said to be answered and was not", seed, seq-1000)
					}
					answered++
					unlinks--
				default:
					t.Fatalf("seed %d: % X", seed, h)
				}
			}
		})
	}
	if answered == 0 || unlinked == 0 {
		t.Errorf("%d unlinks came too late, %d in time: nothing was raced", answered, unlinked)
	}
	t.Logf("%d unlinks came too late, %d in time", answered, unlinked)
}

func TestStall(t *testing.T) {
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		c.out(1, 2, fill(1, 64))
		c.in(2, 2, 32)
		c.in(3, 2, 32)
		synctest.Wait()
		d.change(func() { d.room, d.stalled = 0, true })
		for range 3 {
			h := c.read(48)
			if seq, status := h[7], int8(h[23]); seq < 1 || seq > 3 || status != -32 || h[27] != 0 {
				t.Errorf("% X", h)
			}
		}
		c.in(4, 2, 32)
		c.done(4, -32, 0, nil)
		c.send(header([10]uint32{1, 5, c.dev, 0, 0, 0, 0, 0, notIsochronous}, "02 01 0000 8200 0000"))
		c.done(5, 0, 0, nil)
		c.in(6, 2, 32)
		d.give(fill(6, 2))
		c.done(6, 0, 2, fill(6, 2))
	})
}

// Pulled, or gone by itself: the connection closes whatever is pending, and the device is not offered any more.
func TestSurpriseUnplug(t *testing.T) {
	for _, row := range []struct {
		what string
		pull func(*line, *toy, *client)
	}{
		{"pulled", func(l *line, d *toy, c *client) {
			if err := l.Unplug("1-1"); err != nil {
				l.t.Error(err)
			}
		}},
		{"gone while it waits", func(l *line, d *toy, c *client) { d.Close() }},
		{"gone at a control transfer", func(l *line, d *toy, c *client) {
			d.mu.Lock()
			d.gone = true
			d.mu.Unlock()
			c.send(header([10]uint32{1, 9, c.dev, 1, 0, 0, 18, 0, notIsochronous}, "80 06 0001 0000 1200"))
		}},
		{"gone at an OUT", func(l *line, d *toy, c *client) {
			d.mu.Lock()
			d.gone = true
			d.mu.Unlock()
			c.out(9, 2, fill(1, 64))
		}},
	} {
		t.Run(row.what, func(t *testing.T) {
			withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
				c.in(2, 2, 32)
				c.in(3, 1, 8)
				row.pull(l, d, c)
				synctest.Wait()
				c.closed()
				if !d.gone || d.notify != nil {
					t.Error("the device was not told")
				}
				again := l.dial()
				again.send(importRequest("1-1"))
				if got := again.read(8); got[7] != 1 {
					t.Errorf("a device that is gone is offered: % X", got)
				}
				if err := l.Plug("1-1", &toy{}); err != nil {
					t.Error(err)
				}
				l.attach("1-1", 2)
			})
		})
	}
}

// The client goes: what it queued is forgotten, the device stays and the next client finds it.
func TestDetach(t *testing.T) {
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		c.in(1, 2, 32)
		c.out(2, 2, fill(1, 64))
		synctest.Wait()
		late := d.notify
		c.conn.Close()
		synctest.Wait()
		if d.notify != nil {
			t.Error("the device still tells the client that has gone")
		}
		d.give(fill(7, 7))
		d.allow(1000)
		late() // a call that was on its way
		c = l.attach("1-1", 1)
		c.quiet()
		if len(d.took()) > 0 {
			t.Error("the device took what a client left behind")
		}
		c.in(1, 2, 32)
		c.done(1, 0, 7, fill(7, 7))
	})
}

// What no kernel does is answered by closing, after what was asked before is settled; the device goes to the next client.
func TestHostileClients(t *testing.T) {
	word := func(at int, v uint32) func(p []byte) []byte {
		return func(p []byte) []byte {
			p[at], p[at+1], p[at+2], p[at+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
			return p
		}
	}
	for _, row := range []struct {
		what  string
		spoil func([]byte) []byte // of an IN of 32 bytes at endpoint 2
		wait  time.Duration
	}{
		{"unknown command", word(0, 5), 0},
		{"a reply", word(0, 3), 0},
		{"other device", word(8, 0x10002), 0},
		{"direction 2", word(12, 2), 0},
		{"endpoint 16", word(16, 16), 0},
		{"negative length", word(24, 0xFFFFFFFF), 0},
		{"length above what usbfs lends", word(24, 16<<20+1), 0},
		{"isochronous", word(32, 1), 0},
		{"control data of 64 KiB", func(p []byte) []byte { return word(40, 0xC0010000)(word(24, 0x10000)(word(16, 0)(p))) }, 0},
		{"control against its setup packet", word(16, 0), 0},
		{"a number that is pending", word(4, 77), 0},
		{"half a header", func(p []byte) []byte { return p[:20] }, 10 * time.Second},
		{"data that does not come", word(12, 0), 10 * time.Second},
	} {
		t.Run(row.what, func(t *testing.T) {
			withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
				c.in(77, 1, 8)
				c.send(row.spoil(header([10]uint32{1, 1, c.dev, 1, 2, 0x200, 32, 0, notIsochronous}, "")))
				began := time.Now()
				time.Sleep(row.wait)
				synctest.Wait()
				c.closed()
				if took := time.Since(began); took != row.wait {
					t.Errorf("closed after %v, want %v", took, row.wait)
				}
				l.attach("1-1", 1)
			})
		})
	}
}

// Nobody queues more than a kernel would, in number or in bytes, and answers are to be taken.
func TestQueuesAreBounded(t *testing.T) {
	fills := func(t *testing.T, c *client, send func(i uint32) error) (n int) {
		t.Helper()
		for ; send(uint32(n)) == nil; n++ {
			if n > 1_000_000 {
				t.Fatal("no limit")
			}
		}
		return n
	}
	submit := func(c *client, direction, length uint32, data []byte) func(i uint32) error {
		return func(i uint32) error {
			_, err := c.conn.Write(append(header([10]uint32{1, i, c.dev, direction, 2, 0, length, 0, notIsochronous}, ""), data...))
			return err
		}
	}
	for _, row := range []struct {
		what      string
		direction uint32
		length    int
		least     int
		most      int
	}{
		{"reads", 1, 31, 4096, 4097},
		{"long reads", 1, 1 << 20, 31, 32},
		{"writes", 0, 64 << 10, 509, 511},
	} {
		t.Run(row.what, func(t *testing.T) {
			withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
				data := make([]byte, row.length*int(1-row.direction))
				n := fills(t, c, submit(c, row.direction, uint32(row.length), data))
				if n < row.least || n > row.most {
					t.Errorf("%d URBs were queued, want %d to %d", n, row.least, row.most)
				}
				synctest.Wait()
				l.attach("1-1", 1)
			})
		})
	}
	t.Run("answers that nobody takes", func(t *testing.T) {
		withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
			began := time.Now()
			for i := range uint32(100) {
				c.unlink(i, 1000)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if took := time.Since(began); took != 10*time.Second {
				t.Errorf("%v", took)
			}
			if _, err := c.conn.Write(make([]byte, 48)); err == nil {
				t.Error("the connection is not closed")
			}
			l.attach("1-1", 1)
		})
	})
	t.Run("answers that pile up", func(t *testing.T) {
		withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
			n := fills(t, c, func(i uint32) error {
				_, err := c.conn.Write(header([10]uint32{2, i, c.dev, 0, 0, 5000}, ""))
				return err
			})
			if want := 32 << 20 / 256; n < want-2 || n > want+2 {
				t.Errorf("%d answers piled up, want about %d", n, want)
			}
		})
	})
}

// What is settled is not owed any more, and a client that was slow once may be silent afterwards.
func TestLongSession(t *testing.T) {
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		d.allow(100 << 20)
		for i := range uint32(70) {
			c.in(3*i, 2, 1<<20)
			c.unlink(3*i+1, 3*i)
			c.unlinked(3*i+1, -104)
			c.out(3*i+2, 2, make([]byte, 1<<20))
			c.done(3*i+2, 0, 1<<20, nil)
		}
		half := header([10]uint32{1, 1000, c.dev, 1, 1, 0x200, 8, 0, notIsochronous}, "")
		c.send(half[:20])
		time.Sleep(9 * time.Second)
		c.send(half[20:])
		time.Sleep(time.Hour / 2)
		c.unlink(1001, 1000)
		c.unlinked(1001, -104)
	})
}

// A control transfer may be what the device waited for, and need not be told by Notify.
func TestControlMovesOthers(t *testing.T) {
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		c.in(1, 2, 32)
		c.send(header([10]uint32{1, 2, c.dev, 0, 0, 0, 0, 0, notIsochronous}, "40 02 0000 0000 0000"))
		c.done(2, 0, 0, nil)
		c.done(1, 0, 3, fill(9, 3))
	})
}

// End ends a server with clients in every state.
func TestServeEnds(t *testing.T) {
	withToy(t, func(t *testing.T, l *line, d *toy, c *client) {
		c.in(1, 2, 32)
		l.dial()
		if err := l.Plug("1-2", &toy{}); err != nil {
			t.Fatal(err)
		}
		l.attach("1-2", 2).send(make([]byte, 20))
	})
}

func chip(t *testing.T) *nor.Chip {
	t.Helper()
	c, err := nor.New("MT25QL256ABA", [14]byte{1}, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Two programmers at once, with chips, as flashrom would ask them for the ID, and one that is run by requests; and what that counts.
func TestPrograms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t)
		a, b := ch341a.New(ch341a.Options{}), ftdi.New(ftdi.FT2232H, ftdi.Options{})
		if err := a.Attach(0, chip(t)); err != nil {
			t.Fatal(err)
		}
		if err := b.Attach(1, chip(t)); err != nil {
			t.Fatal(err)
		}
		for i, err := range []error{l.Plug("1-1", a), l.Plug("1-2", b), l.Plug("1-3", dediprog.New(dediprog.SF600, dediprog.Options{BothOuts: true}))} {
			if err != nil {
				t.Fatal(i, err)
			}
		}
		one, two := l.attach("1-1", 1), l.attach("1-2", 2)

		one.in(1, 2, 31)
		one.out(2, 2, unhex("AA6100"))
		one.done(2, 0, 3, nil)
		one.out(3, 2, unhex("AB377F20"))
		one.done(3, 0, 4, nil)
		pulse := append(unhex("AB37373620"), make([]byte, 27)...)
		one.out(4, 2, append(pulse, unhex("A8 F9 FF FF FF")...))
		h := one.read(48)
		if h[7] == 4 { // the OUT is done before or after its answer
			one.done(1, 0, 4, unhex("FF 04 5D 98"))
		} else if got := one.read(4); !bytes.Equal(got, unhex("FF 04 5D 98")) {
			t.Errorf("CH341A reads % X", got)
		} else {
			one.done(4, 0, 37, nil)
		}
		one.out(5, 2, unhex("AB3720"))
		one.done(5, 0, 3, nil)
		if got, err := l.Count("1-1"); err != nil || got != (sim.Count{Outs: 4, OutBytes: 47, Ins: 1, InBytes: 4, RoundTrips: 1}) {
			t.Errorf("CH341A counted %+v, %v", got, err)
		}

		two.send(header([10]uint32{1, 1, two.dev, 0, 0, 0, 0, 0, notIsochronous}, "40 0B 0002 0200 0000"))
		two.done(1, 0, 0, nil)
		two.out(2, 4, unhex("8A 860000 85 80080B"))
		two.done(2, 0, 8, nil)
		two.out(3, 4, unhex("80000B 110000 9F 200200 80080B"))
		two.done(3, 0, 13, nil)
		two.in(4, 3, 512)
		two.done(4, 0, 5, unhex("3260 20BA19")) // after the latency timer
		two.in(5, 3, 512)
		two.done(5, 0, 2, unhex("3260"))
		two.out(6, 4, unhex("80080B"))
		two.done(6, 0, 3, nil)
		if got, err := l.Count("1-2"); err != nil || got != (sim.Count{Outs: 3, OutBytes: 24, Ins: 1, InBytes: 5, RoundTrips: 1}) {
			t.Errorf("FT2232H counted %+v, %v", got, err)
		}

		three := l.attach("1-3", 3)
		three.out(10, 2, make([]byte, 512)) // it does not hear there
		three.quiet()
		three.out(11, 1, make([]byte, 512)) // it does there, and was not told of pages
		three.done(11, -32, 0, nil)
		for seq := range uint32(2) {
			three.send(header([10]uint32{1, seq, three.dev, 1, 0, 0, 16, 0, notIsochronous}, "C2 08 0000 0000 1000"))
			three.done(seq, 0, 16, []byte("SF600 V:7.2.22  "))
		}
		three.send(header([10]uint32{1, 3, three.dev, 1, 0, 0, 2, 0, notIsochronous}, "80 00 0000 0000 0200"))
		three.done(3, 0, 2, []byte{0, 0})
		if got, err := l.Count("1-3"); err != nil || got != (sim.Count{Outs: 2, OutBytes: 1024, Controls: 2, RoundTrips: 1}) {
			t.Errorf("SF600 counted %+v, %v", got, err)
		}
	})
}
