package provision

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"station/ledger"
	"station/sim/nor"
)

// backup is what an account was at one moment.
type backup struct {
	records       []ledger.Record
	escrow, notes map[string][]byte
}

// keepBackups has a line make a backup before its first entry and after each.
func keepBackups(l *line) *[]backup {
	all := &[]backup{{}}
	then := l.books.after
	l.books.after = func(c ledger.Change) error {
		*all = append(*all, backup{slices.Clone(l.books.records), maps.Clone(l.books.escrow), maps.Clone(l.books.notes)})
		if then != nil {
			return then(c)
		}
		return nil
	}
	return all
}

// restore has a line go on from a backup, as after station.epoch.
func (l *line) restore(b backup) {
	l.revive()
	l.books.records, l.books.escrow, l.books.notes = slices.Clone(b.records), maps.Clone(b.escrow), maps.Clone(b.notes)
	if l.books.escrow == nil {
		l.books.escrow, l.books.notes = map[string][]byte{}, map[string][]byte{}
	}
	l.engine.o.Lost = int64(len(b.records)) + firstIndex
}

// The station's disk dies after each entry of a run with all kinds of permanent steps, and the ledger goes on from a backup of each moment before. The same
// order ends in PASS only where every secret on the chip opens from what the backup has; else it is refused, or a person decides. Nothing takes
// effect twice in any case.
func TestRestoredFromBackup(t *testing.T) {
	r := secretRecipe(t, secretSteps)
	outcomes := map[string]int{}
	bubble(t, "", func(t *testing.T) {
		for died := 1; ; died++ {
			entries := 0
			for at := 0; at <= died; at++ {
				v := newVault()
				l := newSecretLine(t, v)
				chip := authenta(t, 1)
				l.socket.put("1", chip)
				l.books.after = func(ledger.Change) error {
					if len(l.books.records) >= died {
						l.books.fail = errDead
						return errDead
					}
					return nil
				}
				all := keepBackups(l)
				l.run(r, "1", "S1")
				entries = len(l.books.records)
				l.books.fail = nil
				if at >= len(*all) {
					break
				}
				l.restore((*all)[at])
				res := l.run(r, "1", "S1")
				outcomes[fmt.Sprint(res.Outcome, " ", res.Cause)]++
				what := fmt.Sprintf("died after entry %d, backup of %d: %s %s (%s, %v)", died, at, res.Outcome, res.Cause, res.Message, res.Err)
				switch {
				case res.Outcome == ledger.Pass:
					reconcile(t, l, v, chip)
				case res.Outcome != ledger.Refused && res.Outcome != ledger.Interrupted:
					t.Error(what)
				case res.Next == "":
					t.Error(what + ": no next action")
				}
				for what, most := range map[string]uint64{nor.CountPassword: 1, nor.CountSectorProtection: 1, nor.CountRootKey: 2, nor.CountIncrement: 2} {
					if n := chip.Counters()[what]; n > most {
						t.Errorf("%s took effect %d times", what, n)
					}
				}
				if t.Failed() {
					t.Fatal(what)
				}
			}
			if entries < died {
				break // the run had no more
			}
		}
	})
	t.Log(outcomes)
	for _, want := range []string{"PASS ", "REFUSED quarantined", "INTERRUPTED password-mode-foreign", "INTERRUPTED root-key-foreign"} {
		if outcomes[want] == 0 {
			t.Errorf("never %s: %v", want, outcomes)
		}
	}
}

// A unit in quarantine waits for its own chip, and for nothing less than a whole run; when it was seen, quarantine is over.
func TestQuarantine(t *testing.T) {
	r := secretRecipe(t, secretSteps)
	bubble(t, "", func(t *testing.T) {
		l, chip := die(t, r, "before the commit of root_key.intent")
		l.engine.o.Lost = int64(len(l.books.records)) + firstIndex
		l.socket.put("2", authenta(t, 2))
		res := l.want(l.run(r, "2", "S1"), ledger.Refused, "quarantined")
		if uid := l.books.all()[0].Start.Chip.UID; !strings.Contains(res.Message, uid) || !strings.Contains(res.Next, "unit close") {
			t.Errorf("%s %s", res.Message, res.Next)
		}
		trial := Order{Recipe: r, Serial: "S1", Slot: "1", Operator: "op-1", Trial: true}
		l.want(l.engine.Run(t.Context(), trial), ledger.Refused, "quarantined")
		if run := l.books.all()[0]; !run.Quarantined(l.engine.o.Lost) {
			t.Error("it left the quarantine unseen")
		}
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		if n := chip.Counters()[nor.CountPassword]; n != 1 {
			t.Errorf("the password took effect %d times", n)
		}
		// Another unit, of which the ledger knows nothing, and whose chip is fresh, is not held up.
		l.want(l.run(r, "2", "S2"), ledger.Pass, "")
	})
}

// A chip that nobody knows and that is not fresh is refused where entries may be missing, before anything is sent to change it.
func TestNotFresh(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps string
		frame [][]byte
		says  string
	}{
		{"a lock where nothing is written", secretSteps, [][]byte{{0x06}, {0xE3, 0, 0x50, 0, 0}}, "0x500000 is locked"},
		{"a password", secretSteps, [][]byte{{0x06}, {0x28, 1, 2, 3, 4, 5, 6, 7, 8}}, "password that this station did not write"},
		{"a protection mode", secretSteps, [][]byte{{0x06}, {0x2C, 0xFD, 0xFF}}, "the other mode was chosen"},
		{"an OTP area", "  - erase: {regions: [boot]}\n  - otp: {fields: [{text: serial, size: 8, pad: 0x20}], lock: false}\npermanent: [otp]\n",
			[][]byte{{0x06}, append([]byte{0x42, 0, 0, 0}, "S1      "...)}, "OTP area is written"},
	} {
		for _, lost := range []int64{0, 1} {
			bubble(t, fmt.Sprint(c.name, ", lost ", lost), func(t *testing.T) {
				l := newSecretLine(t, newVault())
				chip := authenta(t, 1)
				frames(chip, c.frame...)
				chip.Power(false)
				chip.Power(true)
				l.socket.put("1", chip)
				l.engine.o.Lost = lost
				before := chip.Counters()
				res := l.run(recipeFor(t, "MT25QL128ABB", 1, c.steps), "1", "S1")
				if lost == 0 {
					if res.Cause == "quarantined" {
						t.Errorf("nothing is missing: %s", res.Message)
					}
					return
				}
				l.want(res, ledger.Refused, "quarantined")
				if !strings.Contains(res.Message, c.says) || !strings.Contains(res.Message, "before entry 1 may be missing") {
					t.Errorf("%s", res.Message)
				}
				if !maps.Equal(before, chip.Counters()) || len(l.books.all()) != 1 || l.books.all()[0].Start != nil {
					t.Error("it was touched")
				}
			})
		}
	}
}
