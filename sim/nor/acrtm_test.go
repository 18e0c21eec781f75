package nor_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"station/sim/nor"
)

// signer makes blocks of the invented map for one chip, in the words of docs/acrtm-invented.md.
type signer struct {
	uid              [14]byte
	powerOn, command uint64
}

// signerOf makes what the chip takes next.
func signerOf(c *nor.Chip) signer { return signer{c.UID(), c.PowerOnCounter(), c.CommandCounter()} }

func (s signer) key() []byte {
	factory := sha256.Sum256([]byte("station simulated factory key"))
	return mac(mac(factory[:], s.uid[:]...), be8(s.powerOn)...)
}

func be4(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func be8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (s signer) block(name uint16, payload ...byte) []byte {
	text := slices.Concat([]byte{byte(name >> 8), byte(name), byte(len(payload) >> 8), byte(len(payload))}, be8(s.command), payload)
	return append(text, mac(s.key(), text...)...)
}

func (s signer) measure(addr, size uint32) []byte {
	return s.block(0xF001, slices.Concat(be4(addr), be4(size), nonce)...)
}

func (s signer) write(addr uint32, data []byte) []byte {
	return s.block(0xF100, slices.Concat(be4(addr), data, filled(256-len(data), 0xFF))...)
}

func (s signer) erase(addr uint32) []byte { return s.block(0xF101, be4(addr)...) }
func (s signer) protect(addr, size uint32) []byte {
	return s.block(0xF200, append(be4(addr), be4(size)...)...)
}

// reply is what the chip has to answer to a state-changing block.
func (s signer) reply(block []byte) []byte {
	whole := sha256.Sum256(block)
	counter := be8(s.command + 1)
	return append(counter, mac(s.key(), slices.Concat(block[:2], counter, whole[:])...)...)
}

var (
	nonce    = []byte("sixteen of nonce")
	counters = []byte{0xF0, 0x00, 0x00, 0x00}
)

// relay is a block and the whole answer to it, 73 bytes.
func relay(c *nor.Chip, block []byte) (status byte, reply []byte) {
	do(c, 0, with(block, 0x9B)...)
	p := do(c, 74, 0x96, 0)
	if p[73] != 0xFF {
		panic("96 drives more than 73 bytes")
	}
	return p[0], p[1:73]
}

// padded is a reply as 96 tells it.
func padded(reply []byte) []byte { return append(slices.Clone(reply), make([]byte, 72-len(reply))...) }

// signed is all that blocks change but the array.
func signed(c *nor.Chip) string {
	addr, size := c.ProtectedRange()
	n := c.Counters()
	return fmt.Sprintf("power-on %d, command %d, range %x+%x, %d writes, %d erases, %d ranges", c.PowerOnCounter(), c.CommandCounter(), addr, size,
		n[nor.CountSignedWrite], n[nor.CountSignedErase], n[nor.CountProtect])
}

// The vectors that docs/acrtm-invented.py makes, on a chip that has come where they are from.
func TestInventedVectors(t *testing.T) {
	text, err := os.ReadFile("../../docs/acrtm-invented.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Factory, UID string
		PowerOn      uint64 `json:"power_on"`
		Counter      uint64
		Blocks       map[string]struct{ Block, Reply string }
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	key := nor.FactoryKey()
	expect(t, "factory key", key[:], unhex(v.Factory))
	tried := 0
	for name, effect := range map[string]func(c *nor.Chip) (got, want string){
		"measure": func(c *nor.Chip) (string, string) {
			return signed(c), "power-on 7, command 3, range 0+0, 0 writes, 0 erases, 0 ranges"
		},
		"write": func(c *nor.Chip) (string, string) {
			whole := make([]byte, 256)
			for i := range whole {
				whole[i] = byte(i)
			}
			return signed(c) + hex.EncodeToString(c.Bytes(0x20100, 256)), "power-on 7, command 4, range 0+0, 1 writes, 0 erases, 0 ranges" + hex.EncodeToString(whole)
		},
		"erase": func(c *nor.Chip) (string, string) {
			return signed(c) + hex.EncodeToString(c.Bytes(0x20FFF, 4098)), "power-on 7, command 4, range 0+0, 0 writes, 1 erases, 0 ranges" + hex.EncodeToString(slices.Concat([]byte{0xA5}, filled(4096, 0xFF), []byte{0xA5}))
		},
		"protect": func(c *nor.Chip) (string, string) {
			return signed(c), "power-on 7, command 4, range 30000+10000, 0 writes, 0 erases, 1 ranges"
		},
	} {
		for _, part := range []string{authenta, "MT25QU128ABB"} {
			c, err := nor.New(part, [14]byte(unhex(v.UID)), nor.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for at := range uint32(48) {
				if page := 0x20000 + at*256; name != "write" {
					write(c, with(filled(256, 0xA5), 0x02, byte(page>>16), byte(page>>8), 0)...)
				}
			}
			c.SetACRTM(v.PowerOn, v.Counter)
			status, reply := relay(c, unhex(v.Blocks[name].Block))
			expect(t, name, append([]byte{status}, reply...), append([]byte{0x80}, padded(unhex(v.Blocks[name].Reply))...))
			if got, want := effect(c); got != want {
				t.Errorf("%s left %s, want %s", name, got, want)
			}
			status, reply = relay(c, counters)
			expect(t, "counters", append([]byte{status}, reply...), slices.Concat([]byte{0x80}, be8(7), be8(c.CommandCounter()), make([]byte, 56)))
		}
		tried++
	}
	if tried != len(v.Blocks) {
		t.Errorf("%d of %d vectors were tried", tried, len(v.Blocks))
	}
}

// Every reason to refuse a block, in the order in which they are told: of two the earlier one. Nothing changes, and the reply is zeros.
func TestBlockStatus(t *testing.T) {
	turned := func(p []byte, at int) []byte { p = slices.Clone(p); p[at] ^= 1; return p }
	resigned := func(s signer, p []byte, at int) []byte { // the HMAC fits what was turned
		p = turned(p[:len(p)-32], at)
		return append(p, mac(s.key(), p...)...)
	}
	later := func(s signer) signer { s.command++; return s }
	protectedFirst := func(c *nor.Chip) { relay(c, signerOf(c).protect(0x30000, 0x10000)) }
	type row struct {
		what   string
		before func(c *nor.Chip)
		block  func(s signer) []byte
		want   byte
	}
	rows := []row{
		{"F0 alone", nil, func(s signer) []byte { return []byte{0xF0} }, 0x04},
		{"counters of 2 bytes", nil, func(s signer) []byte { return counters[:2] }, 0x04},
		{"counters of 3 bytes", nil, func(s signer) []byte { return counters[:3] }, 0x04},
		{"counters of 5 bytes", nil, func(s signer) []byte { return append(slices.Clone(counters), 0) }, 0x04},
		{"counters with a length", nil, func(s signer) []byte { return []byte{0xF0, 0, 0, 1} }, 0x04},
		{"counters, signed", nil, func(s signer) []byte { return s.block(0xF000) }, 0x04},
		{"a length field that is not the payload's", nil, func(s signer) []byte { return resigned(s, s.erase(0), 3) }, 0x04},
		{"of another device", nil, func(s signer) []byte { s.uid[13]++; return s.erase(0) }, 0x04},
		{"of the power-up before", nil, func(s signer) []byte { s.powerOn--; return s.erase(0) }, 0x04},
		{"of the next power-up", nil, func(s signer) []byte { s.powerOn++; return s.erase(0) }, 0x04},
		{"a stale counter", nil, func(s signer) []byte { s.command--; return s.erase(0) }, 0x10},
		{"a counter ahead", nil, func(s signer) []byte { return later(s).erase(0) }, 0x10},
		{"a measurement with a counter ahead", nil, func(s signer) []byte { return later(s).measure(0, 1) }, 0x10},
		{"a counter ahead, and of another device", nil, func(s signer) []byte { s.uid[0]++; return later(s).erase(0) }, 0x04},
		{"a counter ahead, and an address", nil, func(s signer) []byte { return later(s).erase(1) }, 0x10},
		{"measure of nothing", nil, func(s signer) []byte { return s.measure(0, 0) }, 0x04},
		{"measure over the end", nil, func(s signer) []byte { return s.measure(0xFFFFFF, 2) }, 0x04},
		{"measure beyond the end", nil, func(s signer) []byte { return s.measure(1<<24, 1) }, 0x04},
		{"measure of more than there is", nil, func(s signer) []byte { return s.measure(0, 1<<24+1) }, 0x04},
		{"measure around the end of numbers", nil, func(s signer) []byte { return s.measure(0xFFFFFFFF, 0xFFFFFFFF) }, 0x04},
		{"measure of all", nil, func(s signer) []byte { return s.measure(0, 1<<24) }, 0x80},
		{"measure of the last byte", nil, func(s signer) []byte { return s.measure(0xFFFFFF, 1) }, 0x80},
		{"write off a page", nil, func(s signer) []byte { return s.write(0x80, nil) }, 0x04},
		{"write beyond the end", nil, func(s signer) []byte { return s.write(1<<24, nil) }, 0x04},
		{"write of the last page", nil, func(s signer) []byte { return s.write(0xFFFF00, nil) }, 0x80},
		{"erase off a unit", nil, func(s signer) []byte { return s.erase(0x800) }, 0x04},
		{"erase beyond the end", nil, func(s signer) []byte { return s.erase(1 << 24) }, 0x04},
		{"erase of the last unit", nil, func(s signer) []byte { return s.erase(0xFFF000) }, 0x80},
		{"protect off a sector", nil, func(s signer) []byte { return s.protect(0x8000, 0x10000) }, 0x04},
		{"protect of half a sector", nil, func(s signer) []byte { return s.protect(0, 0x8000) }, 0x04},
		{"protect of nothing", nil, func(s signer) []byte { return s.protect(0x10000, 0) }, 0x04},
		{"protect over the end", nil, func(s signer) []byte { return s.protect(0xFF0000, 0x20000) }, 0x04},
		{"protect around the end of numbers", nil, func(s signer) []byte { return s.protect(0xFFFF0000, 0x20000) }, 0x04},
		{"protect of all", nil, func(s signer) []byte { return s.protect(0, 1<<24) }, 0x80},
		{"protect a second time", protectedFirst, func(s signer) []byte { return s.protect(0x50000, 0x10000) }, 0x02},
		{"protect the same a second time", protectedFirst, func(s signer) []byte { return s.protect(0x30000, 0x10000) }, 0x02},
		{"protect a second time, off a sector", protectedFirst, func(s signer) []byte { return s.protect(1, 0x10000) }, 0x04},
		{"write in the protected range", protectedFirst, func(s signer) []byte { return s.write(0x30000, nil) }, 0x80},
		{"erase in the protected range", protectedFirst, func(s signer) []byte { return s.erase(0x3F000) }, 0x80},
	}
	for what, lock := range map[string]func(*nor.Chip){
		"a nonvolatile lock": func(c *nor.Chip) { write(c, 0xE3, 0, 1, 0, 0) },
		"a volatile lock":    func(c *nor.Chip) { write(c, 0xE5, 1, 0, 0, 1) },
		"block protection":   func(c *nor.Chip) { write(c, 0x01, 0x20|2<<2) },
	} {
		rows = append(rows, row{"write under " + what, lock, func(s signer) []byte { return s.write(0x10000, nil) }, 0x02},
			row{"erase under " + what, lock, func(s signer) []byte { return s.erase(0x1F000) }, 0x02},
			row{"write beside " + what, lock, func(s signer) []byte { return s.write(0x20000, nil) }, 0x80},
			row{"measure under " + what, lock, func(s signer) []byte { return s.measure(0x10000, 1) }, 0x80},
			row{"write under " + what + ", off a page", lock, func(s signer) []byte { return s.write(0x10001, nil) }, 0x04})
	}
	failProgram := func(c *nor.Chip) { c.SetFaults(nor.Faults{FailProgram: true}) }
	failErase := func(c *nor.Chip) { c.SetFaults(nor.Faults{FailErase: true}) }
	rows = append(rows, row{"write that fails inside", failProgram, func(s signer) []byte { return s.write(0, nil) }, 0x20},
		row{"protect that fails inside", failProgram, func(s signer) []byte { return s.protect(0, 0x10000) }, 0x20},
		row{"erase, programs fail", failProgram, func(s signer) []byte { return s.erase(0) }, 0x80},
		row{"erase that fails inside", failErase, func(s signer) []byte { return s.erase(0) }, 0x20},
		row{"write, erases fail", failErase, func(s signer) []byte { return s.write(0, nil) }, 0x80},
		row{"measure of a chip that fails", failProgram, func(s signer) []byte { return s.measure(0, 1) }, 0x80})
	for name, block := range map[string]func(s signer) []byte{
		"measure": func(s signer) []byte { return s.measure(0, 4096) }, "write": func(s signer) []byte { return s.write(0, nil) },
		"erase": func(s signer) []byte { return s.erase(0) }, "protect": func(s signer) []byte { return s.protect(0, 0x10000) },
	} {
		rows = append(rows, row{name, nil, block, 0x80},
			row{name + ", a byte short", nil, func(s signer) []byte { p := block(s); return p[:len(p)-1] }, 0x04},
			row{name + ", a byte long", nil, func(s signer) []byte { return append(block(s), 0) }, 0x04},
			row{name + ", 256 bytes long", nil, func(s signer) []byte { return append(block(s), make([]byte, 256)...) }, 0x04},
			row{name + ", head only", nil, func(s signer) []byte { return block(s)[:2] }, 0x04})
		for _, at := range []int{4, 11, 12, 15, -32, -1} { // counter, payload, HMAC
			rows = append(rows, row{fmt.Sprintf("%s, byte %d turned", name, at), nil, func(s signer) []byte { p := block(s); return turned(p, (at+len(p))%len(p)) }, 0x04})
		}
	}
	// the names that the map does not have, whole blocks of every length that it knows
	dice := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		name := uint16(dice.Uint32())
		if _, known := map[uint16]bool{0xF000: true, 0xF001: true, 0xF100: true, 0xF101: true, 0xF200: true}[name]; known || name < 0x0400 {
			continue
		}
		payload := make([]byte, []int{0, 4, 8, 24, 260}[dice.IntN(5)])
		rows = append(rows, row{fmt.Sprintf("name %04X", name), nil, func(s signer) []byte { return s.block(name, payload...) }, 0x04})
	}
	for _, name := range []uint16{0xF002, 0xF0FF, 0xF102, 0xF201, 0xF300, 0xFFFF, 0x0400, 0xF1F1} {
		rows = append(rows, row{fmt.Sprintf("name %04X", name), nil, func(s signer) []byte { return s.block(name, make([]byte, 8)...) }, 0x04})
	}
	for _, row := range rows {
		c := newChip(t, authenta, nor.Options{})
		c.SetACRTM(5, 9)
		relay(c, signerOf(c).write(0, []byte{0x5A})) // 10 now
		if row.before != nil {
			row.before(c)
		}
		s, before, first := signerOf(c), signed(c), c.Bytes(0, 8192)
		relay(c, s.measure(0, 1)) // a reply is latched
		status, reply := relay(c, row.block(s))
		if status != row.want {
			t.Errorf("%s: %02X, want %02X", row.what, status, row.want)
		}
		if row.want == 0x80 {
			continue
		}
		if got := signed(c); got != before || !bytes.Equal(c.Bytes(0, 8192), first) {
			t.Errorf("%s left %s, before %s", row.what, got, before)
		}
		expect(t, row.what+": reply", reply[:48], make([]byte, 48))
	}
	t.Logf("%d blocks", len(rows))
}
