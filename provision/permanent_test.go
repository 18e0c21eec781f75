package provision

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"station/flash"
	"station/ledger"
	"station/recipes"
	"station/sim/nor"
	"station/spi"
)

var update = flag.Bool("update", false, "write the golden files")

// vault is a Secrets whose auditor is the test: it opens what was sealed.
type vault struct {
	mu       sync.Mutex
	n        byte
	verifier string               // key of the tags
	replaced string               // what makes every master key another one
	spoilt   bool                 // what was sealed looks like nothing sealed
	opened   map[string][]byte    // ciphertext -> secret
	calls    int                  // of what asks for keys
	silent   func(call int) error // what such a call fails with; nil for never
}

// answers is what a call that asks for keys begins with.
func (v *vault) answers() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	if v.silent == nil {
		return nil
	}
	return v.silent(v.calls)
}

func newVault() *vault { return &vault{opened: map[string][]byte{}} }

func (v *vault) Random(n int, use func([]byte) error) error {
	if err := v.answers(); err != nil {
		return err
	}
	v.mu.Lock()
	v.n++
	sum := sha256.Sum256([]byte{v.n})
	v.mu.Unlock()
	return use(sum[:n])
}

func (v *vault) Derived(master string, of KeyOf, use func([]byte) error) error {
	if err := v.answers(); err != nil {
		return err
	}
	return use(hmacOf(v.replaced+master, fmt.Sprint(of)))
}

func (v *vault) Master(name string) (string, error) {
	if err := v.answers(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hmacOf(v.replaced+name, "fingerprint"))[:16], nil
}

func hmacOf(key, message string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(message))
	return h.Sum(nil)
}

func (v *vault) Seal(groups []string, secret []byte) ([]byte, []ledger.Recipient, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	sum := sha256.Sum256(append([]byte("sealed"), secret...))
	text := append([]byte("sealed "), sum[:]...)
	v.opened[string(text)] = bytes.Clone(secret)
	var to []ledger.Recipient
	for _, g := range groups {
		to = append(to, ledger.Recipient{Group: g, Fingerprint: "sha256:" + g})
	}
	return text, to, nil
}

func (v *vault) CheckSealed(text []byte, recipients int) error {
	if !bytes.HasPrefix(text, []byte("sealed ")) || recipients != 1 || v.spoilt {
		return errors.New("not sealed")
	}
	return nil
}

// OpenUnlock opens what a test sealed: "unlock serial uid escrow permit password".
func (v *vault) OpenUnlock(sealed []byte, use func(UnlockOf, []byte) error) error {
	if err := v.answers(); err != nil {
		return err
	}
	var of UnlockOf
	var secret []byte
	if n, err := fmt.Sscanf(string(sealed), "unlock %s %s %s %d %x", &of.Serial, &of.UID, &of.Escrow, &of.Permit, &secret); n != 5 {
		return fmt.Errorf("not sealed to this station: %w", err)
	}
	defer clear(secret)
	return use(of, secret)
}

func (v *vault) Tag(uid, escrow string, secret []byte) ([]byte, error) {
	if err := v.answers(); err != nil {
		return nil, err
	}
	return hmacOf("verifier"+v.verifier, uid+escrow+string(secret)), nil
}

// secretRecipe gives every kind of permanent step that goes together.
const secretSteps = `  - write: {region: boot, image: boot}
  - lock: {regions: [boot], bits: nonvolatile}
  - root_key: {index: 0, key: {derive: line/root}, escrow: [audit]}
  - root_key: {index: 1, key: {random: per-unit}, escrow: [audit]}
  - counter: {index: 0, to: 2}
  - password: {generate: per-unit, escrow: [audit], exercise: reset}
  - check: {locked: [boot], frozen: true}
permanent: [root_key, counter, password]
`

func secretRecipe(t *testing.T, steps string) *recipes.Recipe {
	return recipeFor(t, "MT25QL128ABB", 1, steps)
}

func authenta(t *testing.T, n byte) *nor.Chip {
	t.Helper()
	c, err := nor.New("MT25QL128ABB", [14]byte{n, 7}, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newSecretLine(t *testing.T, v *vault) *line { return newLine(t, Options{Secrets: v}) }

func TestPermanentStepsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault()
		l := newSecretLine(t, v)
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		l.want(l.run(secretRecipe(t, secretSteps), "1", "S1"), ledger.Pass, "")
		reconcile(t, l, v, chip)
		run := l.books.all()[0]
		if run.End.Freeze != "until the password is given" || run.End.After.SPR != "FFFB" {
			t.Errorf("end: %s %s", run.End.Freeze, run.End.After.SPR)
		}
		if p := run.Steps[5].Proof; p != gradeExercised {
			t.Errorf("password proven by %q", p)
		}
		counters := chip.Counters()
		l.want(l.run(secretRecipe(t, secretSteps), "1", "S1"), ledger.Pass, "")
		for k, n := range chip.Counters() {
			if n != counters[k] {
				t.Errorf("%s took effect again on a unit that had passed", k)
			}
		}
	})
}

// reconcile holds a passed chip against the account and the auditor's escrow, and sees that nothing took effect twice.
func reconcile(t *testing.T, l *line, v *vault, chip *nor.Chip) {
	t.Helper()
	secrets := map[string]bool{}
	for _, text := range l.books.escrow {
		secrets[string(v.opened[string(text)])] = true
	}
	if pw := chip.Password(); !secrets[string(pw[:])] {
		t.Error("no escrow opens the password on the chip")
	}
	for i := range 2 {
		if key, ok := chip.RootKey(i); !ok || !secrets[string(key)] {
			t.Errorf("no escrow opens root key %d on the chip", i)
		}
	}
	if chip.SPR() != flash.PasswordMode || !chip.Frozen() || chip.CounterValue(0) != 2 {
		t.Errorf("SPR %04X, frozen %t, counter %d", chip.SPR(), chip.Frozen(), chip.CounterValue(0))
	}
	for what, want := range map[string]uint64{nor.CountPassword: 1, nor.CountSectorProtection: 1, nor.CountRootKey: 2, nor.CountIncrement: 2, nor.CountLock: 2} {
		if n := chip.Counters()[what]; n != want {
			t.Errorf("%s took effect %d times, want %d", what, n, want)
		}
	}
}

var errDead = errors.New("the station is dead")

// reaper kills the station at one point of its way: before or after a durable write, before or after a command reached the chip.
type reaper struct {
	at, n int
	dead  bool
	looks bool // a look at what an authenticated command came to (96) is a point too
	label string
}

func (r *reaper) point(label string) error {
	if r.dead {
		return errDead
	}
	r.n++
	if r.n == r.at {
		r.dead, r.label = true, label
		return errDead
	}
	return nil
}

// commands are the frames whose loss or lost answer matters, by their first bytes.
var commands = []struct {
	bytes []byte
	name  string
}{
	{[]byte{0x28}, "28 program password"}, {[]byte{0x27}, "27 read password"}, {[]byte{0x2C}, "2C program protection register"},
	{[]byte{0x29}, "29 unlock"}, {[]byte{0xA6}, "A6 freeze"}, {[]byte{0x99}, "99 reset"},
	{[]byte{0x9B, 0xF0, 1}, "9B F0 01 measure"}, {[]byte{0x9B, 0xF1, 0}, "9B F1 00 write"}, {[]byte{0x9B, 0xF1, 1}, "9B F1 01 erase"}, {[]byte{0x9B, 0xF2, 0}, "9B F2 00 protect"},
	{[]byte{0x9B, 0}, "9B 00 root key"}, {[]byte{0x9B, 1}, "9B 01 update"}, {[]byte{0x9B, 2}, "9B 02 increment"}, {[]byte{0x9B, 3}, "9B 03 request"},
}

func (r *reaper) watch(l *line) {
	frame := func(when string) func(string, spi.Frame) error {
		return func(_ string, f spi.Frame) error {
			if r.dead {
				return errDead
			}
			if r.looks && f.Out[0] == 0x96 {
				return r.point(when + " 96")
			}
			for _, c := range commands {
				if bytes.HasPrefix(f.Out, c.bytes) {
					return r.point(when + " " + c.name)
				}
			}
			return nil
		}
	}
	change := func(when string) func(ledger.Change) error {
		return func(c ledger.Change) error {
			var kinds []string
			for _, b := range c.Bodies {
				kind := b.Kind()
				if s, ok := b.(ledger.RunStep); ok {
					kind += " " + s.Step
				}
				kinds = append(kinds, kind)
			}
			return r.point(when + " the commit of " + strings.Join(kinds, ", "))
		}
	}
	l.socket.before, l.socket.after = frame("before"), frame("after")
	l.books.before, l.books.after = change("before"), change("after")
}

func (l *line) revive() {
	l.socket.before, l.socket.after, l.books.before, l.books.after = nil, nil, nil, nil
}

// The station dies at every point of a run with all kinds of permanent steps, with the board left powered and with its power lost:
// the same order afterwards ends in PASS, every secret on the chip opens from escrow, and nothing permanent took effect twice.
func TestDeathAtEveryPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := secretRecipe(t, secretSteps)
		var table strings.Builder
		for at := 1; ; at++ {
			var label string
			var row []string
			for _, repower := range []bool{false, true} {
				v := newVault()
				l := newSecretLine(t, v)
				chip := authenta(t, 1)
				l.socket.put("1", chip)
				death := &reaper{at: at}
				death.watch(l)
				first := l.run(r, "1", "S1")
				if !death.dead {
					if first.Outcome != ledger.Pass || at < 100 {
						t.Fatalf("the run has %d points and ends in %s (%v)", at-1, first.Outcome, first.Err)
					}
					golden(t, "testdata/death.golden", table.String())
					return
				}
				label = death.label
				if repower {
					chip.Power(false)
					chip.Power(true)
				}
				l.revive()
				res := l.run(r, "1", "S1")
				if res.Outcome != ledger.Pass {
					t.Errorf("point %d, %s, power lost %t: %s %s (%v)", at, label, repower, res.Outcome, res.Message, res.Err)
				} else {
					reconcile(t, l, v, chip)
				}
				run := l.books.all()[0]
				row = append(row, fmt.Sprintf("%s, %d password and %d key escrows, %s", res.Outcome,
					count[ledger.PasswordIntent](run), count[ledger.RootKeyIntent](run), grade(run)))
				if t.Failed() {
					t.Fatalf("at point %d, %s, power lost %t", at, label, repower)
				}
			}
			fmt.Fprintf(&table, "%-50s powered: %s; re-powered: %s\n", label, row[0], row[1])
		}
	})
}

// The station dies, and dies again at every point of the run that takes up what the first death left: an intent of which the chip learned nothing,
// an intent that was carried out, and a mode that is on without a proof.
func TestDeathWhileResuming(t *testing.T) {
	if testing.Short() {
		t.Skip("some 300 runs, each with two deaths")
	}
	r := secretRecipe(t, secretSteps)
	for _, first := range []string{"after the commit of root_key.intent", "after the commit of password.intent", "after 2C program protection register"} {
		bubble(t, first, func(t *testing.T) {
			voids, begun := 0, pointOf(t, r, first)
			for at := 1; ; at++ {
				l, chip, _ := dieAt(t, r, begun)
				second := &reaper{at: at}
				second.watch(l)
				l.run(r, "1", "S1")
				if !second.dead {
					if at < 20 {
						t.Fatalf("only %d points", at)
					}
					break
				}
				if strings.HasSuffix(second.label, "void") {
					voids++
				}
				if at%2 == 0 {
					chip.Power(false)
					chip.Power(true)
				}
				l.revive()
				if res := l.run(r, "1", "S1"); res.Outcome != ledger.Pass {
					t.Fatalf("then %s: %s %s (%v)", second.label, res.Outcome, res.Message, res.Err)
				}
				reconcile(t, l, l.engine.o.Secrets.(*vault), chip)
			}
			if want := strings.HasSuffix(first, "intent"); want != (voids == 2) {
				t.Errorf("died %d times around a void", voids)
			}
		})
	}
}

func count[B ledger.Body](run ledger.Run) (n int) {
	for _, rec := range run.Records {
		if _, ok := rec.Entry.Body.(B); ok {
			n++
		}
	}
	return n
}

func grade(run ledger.Run) (g string) {
	for _, rec := range run.Records {
		if m, ok := rec.Entry.Body.(ledger.ModeProven); ok {
			g = m.Grade
		}
	}
	return g
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; look at it, then run with -update:\n%s", file, got)
	}
}

// frames sends raw frames to a chip, as somebody else's programmer would.
func frames(c *nor.Chip, frames ...[]byte) {
	for _, f := range frames {
		c.Select()
		c.Shift(f, nil)
		c.Deselect()
	}
}

// bubble is a test of its own in which waiting is free.
func bubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestWhatOnlyAPersonDecides(t *testing.T) {
	foreign := []byte{0x28, 1, 2, 3, 4, 5, 6, 7, 8}
	stolen := [32]byte{9, 9, 9}
	key, err := flash.RootKeyPacket(0x9B, 0, &stolen)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		death  string // dies here first; "" for never
		tamper [][]byte
		cause  string
	}{
		{"foreign password", "", [][]byte{{0x06}, foreign}, "password-foreign"},
		{"torn password", "before 28 program password", [][]byte{{0x06}, foreign}, "password-torn"},
		{"password mode already on", "", [][]byte{{0x06}, {0x2C, 0xFB, 0xFF}}, "password-mode-foreign"},
		{"other mode already on", "", [][]byte{{0x06}, {0x2C, 0xFD, 0xFF}}, "persistent-mode"},
		{"mode on without a proof", "after 28 program password", [][]byte{{0x06}, {0x2C, 0xFB, 0xFF}}, "password-mode-foreign"},
		{"foreign root key", "", [][]byte{key}, "root-key-foreign"},
		{"foreign root key after the intent", "before 9B 00 root key", [][]byte{key}, "root-key-foreign"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			l := newSecretLine(t, newVault())
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			r := secretRecipe(t, secretSteps)
			if c.death != "" {
				l, chip = die(t, r, c.death)
			}
			frames(chip, c.tamper...)
			before := chip.Counters()
			res := l.want(l.run(r, "1", "S1"), ledger.Interrupted, c.cause)
			run := l.books.all()[0]
			if !run.Open() || run.Stuck == nil || run.Stuck.Cause != c.cause || res.Next == "" {
				t.Errorf("the account does not say what is to be decided: %+v", run.Stuck)
			}
			if chip.Counters()[nor.CountSectorProtection] != before[nor.CountSectorProtection] || chip.Counters()[nor.CountPassword] != before[nor.CountPassword] {
				t.Error("a one-way step was taken on a chip that only a person can decide about")
			}
			if c.death == "" && !strings.HasPrefix(c.cause, "root-key") && chip.Counters()[nor.CountRootKey] != 0 {
				t.Error("a root key was burnt into a chip that could have been seen to be foreign")
			}
			l.want(l.run(r, "1", "S1"), ledger.Interrupted, c.cause) // and again, until somebody decides
		})
	}
}

func TestTrialStopsBeforeThePermanent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSecretLine(t, newVault())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		r := secretRecipe(t, secretSteps)
		l.want(l.engine.Run(t.Context(), Order{Recipe: r, Serial: "S1", Slot: "1", Trial: true}), ledger.Trial, "trial")
		if len(l.books.escrow) != 0 || chip.Counters()[nor.CountRootKey] != 0 || chip.Counters()[nor.CountLock] != 2 {
			t.Errorf("a trial went too far or not far enough: %v", chip.Counters())
		}
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	})
}

// A unit whose programmer fails between two permanent steps stays open, and is finished by the next scan.
func TestErrorAfterAnIntentLeavesTheRunOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault()
		l := newSecretLine(t, v)
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		r := secretRecipe(t, secretSteps)
		l.socket.after = func(_ string, f spi.Frame) error {
			if f.Out[0] == 0x28 {
				return errUnplugged
			}
			return nil
		}
		l.want(l.run(r, "1", "S1"), ledger.Error, "fixture")
		if run := l.books.all()[0]; !run.Open() {
			t.Error("the run was settled although the chip may know a password")
		}
		l.revive()
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		reconcile(t, l, v, chip)
	})
}

// A counter is not incremented faster than the part sustains, by one run nor by the run that takes it up.
func TestCounterIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSecretLine(t, newVault())
		chip := authenta(t, 1)
		l.socket.put("1", chip)
		var at []time.Time
		l.socket.after = func(_ string, f spi.Frame) error {
			if !bytes.HasPrefix(f.Out, []byte{0x9B, 2}) {
				return nil
			}
			if at = append(at, time.Now()); len(at) == 2 {
				return errUnplugged
			}
			return nil
		}
		r := secretRecipe(t, strings.Replace(secretSteps, "to: 2", "to: 4", 1))
		l.want(l.run(r, "1", "S1"), ledger.Error, "fixture")
		l.want(l.run(r, "1", "S1"), ledger.Pass, "")
		if len(at) != 4 || chip.CounterValue(0) != 4 {
			t.Fatalf("%d increments to %d", len(at), chip.CounterValue(0))
		}
		for i := range 3 {
			if d := at[i+1].Sub(at[i]); d < 5*time.Second {
				t.Errorf("increment %d came %v after the one before", i+2, d)
			}
		}
	})
}

func TestPersistentProtection(t *testing.T) {
	l := newSecretLine(t, newVault())
	chip := authenta(t, 1)
	l.socket.put("1", chip)
	r := secretRecipe(t, "  - erase: {regions: [boot]}\n  - persistent_protection\npermanent: [persistent_protection]\n")
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	if chip.SPR() != flash.PersistentMode {
		t.Errorf("SPR %04X", chip.SPR())
	}
}

// A run that was stopped begins no increment, also where it would not have had to wait for it.
func TestStoppedCounterBeginsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 200 { // which of two ready channels is taken is left to chance
		if err := (&counter{}).pace(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}
