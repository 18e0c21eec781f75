package provision

import (
	"bytes"
	"strings"
	"testing"

	"station/ledger"
	"station/recipes"
	"station/sim/nor"
	"station/spi"
)

// In each row a chip, or the disk under the escrow, tells something else than is so: what one guard of the permanent steps is for.
// Without that guard the row fails.
func TestGuardsOfPermanentSteps(t *testing.T) {
	// answer changes what frames that begin with prefix read, while when says so.
	answer := func(l *line, prefix []byte, change func(in []byte)) {
		l.socket.after = func(_ string, f spi.Frame) error {
			if bytes.HasPrefix(f.Out, prefix) && len(f.In) > 0 {
				change(f.In)
			}
			return nil
		}
	}
	committed := func(l *line, kind string) bool {
		for _, rec := range l.books.records {
			if rec.Entry.Body.Kind() == kind {
				return true
			}
		}
		return false
	}
	for _, c := range []struct {
		name    string
		death   string // the station dies here first; "" for never
		lie     func(l *line, chip *nor.Chip)
		outcome ledger.Outcome
		cause   string
		never   string // of the chip's counters: did not take effect
	}{
		{"the root key's escrow reads back otherwise", "", func(l *line, _ *nor.Chip) {
			l.books.reads = func(_ int, text []byte) []byte { return append(bytes.Clone(text), '.') }
		}, ledger.Error, "escrow", nor.CountRootKey},
		{"the root key's escrow reads back as nothing sealed", "", func(l *line, _ *nor.Chip) {
			l.engine.o.Secrets.(*vault).spoilt = true
		}, ledger.Error, "escrow", nor.CountRootKey},
		{"the password's escrow reads back otherwise", "", func(l *line, _ *nor.Chip) {
			l.books.reads = func(n int, text []byte) []byte {
				if n == 3 { // after those of two root keys
					return text[1:]
				}
				return text
			}
		}, ledger.Error, "escrow", nor.CountPassword},
		{"the password reads back as another", "", func(l *line, chip *nor.Chip) {
			answer(l, []byte{0x27}, func(in []byte) {
				if committed(l, ledger.KindPasswordProven) {
					t.Error("a password was proven that does not read back")
				} else if chip.Counters()[nor.CountPassword] > 0 {
					in[0] ^= 1
				}
			})
		}, ledger.Interrupted, "password-torn", nor.CountSectorProtection},
		{"the password changes once it is proven", "", func(l *line, _ *nor.Chip) {
			answer(l, []byte{0x27}, func(in []byte) {
				if committed(l, ledger.KindPasswordProven) {
					in[0] ^= 1
				}
			})
		}, ledger.Interrupted, "password-torn", nor.CountSectorProtection},
		{"password mode still tells", "", func(l *line, chip *nor.Chip) {
			answer(l, []byte{0x27}, func(in []byte) {
				if pw := chip.Password(); committed(l, ledger.KindModeIntent) {
					copy(in, pw[:])
				}
			})
		}, ledger.Fail, "password-readable", ""},
		{"the register holds what no recipe leaves", "", func(l *line, _ *nor.Chip) {
			answer(l, []byte{0x2D}, func(in []byte) { copy(in, []byte{0xF9, 0xFF}) })
		}, ledger.Interrupted, "protection-register", nor.CountRootKey},
		{"password mode without its intent", "before the commit of mode.intent", func(_ *line, chip *nor.Chip) {
			frames(chip, []byte{0x06}, []byte{0x2C, 0xFB, 0xFF})
		}, ledger.Interrupted, "password-mode-foreign", ""},
		{"a proven password is gone", "after the commit of password.proven", func(_ *line, chip *nor.Chip) {
			chip.SetFaults(nor.Faults{PasswordReadsFF: true})
		}, ledger.Interrupted, "password-lost", nor.CountSectorProtection},
		{"a proven mode is gone", "after the commit of mode.proven", func(_ *line, chip *nor.Chip) {
			chip.SetFaults(nor.Faults{SPRReadsFFFF: true})
		}, ledger.Fail, "mode-lost", ""},
		{"another verifier key", "after 28 program password", func(l *line, _ *nor.Chip) {
			l.engine.o.Secrets.(*vault).verifier = "another"
		}, ledger.Error, "keyring", nor.CountSectorProtection},
		{"the ledger does not tell the tag", "after 28 program password", func(l *line, _ *nor.Chip) {
			clear(l.books.notes)
		}, ledger.Error, "ledger", nor.CountSectorProtection},
		{"the counter's reply is signed otherwise", "", func(l *line, _ *nor.Chip) {
			answer(l, []byte{0x96}, func(in []byte) {
				if len(in) == 49 {
					in[48] ^= 1
				}
			})
		}, ledger.Interrupted, "root-key-foreign", nor.CountPassword},
		{"the key is refused over a bad contact", "", func(l *line, _ *nor.Chip) {
			n := 0
			l.socket.after = func(_ string, f spi.Frame) error {
				switch {
				case f.Out[0] == 0x96 && committed(l, ledger.KindRootKeyIntent):
					f.In[0] = 0x04
				case f.Out[0] == 0x05 && n > 0 && len(f.In) == 1:
					f.In[0] ^= byte(n) & 0x40 // only Contact reads one byte of it in a row
					n += 0x40
				}
				if bytes.HasPrefix(f.Out, []byte{0x9B, 1}) {
					n = 1
				}
				return nil
			}
		}, ledger.Error, "", nor.CountPassword},
	} {
		bubble(t, c.name, func(t *testing.T) {
			l := newSecretLine(t, newVault())
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			r := secretRecipe(t, secretSteps)
			if c.death != "" {
				l, chip = die(t, r, c.death)
			}
			c.lie(l, chip)
			res := l.run(r, "1", "S1")
			if res.Outcome != c.outcome || c.cause != "" && res.Cause != c.cause || c.cause == "" && !strings.HasPrefix(res.Cause, "contact") {
				t.Errorf("%s %q (%s; %v), want %s %q", res.Outcome, res.Cause, res.Message, res.Err, c.outcome, c.cause)
			}
			if c.never != "" && chip.Counters()[c.never] != 0 {
				t.Errorf("%s took effect", c.never)
			}
			if res.Next == "" || strings.Contains(res.Next, "cable") {
				t.Errorf("the next action is %q", res.Next)
			}
		})
	}
}

// A chip that refuses a good packet once, or loses its volatile key in between, is asked again.
func TestRootKeyIsAskedAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		packet byte // of OP1
		status byte // what the chip answers to the first of them
	}{{"update refused once", 1, 0x04}, {"request without a key once", 3, 0x08}} {
		bubble(t, c.name, func(t *testing.T) {
			v := newVault()
			l := newSecretLine(t, v)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			sent, updates := 0, 0
			last := byte(0)
			l.socket.after = func(_ string, f spi.Frame) error {
				switch {
				case f.Out[0] == 0x9B:
					if last = f.Out[1]; last == c.packet {
						sent++
					}
					if last == 1 && f.Out[2] == 0 {
						updates++
					}
				case f.Out[0] == 0x96 && last == c.packet && sent == 1:
					f.In[0] = c.status
				}
				return nil
			}
			l.want(l.run(secretRecipe(t, noCounter), "1", "S1"), ledger.Pass, "")
			if updates != 2 {
				t.Errorf("%d update packets for counter 0, want 2", updates)
			}
		})
	}
}

// noCounter is secretSteps without what else talks to counters.
var noCounter = strings.Replace(strings.Replace(secretSteps, "  - counter: {index: 0, to: 2}\n", "", 1), "[root_key, counter, password]", "[root_key, password]", 1)

// What could be used to ask the chip about its key is deleted when the question is answered.
func TestPacketsAreForgotten(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		l := newSecretLine(t, newVault())
		l.socket.put("1", authenta(t, 1))
		seen := 0
		l.books.after = func(c ledger.Change) error {
			for _, b := range c.Bodies {
				if b.Kind() != ledger.KindRootKeyProven && b.Kind() != ledger.KindRootKeyVoid {
					continue
				}
				seen++
				for name := range l.books.notes {
					if strings.Contains(name, "root_key") {
						t.Errorf("note %s is kept after %s", name[16:], b.Kind())
					}
				}
			}
			return nil
		}
		once := false
		l.socket.before = func(_ string, f spi.Frame) error {
			if bytes.HasPrefix(f.Out, []byte{0x9B, 0}) && !once {
				once = true
				f.Out[40] ^= 1 // on its way the signature breaks: the chip takes no key, and the intent is void
			}
			return nil
		}
		l.want(l.run(secretRecipe(t, secretSteps), "1", "S1"), ledger.Pass, "")
		if seen != 3 {
			t.Errorf("%d proofs and voids, want 3", seen)
		}
	})
}

// A trial of a unit whose permanent steps have begun would settle a run whose proof is still needed.
func TestTrialOfAnOpenRun(t *testing.T) {
	for _, death := range []string{"after 9B 00 root key", "after the commit of root_key.proven", "after 28 program password", "after the commit of mode.proven"} {
		bubble(t, death, func(t *testing.T) {
			r := secretRecipe(t, secretSteps)
			l, chip := die(t, r, death)
			l.want(l.engine.Run(t.Context(), Order{Recipe: r, Serial: "S1", Slot: "1", Trial: true}), ledger.Refused, "open-run")
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			reconcile(t, l, l.engine.o.Secrets.(*vault), chip)
		})
	}
}

// A chip in persistent mode that this run did not bring there is for a person to decide, and a run that did goes on.
func TestPersistentModeFromElsewhere(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		r := secretRecipe(t, "  - erase: {regions: [boot]}\n  - persistent_protection\npermanent: [persistent_protection]\n")
		l := newSecretLine(t, newVault())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		frames(chip, []byte{0x06}, []byte{0x2C, 0xFD, 0xFF})
		l.want(l.run(r, "1", "S1"), ledger.Interrupted, "persistent-mode-foreign")

		l = newSecretLine(t, newVault())
		l.socket.put("1", authenta(t, 2))
		l.socket.after = func(_ string, f spi.Frame) error {
			if f.Out[0] == 0x2C {
				return errUnplugged
			}
			return nil
		}
		l.want(l.run(r, "1", "S1"), ledger.Error, "fixture")
		l.revive()
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	})
}

// pointOf numbers the first point of a run of the recipe that is called label.
func pointOf(t *testing.T, r *recipes.Recipe, label string) int {
	t.Helper()
	for at := 1; ; at++ {
		if _, _, death := dieAt(t, r, at); death.label == label {
			return at
		} else if !death.dead {
			t.Fatalf("no point is called %q", label)
		}
	}
}

// die runs the recipe on a new line until the station dies at the point called label, and revives it.
func die(t *testing.T, r *recipes.Recipe, label string) (*line, *nor.Chip) {
	t.Helper()
	l, chip, _ := dieAt(t, r, pointOf(t, r, label))
	return l, chip
}

func dieAt(t *testing.T, r *recipes.Recipe, at int) (*line, *nor.Chip, *reaper) {
	t.Helper()
	l := newSecretLine(t, newVault())
	chip := authenta(t, 1)
	l.socket.put("1", chip)
	death := &reaper{at: at}
	death.watch(l)
	l.run(r, "1", "S1")
	l.revive()
	return l, chip, death
}
