package flash

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
	"station/spi"
)

// relayer is a wire whose chip answers to blocks of the invented map as the test wants; all else is the simulated chip's.
type relayer struct {
	*wire
	powerOn, counter uint64
	answer           func(block []byte) []byte // status and reply; nil: success, and the bytes of the reply count up
	busy             time.Duration             // after each block
	blocks           [][]byte
	secret           bool // every frame of a block was
	reply            []byte
	until            time.Time
	broken           func(f spi.Frame) error // behind the frame
}

func (r *relayer) Do(ctx context.Context, frames ...spi.Frame) error {
	for i, f := range frames {
		var err error
		switch {
		case ctx.Err() != nil:
			return &spi.FrameError{Index: i, Sent: spi.No, Err: ctx.Err()}
		case f.Out[0] == 0x9B && f.Out[1] > 3:
			r.trips++
			r.sent = append(r.sent, 0x9B)
			r.take(f)
		case f.Out[0] == 0x96 && r.reply != nil:
			r.trips++
			clear(f.In)
			if copy(f.In, r.reply); time.Now().Before(r.until) {
				f.In[0] = 0x01
			}
			if r.forge != nil {
				r.forge(f.Out, f.In)
			}
		default:
			err = r.wire.Do(ctx, f)
		}
		if err == nil && r.broken != nil {
			err = r.broken(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *relayer) take(f spi.Frame) {
	block := bytes.Clone(f.Out[1:])
	r.blocks, r.secret = append(r.blocks, block), r.secret && f.Secret
	r.until = time.Now().Add(r.busy)
	if bytes.Equal(block, []byte{0xF0, 0, 0, 0}) {
		r.reply = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{0x80}, r.powerOn), r.counter)
	} else if r.answer != nil {
		r.reply = r.answer(block)
	} else {
		r.reply = []byte{0x80}
		for i := range 80 {
			r.reply = append(r.reply, byte(i))
		}
	}
}

func relaying(t *testing.T) (*Chip, *relayer) {
	t.Helper()
	r := &relayer{wire: newWire(t, "MT25QL128ABB", nor.Options{}), powerOn: 7, counter: 0x0102030405060708, secret: true}
	c, err := Identify(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.trips, r.sent = 0, nil
	return c, r
}

// A block goes out once, whole and secret, behind its opcode; status and reply come back.
func TestRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := relaying(t)
		r.busy = 300 * time.Millisecond
		allowed := Authorisation{[]string{"measure", "write", "erase", "protect"}, true}
		for i, name := range []string{"measure", "write", "erase", "protect", "counters"} {
			b := acrtmBlock(c, name, nil)
			if name == "counters" {
				b.Bytes = unhex(c.part.ACRTM.Counters.Block)
			}
			before := bytes.Clone(b.Bytes)
			var got ACRTMReply
			var err error
			if class := c.part.ACRTM.Command(name).Class; class == ReadOnly {
				got, err = c.RelayReadOnly(t.Context(), b)
			} else {
				got, err = c.RelayStateChanging(t.Context(), b, allowed)
			}
			must(t, err)
			if len(r.blocks) != i+1 || !bytes.Equal(r.blocks[i], before) || !bytes.Equal(b.Bytes, before) || !r.secret {
				t.Errorf("%s: sent %X", name, r.blocks)
			}
			if got.Command.Name != name || got.Status != 0x80 || !bytes.Equal(got.Reply, r.reply[1:][:got.Command.Reply]) || len(got.Reply) != got.Command.Reply {
				t.Errorf("%s: %+v", name, got)
			}
			if name == "measure" { // a read-only block passes in a step that may do more, where it is allowed
				_, err := c.RelayStateChanging(t.Context(), b, allowed)
				must(t, err)
				r.blocks = r.blocks[:1]
			}
		}
		powerOn, counter, err := c.ACRTMCounters(t.Context())
		must(t, err)
		if powerOn != 7 || counter != 0x0102030405060708 {
			t.Errorf("counters %d, %#x", powerOn, counter)
		}
	})
}

// What is refused causes no traffic at all.
func TestRelayRefuses(t *testing.T) {
	c, r := relaying(t)
	all := Authorisation{[]string{"counters", "measure", "write", "erase", "protect"}, true}
	refused := func(name string, b Block, a *Authorisation) {
		t.Helper()
		var err error
		if a == nil {
			_, err = c.RelayReadOnly(t.Context(), b)
		} else {
			_, err = c.RelayStateChanging(t.Context(), b, *a)
		}
		if !errors.Is(err, ErrBlock) || as[*SentError](t, err).Sent != spi.No || !notSent(err) {
			t.Errorf("%s: %v", name, err)
		}
		if r.trips != 0 || len(r.blocks) != 0 {
			t.Fatalf("%s: %d transfers", name, r.trips)
		}
		if len(b.Bytes) > 40 {
			silent(t, fmt.Sprintf("%+v", err), b.Bytes[8:40])
		}
	}
	write := acrtmBlock(c, "write", nil)
	with := func(b Block, change func(*Block)) Block {
		b.Bytes = bytes.Clone(b.Bytes)
		change(&b)
		return b
	}
	for _, name := range []string{"write", "erase", "protect"} {
		refused(name+" in a read-only step", acrtmBlock(c, name, nil), nil)
	}
	refused("not allowed", write, &Authorisation{[]string{"erase"}, true})
	refused("read-only, not allowed", acrtmBlock(c, "measure", nil), &Authorisation{[]string{"write"}, true})
	refused("nothing allowed", write, &Authorisation{OneWay: true})
	refused("one-way, not authorised", acrtmBlock(c, "protect", nil), &Authorisation{[]string{"protect"}, false})
	refused("another chip's ID", with(write, func(b *Block) { b.ID[5] = 0x44 }), &all)
	refused("another chip's UID", with(write, func(b *Block) { b.UID = "00" + b.UID[2:] }), &all)
	refused("no chip's", with(write, func(b *Block) { b.UID = "" }), &all)
	refused("unknown sub-command", with(write, func(b *Block) { b.Bytes[0] = 0xF3 }), &all)
	refused("unknown second byte", with(write, func(b *Block) { b.Bytes[1] = 0x02 }), &all)
	refused("one byte less", with(write, func(b *Block) { b.Bytes = b.Bytes[:303] }), &all)
	refused("one byte more", with(write, func(b *Block) { b.Bytes = append(b.Bytes, 0) }), &all)
	refused("empty", with(write, func(b *Block) { b.Bytes = nil }), &all)
	for _, v := range []vector{vectorA, vectorB} {
		for _, packet := range [][]byte{v.rootKey, v.update, v.increment, v.request} {
			refused("a packet of RPMC", with(write, func(b *Block) { b.Bytes = packet[1:] }), &all)
			refused("a packet of RPMC with its opcode", with(write, func(b *Block) { b.Bytes = packet }), &all)
			refused("a packet of RPMC", with(write, func(b *Block) { b.Bytes = packet[1:] }), nil)
		}
	}
	// The other way about: authenticated commands are none of RPMC's packets.
	_, err := c.SendRPMC(t.Context(), append([]byte{0x9B}, write.Bytes...), false)
	if !notSent(err) || r.trips != 0 {
		t.Errorf("%v, %d transfers", err, r.trips)
	}
	// A context that is over keeps the block back, too.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.RelayStateChanging(ctx, write, all)
	if !errors.Is(err, context.Canceled) || !notSent(err) || len(r.blocks) != 0 {
		t.Errorf("%v, %d blocks", err, len(r.blocks))
	}
}

// A block for another counter is not sent; which counter it is, the chip is asked first.
func TestRelayCounter(t *testing.T) {
	c, r := relaying(t)
	write := Authorisation{Commands: []string{"write"}}
	for _, off := range []uint64{1, ^uint64(0), 1 << 63} {
		n := r.counter + off
		_, err := c.RelayStateChanging(t.Context(), acrtmBlock(c, "write", &n), write)
		if !errors.Is(err, ErrBlock) || !notSent(err) || len(r.blocks) != 1 || len(r.blocks[0]) != 4 {
			t.Errorf("%v, sent %X", err, r.blocks)
		}
		r.blocks = nil
	}
	n := r.counter
	_, err := c.RelayStateChanging(t.Context(), acrtmBlock(c, "write", &n), write)
	must(t, err)
	if len(r.blocks) != 2 {
		t.Errorf("%d blocks", len(r.blocks))
	}
	// Where they cannot be read the chip alone judges.
	r.blocks, n = nil, n+1
	part := *c.part
	table := *part.ACRTM
	part.ACRTM, table.Counters, c.part = &table, nil, &part
	_, err = c.RelayStateChanging(t.Context(), acrtmBlock(c, "write", &n), write)
	must(t, err)
	_, _, err = c.ACRTMCounters(t.Context())
	is(t, err, ErrNoACRTM)
	if !notSent(err) || len(r.blocks) != 1 {
		t.Errorf("%v, %d blocks", err, len(r.blocks))
	}
}

// Whatever the chip's status says is an answer, and none but OK has a reply.
func TestRelayStatus(t *testing.T) {
	c, r := relaying(t)
	for _, status := range []byte{0x02, 0x04, 0x10, 0x20, 0x84, 0x00, 0xFE} {
		r.answer = func([]byte) []byte { return []byte{status, 1, 2, 3} }
		got, err := c.RelayStateChanging(t.Context(), acrtmBlock(c, "erase", nil), Authorisation{Commands: []string{"erase"}})
		must(t, err)
		if got.Status != status || !bytes.Equal(got.Reply, make([]byte, 40)) {
			t.Errorf("%+v", got)
		}
	}
	r.answer, r.reply = nil, nil
	r.forge = func(out, in []byte) {
		if out[0] == 0x96 {
			in[0] = 0x04
		}
	}
	_, _, err := c.ACRTMCounters(t.Context())
	is(t, err, ErrNotExecuted)
	if as[*SentError](t, err).Sent != spi.Yes {
		t.Errorf("%v", err)
	}
}

// Whatever is lost behind the block, it is sent once, and the error says that it was.
func TestRelayLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("the link broke")
		isBlock := func(f spi.Frame) bool { return f.Out[0] == 0x9B && len(f.Out) > 5 }
		for name, x := range map[string]struct {
			set  func(*relayer)
			sent spi.Sent
			says error
		}{
			"nobody knows": {func(r *relayer) {
				r.broken = func(f spi.Frame) error {
					if isBlock(f) {
						return &spi.FrameError{Err: lost}
					}
					return nil
				}
			}, spi.Maybe, lost},
			"not sent": {func(r *relayer) {
				r.broken = func(f spi.Frame) error {
					if isBlock(f) {
						return &spi.FrameError{Sent: spi.No, Err: lost}
					}
					return nil
				}
			}, spi.No, lost},
			"the status": {func(r *relayer) {
				r.broken = func(f spi.Frame) error {
					if f.Out[0] == 0x96 && len(r.blocks) > 0 {
						return &spi.FrameError{Sent: spi.No, Err: lost}
					}
					return nil
				}
			}, spi.Yes, lost},
			"the reply": {func(r *relayer) {
				r.broken = func(f spi.Frame) error {
					if f.Out[0] == 0x96 && len(f.In) > 1 {
						return &spi.FrameError{Sent: spi.No, Err: lost}
					}
					return nil
				}
			}, spi.Yes, lost},
			"the chip": {func(r *relayer) {
				r.drop = func([]byte) bool { return len(r.blocks) > 0 }
				r.forge = func(out, in []byte) {
					if out[0] == 0x96 && len(r.blocks) > 0 {
						copy(in, bytes.Repeat([]byte{0xFF}, len(in)))
					}
				}
			}, spi.Yes, ErrAbsent},
			"its answer": {func(r *relayer) { r.busy = time.Hour }, spi.Yes, nil},
		} {
			c, r := relaying(t)
			x.set(r)
			b := acrtmBlock(c, "write", nil)
			start := time.Now()
			_, err := c.RelayStateChanging(t.Context(), b, Authorisation{Commands: []string{"write"}})
			e := as[*SentError](t, err)
			if e.Sent != x.sent || x.says != nil && !errors.Is(err, x.says) || len(r.blocks) != 1 || time.Since(start) > 3*time.Second {
				t.Errorf("%s: %v, %v, %d blocks, after %v", name, e.Sent, err, len(r.blocks), time.Since(start))
			}
			if x.says == nil && !as[*BusyError](t, err).StuckBusy {
				t.Errorf("%s: %v", name, err)
			}
			silent(t, fmt.Sprintf("%+v", err), b.Bytes[12:44])
		}
	})
}

// A reply that is read twice differently is none, and a context that ends meanwhile takes nothing back.
func TestRelayReply(t *testing.T) {
	c, r := relaying(t)
	n := 0
	r.forge = func(out, in []byte) {
		if out[0] == 0x96 && len(in) == 41 {
			n++
			in[40] ^= byte(n % 2)
		}
	}
	erase := Authorisation{Commands: []string{"erase"}}
	_, err := c.RelayStateChanging(t.Context(), acrtmBlock(c, "erase", nil), erase)
	as[*UnstableError](t, err)
	if as[*SentError](t, err).Sent != spi.Yes || len(r.blocks) != 1 {
		t.Errorf("%v, %d blocks", err, len(r.blocks))
	}
	// A status that turns between two readings, likewise.
	r.forge = func(out, in []byte) {
		if out[0] == 0x96 && len(in) == 41 {
			in[0] = 0x10
		}
	}
	_, err = c.RelayStateChanging(t.Context(), acrtmBlock(c, "erase", nil), erase)
	as[*UnstableError](t, err)
	r.forge = nil
	ctx, cancel := context.WithCancel(t.Context())
	r.broken = func(f spi.Frame) error {
		if f.Out[0] == 0x9B {
			cancel()
		}
		return nil
	}
	got, err := c.RelayStateChanging(ctx, acrtmBlock(c, "erase", nil), erase)
	must(t, err)
	if got.Status != 0x80 || len(r.blocks) != 3 {
		t.Errorf("%+v, %d blocks", got, len(r.blocks))
	}
}

// 9B and 96 mean other things where profile or SFDP does not say that the chip has the transport, and the profile the table.
func TestRelayGate(t *testing.T) {
	table := invented(t)
	for _, p := range single() {
		c, w := identified(t, p.Name, nor.Options{})
		refuses := func(why string) {
			t.Helper()
			_, err := c.ACRTM()
			is(t, err, ErrNoACRTM)
			block := Block{ID: DeviceID(c.id[:6]), UID: c.UID(), Bytes: unhex(acrtmVectors(t)["write"].Block)}
			_, readOnly := c.RelayReadOnly(t.Context(), block)
			_, changing := c.RelayStateChanging(t.Context(), block, Authorisation{[]string{"write"}, true})
			_, _, counters := c.ACRTMCounters(t.Context())
			for _, err := range []error{readOnly, changing, counters} {
				if is(t, err, ErrNoACRTM); !notSent(err) {
					t.Errorf("%s, %s: %v", p.Name, why, err)
				}
			}
			if w.trips != 0 {
				t.Errorf("%s, %s: %d transfers", p.Name, why, w.trips)
			}
		}
		part := *c.part
		c.part = &part
		if part.ACRTM == nil {
			refuses("no table")
			if part.ACRTM = table; part.RPMC == nil {
				refuses("a profile that lies")
				part.RPMC = &RPMC{4, 0x9B, 0x96, 0, 5 * time.Second, time.Millisecond, time.Second}
				refuses("a profile that lies twice")
				continue
			}
		}
		if _, err := c.ACRTM(); err != nil {
			t.Fatal(err)
		}
		other := *part.ACRTM
		other.Op1 = 0x9C
		part.ACRTM = &other
		refuses("other opcodes")
		part.ACRTM = nil
		refuses("no table any more")
		part.ACRTM, c.sfdp.RPMC = table, nil
		refuses("no SFDP table")
	}
}

// Everything in a table matters to the profile's digest.
func TestDigestCoversTheTable(t *testing.T) {
	var seen []string
	for _, change := range []func(*ACRTM){
		func(*ACRTM) {}, func(a *ACRTM) { a.Map = "mine" }, func(a *ACRTM) { a.Trailer-- }, func(a *ACRTM) { a.OK++ }, func(a *ACRTM) { a.Limit++ },
		func(a *ACRTM) { a.Commands[1].Class = StateChanging }, func(a *ACRTM) { a.Commands[4].OneWay = false }, func(a *ACRTM) { a.Commands[2].Match[1].Value++ },
		func(a *ACRTM) { a.Commands[2].Min-- }, func(a *ACRTM) { a.Counters = nil }, func(a *ACRTM) { a.Counters.Command-- },
	} {
		p, err := partNamed("MT25QL128ABB")
		must(t, err)
		change(p.ACRTM)
		seen = append(seen, p.Digest())
	}
	if slices.Sort(seen); len(slices.Compact(seen)) != 11 {
		t.Error("a change is not in the digest")
	}
}
