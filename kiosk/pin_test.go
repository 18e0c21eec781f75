package kiosk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"station/ledger"
)

func TestStrongPIN(t *testing.T) {
	for _, pin := range []string{"0815", "4711", "1212", "1357", "1123", "1235", "08151", "123456789013"} {
		if !strong(pin) {
			t.Errorf("%q is refused", pin)
		}
	}
	for _, pin := range []string{"", "081", "0000", "9999", "1234", "4321", "7890", "0987", "9012345678", "012345678901", "0815081508150", "08a5", "08 5", "-815", "０８１５", "٠٨١٥"} {
		if strong(pin) {
			t.Errorf("%q is taken", pin)
		}
	}
}

// Five wrong PINs lock for 5 minutes, each five more for twice as long, up to 4 hours; over restarts; and nothing is stretched meanwhile.
func TestLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := staffed(t)
		badge := NewBadge
		code, err := c.Change(t.Context(), boss, "op-7", PersonChange{Badge: &badge})
		if err != nil {
			t.Fatal(err)
		}
		c.noted = nil
		for round, want := range []time.Duration{5, 10, 20, 40, 80, 160, 240, 240} {
			want *= time.Minute
			for try := range lockAfter {
				_, _, err := c.SignInPIN(t.Context(), "王小明", "9999")
				var locked *LockedError
				switch {
				case try < lockAfter-1 && !errors.Is(err, ErrSignIn):
					t.Fatalf("round %d, try %d: %v", round, try, err)
				case try == lockAfter-1 && (!errors.As(err, &locked) || !locked.Until.Equal(time.Now().Add(want))):
					t.Fatalf("round %d: %v, want a lock until %v", round, err, time.Now().Add(want))
				}
			}
			c.want(ledger.UserChanged{User: "op-7", What: ledger.UserLocked, Role: "operator", By: "station"})
			c.open()
			c.stretched = 0
			time.Sleep(want - time.Second)
			if _, _, err := c.SignInPIN(t.Context(), "op-7", "0815"); !errors.As(err, new(*LockedError)) || word(err) != WordLocked {
				t.Errorf("round %d: the right PIN, a second before its end: %v", round, err)
			}
			if c.stretched != 0 {
				t.Errorf("%d hashes while locked", c.stretched)
			}
			if p := c.All()[1]; !p.Locked.Equal(time.Now().Add(time.Second)) {
				t.Errorf("the list says locked until %v", p.Locked)
			}
			if _, who, err := c.SignInBadge(t.Context(), code); err != nil || who.ID != "op-7" {
				t.Errorf("the badge while the PIN is locked: %v", err)
			}
			c.noted = nil
			time.Sleep(time.Second)
			if p := c.All()[1]; !p.Locked.IsZero() {
				t.Errorf("the list says locked until %v, and it is %v", p.Locked, time.Now())
			}
		}
		if _, _, err := c.SignInPIN(t.Context(), "op-7", "0815"); err != nil {
			t.Errorf("after the lock: %v", err)
		}
		for range 2 { // in a row: a right PIN begins anew
			for range lockAfter - 1 {
				if _, _, err := c.SignInPIN(t.Context(), "op-7", "9999"); !errors.Is(err, ErrSignIn) {
					t.Error(err)
				}
			}
			if _, _, err := c.SignInPIN(t.Context(), "op-7", "0815"); err != nil {
				t.Errorf("after four wrong ones: %v", err)
			}
		}
	})
}

// An admin frees who is locked, and another PIN does.
func TestFree(t *testing.T) {
	pin := "2580"
	for _, to := range []PersonChange{{Free: true}, {PIN: &pin}} {
		c := staffed(t)
		for range lockAfter {
			c.SignInPIN(t.Context(), "op-7", "9999")
		}
		if err := change(c, "op-7", to); err != nil {
			t.Fatal(err)
		}
		right := "0815"
		if to.PIN != nil {
			right = *to.PIN
		}
		if _, _, err := c.SignInPIN(t.Context(), "op-7", right); err != nil {
			t.Errorf("%+v: %v", to, err)
		}
	}
}

// A name that nobody has, and one of somebody without a PIN, is told what a wrong PIN is told, try by try, after the same work: one hash, and one file written. So too where they lock.
func TestUnknownIsToldTheSame(t *testing.T) {
	type try struct {
		Error   string
		Until   time.Time
		Hashes  int
		Written bool
	}
	tries := func(name string) (out []try) {
		synctest.Test(t, func(t *testing.T) {
			c := staffed(t)
			c.add(boss, "badged", "Grace Hopper", Operator, "", NewBadge)
			for range 3*lockAfter + 3 {
				held := c.path + ".held" // so that no new file has its inode
				if err := os.Link(c.path, held); err != nil {
					t.Fatal(err)
				}
				c.stretched = 0
				token, who, err := c.SignInPIN(t.Context(), name, "9999")
				before, _ := os.Stat(held)
				after, _ := os.Stat(c.path)
				os.Remove(held)
				if token != "" || who != (Person{}) {
					t.Errorf("%s: %q, %+v", name, token, who)
				}
				this := try{Error: err.Error(), Hashes: c.stretched, Written: !os.SameFile(before, after)}
				var locked *LockedError
				if errors.As(err, &locked) {
					this.Until = locked.Until
				}
				out = append(out, this)
				if c.stretched == 0 { // until the lock ends
					time.Sleep(time.Until(this.Until))
				}
			}
		})
		return out
	}
	want := tries("op-7")
	if n := len(want); want[0] != (try{ErrSignIn.Error(), time.Time{}, 1, true}) || want[4].Until.IsZero() || want[4].Hashes != 1 || want[5].Hashes != 0 || want[n-1].Hashes != 0 {
		t.Fatalf("a wrong PIN: %+v", want)
	}
	for _, name := range []string{"nobody", "Grace Hopper", "badged", "", "王小", strings.Repeat("x", 1<<16)} {
		if d := cmp.Diff(want, tries(name)); d != "" {
			t.Errorf("%.20q (-wrong PIN +this):\n%s", name, d)
		}
	}
}

// Names of nobody are one in all ways of writing them that are one for names of somebody: else they could be told apart.
func TestFold(t *testing.T) {
	for _, pair := range [][2]string{{"ſue", "SUE"}, {"\u212Aarl", "karl"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"ß", "SS"}, {"İ", "i"}, {"王", "王"}, {"a", "b"}, {"\xff", "\xfe"}} {
		if one, same := fold(pair[0]) == fold(pair[1]), strings.EqualFold(pair[0], pair[1]); one != same {
			t.Errorf("%q and %q are one: %v, and for names %v", pair[0], pair[1], one, same)
		}
	}
	c := staffed(t)
	for i, name := range []string{"ſam", "SAM", "sam", "Sam", "ſAM"} {
		if _, _, err := c.SignInPIN(t.Context(), name, "9999"); errors.As(err, new(*LockedError)) != (i == lockAfter-1) {
			t.Errorf("try %d: %v", i+1, err)
		}
	}
	if locks := mostStrange / 60. / longestLock.Minutes(); locks < 1 {
		t.Errorf("names are forgotten within %v of the longest lock", locks)
	}
}

// Names of nobody are counted without limit neither of memory nor of the file.
func TestManyUnknownNames(t *testing.T) {
	c := staffed(t)
	size := len(c.text())
	for i := range mostStrange + 10 {
		c.strange[[32]byte{byte(i), byte(i >> 8)}] = tries{wrong: 1}
	}
	c.SignInPIN(t.Context(), "nobody", "9999")
	if len(c.strange) > mostStrange || len(c.text()) != size {
		t.Errorf("%d names are kept, and the file has %d bytes, which had %d", len(c.strange), len(c.text()), size)
	}
}

// TestVersion1 signs in with what version 1 of the file was made of, hashes and all.
func TestVersion1(t *testing.T) {
	text, err := os.ReadFile("testdata/people.v1.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "people.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &crew{t: t}
	p, err := OpenPeople(path, c.write)
	if err != nil {
		t.Fatal(err)
	}
	if _, who, err := p.SignInPIN(t.Context(), "Ada Lovelace", "4711"); err != nil || who != (Person{ID: "boss", Name: "Ada Lovelace", Role: Admin, PIN: true}) {
		t.Errorf("%+v, %v", who, err)
	}
	if _, who, err := p.SignInBadge(t.Context(), "COMPANY-0042"); err != nil || who != (Person{ID: "op-7", Name: "王小明", Role: Operator, Badge: true}) {
		t.Errorf("%+v, %v", who, err)
	}
	if _, _, err := p.SignInPIN(t.Context(), "boss", "4712"); !errors.Is(err, ErrSignIn) {
		t.Errorf("another PIN: %v", err)
	}
}
