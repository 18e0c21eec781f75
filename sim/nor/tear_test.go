package nor_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

// TestPowerCutPermanent cuts the power within each permanent operation, with many seeds: what is left is what the package
// comment allows, every kind of it comes up, the same seed leaves the same, and the effects are counted.
func TestPowerCutPermanent(t *testing.T) {
	root := bytes.Repeat([]byte{0x5A}, 32)
	key := hmacKey(root, 1)
	old := []byte{0xFF, 0xFF, 0xF0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F} // a password that is there already
	oneBit := []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xEF, 0xFF, 0xFF, 0xFF}
	for _, row := range []struct {
		what    string
		prepare [][]byte
		out     []byte
		key     string // of Counters
		// outcome names what is left, "" where the model does not allow it
		outcome func(c *nor.Chip) string
		want    []string
	}{
		{"28", nil, with(secret, 0x28), nor.CountPassword, tornPassword(blank8, secret), []string{"none", "torn", "whole"}},
		{"28 over another", [][]byte{{0x06}, with(old, 0x28)}, with(secret, 0x28), nor.CountPassword, tornPassword(old, secret), []string{"none", "torn", "whole"}},
		{"28 of one bit", nil, with(oneBit, 0x28), nor.CountPassword, tornPassword(blank8, oneBit), []string{"none", "whole"}},
		{"42", nil, with(secret, 0x42, 0, 0, 0x39), nor.CountOTP, tornOTP(0x39, secret), []string{"none", "torn", "whole"}},
		{"42 of the lock", nil, []byte{0x42, 0, 0, 0x40, 0xFE}, nor.CountOTP, tornOTP(0x40, []byte{0xFE}), []string{"none", "whole"}},
		{"42 on locked OTP", [][]byte{{0x06}, {0x42, 0, 0, 0x40, 0xFE}, {0x04}}, []byte{0x42, 0, 0, 0, 0}, nor.CountOTP, func(c *nor.Chip) string {
			return map[byte]string{0xFF: "none"}[c.OTP()[0]]
		}, []string{"none"}},
		{"2C", nil, []byte{0x2C, 0xFB, 0xFF}, nor.CountSectorProtection, func(c *nor.Chip) string {
			return map[uint16]string{0xFFFF: "none", 0xFFFB: "whole"}[c.SPR()]
		}, []string{"none", "whole"}},
		{"00", nil, rootKeyPacket(2, root), nor.CountRootKey, func(c *nor.Chip) string {
			got, ok := c.RootKey(2)
			if !ok {
				return "none"
			}
			if bytes.Equal(got, root) {
				return "whole"
			}
			for i := range got {
				if got[i]&root[i] != root[i] {
					return "" // a bit that was to stay 1 is 0
				}
			}
			return "torn"
		}, []string{"none", "torn", "whole"}},
		{"00 of a bad packet", nil, rootKeyPacket(2, root)[:63], nor.CountRootKey, keyIs(nil), []string{"none"}},
		{"00 over a key", [][]byte{rootKeyPacket(2, bytes.Repeat([]byte{1}, 32))}, rootKeyPacket(2, root), nor.CountRootKey,
			keyIs(bytes.Repeat([]byte{1}, 32)), []string{"none"}},
		{"02", [][]byte{rootKeyPacket(2, root), updatePacket(2, root, 1)}, incrementPacket(2, key, 0), nor.CountIncrement, func(c *nor.Chip) string {
			return map[uint32]string{0: "none", 1: "whole"}[c.CounterValue(2)]
		}, []string{"none", "whole"}},
		{"02 of an old value", [][]byte{rootKeyPacket(2, root), updatePacket(2, root, 1)}, incrementPacket(2, key, 7), nor.CountIncrement, func(c *nor.Chip) string {
			return map[uint32]string{0: "none"}[c.CounterValue(2)]
		}, []string{"none"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			cut := func(seed uint64) *nor.Chip {
				c := newChip(t, authenta, nor.Options{Pace: nor.Real, Seed: seed})
				for _, p := range row.prepare {
					do(c, 0, p...)
					for status(c)&1 != 0 {
						time.Sleep(time.Millisecond)
					}
				}
				before := c.Counters()[row.key]
				do(c, 0, 0x06)
				do(c, 0, row.out...)
				c.Power(false)
				c.Power(true)
				want := map[string]uint64{"none": 0, "torn": 1, "whole": 1}[row.outcome(c)]
				if got := c.Counters()[row.key] - before; got != want {
					t.Errorf("%s, seed %d: %s counted %d times", row.what, seed, row.outcome(c), got)
				}
				time.Sleep(time.Millisecond)
				if s := status(c); s != 0 {
					t.Errorf("%s, seed %d: status %02X after the cut", row.what, seed, s)
				}
				return c
			}
			seen := map[string]bool{}
			for seed := range uint64(60) {
				c := cut(seed)
				o := row.outcome(c)
				if o == "" {
					t.Fatalf("%s, seed %d leaves %s", row.what, seed, permanent(c))
				}
				seen[o] = true
				if again := cut(seed); permanent(again) != permanent(c) {
					t.Errorf("%s, seed %d leaves %s, and then %s", row.what, seed, permanent(c), permanent(again))
				}
			}
			for _, o := range row.want {
				if !seen[o] {
					t.Errorf("%s: no seed of 60 leaves it %s", row.what, o)
				}
			}
			if len(seen) != len(row.want) {
				t.Errorf("%s: outcomes %v", row.what, seen)
			}
		})
	}
}

func tornPassword(from, to []byte) func(*nor.Chip) string {
	return func(c *nor.Chip) string {
		got := c.Password()
		both := make([]byte, 8)
		for i := range both {
			both[i] = from[i] & to[i]
			if got[i]&both[i] != both[i] || got[i]&^from[i] != 0 {
				return ""
			}
		}
		switch {
		case bytes.Equal(got[:], from):
			return "none"
		case bytes.Equal(got[:], both):
			return "whole"
		}
		return "torn"
	}
}

func tornOTP(at int, to []byte) func(*nor.Chip) string {
	blank := bytes.Repeat([]byte{0xFF}, 65)
	whole := bytes.Clone(blank)
	copy(whole[at:], to)
	return func(c *nor.Chip) string {
		got := c.OTP()
		for i := range got {
			if got[i]&whole[i] != whole[i] {
				return ""
			}
		}
		switch {
		case bytes.Equal(got[:], blank):
			return "none"
		case bytes.Equal(got[:], whole):
			return "whole"
		}
		return "torn"
	}
}

func keyIs(want []byte) func(*nor.Chip) string {
	return func(c *nor.Chip) string {
		if got, _ := c.RootKey(2); bytes.Equal(got, want) {
			return "none"
		}
		return ""
	}
}
