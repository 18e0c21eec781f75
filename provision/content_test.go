package provision

import (
	"bytes"
	"testing"

	"station/ledger"
	"station/sim/nor"
	"station/spi"
)

// dirty programs data at addr of a chip of the 4-byte kind.
func dirty(c *nor.Chip, addr uint32, data ...byte) {
	for _, f := range [][]byte{{0x06}, append([]byte{0x12, byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}, data...)} {
		c.Select()
		c.Shift(f, nil)
		c.Deselect()
	}
}

// What rounding a region to erase units adds to it comes out blank, whoever proves the region, and although a sample of the sector shows none of it.
func TestRoundingComesOutBlank(t *testing.T) {
	for _, verify := range []string{"", ", verify: crc"} {
		for _, at := range []uint32{0x10000, 0x107FF, 0x30820, 0x30FFF} {
			r := editedRecipe(t, "MT25QL256ABA", "  - write: {region: boot, image: boot"+verify+"}\n", "  boot: {at: 0x10000, size: 128KiB}\nelsewhere: keep\n", "  boot: {at: 0x10800, size: 0x20020}\nelsewhere: blank\n")
			l := newLine(t, Options{})
			chip := fresh(t, 1, nor.Options{})
			dirty(chip, at, 0x5A)
			l.socket.put("1", chip)
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			if got := chip.Bytes(0x10000, 0x800); !bytes.Equal(got, bytes.Repeat([]byte{0xFF}, 0x800)) {
				t.Errorf("dirt at 0x%X%s: what is before the region is not blank", at, verify)
			}
			if got := chip.Bytes(0x30820, 0x7E0); !bytes.Equal(got, bytes.Repeat([]byte{0xFF}, 0x7E0)) {
				t.Errorf("dirt at 0x%X%s: what is behind the region is not blank", at, verify)
			}
		}
	}
}

// What rounding adds and does not become blank fails the unit, whoever proves the region.
func TestRoundingThatStaysDirtyFails(t *testing.T) {
	for _, verify := range []string{"", ", verify: crc"} {
		r := editedRecipe(t, "MT25QL256ABA", "  - write: {region: boot, image: boot"+verify+"}\n", "  boot: {at: 0x10000, size: 128KiB}\nelsewhere: keep\n", "  boot: {at: 0x10800, size: 0x20020}\nelsewhere: blank\n")
		for _, bad := range []uint32{0x10001, 0x30FFE} {
			l := newLine(t, Options{})
			l.socket.put("1", fresh(t, 1, nor.Options{Faults: nor.Faults{Flip: map[uint32]byte{bad: 4}}}))
			l.want(l.run(r, "1", "S1"), ledger.Fail, "verify-mismatch")
		}
	}
}

// A byte that gets lost once on its way costs a unit that is done anew, and no board: on a blank chip, one with other content, and one that is nearly right. What stays wrong fails.
func TestWhatReadsBackOtherwiseIsDoneAnew(t *testing.T) {
	for _, there := range []string{"blank", "other content", "nearly right"} {
		for _, lasting := range []bool{false, true} {
			l := newLine(t, Options{})
			chip := fresh(t, 1, nor.Options{})
			r := recipe(t, 1, "  - write: {region: boot, image: boot}\n")
			l.socket.put("1", chip)
			switch there {
			case "other content":
				for at := uint32(0x10000); at < 0x30000; at += 256 {
					dirty(chip, at, bytes.Repeat([]byte{0x0F}, 256)...)
				}
			case "nearly right":
				l.want(l.run(r, "1", "S1"), ledger.Pass, "")
				l.books.records = nil
				dirty(chip, 0x10010, 0)
			}
			lost := false
			l.socket.after = func(_ string, f spi.Frame) error {
				if f.Out[0] == 0x12 && f.Out[2] == 1 && f.Out[3] == 0 && (lasting || !lost) {
					lost = true
					dirty(chip, 0x10000, 0, 0, 0, 0) // bits that should have stayed
				}
				return nil
			}
			if lasting {
				l.want(l.run(r, "1", "S1"), ledger.Fail, "verify-mismatch")
				continue
			}
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			facts := l.books.all()[0].Steps[0].Facts
			if len(facts) != 2 || facts[1].Name != "done anew, where it read back otherwise" || !lost {
				t.Errorf("%s: the account says %+v", there, facts)
			}
		}
	}
}
