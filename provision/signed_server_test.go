package provision

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"station/ledger"
	"station/recipes"
	"station/sim/nor"
)

// A step with a one-way command is done when one of them took effect, whatever else was done and whatever the key server says.
func TestOneWayCommandNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOracle()
		all := o.steps[4]
		o.steps[4] = []signedOp{{name: "erase", at: 0x90000}}
		l := newSignedLine(t, o)
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		r := signedRecipe(t, strings.Replace(signedRecipeSteps, "[protect]", "[erase, protect]", 1))
		if res := l.want(l.run(r, "1", "S1"), ledger.Error, "key-server"); !strings.Contains(res.Message, "nothing that is never undone took effect") {
			t.Error(res.Message)
		}
		if n := chip.Counters(); n[nor.CountSignedErase] != 2 || n[nor.CountProtect] != 0 {
			t.Errorf("it did %v", n)
		}
		o.steps[4] = all
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		reconcileSigned(t, l, chip)
	})
}

// An account that calls such a step done, and has no one-way command that took effect, is not believed.
func TestDoneWithoutItsOneWayCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, chip := dieSigned(t, "before 9B F2 00 protect")
		run := l.lastRun()
		if _, err := l.books.Commit(t.Context(), ledger.Change{Bodies: []ledger.Body{
			ledger.RelayAnswer{Run: run.ID, Serial: "S1", UID: chipUID, N: 4, Turn: 1, Answers: []ledger.RelayResult{}},
			ledger.RunStep{Run: run.ID, Serial: "S1", N: 4, Of: 4, Step: "relay", Permanent: true, Result: ledger.Done, Facts: []ledger.Fact{}},
		}}); err != nil {
			t.Fatal(err)
		}
		l.want(l.run(signedRecipe(t, signedRecipeSteps), "1", "S1"), ledger.Pass, "")
		reconcileSigned(t, l, chip)
	})
}

// A key server that destroys, in its own step, what was proven before it: it is read again behind the last signed command, and the wrong byte is named. What is right is told.
func TestKeyServerDestroysWhatWasProven(t *testing.T) {
	for _, c := range []struct {
		name, verify string
		step         int
		at           uint32
		wrong        string // "" where nothing is
	}{
		{"nothing", "", 3, 0x90000, ""},
		{"a region that was read back", "", 3, 0x10000, "0x010000"},
		{"a region that was measured", ", verify: measurement", 3, 0x11000, "0x011000"},
		{"a region that an earlier relay filled", "", 4, settingsAt, "0x040000"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			o := newOracle()
			o.steps[c.step] = append(o.steps[c.step], signedOp{name: "erase", at: c.at})
			l := newSignedLine(t, o)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			steps := strings.NewReplacer(", verify: measurement", c.verify, "[protect]", "[erase, protect]").Replace(signedRecipeSteps)
			res := l.run(signedRecipe(t, steps), "1", "S1")
			if c.wrong != "" {
				if l.want(res, ledger.Fail, "verify-mismatch"); !strings.Contains(res.Message, c.wrong+":") {
					t.Error(res.Message)
				}
				return
			}
			l.want(res, ledger.Pass, "")
			reconcileSigned(t, l, chip)
			for _, s := range l.lastRun().Steps {
				told := slices.ContainsFunc(s.Facts, func(f ledger.Fact) bool {
					return strings.HasPrefix(f.Name, "what earlier steps left") && f.Value == "132 KiB, as it was"
				})
				if told != (s.N == 4) {
					t.Errorf("step %d says that all was read again: %t", s.N, told)
				}
			}
		})
	}
}

// foreign are signed erases of somebody else.
func foreign(chip *nor.Chip, n int) {
	for range n {
		b, _ := signedOp{name: "erase", at: 0x90000}.block(chipUID, chip.PowerOnCounter(), chip.CommandCounter(), nil)
		frames(chip, append([]byte{0x9B}, b...))
	}
}

// closeForRework closes the open run of a unit and gives a permission to rework it.
func (l *line) closeForRework(t *testing.T) {
	t.Helper()
	if _, err := l.books.Commit(t.Context(), ledger.Change{Bodies: []ledger.Body{ledger.UnitClose{Run: l.lastRun().ID, Serial: "S1", As: ledger.Scrapped, Reason: "r", By: "p"}}}); err != nil {
		t.Fatal(err)
	}
	l.permit("S1", ledger.SameChip)
}

// A chip that did for ever what an earlier run had signed for it is not given to another recipe, and one of which nobody knows whether it did is given to none: nothing is sent.
func TestReworkBehindAOneWayCommand(t *testing.T) {
	r := signedRecipe(t, signedRecipeSteps)
	other := signedRecipe(t, strings.Replace(signedRecipeSteps, "job: shut", "job: shut2", 1))
	plain := signedRecipe(t, "  - write: {region: boot, image: boot}\n  - write: {region: settings, image: settings}\n")
	passed := func(t *testing.T) (*line, *nor.Chip) {
		l := newSignedLine(t, newOracle())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		l.permit("S1", ledger.SameChip)
		return l, chip
	}
	cut := func(label string, strangers int, settles bool) func(*testing.T) (*line, *nor.Chip) {
		return func(t *testing.T) (*line, *nor.Chip) {
			l, chip := dieSigned(t, label)
			if foreign(chip, strangers); settles {
				l.run(r, "1", "S1")
			}
			l.closeForRework(t)
			return l, chip
		}
	}
	for _, c := range []struct {
		name  string
		begin func(*testing.T) (*line, *nor.Chip)
		with  *recipes.Recipe
		says  string // "" where the rework passes
	}{
		{"it took effect, the same recipe", passed, r, ""},
		{"it took effect, another recipe", passed, other, "has done protect for ever"},
		{"it took effect, a recipe without signed commands", passed, plain, "has done protect for ever"},
		{"the counter went on too far, and it was not sent", cut("before 9B F2 00 protect", 3, true), r, "nobody knows"},
		{"the counter went on too far, and it was sent", cut("after 9B F2 00 protect", 3, true), r, "nobody knows"},
		{"nobody looked, the same recipe", cut("after 9B F2 00 protect", 0, false), r, "nobody knows"},
		{"nobody looked, another recipe", cut("after 9B F2 00 protect", 0, false), other, "nobody knows"},
		{"it was not begun, the same recipe", cut("before the commit of relay.intent", 0, false), r, ""},
	} {
		bubble(t, c.name, func(t *testing.T) {
			l, chip := c.begin(t)
			before, last, sent := chip.CommandCounter(), l.lastRun().ID, signedFrames(l)
			if c.says == "" {
				l.want(l.run(c.with, "1", "S1"), ledger.Pass, "")
				reconcileSigned(t, l, chip)
				return
			}
			if res := l.want(l.run(c.with, "1", "S1"), ledger.Refused, "relay-before"); !strings.Contains(res.Message, c.says) {
				t.Error(res.Message)
			}
			if len(*sent) != 0 || chip.CommandCounter() != before || l.lastRun().ID != last {
				t.Errorf("%d blocks went out, and a run began: %t", len(*sent), l.lastRun().ID != last)
			}
		})
	}
}

// contradiction is what a key server says that knows of another command for the same count.
type contradiction struct{}

func (contradiction) Error() string      { return "two were made for it" }
func (contradiction) RelayUnknown() bool { return true }

// By the counter alone a one-way command took effect, and somebody else's may have moved it. Where the key server does not agree nobody knows: a person decides, however often the board
// is scanned, the command is not sent again, and a rework does not send it either.
func TestKeyServerDoesNotAgreeWithTheCounter(t *testing.T) {
	refuses := func(turn int) func(*oracle) {
		return func(o *oracle) {
			o.spoil = func(_ int, job Job, got *Turn) error {
				if job.Step == 4 && got.Number == turn {
					return contradiction{}
				}
				return nil
			}
		}
	}
	again := func(o *oracle) { o.steps[4] = append(o.steps[4], o.steps[4]...) }
	live := func(t *testing.T) (*line, *nor.Chip) {
		l := newSignedLine(t, newOracle())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		chip.SetFaults(nor.Faults{ACRTM: nor.ACRTMFaults{LoseAnswer: 6}})
		return l, chip
	}
	died := func(t *testing.T) (*line, *nor.Chip) {
		l, chip := dieSigned(t, "before 9B F2 00 protect")
		foreign(chip, 1)
		return l, chip
	}
	for _, c := range []struct {
		name  string
		begin func(*testing.T) (*line, *nor.Chip)
		lie   func(*oracle)
		says  string
		sent  int
	}{
		{"its answer is lost, and the server says so", live, refuses(2), "two were made for it", 1},
		{"its answer is lost, and it is made again", live, again, "the key server makes it once more", 1},
		{"the station died, and the server says so at once", died, refuses(1), "two were made for it", 0},
		{"the station died, and the server says so when it is told", died, refuses(2), "two were made for it", 0},
		{"the station died, and it is made again", died, again, "the key server makes it once more", 0},
	} {
		bubble(t, c.name, func(t *testing.T) {
			l, chip := c.begin(t)
			c.lie(l.engine.o.Signer.(*oracle))
			sent, n := signedFrames(l), 0
			r := signedRecipe(t, signedRecipeSteps)
			for range 2 {
				if res := l.want(l.run(r, "1", "S1"), ledger.Interrupted, "relay-unknown"); !strings.Contains(res.Message, c.says) {
					t.Error(res.Message)
				}
			}
			l.closeForRework(t)
			l.want(l.run(r, "1", "S1"), ledger.Refused, "relay-before")
			for _, f := range *sent {
				if bytes.HasPrefix(f, []byte("\xF2\x00")) {
					n++
				}
			}
			if n != c.sent || chip.Counters()[nor.CountProtect] != uint64(n) {
				t.Errorf("it was sent %d times and took effect %d times, want %d", n, chip.Counters()[nor.CountProtect], c.sent)
			}
		})
	}
}

// A step has the same one-way command for two places, of which the simulated chip does one. Whether or not the first answer is lost, the key server that goes on to the other place makes nothing
// once more: it is sent, and the chip's refusal is told.
func TestOneWayCommandForAnotherPlace(t *testing.T) {
	for _, lost := range []int{0, 6} {
		bubble(t, strconv.Itoa(lost), func(t *testing.T) {
			o := newOracle()
			o.steps[4] = []signedOp{{name: "protect", at: 0x10000, n: 64 << 10, one: true}, {name: "protect", at: 0x20000, n: 64 << 10, one: true}}
			l := newSignedLine(t, o)
			chip := authenta(t, 1)
			chip.SetFaults(nor.Faults{ACRTM: nor.ACRTMFaults{LoseAnswer: lost}})
			l.socket.put("1", chip)
			sent := signedFrames(l)
			res := l.want(l.run(signedRecipe(t, signedRecipeSteps), "1", "S1"), ledger.Fail, "relay-refused")
			if byCounter := strings.Contains(res.Message, "protect, told by the counter"); byCounter != (lost > 0) {
				t.Error(res.Message)
			}
			places := map[string]int{}
			for _, f := range *sent {
				if bytes.HasPrefix(f, []byte("\xF2\x00")) {
					places[string(f[12:16])]++
				}
			}
			if places["\x00\x01\x00\x00"] != 1 || places["\x00\x02\x00\x00"] == 0 || chip.Counters()[nor.CountProtect] != 1 {
				t.Errorf("sent for %v, %d took effect", places, chip.Counters()[nor.CountProtect])
			}
		})
	}
}

// The answer to a one-way command was lost and the key server agreed; then what earlier steps left reads wrong. That it took effect is known: the same recipe may rework the chip, and does not
// send it again; another recipe is refused.
func TestReworkBehindAnAgreement(t *testing.T) {
	r := signedRecipe(t, strings.Replace(signedRecipeSteps, "[protect]", "[erase, protect]", 1))
	for _, same := range []bool{true, false} {
		bubble(t, strconv.FormatBool(same), func(t *testing.T) {
			o := newOracle()
			all := o.steps[4]
			o.steps[4] = append([]signedOp{{name: "erase", at: settingsAt}}, all...)
			l := newSignedLine(t, o)
			chip := authenta(t, 1)
			chip.SetFaults(nor.Faults{ACRTM: nor.ACRTMFaults{LoseAnswer: 7}})
			l.socket.put("1", chip)
			l.want(l.run(r, "1", "S1"), ledger.Fail, "verify-mismatch")
			if n := chip.Counters()[nor.CountProtect]; n != 1 {
				t.Fatalf("%d took effect", n)
			}
			o.steps[4] = all
			l.permit("S1", ledger.SameChip)
			if !same {
				if res := l.want(l.run(signedRecipe(t, signedRecipeSteps), "1", "S1"), ledger.Refused, "relay-before"); !strings.Contains(res.Message, "has done protect for ever") {
					t.Error(res.Message)
				}
				return
			}
			sent, n := signedFrames(l), 0
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			for _, f := range *sent {
				if bytes.HasPrefix(f, []byte("\xF2\x00")) {
					n++
				}
			}
			if n != 0 || chip.Counters()[nor.CountProtect] != 1 {
				t.Errorf("it was sent %d times more", n)
			}
		})
	}
}
