package provision

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/ledger"
	"station/sim/nor"
	"station/spi"
)

// The power goes while the chip carries out a permanent command, so that it holds, or does not, or is torn: the same order afterwards
// ends in PASS, or says that a person has to decide about a torn value. Nothing is sent a second time to a chip that may have taken it.
func TestPowerCutWithinAPermanentCommand(t *testing.T) {
	const seeds = 40
	var table strings.Builder
	for _, cut := range []struct {
		name   string
		opcode []byte
		key    string // of the chip's counters
		most   uint64 // how often that takes effect in a whole run
		stuck  string // the only cause that may end in a person's decision; "": none may
	}{
		{"28 program password", []byte{0x28}, nor.CountPassword, 1, "password-torn"},
		{"2C program protection register", []byte{0x2C}, nor.CountSectorProtection, 1, ""},
		{"9B 00 root key", []byte{0x9B, 0, 0}, nor.CountRootKey, 2, "root-key-foreign"},
		{"9B 00 root key, random", []byte{0x9B, 0, 1}, nor.CountRootKey, 2, "root-key-foreign"},
		{"9B 02 increment", []byte{0x9B, 2}, nor.CountIncrement, 2, ""},
	} {
		ends := map[string]int{}
		for seed := range uint64(seeds) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault()
				l := newTimedLine(t, Options{Secrets: v})
				chip, err := nor.New("MT25QL128ABB", [14]byte{1, 7}, nor.Options{Pace: nor.Real, Seed: seed})
				if err != nil {
					t.Fatal(err)
				}
				l.socket.put("1", chip)
				r := secretRecipe(t, secretSteps)
				dead := false
				l.socket.after = func(_ string, f spi.Frame) error {
					if !dead && bytes.HasPrefix(f.Out, cut.opcode) {
						chip.Power(false)
						dead = true
					}
					if dead {
						return errDead
					}
					return nil
				}
				l.run(r, "1", "S1")
				if !dead {
					t.Fatal("the command was never sent")
				}
				l.revive()
				chip.Power(true)
				time.Sleep(time.Millisecond) // before that it does not listen
				res := l.run(r, "1", "S1")
				end := string(res.Outcome)
				switch {
				case res.Outcome == ledger.Pass:
					reconcile(t, l, v, chip)
				case res.Outcome == ledger.Interrupted && res.Cause == cut.stuck:
					end += " " + res.Cause
					if chip.SPR() != 0xFFFF {
						t.Errorf("seed %d: password mode is on for a chip that a person has to decide about", seed)
					}
				default:
					t.Errorf("%s, seed %d: %s %s (%v)", cut.name, seed, res.Outcome, res.Message, res.Err)
				}
				if n := chip.Counters()[cut.key]; n > cut.most {
					t.Errorf("%s, seed %d: took effect %d times", cut.name, seed, n)
				}
				ends[end]++
			})
		}
		var row []string
		for _, end := range slices.Sorted(maps.Keys(ends)) {
			row = append(row, fmt.Sprintf("%d %s", ends[end], end))
		}
		fmt.Fprintf(&table, "%-34s %s\n", cut.name, strings.Join(row, ", "))
	}
	golden(t, "testdata/power_cut.golden", table.String())
}
