package provision

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"station/ledger"
	"station/spi"
)

const masterSteps = `  - write: {region: boot, image: boot}
  - lock: {regions: [boot], bits: nonvolatile}
  - root_key: {index: 0, key: {derive: line/root}, escrow: [audit]}
  - counter: {index: 0, to: 2}
permanent: [root_key, counter]
`

// forget makes the entries so far those of a version that told no fingerprints.
func (a *account) forget() {
	for i, rec := range a.records {
		if b, is := rec.Entry.Body.(ledger.RootKeyIntent); is {
			b.Master = ""
			a.records[i].Entry.Body = b
		}
	}
}

// A master key that is not the one of the units before is the station's fault: nothing that stays is done to a chip, nobody is condemned, and with the right
// one the unit passes. Where the ledger tells no fingerprint, the chip says so itself, before its locks are taken away.
func TestAnotherMaster(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  string // nothing; S1 passes and is permitted a rework; or the station dies at this command or entry of S1
		forget  bool
		serial  string
		entries int // that the ERROR leaves; where the chip has to tell, the run was taken up
	}{
		{"a new unit", "", false, "S2", 1},
		{"a rework", "rework", false, "S1", 1},
		{"a resume at the counter", "increment", false, "S1", 1},
		{"a resume before the key", ledger.KindRootKeyIntent, false, "S1", 1},
		{"a rework, no fingerprint", "rework", true, "S1", 1},
		{"a resume at the counter, no fingerprint", "increment", true, "S1", 5},
	} {
		bubble(t, c.name, func(t *testing.T) {
			v := newVault()
			l := newSecretLine(t, v)
			r := secretRecipe(t, masterSteps)
			l.socket.put("1", authenta(t, 9))
			l.want(l.run(r, "1", "S9"), ledger.Pass, "") // whose entry tells the fingerprint
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			switch c.before {
			case "":
			case "rework":
				l.want(l.run(r, "1", "S1"), ledger.Pass, "")
				l.permit("S1", ledger.SameChip)
			default:
				dead := false
				die := func(here bool) error {
					if dead = dead || here; dead {
						return errDead
					}
					return nil
				}
				l.socket.before = func(_ string, f spi.Frame) error {
					return die(c.before == "increment" && bytes.HasPrefix(f.Out, []byte{0x9B, 2}))
				}
				l.books.before = func(ch ledger.Change) error { return die(c.before == ch.Bodies[0].Kind()) }
				if l.run(r, "1", "S1"); !dead {
					t.Fatal("it did not die")
				}
				l.revive()
			}
			if c.forget {
				l.books.forget()
			}
			v.replaced = "another "
			before, entries := permanentOf(chip), len(l.books.records)
			packets := 0
			l.socket.before = func(_ string, f spi.Frame) error {
				if f.Out[0] == 0x9B {
					packets++
				}
				return nil
			}
			res := l.want(l.run(r, "1", c.serial), ledger.Error, "keyring")
			l.socket.before = nil
			if want := map[bool]int{true: attempts}[c.forget]; packets != want {
				t.Errorf("%d packets with a key's signature, want %d", packets, want)
			}
			if !strings.Contains(res.Message, `master "line/root"`) || !strings.Contains(res.Message, "restore its file from the copy of the keys") {
				t.Error(res.Message)
			}
			if after := permanentOf(chip); !maps.Equal(before, after) {
				t.Errorf("%v, before %v", after, before)
			}
			if n := len(l.books.records) - entries; n != c.entries {
				t.Errorf("%d entries, want %d", n, c.entries)
			}
			v.replaced = ""
			l.want(l.run(r, "1", c.serial), ledger.Pass, "")
			for _, run := range l.books.all() {
				for _, rec := range run.Records {
					b, is := rec.Entry.Body.(ledger.RootKeyIntent)
					if want, _ := v.Master("line/root"); is && b.Master != want && !c.forget {
						t.Errorf("%s: fingerprint %q, want %q", run.Serial, b.Master, want)
					}
				}
			}
		})
	}
}

// A chip that does not take its key, though the master is the right one, is a person's to decide; one garbled packet is sent again, and a bad contact is none of the chip's.
func TestRootKeyRefusedLater(t *testing.T) {
	for _, c := range []struct {
		times   int
		contact byte // bits of the status register that flicker from the first update on
		out     ledger.Outcome
		cause   string
	}{{1, 0, ledger.Pass, ""}, {1 << 30, 0, ledger.Interrupted, "root-key-foreign"}, {1 << 30, 0x40, ledger.Error, "contact-unstable"}} {
		bubble(t, string(c.out), func(t *testing.T) {
			l := newSecretLine(t, newVault())
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			r := secretRecipe(t, masterSteps)
			l.want(l.run(r, "1", "S1"), ledger.Pass, "")
			l.permit("S1", ledger.SameChip)
			before := permanentOf(chip)
			n, update, flicker := 0, false, byte(0)
			l.socket.after = func(_ string, f spi.Frame) error {
				switch {
				case bytes.HasPrefix(f.Out, []byte{0x9B}):
					if update = f.Out[1] == 1; update {
						n++
					}
				case f.Out[0] == 0x96 && update && n <= c.times:
					f.In[0] = 0x04
				case f.Out[0] == 0x05 && n > 0 && len(f.In) == 1:
					f.In[0] ^= flicker & c.contact
					flicker += 0x40
				}
				return nil
			}
			l.want(l.run(r, "1", "S1"), c.out, c.cause)
			if c.out == ledger.Interrupted && n != attempts {
				t.Errorf("asked %d times", n)
			}
			if after := permanentOf(chip); c.out != ledger.Pass && !maps.Equal(before, after) {
				t.Errorf("%v, before %v", after, before)
			}
			if c.out != ledger.Pass && count[ledger.LocksErased](l.lastRun()) != 0 {
				t.Error("the locks were taken away first")
			}
		})
	}
}

// A master that was retired gives no chip a key any more; one that has its key from it goes on.
func TestRetiredMaster(t *testing.T) {
	const atIntent, afterIntent, atCounter = "at the intent", "after the intent", "at the counter"
	for _, c := range []struct {
		name, before string // nothing; S1 passes and is permitted a rework on the same chip, or a new one; or the station dies there
		outcome      ledger.Outcome
		cause        string
	}{
		{"a new unit", "", ledger.Refused, "master-retired"},
		{"a rework", ledger.SameChip, ledger.Pass, ""},
		{"a rework with a new chip", ledger.NewChip, ledger.Refused, "master-retired"},
		{"a resume before the key", atIntent, ledger.Refused, "master-retired"},
		{"a resume with a key that may be there", afterIntent, ledger.Pass, ""},
		{"a resume at the counter", atCounter, ledger.Pass, ""},
	} {
		bubble(t, c.name, func(t *testing.T) {
			l := newSecretLine(t, newVault())
			r := secretRecipe(t, masterSteps)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			switch c.before {
			case "":
			case ledger.SameChip, ledger.NewChip:
				l.want(l.run(r, "1", "S1"), ledger.Pass, "")
				l.permit("S1", c.before)
				if c.before == ledger.NewChip {
					chip = authenta(t, 2)
					l.socket.put("1", chip)
				}
			default:
				dead := false
				die := func(here bool) error {
					if dead = dead || here; dead {
						return errDead
					}
					return nil
				}
				l.socket.before = func(_ string, f spi.Frame) error {
					return die(c.before == atCounter && bytes.HasPrefix(f.Out, []byte{0x9B, 2}))
				}
				l.books.before = func(ch ledger.Change) error {
					return die(c.before == atIntent && ch.Bodies[0].Kind() == ledger.KindRootKeyIntent)
				}
				if c.before == afterIntent {
					l.socket.before = func(_ string, f spi.Frame) error { return die(bytes.HasPrefix(f.Out, []byte{0x9B, 1})) } // the key is there
				}
				if l.run(r, "1", "S1"); !dead {
					t.Fatal("it did not die")
				}
				l.revive()
				l.socket.before, l.books.before = nil, nil
			}
			l.books.retired = map[string]bool{"line/root": true}
			before := permanentOf(chip)
			res := l.want(l.run(r, "1", "S1"), c.outcome, c.cause)
			if after := permanentOf(chip); c.cause != "" && !maps.Equal(before, after) {
				t.Errorf("%v, before %v", after, before)
			}
			if c.cause != "" && !strings.Contains(res.Message, "line/root was retired") {
				t.Error(res.Message)
			}
		})
	}
	// It is retired while the run is at work: no intent, and no key.
	bubble(t, "in mid-run", func(t *testing.T) {
		l := newSecretLine(t, newVault())
		r := secretRecipe(t, masterSteps)
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		l.books.after = func(ch ledger.Change) error {
			if ch.Bodies[0].Kind() == ledger.KindRunStart {
				l.books.retired = map[string]bool{"line/root": true}
			}
			return nil
		}
		before := permanentOf(chip)
		l.want(l.run(r, "1", "S1"), ledger.Error, "keyring")
		if after := permanentOf(chip); !maps.Equal(before, after) {
			t.Errorf("%v, before %v", after, before)
		}
		for _, rec := range l.books.records {
			if rec.Entry.Body.Kind() == ledger.KindRootKeyIntent {
				t.Error("it intended a key")
			}
		}
		l.want(l.run(r, "1", "S1"), ledger.Refused, "master-retired")
	})
}
