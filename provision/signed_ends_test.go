package provision

import (
	"bytes"
	"context"
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

// chipUID is that of authenta(t, 1).
const chipUID = "0107000000000000000000000000"

// Who cannot carry signed commands out is refused before a slot is opened; a chip that has none, once it is known.
func TestSignedCommandsAreRefused(t *testing.T) {
	r := signedRecipe(t, signedRecipeSteps)
	for _, c := range []struct {
		name  string
		o     Options
		cause string
	}{
		{"nobody signs", Options{Secrets: newVault(), Simulated: true}, "no-key-server"},
		{"the map is invented and the station real", Options{Secrets: newVault(), Signer: newOracle()}, "invented-map"},
	} {
		l := newLine(t, c.o)
		l.socket.put("1", authenta(t, 1))
		l.socket.before = func(string, spi.Frame) error { t.Errorf("%s: the chip was spoken to", c.name); return errDead }
		res := l.want(l.run(r, "1", "S1"), ledger.Refused, c.cause)
		if ofSlot(res) {
			t.Errorf("%s: the board is held to be at fault", c.name)
		}
		if n, leased := l.socket.leased["1"]; leased {
			t.Errorf("%s: the slot was opened, and is held %d times", c.name, n)
		}
	}
}

// Where a recipe is for several parts, the chip that is there decides.
func TestInventedMapOfTheChipThatIsThere(t *testing.T) {
	r := signedRecipe(t, signedRecipeSteps)
	real := *r.Parts()[0]
	table := *real.ACRTM
	table.Map = "real"
	real.ACRTM = &table
	n := &run{e: New(nil, nil, Options{Signer: newOracle()}), o: Order{Recipe: r}}
	if err := n.checkSigner(r.Parts()[0], &real); err != nil { // which of them it is nobody knows yet
		t.Error(err)
	}
	if err := n.checkSigner(&real); err != nil {
		t.Error(err)
	}
	if err := n.checkSigner(r.Parts()...); err == nil {
		t.Error("an invented map passes on a real station")
	}
}

// What the chip refuses, or measures otherwise, is a FAIL of the unit, in the words of whoever found it; what the key server alone rejects is its own fault.
func TestSignedCommandsFail(t *testing.T) {
	onBlock := func(block string, do func(chip *nor.Chip)) func(*line, *nor.Chip) {
		return func(l *line, chip *nor.Chip) {
			l.socket.before = func(_ string, f spi.Frame) error {
				if f.Out[0] == 0x9B && bytes.HasPrefix(f.Out[1:], []byte(block)) {
					do(chip)
				}
				return nil
			}
		}
	}
	for _, c := range []struct {
		name    string
		do      func(*line, *nor.Chip)
		outcome ledger.Outcome
		cause   string
		says    string
		never   string
	}{
		{"the region holds something else", onBlock("\xF0\x01", func(chip *nor.Chip) { frames(chip, []byte{0x06}, []byte{0x02, 0x01, 0x00, 0x00, 0}) }),
			ledger.Fail, "measurement-mismatch", "the region holds something else", nor.CountSignedErase},
		{"the key server cannot verify it", func(l *line, _ *nor.Chip) {
			l.socket.after = func(_ string, f spi.Frame) error {
				if f.Out[0] == 0x96 && len(f.In) == 73 {
					f.In[70] ^= 1
				}
				return nil
			}
		}, ledger.Error, "key-server", "every byte there reads right: not signed by this chip", nor.CountSignedErase},
		{"a lock is in the way", onBlock("\xF1\x01", func(chip *nor.Chip) { frames(chip, []byte{0x06}, []byte{0xE3, 0, 0x04, 0, 0}) }),
			ledger.Fail, "relay-refused", "erase, refused", nor.CountProtect},
		{"another range is protected", onBlock("\xF2\x00", func(chip *nor.Chip) {
			if at, n := chip.ProtectedRange(); n == 0 && at == 0 {
				b, _ := signedOp{name: "protect", at: 0x80000, n: 64 << 10}.block(chipUID, chip.PowerOnCounter(), chip.CommandCounter(), nil)
				frames(chip, append([]byte{0x9B}, b...))
			}
		}), ledger.Interrupted, "relay-unknown", "its command counter was", ""},
	} {
		bubble(t, c.name, func(t *testing.T) {
			o := newOracle()
			l := newSignedLine(t, o)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			c.do(l, chip)
			res := l.want(l.run(signedRecipe(t, signedRecipeSteps), "1", "S1"), c.outcome, c.cause)
			if !strings.Contains(res.Message, c.says) {
				t.Errorf("it says %q, want %q in it", res.Message, c.says)
			}
			if c.never != "" && chip.Counters()[c.never] != 0 {
				t.Errorf("%s took effect", c.never)
			}
		})
	}
}

// A chip whose counter went on by what nobody here sent is for a person to decide: nothing is sent to it, however often the board is scanned, until somebody closes the unit.
func TestCommandsThatNobodyKnowsOf(t *testing.T) {
	for _, label := range []string{"before 9B F1 01 erase", "after 9B F1 00 write", "before 9B F2 00 protect", "after 9B F2 00 protect"} {
		bubble(t, label, func(t *testing.T) {
			l, chip := dieSigned(t, label)
			for range 3 { // somebody else's
				b, _ := signedOp{name: "erase", at: 0x90000}.block(chipUID, chip.PowerOnCounter(), chip.CommandCounter(), nil)
				frames(chip, append([]byte{0x9B}, b...))
			}
			before := chip.CommandCounter()
			sent := signedFrames(l)
			r := signedRecipe(t, signedRecipeSteps)
			for range 2 {
				res := l.want(l.run(r, "1", "S1"), ledger.Interrupted, "relay-unknown")
				if run := l.books.all()[0]; !run.Open() || run.Stuck == nil || run.Stuck.Cause != "relay-unknown" || res.Next == "" {
					t.Errorf("the account does not say what is to be decided: %+v", run.Stuck)
				}
			}
			if len(*sent) != 0 || chip.CommandCounter() != before {
				t.Errorf("%d blocks went out to a chip that only a person can decide about", len(*sent))
			}
		})
	}
}

// Someone stops the run while a turn is on its way: what was sent is written down, nothing more is sent, and the next scan goes on.
func TestStoppedWithinATurn(t *testing.T) {
	for _, block := range []string{"\xF1\x01", "\xF1\x00", "\xF2\x00"} {
		bubble(t, fmt.Sprintf("%X", block), func(t *testing.T) {
			o := newOracle()
			o.turn = 64
			l := newSignedLine(t, o)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			ctx, cancel := context.WithCancel(t.Context())
			sent := 0
			l.socket.after = func(_ string, f spi.Frame) error {
				if f.Out[0] != 0x9B || bytes.HasPrefix(f.Out[1:], []byte{0xF0}) {
					return nil
				}
				if ctx.Err() != nil {
					sent++
				}
				if bytes.HasPrefix(f.Out[1:], []byte(block)) {
					cancel()
				}
				return nil
			}
			r := signedRecipe(t, signedRecipeSteps)
			l.want(l.engine.Run(ctx, Order{Recipe: r, Serial: "S1", Slot: "1", Operator: "op-1"}), ledger.Aborted, "aborted")
			run := l.books.all()[0]
			last := ""
			for _, rec := range run.Records {
				if kind := rec.Entry.Body.Kind(); strings.HasPrefix(kind, "relay.") {
					last = kind
				}
			}
			if sent != 0 || last != ledger.KindRelayAnswer {
				t.Errorf("%d blocks more were sent; the last of these entries is %s", sent, last)
			}
			if open := block == "\xF2\x00"; run.Open() != open {
				t.Errorf("the run is open: %t", run.Open())
			}
			l.socket.after = nil
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			reconcileSigned(t, l, chip)
		})
	}
}

// A trial carries signed commands out that can be undone, and none that cannot.
func TestTrialStopsBeforeAOneWayCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignedLine(t, newOracle())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		r := signedRecipe(t, signedRecipeSteps)
		l.want(l.engine.Run(t.Context(), Order{Recipe: r, Serial: "S1", Slot: "1", Trial: true}), ledger.Trial, "trial")
		if n := chip.Counters(); n[nor.CountSignedWrite] != 3 || n[nor.CountProtect] != 0 {
			t.Errorf("a trial went too far or not far enough: %v", n)
		}
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		reconcileSigned(t, l, chip)
	})
}

// The power goes while the chip carries out a signed command, and stays away: what is torn is done anew, what is never undone is never done twice, and the unit passes.
func TestPowerCutWithinASignedCommand(t *testing.T) {
	const seeds = 40
	r := signedRecipe(t, signedRecipeSteps)
	var table strings.Builder
	for _, cut := range []struct {
		name, block, key string
	}{
		{"9B F0 01 measure", "\xF0\x01", ""},
		{"9B F1 01 erase", "\xF1\x01", nor.CountSignedErase},
		{"9B F1 00 write", "\xF1\x00", nor.CountSignedWrite},
		{"9B F2 00 protect", "\xF2\x00", nor.CountProtect},
	} {
		took := map[string]int{}
		for seed := range uint64(seeds) {
			synctest.Test(t, func(t *testing.T) {
				o := newOracle()
				l := newTimedLine(t, Options{Secrets: newVault(), Signer: o, Simulated: true})
				chip, err := nor.New("MT25QL128ABB", [14]byte{1, 7}, nor.Options{Pace: nor.Real, Seed: seed})
				if err != nil {
					t.Fatal(err)
				}
				l.socket.put("1", chip)
				dead := false
				l.socket.after = func(_ string, f spi.Frame) error {
					if !dead && f.Out[0] == 0x9B && bytes.HasPrefix(f.Out[1:], []byte(cut.block)) {
						time.Sleep(time.Duration(seed) * 50 * time.Microsecond)
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
				if res := l.run(r, "1", "S1"); res.Outcome != ledger.Pass {
					t.Fatalf("%s, seed %d: %s %s (%v)", cut.name, seed, res.Outcome, res.Message, res.Err)
				}
				reconcileSigned(t, l, chip)
				took[fmt.Sprintf("%d times", chip.Counters()[cut.key])]++
			})
		}
		var row []string
		for _, n := range slices.Sorted(maps.Keys(took)) {
			row = append(row, fmt.Sprintf("%d units: %s", took[n], n))
		}
		if cut.key == "" {
			row = []string{fmt.Sprintf("%d units", seeds)}
		}
		fmt.Fprintf(&table, "%-20s all PASS; it took effect, in %s\n", cut.name, strings.Join(row, ", "))
	}
	golden(t, "testdata/power_cut_signed.golden", table.String())
}

// The table of a part may not tell how its counters are read. A lost answer to what can be undone is then an ERROR, and the next run does it anew; to what is
// never undone, and a person decides.
func TestChipWithoutCounters(t *testing.T) {
	for _, c := range []struct {
		name, block string
		power       bool // the chip lost its power, and has it back
		first, then ledger.Outcome
		cause       string
	}{
		{"nothing is lost", "", false, ledger.Pass, ledger.Pass, ""},
		{"unplugged at a write", "\xF1\x00", false, ledger.Error, ledger.Pass, "fixture"},
		{"unplugged at the protection", "\xF2\x00", false, ledger.Error, ledger.Interrupted, "fixture"},
		{"brown-out at a write", "\xF1\x00", true, ledger.Error, ledger.Pass, "fixture"},
		{"brown-out at the protection", "\xF2\x00", true, ledger.Interrupted, ledger.Interrupted, "relay-unknown"},
		{"brown-out at the measurement", "\xF0\x01", true, ledger.Pass, ledger.Pass, ""},
	} {
		bubble(t, c.name, func(t *testing.T) {
			o := newOracle()
			l := newSignedLine(t, o)
			chip := authenta(t, 1)
			o.peek = chip
			l.socket.put("1", chip)
			done := false
			l.socket.after = func(_ string, f spi.Frame) error {
				if done || c.block == "" || f.Out[0] != 0x9B || !bytes.HasPrefix(f.Out[1:], []byte(c.block)) {
					return nil
				}
				done = true
				if c.power {
					chip.Power(false)
					chip.Power(true)
					return nil
				}
				return errUnplugged
			}
			if c.block != "" && !c.power {
				after := l.socket.after
				l.socket.after = func(slot string, f spi.Frame) error {
					if done {
						return errUnplugged
					}
					return after(slot, f)
				}
			}
			r := twoImages(t, withoutCounters, signedRecipeSteps)
			if r.Parts()[0].ACRTM.Counters != nil {
				t.Fatal("the table tells how counters are read")
			}
			l.want(l.run(r, "1", "S1"), c.first, c.cause)
			l.socket.after = nil
			res := l.run(r, "1", "S1")
			if res.Outcome != c.then || c.then != ledger.Pass && res.Cause != "relay-unknown" {
				t.Fatalf("then %s %q (%s; %v), want %s", res.Outcome, res.Cause, res.Message, res.Err, c.then)
			}
			if n := chip.Counters()[nor.CountProtect]; n != 1 {
				t.Errorf("protected %d times", n)
			}
			if c.then == ledger.Pass {
				reconcileSigned(t, l, chip)
			}
		})
	}
}

// A unit is reworked on its own chip: it is measured anew, what is right stays, and what is never undone is not asked for again.
func TestReworkOfASignedUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignedLine(t, newOracle())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		r := signedRecipe(t, signedRecipeSteps)
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		before := chip.CommandCounter()
		l.permit("S1", ledger.SameChip)
		if res := l.want(l.run(r, "1", "S1"), ledger.Pass, ""); res.Already {
			t.Error("nothing was done")
		}
		reconcileSigned(t, l, chip)
		runs := l.books.all()
		if again := runs[len(runs)-1]; chip.CommandCounter() != before || countSigned(again) != "0 intents and 1 answers" {
			t.Errorf("the command counter went from %d to %d; %s", before, chip.CommandCounter(), countSigned(again))
		}
	})
}

// What signed commands left in a region is read back: a key server that signs other bytes than the recipe has is not believed when it says that it is done.
func TestSignedWriteIsReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOracle()
		o.steps[3][2].data = bytes.Repeat([]byte{0x55}, 256)
		l := newSignedLine(t, o)
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		l.want(l.run(signedRecipe(t, signedRecipeSteps), "1", "S1"), ledger.Fail, "verify-mismatch")
		if chip.Counters()[nor.CountProtect] != 0 {
			t.Error("the chip was shut behind a wrong write")
		}
	})
}

// A counter that is somewhere else at the end of a turn than the answers say: somebody else talks to this chip.
func TestSomebodyElseWithinATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignedLine(t, newOracle())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		replies := 0
		l.socket.after = func(_ string, f spi.Frame) error {
			if f.Out[0] != 0x96 || len(f.In) != 41 {
				return nil
			}
			if replies++; replies == 4 { // the second reading of the turn's second reply
				b, _ := signedOp{name: "erase", at: 0x90000}.block(chipUID, chip.PowerOnCounter(), chip.CommandCounter(), nil)
				frames(chip, append([]byte{0x9B}, b...))
			}
			return nil
		}
		l.want(l.run(signedRecipe(t, signedRecipeSteps), "1", "S1"), ledger.Interrupted, "relay-unknown")
	})
}

// A chip brings bytes along where no sample looks. What is not going to be read back is read before, so that they are erased.
func TestMeasuredWriteOverWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignedLine(t, newOracle())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		for _, at := range []byte{0x00, 0x40, 0x80} {
			frames(chip, []byte{0x06}, []byte{0x02, 0x01, at, 0, 0x00, 0x00}, []byte{0x06}, []byte{0x02, 0x02, at, 0, 0x00, 0x00})
		}
		l.want(l.run(signedRecipe(t, signedRecipeSteps), "1", "S1"), ledger.Pass, "")
		reconcileSigned(t, l, chip)
	})
}

// Without the mirror nothing that is never undone is sent, before the ledger has its intent and behind it; what can be undone goes on.
func TestMirrorLostAtASignedCommand(t *testing.T) {
	r := signedRecipe(t, signedRecipeSteps)
	for _, kept := range []bool{false, true} {
		bubble(t, fmt.Sprintf("in the ledger all the same=%t", kept), func(t *testing.T) {
			l := newSignedLine(t, newOracle())
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			lose := func(c ledger.Change) error {
				if !slices.ContainsFunc(c.Bodies, ledger.Permanent) {
					return nil
				}
				return fmt.Errorf("%w: /mnt: no such device", ledger.ErrMirror)
			}
			if kept {
				l.books.after = lose
			} else {
				l.books.before = lose
			}
			l.want(l.run(r, "1", "S1"), ledger.Error, "mirror")
			if n := chip.Counters(); n[nor.CountProtect] != 0 || n[nor.CountSignedWrite] != 3 {
				t.Errorf("without the mirror: %v", n)
			}
			if run := l.books.all()[0]; run.Open() != kept {
				t.Errorf("the run is open: %t", run.Open())
			}
			l.revive()
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			reconcileSigned(t, l, chip)
		})
	}
}

// A programmer that carries commands of 16 bytes carries no signed one.
func TestProgrammerCannotCarrySignedCommands(t *testing.T) {
	l := newSignedLine(t, newOracle())
	l.engine = New(narrow{l.socket}, l.books, l.engine.o)
	l.socket.put("1", authenta(t, 1))
	l.socket.before = func(string, spi.Frame) error { t.Error("the chip was spoken to"); return errDead }
	l.want(l.run(recipeFor(t, "MT25QL128ABB", 1, "  - write: {region: boot, image: boot}\n  - measure: {region: boot}\n"), "1", "S1"), ledger.Refused, "programmer-cannot")
}
