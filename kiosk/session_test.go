package kiosk

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"station/ledger"
)

func TestSignIn(t *testing.T) {
	c := staffed(t)
	for _, name := range []string{"op-7", "王小明", "OP-7"} {
		token, who, err := c.SignInPIN(t.Context(), name, "0815")
		if err != nil || who != (Person{ID: "op-7", Name: "王小明", Role: Operator, PIN: true}) {
			t.Fatalf("%s: %+v, %v", name, who, err)
		}
		if strings.Contains(c.text(), token) {
			t.Error("the file has the token")
		}
		c.open()
		if who, ok := c.Session(token); !ok || who.ID != "op-7" || who.Role != Operator {
			t.Errorf("after a restart: %+v %v", who, ok)
		}
		for _, other := range []string{"", "A" + token[1:], token + "A", strings.ToLower(token)} {
			if who, ok := c.Session(other); ok && other != token {
				t.Errorf("%q is the session of %+v", other, who)
			}
		}
		if err := c.SignOut(t.Context(), token, "button"); err != nil {
			t.Error(err)
		}
		if err := c.SignOut(t.Context(), token, "button"); err != nil { // which is none any more
			t.Error(err)
		}
		if _, ok := c.Session(token); ok {
			t.Error("a session that was ended goes on")
		}
		c.want(ledger.UserSession{User: "op-7", In: true, How: "pin"}, ledger.UserSession{User: "op-7", How: "button"})
	}
}

// Where the clock was ahead when somebody signed in or was locked out, neither lasts until it gets there.
func TestClockSetBack(t *testing.T) {
	now := time.Now()
	for ahead, want := range map[time.Duration]bool{-sessionIdle: true, -time.Minute: false, 0: false, clockSlack: false, clockSlack + time.Second: true, 30 * 24 * time.Hour: true} {
		if got := (session{Begun: now.Add(ahead), Used: now.Add(ahead)}).over(now); got != want {
			t.Errorf("a session begun at %v: over %t", ahead, got)
		}
		if got := (session{Begun: now, Used: now.Add(ahead)}).over(now); got != want {
			t.Errorf("one used at %v: over %t", ahead, got)
		}
	}
	for left, want := range map[time.Duration]bool{-time.Second: false, 0: false, time.Second: true, longestLock: true, longestLock + time.Second: false} {
		if got := locks(now.Add(left), now); got != want {
			t.Errorf("a lock that ends in %v: %t", left, got)
		}
	}
}

// A session ends 9 h after its last use and 14 h after sign-in; the program's restarts change nothing about that, and the ledger is told once.
func TestSessionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		every time.Duration // of uses
		want  time.Duration // its end, after sign-in
	}{
		"not used":         {0, sessionIdle},
		"used all day":     {time.Minute, sessionWhole},
		"used each 8 h":    {8 * time.Hour, sessionWhole},
		"used at times":    {4 * time.Hour, sessionWhole},
		"used for minutes": {sessionGrain - time.Second, sessionWhole},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				crew := staffed(t)
				begun := time.Now()
				token, _, err := crew.SignInPIN(t.Context(), "op-7", "0815")
				if err != nil {
					t.Fatal(err)
				}
				crew.noted = nil
				for at := c.every; c.every > 0 && at < c.want; at += c.every {
					time.Sleep(time.Until(begun.Add(at)))
					if _, ok := crew.Session(token); !ok {
						t.Fatalf("it is over after %v", at)
					}
				}
				crew.open()
				time.Sleep(time.Until(begun.Add(c.want - time.Second)))
				if _, ok := crew.Session(token); !ok {
					t.Errorf("it is over a second before %v", c.want)
				}
				if c.every == 0 { // that was a use
					c.want = c.want - time.Second + sessionIdle
					c.want = min(c.want, sessionWhole)
				}
				crew.want()
				time.Sleep(time.Until(begun.Add(c.want)))
				for range 2 {
					if _, ok := crew.Session(token); ok {
						t.Errorf("it goes on after %v", c.want)
					}
				}
				crew.want(ledger.UserSession{User: "op-7", How: "expired"})
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // never used
		c := staffed(t)
		token, _, _ := c.SignInPIN(t.Context(), "op-7", "0815")
		c.noted = nil
		time.Sleep(sessionIdle)
		if _, ok := c.Session(token); ok {
			t.Errorf("it goes on after %v without use", sessionIdle)
		}
		c.want(ledger.UserSession{User: "op-7", How: "expired"})
	})
}

// A use is written down at most each ten minutes.
func TestUseIsSeldomWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := staffed(t)
		token, _, _ := c.SignInPIN(t.Context(), "op-7", "0815")
		files := map[string]bool{c.text(): true}
		for range 3600 {
			time.Sleep(time.Second)
			c.Session(token)
			files[c.text()] = true
		}
		if len(files) != 7 {
			t.Errorf("%d files in an hour of use, want the first and six more", len(files))
		}
	})
}

// What is changed about a person counts for their sessions at once.
func TestChangeMeetsSessions(t *testing.T) {
	pin, badge, none, name, supervisor := "2580", "COMPANY-0042", "", "Carol", Supervisor
	for _, change := range []struct {
		PersonChange
		ends bool
	}{
		{PersonChange{Role: &supervisor}, false}, {PersonChange{Name: &name}, false}, {PersonChange{Free: true}, false},
		{PersonChange{PIN: &pin}, true}, {PersonChange{PIN: &none}, true}, {PersonChange{Badge: &badge}, true}, {PersonChange{Badge: &none}, true},
	} {
		c := newCrew(t)
		c.add(boss, "boss", "Ada", Admin, "4711", "")
		c.add(boss, "op-7", "Bob", Operator, "0815", "COMPANY-0001")
		token, _, _ := c.SignInPIN(t.Context(), "op-7", "0815")
		other, _, _ := c.SignInPIN(t.Context(), "boss", "4711")
		c.noted = nil
		if _, err := c.Change(t.Context(), boss, "op-7", change.PersonChange); err != nil {
			t.Fatal(err)
		}
		who, ok := c.Session(token)
		if ok == change.ends {
			t.Errorf("%+v: session %v", change.PersonChange, ok)
		}
		if change.Role != nil && who.Role != Supervisor || change.Name != nil && who.Name != "Carol" {
			t.Errorf("the session has %+v", who)
		}
		if _, ok := c.Session(other); !ok {
			t.Error("the session of somebody else is over")
		}
		if told := slices.Contains(c.noted, ledger.Body(ledger.UserSession{User: "op-7", How: "changed"})); told != change.ends {
			t.Errorf("%+v: %+v", change.PersonChange, c.noted)
		}
	}
}

func TestMostSessions(t *testing.T) {
	c := staffed(t)
	first, _, _ := c.SignInPIN(t.Context(), "boss", "4711")
	var tokens []string
	for range mostSessions + 2 {
		token, _, err := c.SignInPIN(t.Context(), "op-7", "0815")
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	for i, token := range tokens {
		if _, ok := c.Session(token); ok != (i >= 2) {
			t.Errorf("session %d: %v", i, ok)
		}
	}
	if _, ok := c.Session(first); !ok {
		t.Error("the session of somebody else is over")
	}
}

// Many at once: one secret is stretched at a time, none is lost, and whoever waits too long is told so.
func TestManyAtOnce(t *testing.T) {
	c := staffed(t)
	var now, most atomic.Int32
	c.stretch = func(secret, salt []byte) []byte {
		n := now.Add(1)
		most.Store(max(most.Load(), n))
		defer now.Add(-1)
		time.Sleep(time.Millisecond)
		sum := sha256.Sum256(append(slices.Clone(salt), secret...))
		return sum[:]
	}
	const pages = 12
	var all sync.WaitGroup
	for range pages {
		all.Go(func() {
			token, _, err := c.SignInPIN(t.Context(), "op-7", "0815")
			if err != nil {
				t.Error(err)
			}
			for range 50 {
				if _, ok := c.Session(token); !ok {
					t.Error("no session")
				}
				c.All()
			}
		})
	}
	all.Wait()
	if most.Load() != 1 || len(c.now.Load().Sessions) != pages {
		t.Errorf("%d at once, %d sessions", most.Load(), len(c.now.Load().Sessions))
	}
	c.turn <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, err := c.SignInPIN(ctx, "op-7", "0815"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("behind one that does not end: %v", err)
	}
}
