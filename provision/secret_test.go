package provision

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"station/ledger"
)

// keeperError is what a keeper of keys says that does not answer.
type keeperError struct{ server bool }

func (e keeperError) Error() string   { return "no answer" }
func (e keeperError) KeyServer() bool { return e.server }

// Whichever question to the keys is not answered, and whoever does not answer it: the run is an ERROR that blames no unit and names the keeper, nothing permanent
// is done behind it, and the same scan with the keys back passes, with every permanent command done once.
func TestKeysThatDoNotAnswer(t *testing.T) {
	r := secretRecipe(t, secretSteps)
	questions := 0
	bubble(t, "all answer", func(t *testing.T) {
		v := newVault()
		l := newSecretLine(t, v)
		l.socket.put("1", authenta(t, 1))
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		questions = v.calls
	})
	if questions < 10 {
		t.Fatalf("a run asked for keys %d times", questions)
	}
	for at := 1; at <= questions; at++ {
		for cause, silence := range map[string]error{"keyring": errors.New("unplugged"), "key-server": keeperError{true}} {
			bubble(t, fmt.Sprintf("%s, question %d", cause, at), func(t *testing.T) {
				v := newVault()
				l := newSecretLine(t, v)
				chip := authenta(t, 1)
				l.socket.put("1", chip)
				var then map[string]uint64
				v.silent = func(call int) error {
					if call < at {
						return nil
					}
					if call == at {
						then = maps.Clone(chip.Counters())
					}
					return fmt.Errorf("asking: %w", silence)
				}
				l.want(l.run(r, "1", "S1"), ledger.Error, cause)
				if now := chip.Counters(); !maps.Equal(then, now) {
					t.Errorf("permanent commands went on: %v, and %v when the keys fell silent", now, then)
				}
				v.silent = nil
				l.want(l.run(r, "1", "S1"), ledger.Pass, "")
				reconcile(t, l, v, chip)
			})
		}
	}
}

// The same where a rework is to open the chip: whether the file is good nobody can tell, so it is not refused.
func TestKeysThatDoNotOpenAnUnlock(t *testing.T) {
	r := secretRecipe(t, secretSteps)
	for at := 1; ; at++ {
		done := false
		bubble(t, fmt.Sprintf("question %d", at), func(t *testing.T) {
			v := newVault()
			l := newSecretLine(t, v)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			before := permanentOf(chip)
			unlock := l.reseal(v, "S1", l.permit("S1", ledger.SameChip))
			first := v.calls
			v.silent = func(call int) error {
				if call < first+at {
					return nil
				}
				return keeperError{server: true}
			}
			res := l.unlocked(r, "1", "S1", unlock)
			if res.Outcome == ledger.Pass {
				done = true
				return
			}
			l.want(res, ledger.Error, "key-server")
			v.silent = nil
			l.want(l.unlocked(r, "1", "S1", unlock), ledger.Pass, "")
			if after := permanentOf(chip); !maps.Equal(before, after) {
				t.Errorf("one-way effects %v, before the rework %v", after, before)
			}
		})
		if done {
			if at < 4 {
				t.Errorf("a rework asked for keys %d times", at-1)
			}
			return
		}
		if t.Failed() {
			return
		}
	}
}
