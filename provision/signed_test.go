package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/flash"
	"station/ledger"
	"station/sim/nor"
	"station/spi"
)

func TestSignedStepsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOracle()
		l := newSignedLine(t, o)
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		r := signedRecipe(t, signedRecipeSteps)
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		reconcileSigned(t, l, chip)
		run := l.books.all()[0]
		if run.Start.Part.Map != ledger.InventedMap || run.Start.Regions[1].Image != "settings" {
			t.Errorf("started with the map %q and the regions %+v", run.Start.Part.Map, run.Start.Regions)
		}
		if run.End.Proven[0].Proof != "measurement" || run.End.Proven[0].SHA256 != regionDigest(image(), 128<<10) {
			t.Errorf("proven: %+v", run.End.Proven)
		}
		if got := countSigned(run); got != "3 intents and 4 answers" {
			t.Error(got)
		}
		if p := run.Steps[0].Proof; p != "not read back: it is measured" {
			t.Errorf("the write is proven by %q", p)
		}
		before := chip.Counters()
		if res := l.want(l.run(r, "1", "S1"), ledger.Pass, ""); !res.Already {
			t.Error("a unit that had passed was done again")
		}
		for k, n := range chip.Counters() {
			if n != before[k] {
				t.Errorf("%s took effect again", k)
			}
		}
	})
}

// signedFrames are the frames of 9B that carry a block, those that ask for counters excepted.
func signedFrames(l *line) *[][]byte {
	var sent [][]byte
	l.socket.before = func(_ string, f spi.Frame) error {
		if f.Out[0] == 0x9B && !bytes.HasPrefix(f.Out[1:], []byte{0xF0, 0}) {
			sent = append(sent, bytes.Clone(f.Out[1:]))
		}
		return nil
	}
	return &sent
}

// Whatever the key server does wrong is an ERROR of its own, of the turn in question not a byte reaches the chip, and the same scan passes when it does right again.
func TestKeyServerDoesWrong(t *testing.T) {
	done := func(ok bool, digest string) func(*Turn) error {
		return func(turn *Turn) error {
			turn.Blocks, turn.Done, turn.OK, turn.Digest, turn.Verdict = nil, true, ok, digest, "believe me"
			return nil
		}
	}
	right, wrong := regionDigest(image(), 128<<10), strings.Repeat("0", 64)
	for _, c := range []struct {
		name       string
		step, turn int
		do         func(*Turn) error
		says       string
	}{
		{"says that it failed", 3, 1, func(*Turn) error { return errors.New("out of order") }, "out of order"},
		{"says that somebody stopped", 3, 1, func(*Turn) error { return fmt.Errorf("no: %w", context.Canceled) }, "canceled"},
		{"is late", 3, 2, func(*Turn) error { time.Sleep(signerLimit + time.Second); return nil }, "deadline"},
		{"gives no name to the conversation", 3, 1, func(turn *Turn) error { turn.Session = ""; return nil }, "another conversation"},
		{"tells a long name", 3, 1, func(turn *Turn) error { turn.Session = strings.Repeat("x", 129); return nil }, "another conversation"},
		{"goes on in another conversation", 3, 2, func(turn *Turn) error { turn.Session = "other"; return nil }, "another conversation"},
		{"tells the same turn twice", 3, 2, func(turn *Turn) error { turn.Number = 1; return nil }, "turn 1 comes where turn 2 is due"},
		{"skips a turn", 3, 2, func(turn *Turn) error { turn.Number = 3; return nil }, "turn 3 comes"},
		{"sends nothing", 3, 1, func(turn *Turn) error { turn.Blocks = nil; return nil }, "has 0 blocks"},
		{"sends 65 blocks", 3, 1, func(turn *Turn) error {
			for len(turn.Blocks) < 65 {
				turn.Blocks = append(turn.Blocks, turn.Blocks[0])
			}
			return nil
		}, "has 65 blocks"},
		{"is done and goes on", 3, 1, func(turn *Turn) error { turn.Done = true; return nil }, "is the last and has blocks"},
		{"makes it for another kind of chip", 3, 1, func(turn *Turn) error { turn.Blocks[1].ID[0] ^= 1; return nil }, "made for the chip"},
		{"makes it for another chip", 3, 1, func(turn *Turn) error { turn.Blocks[1].UID = strings.Repeat("0", 28); return nil }, "made for the chip"},
		{"sends a block twice", 3, 1, func(turn *Turn) error {
			turn.Blocks[1].Block = turn.Blocks[0].Block
			turn.Blocks[1].Counter = nil
			return nil
		}, "sent before"},
		{"numbers a block twice", 3, 1, func(turn *Turn) error { turn.Blocks[1].Seq = 1; return nil }, "has the number 1"},
		{"numbers from 1 again", 3, 2, func(turn *Turn) error { turn.Blocks[0].Seq = 1; return nil }, "has the number 1"},
		{"changes the order", 3, 1, func(turn *Turn) error { slices.Reverse(turn.Blocks); return nil }, "has the number 2"},
		{"changes the order and the numbers", 3, 1, func(turn *Turn) error {
			slices.Reverse(turn.Blocks)
			turn.Blocks[0].Seq, turn.Blocks[1].Seq = 1, 2
			return nil
		}, "made for the command counter 1, and that will be 0"},
		{"makes it for a counter of before", 3, 2, func(turn *Turn) error { *turn.Blocks[0].Counter = 1; return nil }, "made for the command counter 1, and that will be 2"},
		{"makes it for a counter to come", 3, 1, func(turn *Turn) error { *turn.Blocks[0].Counter = 9; return nil }, "made for the command counter 9, and that will be 0"},
		{"makes what no table lists", 3, 1, func(turn *Turn) error { turn.Blocks[1].Bytes[0] = 0xF3; return nil }, "no entry"},
		{"makes it too long", 3, 1, func(turn *Turn) error { turn.Blocks[0].Bytes = append(turn.Blocks[0].Bytes, 0); return nil }, "49"},
		{"smuggles a root key in", 3, 1, func(turn *Turn) error { turn.Blocks[0].Bytes = make([]byte, 63); return nil }, "RPMC"},
		{"changes the chip in a measurement", 2, 1, func(turn *Turn) error {
			turn.Blocks[0].Bytes, _ = signedOp{name: "erase", at: settingsAt}.block(turn.Blocks[0].UID, 1, 0, nil)
			return nil
		}, "erase may change the chip, and the step is read-only"},
		{"makes what the recipe does not allow", 3, 1, func(turn *Turn) error {
			turn.Blocks[0].Bytes, _ = signedOp{name: "protect", at: 0x10000, n: 128 << 10}.block(turn.Blocks[0].UID, 1, 0, nil)
			return nil
		}, "does not allow protect"},
		{"makes two that are never undone", 4, 1, func(turn *Turn) error {
			b := turn.Blocks[0]
			b.Seq++
			b.Bytes, _ = signedOp{name: "protect", at: 0x10000, n: 64 << 10}.block(b.UID, 1, *b.Counter+1, nil)
			b.Counter = nil
			turn.Blocks = append(turn.Blocks, b)
			return nil
		}, "not alone in its turn"},
		{"is content before it measured", 2, 1, done(true, right), "none was made"},
		{"is not content before it measured", 2, 1, done(false, wrong), "none was made"},
		{"is content and tells no digest", 2, 2, done(true, ""), "does not tell its digest"},
		{"is content and tells a digest in capitals", 2, 2, done(true, strings.ToUpper(right)), "does not tell its digest"},
		{"is content with another digest", 2, 2, done(true, wrong), "the recipe has"},
		{"is not content with the right digest", 2, 2, done(false, right), "which is the one that the recipe has"},
		{"has written before it wrote", 3, 1, done(true, ""), "nothing of it was"},
		{"is not content, and all is right", 2, 2, done(false, wrong), "every byte there reads right: believe me"},
		{"is not content, and tells no digest", 2, 2, done(false, ""), "every byte there reads right"},
		{"gives up, and the chip did all", 3, 2, done(false, ""), "did all that it was asked: believe me"},
		{"gives up before it wrote", 3, 1, done(false, ""), "before anything was sent"},
		{"has shut before it shut", 4, 1, done(true, ""), "nothing of it was"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			o := newOracle()
			l := newSignedLine(t, o)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			sent := signedFrames(l)
			then := -1
			o.spoil = func(_ int, job Job, turn *Turn) error {
				if then >= 0 || job.Step != c.step || turn.Number != c.turn {
					return nil
				}
				then = len(*sent)
				return c.do(turn)
			}
			r := signedRecipe(t, signedRecipeSteps)
			res := l.want(l.run(r, "1", "S1"), ledger.Error, "key-server")
			if !strings.Contains(res.Message, c.says) {
				t.Errorf("it says %q, want %q in it", res.Message, c.says)
			}
			if len(*sent) != then {
				t.Errorf("%d blocks went out behind the wrong turn", len(*sent)-then)
			}
			if chip.Counters()[nor.CountProtect] != 0 {
				t.Error("something permanent was done")
			}
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			reconcileSigned(t, l, chip)
		})
	}
}

// endless is a key server that wants to know the counters, for ever.
type endless struct{ told int }

func (e *endless) Next(_ context.Context, job Job, answered []Answered) (Turn, error) {
	e.told++
	return Turn{Session: "for ever", Number: len(answered) + 1, Blocks: []Block{{Seq: len(answered) + 1, Block: flash.Block{ID: job.ID, UID: job.UID, Bytes: []byte{0xF0, 0, 0, 0}}}}}, nil
}

// A key server that asks for ever is left behind.
func TestKeyServerComesToNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &endless{}
		l := newLine(t, Options{Secrets: newVault(), Signer: o, Simulated: true})
		l.socket.put("1", authenta(t, 1))
		res := l.want(l.run(signedRecipe(t, signedRecipeSteps), "1", "S1"), ledger.Error, "key-server")
		if !strings.Contains(res.Message, "4096 turns") || o.told != mostTurns+1 {
			t.Errorf("%s, after %d turns", res.Message, o.told)
		}
	})
}

// The station dies at every point of a run that relays: before and after every durable write, every block and every look at its answer, with the board left powered and with
// its power lost. The same order then passes, and nothing that is never undone was sent twice.
func TestDeathWhileRelaying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := signedRecipe(t, signedRecipeSteps)
		var table []string
		for at := 1; ; at++ {
			var label string
			var row []string
			for _, repower := range []bool{false, true} {
				o := newOracle()
				l := newSignedLine(t, o)
				chip := authenta(t, 1)
				l.socket.put("1", chip)
				death := &reaper{at: at, looks: true}
				death.watch(l)
				first := l.run(r, "1", "S1")
				if !death.dead {
					if first.Outcome != ledger.Pass || at < 200 {
						t.Fatalf("the run has %d points and ends in %s (%v)", at-1, first.Outcome, first.Err)
					}
					golden(t, "testdata/death_signed.golden", strings.Join(table, ""))
					return
				}
				label = death.label
				if repower {
					chip.Power(false)
					chip.Power(true)
				}
				l.revive()
				if res := l.run(r, "1", "S1"); res.Outcome != ledger.Pass {
					t.Fatalf("point %d, %s, power lost %t: %s %s (%v)", at, label, repower, res.Outcome, res.Message, res.Err)
				}
				reconcileSigned(t, l, chip)
				n := chip.Counters()
				row = append(row, fmt.Sprintf("%d runs, %s, %d erase, %d write, %d protect", len(l.books.all()), countSigned(l.books.all()[len(l.books.all())-1]),
					n[nor.CountSignedErase], n[nor.CountSignedWrite], n[nor.CountProtect]))
				if t.Failed() {
					t.Fatalf("at point %d, %s, power lost %t", at, label, repower)
				}
			}
			if strings.HasSuffix(label, " 96") {
				label = "before or after 96, any number of times"
			}
			line := fmt.Sprintf("%-46s powered: %s; re-powered: %s\n", label, row[0], row[1])
			if len(table) == 0 || table[len(table)-1] != line {
				table = append(table, line)
			}
		}
	})
}

// It dies, and dies again at every point of the run that takes up what the first death left: a turn of which nobody saw the answer, and a one-way command likewise.
func TestDeathWhileSettlingATurn(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: some 100 runs, each with two deaths")
	}
	r := signedRecipe(t, signedRecipeSteps)
	for _, first := range []string{"after 9B F1 00 write", "after 9B F2 00 protect", "before 9B F2 00 protect"} {
		bubble(t, first, func(t *testing.T) {
			for at := 1; ; at++ {
				l, chip := dieSigned(t, first)
				second := &reaper{at: at}
				second.watch(l)
				l.run(r, "1", "S1")
				if !second.dead {
					if at < 10 {
						t.Fatalf("only %d points", at)
					}
					break
				}
				if at%2 == 0 {
					chip.Power(false)
					chip.Power(true)
				}
				l.revive()
				if res := l.run(r, "1", "S1"); res.Outcome != ledger.Pass {
					t.Fatalf("then %s: %s %s (%v)", second.label, res.Outcome, res.Message, res.Err)
				}
				reconcileSigned(t, l, chip)
			}
		})
	}
}

// dieSigned runs the recipe until the station dies at the first point called label, and revives it.
func dieSigned(t *testing.T, label string) (*line, *nor.Chip) {
	t.Helper()
	r := signedRecipe(t, signedRecipeSteps)
	for at := 1; ; at++ {
		l := newSignedLine(t, newOracle())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		death := &reaper{at: at}
		death.watch(l)
		l.run(r, "1", "S1")
		l.revive()
		if death.label == label {
			return l, chip
		} else if !death.dead {
			t.Fatalf("no point is called %q", label)
		}
	}
}

// An answer is lost between 9B and 96: since the supply of the board broke for a moment, since the programmer was unplugged, or on the wire. Nothing is sent
// again whose effect is not known, the key server is told or the next run finds out, and the unit passes.
func TestLostAnswers(t *testing.T) {
	after := func(block string, nth int, do func(l *line, chip *nor.Chip) error) func(*line, *nor.Chip) {
		return func(l *line, chip *nor.Chip) {
			n := 0
			l.socket.after = func(_ string, f spi.Frame) error {
				if f.Out[0] != 0x9B || !bytes.HasPrefix(f.Out[1:], []byte(block)) {
					return nil
				}
				if n++; n != nth {
					return nil
				}
				return do(l, chip)
			}
		}
	}
	brownOut := func(_ *line, chip *nor.Chip) error {
		chip.Power(false)
		chip.Power(true)
		return nil
	}
	unplug := func(l *line, _ *nor.Chip) error {
		l.socket.after = func(string, spi.Frame) error { return errUnplugged }
		return errUnplugged
	}
	lost := func(nth int) func(*line, *nor.Chip) {
		return func(_ *line, chip *nor.Chip) { chip.SetFaults(nor.Faults{ACRTM: nor.ACRTMFaults{LoseAnswer: nth}}) }
	}
	const measure, write, erase, protect = "\xF0\x01", "\xF1\x00", "\xF1\x01", "\xF2\x00"
	for _, c := range []struct {
		name   string
		do     func(*line, *nor.Chip)
		first  ledger.Outcome // of the run in which it happens
		told   string         // what the key server, or else the account, was told of it: "executed", "not executed" or "lost"
		writes uint64         // how many took effect in all: 3 and those that were done anew
	}{
		{"brown-out at the measurement", after(measure, 1, brownOut), ledger.Pass, "not executed", 3},
		{"brown-out at the erase", after(erase, 1, brownOut), ledger.Pass, "executed", 3},
		{"brown-out at the first write", after(write, 1, brownOut), ledger.Pass, "executed", 4},
		{"brown-out at the last write", after(write, 3, brownOut), ledger.Pass, "executed", 6},
		{"brown-out at the protection", after(protect, 1, brownOut), ledger.Pass, "executed", 3},
		{"unplugged at the measurement", after(measure, 1, unplug), ledger.Error, "", 3},
		{"unplugged at the erase", after(erase, 1, unplug), ledger.Error, "executed", 3},
		{"unplugged at the first write", after(write, 1, unplug), ledger.Error, "executed", 4},
		{"unplugged at the last write", after(write, 3, unplug), ledger.Error, "executed", 3},
		{"unplugged at the protection", after(protect, 1, unplug), ledger.Error, "executed", 3},
		{"answer lost at the erase", lost(2), ledger.Pass, "executed", 3},
		{"answer lost at the second write", lost(4), ledger.Pass, "executed", 5},
		{"answer lost at the protection", lost(6), ledger.Pass, "executed", 3},
	} {
		bubble(t, c.name, func(t *testing.T) {
			o := newOracle()
			l := newSignedLine(t, o)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			c.do(l, chip)
			heard := map[string]bool{}
			o.heard = func(_ Job, answered []Answered) {
				for _, turn := range answered {
					for _, a := range turn.Answers {
						if a.Lost {
							heard[map[bool]string{true: ledger.Executed, false: ledger.NotExecuted}[a.Executed]] = true
						}
					}
				}
			}
			r := signedRecipe(t, signedRecipeSteps)
			res := l.run(r, "1", "S1")
			if res.Outcome != c.first {
				t.Fatalf("%s %s (%v), want %s", res.Outcome, res.Message, res.Err, c.first)
			}
			if c.first != ledger.Pass {
				run := l.books.all()[0]
				if open := c.told != ""; run.Open() != open {
					t.Errorf("the run is open: %t", run.Open())
				}
				l.socket.after = nil
				l.want(l.run(r, "1", "S1"), ledger.Pass, "")
				for _, rec := range l.books.records {
					if b, is := rec.Entry.Body.(ledger.RelayAnswer); is {
						for _, a := range b.Answers {
							if a.Counter != "" {
								heard[a.Counter] = true
							}
						}
					}
				}
			}
			reconcileSigned(t, l, chip)
			if c.told != "" && !heard[c.told] || len(heard) > 1 && c.first == ledger.Pass {
				t.Errorf("told was %v, want %q", heard, c.told)
			}
			if n := chip.Counters()[nor.CountSignedWrite]; n != c.writes {
				t.Errorf("%d writes took effect, want %d", n, c.writes)
			}
		})
	}
}
