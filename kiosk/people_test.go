package kiosk

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"station/ledger"
)

// crew is People in a file of its own, with a ledger that remembers, and with a hash that counts and costs nothing.
type crew struct {
	*People
	t         *testing.T
	path      string
	noted     []ledger.Body
	during    func(b ledger.Body) error // called before an entry is remembered
	stretched int
}

var boss = Who{ID: "boss", Authenticated: true}

func newCrew(t *testing.T) *crew {
	c := &crew{t: t, path: filepath.Join(t.TempDir(), "people.json")}
	c.open()
	return c
}

// open is a start of the program.
func (c *crew) open() {
	c.t.Helper()
	p, err := OpenPeople(c.path, c.write)
	if err != nil {
		c.t.Fatal(err)
	}
	p.stretch = func(secret, salt []byte) []byte {
		c.stretched++
		sum := sha256.Sum256(append(slices.Clone(salt), secret...))
		return sum[:]
	}
	c.People = p
}

func (c *crew) write(_ context.Context, b ledger.Body) error {
	if err := b.(ledger.FloorEntry).Check(); err != nil {
		c.t.Errorf("%+v: %v", b, err)
	}
	if c.during != nil {
		if err := c.during(b); err != nil {
			return err
		}
	}
	c.noted = append(c.noted, b)
	return nil
}

func (c *crew) add(by Who, id, name string, role Role, pin, badge string) string {
	c.t.Helper()
	code, err := c.Add(c.t.Context(), by, Person{ID: id, Name: name, Role: role}, pin, badge)
	if err != nil {
		c.t.Fatal(err)
	}
	return code
}

// staffed has an admin with the PIN 4711 and an operator with the PIN 0815, and forgets what was noted of that.
func staffed(t *testing.T) *crew {
	c := newCrew(t)
	c.add(Who{ID: "setup"}, "boss", "Ada Lovelace", Admin, "4711", "")
	c.add(boss, "op-7", "王小明", Operator, "0815", "")
	c.noted, c.stretched = nil, 0
	return c
}

func (c *crew) want(noted ...ledger.Body) {
	c.t.Helper()
	if d := cmp.Diff(noted, c.noted); d != "" {
		c.t.Errorf("ledger (-want +got):\n%s", d)
	}
	c.noted = nil
}

func word(err error) string {
	if r := new(*Refusal); errors.As(err, r) {
		return (*r).Word
	}
	return ""
}

func TestFirstPersonIsAdmin(t *testing.T) {
	c := newCrew(t)
	if !c.None() {
		t.Error("somebody is there without a file")
	}
	if _, err := c.Add(t.Context(), Who{ID: "setup"}, Person{ID: "op-7", Name: "Bob", Role: Operator}, "0815", ""); word(err) != WordUserFirst {
		t.Errorf("an operator as the first: %v", err)
	}
	if _, err := os.Stat(c.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was refused made the file: %v", err)
	}
	c.add(Who{ID: "setup"}, "boss", "Ada", Admin, "4711", "")
	c.want(ledger.UserChanged{User: "boss", What: ledger.UserAdded, Role: "admin", By: "setup"})
	c.open()
	if c.None() || len(c.All()) != 1 || c.All()[0] != (Person{ID: "boss", Name: "Ada", Role: Admin, PIN: true}) {
		t.Errorf("after a restart: %+v", c.All())
	}
	info, err := os.Stat(c.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if text, _ := os.ReadFile(c.path); strings.Contains(string(text), "4711") {
		t.Error("the PIN is in the file")
	}
}

func TestSignIn(t *testing.T) {
	c := staffed(t)
	for _, name := range []string{"op-7", "王小明", "OP-7"} {
		token, who, err := c.SignInPIN(t.Context(), name, "0815")
		if err != nil || who.ID != "op-7" {
			t.Fatalf("%s: %+v, %v", name, who, err)
		}
		c.open()
		if who, ok := c.Session(token); !ok || who.ID != "op-7" || who.Role != Operator {
			t.Errorf("after a restart: %+v %v", who, ok)
		}
		if err := c.SignOut(t.Context(), token, "button"); err != nil {
			t.Error(err)
		}
		if _, ok := c.Session(token); ok {
			t.Error("a session that was ended goes on")
		}
		c.want(ledger.UserSession{User: "op-7", In: true, How: "pin"}, ledger.UserSession{User: "op-7", How: "button"})
	}
}

func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := staffed(t)
		token, _, _ := c.SignInPIN(t.Context(), "op-7", "0815")
		time.Sleep(sessionIdle - time.Second)
		if _, ok := c.Session(token); !ok {
			t.Error("9 h less a second after sign-in the session is over")
		}
	})
}
