package nor_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/nor"
)

// TestPowerCutBlock cuts the power within each signed command, at several instants and with many seeds: what is left is what the map allows,
// every kind of it comes up, the same seed leaves the same, the effects are counted with the counter, and no block outlives the cut.
func TestPowerCutBlock(t *testing.T) {
	const addr = 0x30000
	before := filled(8192, 0xA5)
	cellsOf := func(c *nor.Chip) []byte { return c.Bytes(addr, len(before)) }
	for _, row := range []struct {
		what  string
		block func(s signer) []byte
		time  time.Duration
		key   string // of Counters
		// outcome names what the cells are, "" where the map does not allow it
		outcome func(c *nor.Chip) string
		want    []string // with the counter
	}{
		{"write", func(s signer) []byte { return s.write(addr, filled(256, 0x0F)) }, 5 * time.Millisecond, nor.CountSignedWrite, func(c *nor.Chip) string {
			got := cellsOf(c)
			if !bytes.Equal(got[256:], before[256:]) {
				return ""
			}
			for _, b := range got[:256] {
				if b&0x05 != 0x05 || b&^0xA5 != 0 {
					return "" // a bit that was to stay is gone, or one came
				}
			}
			return "torn"
		}, []string{"torn, not counted", "torn, counted"}},
		{"erase", func(s signer) []byte { return s.erase(addr) }, 50 * time.Millisecond, nor.CountSignedErase, func(c *nor.Chip) string {
			got := cellsOf(c)
			switch {
			case !bytes.Equal(got[4096:], before[4096:]):
				return ""
			case bytes.Equal(got, before):
				return "old"
			case bytes.Equal(got[:4096], filled(4096, 0xFF)):
				return "whole"
			}
			return "torn"
		}, []string{"old, not counted", "old, counted", "torn, not counted", "torn, counted", "whole, not counted", "whole, counted"}},
		{"protect", func(s signer) []byte { return s.protect(addr, 0x10000) }, 5 * time.Millisecond, nor.CountProtect, func(c *nor.Chip) string {
			if !bytes.Equal(cellsOf(c), before) {
				return ""
			}
			at, size := c.ProtectedRange()
			switch {
			case size == 0 && at == 0:
				return "none"
			case size == 0x10000 && at == addr:
				return "whole"
			}
			return ""
		}, []string{"none, not counted", "whole, counted"}},
		{"measure", func(s signer) []byte { return s.measure(addr, 4096) }, 2 * time.Millisecond, "", func(c *nor.Chip) string {
			return map[bool]string{true: "old"}[bytes.Equal(cellsOf(c), before)]
		}, []string{"old, not counted"}},
		{"a write for another chip", func(s signer) []byte { s.uid[0]++; return s.write(addr, nil) }, 2 * time.Millisecond, "", func(c *nor.Chip) string {
			return map[bool]string{true: "old"}[bytes.Equal(cellsOf(c), before)]
		}, []string{"old, not counted"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			// chip is one with the block made for it, at the instant of the cut
			chip := func(seed uint64) (*nor.Chip, []byte) {
				c := newChip(t, authenta, nor.Options{Pace: nor.Real, Seed: seed})
				for page := range byte(32) {
					write(c, with(before[:256], 0x02, 3, page, 0)...)
					time.Sleep(time.Millisecond)
				}
				return c, row.block(signerOf(c))
			}
			state := func(c *nor.Chip) string {
				return fmt.Sprintf("%s, cells %X", signed(c), cellsOf(c))
			}
			cut := func(seed uint64, after time.Duration) (*nor.Chip, string) {
				c, block := chip(seed)
				command, counted := c.CommandCounter(), c.Counters()[row.key]
				do(c, 0, with(block, 0x9B)...)
				time.Sleep(after)
				cycle(c)
				time.Sleep(time.Millisecond)
				expect(t, row.what+": behind the cut", append(do(c, 73, 0x96, 0), status(c), flags(c))[48:], append([]byte{0}, append(filled(24, 0xFF), 0, 0x80)...))
				expect(t, row.what+": status behind the cut", do(c, 1, 0x96, 0), []byte{0})
				went := c.CommandCounter() - command
				if row.key != "" && c.Counters()[row.key]-counted != went || went > 1 {
					t.Errorf("%s, seed %d: the counter went up by %d, %v", row.what, seed, went, c.Counters())
				}
				outcome := row.outcome(c)
				if outcome == "" {
					t.Fatalf("%s, seed %d, cut after %v, leaves %s", row.what, seed, after, state(c))
				}
				held := state(c)
				do(c, 0, with(block, 0x9B)...)
				time.Sleep(100 * time.Millisecond)
				if got := do(c, 1, 0x96, 0)[0]; got != 0x04 || state(c) != held {
					t.Errorf("%s, seed %d: sent again after the cut: %02X, %s", row.what, seed, got, signed(c))
				}
				return c, outcome + map[uint64]string{0: ", not counted", 1: ", counted"}[went]
			}
			seen := map[string]bool{}
			for seed := range uint64(60) {
				after := row.time * time.Duration(seed%4) / 4
				if seed%4 == 3 {
					after = row.time - 1
				}
				c, outcome := cut(seed, after)
				seen[outcome] = true
				if again, _ := cut(seed, after); seed < 10 && state(again) != state(c) {
					t.Errorf("%s, seed %d leaves %s, and then %s", row.what, seed, signed(c), signed(again))
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

			// before the frame is over nothing is torn
			c, block := chip(1)
			held := state(c)
			for n := range len(block) + 2 {
				c, _ := chip(1)
				c.Select()
				c.Shift(with(block, 0x9B)[:n], nil)
				cycle(c)
				c.Deselect()
				time.Sleep(time.Second)
				if got := state(c); got != "power-on 2"+held[len("power-on 1"):] {
					t.Fatalf("%s cut off after %d bytes leaves %s, before %s", row.what, n, got, held)
				}
			}
			// and when it has ended all is there, but the answer
			do(c, 0, with(block, 0x9B)...)
			time.Sleep(row.time + 100*time.Microsecond)
			whole := state(c)
			if (whole != held) != (row.key != "") {
				t.Errorf("%s: its end left %s", row.what, whole)
			}
			cycle(c)
			time.Sleep(time.Millisecond)
			if got := state(c); got != "power-on 2"+whole[len("power-on 1"):] {
				t.Errorf("%s: a cut after its end leaves %s, before %s", row.what, got, whole)
			}
			expect(t, row.what+": the answer is gone", do(c, 49, 0x96, 0), make([]byte, 49))
		})
	}
}
