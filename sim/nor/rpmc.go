package nor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// RPMC is the replay-protected monotonic counter of the parts that have it (JESD260): four 32-bit counters with a
// root key each. A packet comes with 9B and without write enable; 96 reads the outcome.
//
// This type holds what public sources leave open. The zero value is the likelier reading.
type RPMC struct {
	// ShortSignature02: command 00 with a wrong truncated signature answers 02, not 04.
	ShortSignature02 bool
	// FullCounter10: command 02 on a counter at FFFFFFFF answers 10, not 20. It is refused in both.
	FullCounter10 bool
	// TemporaryKeyFF: a root key of all FF may be written over, as long as it is one.
	TemporaryKeyFF bool

	// How long each command takes with Pace Real. 0 stands for 5, 2, 5 and 2 ms.
	WriteRootKey, UpdateKey, Increment, Request time.Duration
}

// counters is how many a part has; the SFDP tells it too.
const counters = 4

// rpmc is the state of all counters.
type rpmc struct {
	status   byte     // extended status
	reply    [48]byte // tag, counter, signature; zeros where the last command was no good command 03
	counters [counters]counter
}

type counter struct {
	written bool // a root key is there
	loaded  bool // the HMAC key register is loaded: volatile
	value   uint32
	root    [32]byte
	hmac    [32]byte
}

// Commands, each the second byte of a packet.
const (
	cmdWriteRootKey = 0
	cmdUpdateKey    = 1
	cmdIncrement    = 2
	cmdRequest      = 3
)

// packetSizes are those of whole packets, opcode and signature included.
var packetSizes = [...]int{64, 40, 40, 48}

// Extended status.
const (
	rpmcBusy     = 0x01
	rpmcKeyState = 0x02 // root key there already, or not there
	rpmcBad      = 0x04 // signature, address, command or length
	rpmcNoHMAC   = 0x08
	rpmcMismatch = 0x10 // counter data are not the counter's value
	rpmcFatal    = 0x20
	rpmcDone     = 0x80
)

// RootKey is a look behind the pins: the 32 bytes of a counter's root key and whether one is there. A standard part has
// none.
func (c *Chip) RootKey(i int) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	if i < 0 || i >= counters || !c.st.rpmc.counters[i].written {
		return nil, false
	}
	key := c.st.rpmc.counters[i].root
	return key[:], true
}

// CounterValue is a look behind the pins: a counter's value, 0 where it has no root key.
func (c *Chip) CounterValue(i int) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	if i < 0 || i >= counters {
		return 0
	}
	return c.st.rpmc.counters[i].value
}

// rpmcByte answers 96: the extended status, then the reply, FF behind it (assumed). Of a busy chip only bit 0 is
// certain: here the others are 0, and it is set whatever the chip is busy with (assumed).
func (c *Chip) rpmcByte(i int) byte {
	if i == 0 {
		c.settle()
	}
	r, a := &c.st.rpmc, &c.st.acrtm
	reply := r.reply[:]
	if a.block {
		reply = a.reply[:]
	}
	switch {
	case i == 0 && c.st.busy():
		return rpmcBusy
	case i == 0 && a.block:
		return r.status ^ c.opts.Faults.ACRTM.FlipStatus
	case i == 0:
		return r.status
	case i > len(reply):
		return 0xFF
	case c.st.busy():
		return 0x00
	}
	return reply[i-1]
}

// runPacket is 9B: a packet of any length, judged when its time is over, or a block of ACRTM. Meanwhile the chip is busy in every
// register (assumed); WEL plays no part.
func (c *Chip) runPacket(f *frame) {
	if b := c.packet[:min(f.n-f.head, len(c.packet))]; len(b) >= 2 {
		name := binary.BigEndian.Uint16(b)
		if _, ok := payloads[name]; ok {
			c.runBlock(name, b)
			return
		}
	}
	op := operation{kind: packet, n: uint32(min(f.n, len(operation{}.data)))}
	op.data[0] = f.op
	copy(op.data[1:op.n], f.data[:])
	c.start(op, c.opts.RPMC.time(op.data[1]))
}

func (o RPMC) time(command byte) time.Duration {
	t, normal := o.Request, 2*time.Millisecond
	switch command {
	case cmdWriteRootKey:
		t, normal = o.WriteRootKey, 5*time.Millisecond
	case cmdUpdateKey:
		t, normal = o.UpdateKey, 2*time.Millisecond
	case cmdIncrement:
		t, normal = o.Increment, 5*time.Millisecond
	}
	if t == 0 {
		return normal
	}
	return t
}

// applyPacket is the end of 9B.
func (c *Chip) applyPacket() {
	r := &c.st.rpmc
	clear(r.reply[:])
	c.st.acrtm.block = false
	r.status = c.execute(c.st.op.data[:c.st.op.n])
}

// execute carries out a packet, checked in the order of section 5, and returns the extended status.
func (c *Chip) execute(p []byte) byte {
	if len(p) < 4 || int(p[1]) >= len(packetSizes) || len(p) != packetSizes[p[1]] || p[2] >= counters {
		return rpmcBad
	}
	k := &c.st.rpmc.counters[p[2]]
	switch p[1] {
	case cmdWriteRootKey:
		return c.writeRootKey(k, p)
	case cmdUpdateKey:
		return k.update(p)
	case cmdIncrement:
		return c.increment(k, p)
	}
	if status := k.authentic(p); status != rpmcDone {
		return status
	}
	reply := binary.BigEndian.AppendUint32(append(make([]byte, 0, 48), p[4:16]...), k.value)
	copy(c.st.rpmc.reply[:], append(reply, sum(k.hmac[:], reply)...))
	return rpmcDone
}

func (c *Chip) writeRootKey(k *counter, p []byte) byte {
	key := [32]byte(p[4:36])
	switch {
	case !hmac.Equal(sum(key[:], p[:4])[4:], p[36:]): // the last 28 bytes of the digest
		if c.opts.RPMC.ShortSignature02 {
			return rpmcKeyState
		}
		return rpmcBad
	case k.written && !(c.opts.RPMC.TemporaryKeyFF && k.root == temporaryKey):
		return rpmcKeyState
	case c.opts.Faults.FailProgram:
		return rpmcFatal
	}
	c.setRootKey(k, key)
	return rpmcDone
}

// temporaryKey is all FF.
var temporaryKey = [32]byte(ones[:32])

// setRootKey brings the counter to 0 (from memory) and makes an HMAC key of an older root key void.
func (c *Chip) setRootKey(k *counter, key [32]byte) {
	*k = counter{written: true, root: key}
	c.count(CountRootKey)
}

// update is command 01: the new HMAC key signs the packet that brings its key data.
func (k *counter) update(p []byte) byte {
	if !k.written {
		return rpmcKeyState
	}
	key := sum(k.root[:], p[4:8])
	if !hmac.Equal(sum(key, p[:8]), p[8:]) {
		return rpmcBad
	}
	k.loaded, k.hmac = true, [32]byte(key)
	return rpmcDone
}

func (c *Chip) increment(k *counter, p []byte) byte {
	if status := k.authentic(p); status != rpmcDone {
		return status
	}
	switch {
	case binary.BigEndian.Uint32(p[4:]) != k.value:
		return rpmcMismatch
	case k.value == 0xFFFFFFFF && c.opts.RPMC.FullCounter10:
		return rpmcMismatch
	case k.value == 0xFFFFFFFF, c.opts.Faults.FailProgram:
		return rpmcFatal
	}
	k.value++
	c.count(CountIncrement)
	return rpmcDone
}

// authentic checks the signature that ends a packet of command 02 or 03.
func (k *counter) authentic(p []byte) byte {
	message := p[:len(p)-sha256.Size]
	switch {
	case !k.loaded:
		return rpmcNoHMAC
	case !hmac.Equal(sum(k.hmac[:], message), p[len(message):]):
		return rpmcBad
	}
	return rpmcDone
}

// tearPacket is 9B without its power. Of a good command 00 nothing holds, or the key, or a key in which some bits
// are still 1 (assumed: public sources do not tell); of a good command 02 the increment holds or does not. The rest is volatile.
func (c *Chip) tearPacket(dice *rand.Rand) {
	p := c.st.op.data[:c.st.op.n]
	if len(p) < 4 || dice.IntN(3) == 0 || p[1] > cmdIncrement || p[1] == cmdUpdateKey {
		return
	}
	if c.execute(p) != rpmcDone || p[1] != cmdWriteRootKey || dice.IntN(2) == 0 {
		return
	}
	root := &c.st.rpmc.counters[p[2]].root
	for i := range root {
		root[i] |= byte(dice.Uint32())
	}
}

// boot is what power-up and reset do to it.
func (r *rpmc) boot() {
	r.status, r.reply = 0, [48]byte{}
	for i := range r.counters {
		r.counters[i].loaded, r.counters[i].hmac = false, [32]byte{}
	}
}

// sum is HMAC-SHA-256.
func sum(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}
