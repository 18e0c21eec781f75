package kiosk

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

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

// text is the file as it is.
func (c *crew) text() string {
	c.t.Helper()
	text, err := os.ReadFile(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
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
	c.add(boss, "boss", "Ada", Admin, "4711", "") // who says so does not count yet
	c.want(ledger.UserChanged{User: "boss", What: ledger.UserAdded, Role: "admin", By: "setup"})
	c.open()
	if want := []Person{{ID: "boss", Name: "Ada", Role: Admin, PIN: true}}; c.None() || !slices.Equal(c.All(), want) {
		t.Errorf("after a restart: %+v", c.All())
	}
}

// The file is readable by its owner alone, whatever the umask is and a death left there, and belongs to whom its folder does.
func TestFileIsPrivate(t *testing.T) {
	umask := syscall.Umask(0)
	defer syscall.Umask(umask)
	c := newCrew(t)
	if err := os.WriteFile(c.path+".new", []byte("half of a file, longer than the next one"+strings.Repeat("x", 4096)), 0o666); err != nil {
		t.Fatal(err)
	}
	const daemon = 1
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Dir(c.path), daemon, daemon); err != nil {
			t.Fatal(err)
		}
	}
	c.add(boss, "boss", "Ada", Admin, "4711", "")
	info, err := os.Stat(c.path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if owner := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (owner.Uid != daemon || owner.Gid != daemon) {
		t.Errorf("root's change made the file %d:%d's", owner.Uid, owner.Gid)
	}
	if files, _ := os.ReadDir(filepath.Dir(c.path)); len(files) != 1 {
		t.Errorf("beside the file: %v", files)
	}
	c.open()
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o700} {
		if err := os.Chmod(c.path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPeople(c.path, c.write); err == nil || !strings.Contains(err.Error(), "run chmod 0600 on it") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

// Who is removed is gone from everything in the folder: name, PIN, badge and sessions.
func TestRemovedLeavesNothing(t *testing.T) {
	c := staffed(t)
	badge := "new"
	code, err := c.Change(t.Context(), boss, "op-7", PersonChange{Badge: &badge})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := c.SignInPIN(t.Context(), "op-7", "0815")
	if err != nil {
		t.Fatal(err)
	}
	r := c.now.Load()
	m := r.member("op-7")
	b64 := base64.StdEncoding.EncodeToString
	traces := []string{"王小明", "\\u738b", b64(m.PIN.Salt), b64(m.PIN.Hash), b64(m.Badge), b64(r.Sessions[0].Hash), "0815", code, token}
	found := func() (out []string) {
		files, err := os.ReadDir(filepath.Dir(c.path))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(c.path), f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			for _, trace := range traces {
				if strings.Contains(string(text), trace) {
					out = append(out, trace)
				}
			}
		}
		return out
	}
	if got := found(); !slices.Equal(got, []string{traces[0], traces[2], traces[3], traces[4], traces[5]}) {
		t.Fatalf("before: %q", got) // the test can see what it looks for, and no secret is there in the clear
	}
	c.noted = nil
	if err := c.Remove(t.Context(), boss, "op-7"); err != nil {
		t.Fatal(err)
	}
	c.want(ledger.UserSession{User: "op-7", How: "removed"}, ledger.UserChanged{User: "op-7", What: ledger.UserRemoved, By: "boss", Authenticated: true})
	if got := found(); got != nil {
		t.Errorf("after: %q", got)
	}
	for what, err := range map[string]error{"PIN": second(c.SignInPIN(t.Context(), "王小明", "0815")), "badge": second(c.SignInBadge(t.Context(), code))} {
		if !errors.Is(err, ErrSignIn) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, ok := c.Session(token); ok {
		t.Error("the session goes on")
	}
	c.open() // and it stays so
	if _, err := c.Add(t.Context(), boss, Person{ID: "OP-7", Name: "Carol", Role: Operator}, "0815", ""); word(err) != WordUserTaken {
		t.Errorf("the id is given again: %v", err)
	}
}

func second[A, B any](_ A, _ B, err error) error { return err }

// TestDeath has the program die, and the ledger fail, while an entry is written: nobody then has what the ledger does not tell of, and what was taken is told at the next start.
func TestDeath(t *testing.T) {
	role := func(r Role) PersonChange { return PersonChange{Role: &r} }
	pin, badge, none := "2580", "COMPANY-0042", ""
	for name, c := range map[string]struct {
		do    func(c *crew, token string) error
		takes bool
		has   func(c *crew, token string) bool // what is given or taken
	}{
		"add": {has: func(c *crew, _ string) bool { return c.now.Load().member("new") != nil }, do: func(c *crew, _ string) error {
			_, err := c.Add(t.Context(), boss, Person{ID: "new", Name: "Carol", Role: Auditor}, "2580", "")
			return err
		}},
		"promote": {has: func(c *crew, _ string) bool { return c.now.Load().member("sup").Role == Admin }, do: func(c *crew, _ string) error {
			return change(c, "sup", role(Admin))
		}},
		"demote": {takes: true, has: func(c *crew, _ string) bool { return c.now.Load().member("sup").Role == Supervisor }, do: func(c *crew, _ string) error {
			return change(c, "sup", role(Operator))
		}},
		"pin": {has: func(c *crew, _ string) bool {
			m := c.now.Load().member("sup").PIN
			return slices.Equal(m.Hash, c.stretch([]byte(pin), m.Salt))
		}, do: func(c *crew, _ string) error {
			return change(c, "sup", PersonChange{PIN: &pin})
		}},
		"no pin": {takes: true, has: func(c *crew, _ string) bool { return c.now.Load().member("sup").PIN != nil }, do: func(c *crew, _ string) error {
			return change(c, "sup", PersonChange{PIN: &none})
		}},
		"badge": {has: func(c *crew, _ string) bool {
			r := c.now.Load()
			return slices.Equal(r.member("sup").Badge, c.stretch([]byte(badge), r.Salt))
		}, do: func(c *crew, _ string) error {
			return change(c, "sup", PersonChange{Badge: &badge})
		}},
		"no badge": {takes: true, has: func(c *crew, _ string) bool { return c.now.Load().member("sup").Badge != nil }, do: func(c *crew, _ string) error {
			return change(c, "sup", PersonChange{Badge: &none})
		}},
		"remove": {takes: true, has: func(c *crew, _ string) bool { return c.now.Load().member("sup") != nil }, do: func(c *crew, _ string) error {
			return c.Remove(t.Context(), boss, "sup")
		}},
		"sign in": {has: func(c *crew, _ string) bool { return c.now.Load().Sessions != nil }, do: func(c *crew, _ string) error {
			return second(c.SignInPIN(t.Context(), "op-7", "0815"))
		}},
		"sign out": {takes: true, has: func(c *crew, token string) bool { _, ok := c.Session(token); return ok }, do: func(c *crew, token string) error {
			return c.SignOut(t.Context(), token, "button")
		}},
		"lock": {takes: true, has: func(c *crew, _ string) bool { return c.now.Load().member("op-7").Locked.IsZero() }, do: func(c *crew, _ string) (err error) {
			for range lockAfter {
				err = second(c.SignInPIN(t.Context(), "op-7", "9999"))
			}
			if errors.As(err, new(*LockedError)) {
				return nil
			}
			return err
		}},
	} {
		begin := func() (*crew, string) {
			c := staffed(t)
			c.add(boss, "sup", "Bob", Supervisor, "1357", "COMPANY-0001")
			token := ""
			if name == "sign out" {
				var err error
				if token, _, err = c.SignInBadge(t.Context(), "COMPANY-0001"); err != nil {
					t.Fatal(err)
				}
			}
			c.noted = nil
			return c, token
		}
		t.Run(name, func(t *testing.T) {
			// Death while the entry is written: what was in the file then is what the next start finds.
			live, token := begin()
			var deaths []string
			live.during = func(ledger.Body) error { deaths = append(deaths, live.text()); return nil }
			if err := c.do(live, token); err != nil {
				t.Fatal(err)
			}
			if c.has(live, token) == c.takes {
				t.Fatal("nothing came of it")
			}
			noted := slices.Clone(live.noted)
			for i, text := range deaths {
				next := &crew{t: t, path: filepath.Join(t.TempDir(), "people.json")}
				if err := os.WriteFile(next.path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				next.open()
				told := next.noted
				next.noted = nil
				if c.has(next, token) {
					t.Errorf("died at entry %d: it is there", i)
				}
				if c.takes != (cmp.Diff(noted, told) == "") || !c.takes && told != nil {
					t.Errorf("died at entry %d: the next start tells %+v, and there was %+v", i, told, noted)
				}
				if next.open(); next.noted != nil {
					t.Errorf("told again: %+v", next.noted)
				}
			}
			// The ledger cannot be written: what gives changes nothing, what takes is done and told by the next change.
			broken, token := begin()
			before, full := broken.text(), errors.New("no space left on device")
			broken.during = func(ledger.Body) error { return full }
			if err := c.do(broken, token); !errors.Is(err, full) {
				t.Errorf("the ledger is full: %v", err)
			}
			if !c.takes {
				if broken.text() != before || c.has(broken, token) {
					t.Error("the ledger is full, and it is there")
				}
				return
			}
			if c.has(broken, token) {
				t.Error("the ledger is full, and it is still there")
			}
			if err := change(broken, "boss", PersonChange{Free: true}); !errors.Is(err, full) {
				t.Errorf("and the next change is made: %v", err)
			}
			broken.during = nil
			if err := change(broken, "boss", PersonChange{Free: true}); err != nil {
				t.Error(err)
			}
			broken.want(append(noted, ledger.UserChanged{User: "boss", What: ledger.UserFreed, Role: "admin", By: "boss", Authenticated: true})...)
		})
	}
}

func change(c *crew, id string, to PersonChange) error {
	_, err := c.Change(c.t.Context(), boss, id, to)
	return err
}

// A file that cannot be written changes nobody.
func TestDiskIsFull(t *testing.T) {
	c := staffed(t)
	before, all := c.text(), c.All()
	if err := os.MkdirAll(filepath.Join(c.path+".new", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(t.Context(), boss, "op-7"); err == nil {
		t.Error("removed without a file")
	}
	if _, _, err := c.SignInPIN(t.Context(), "op-7", "0815"); err == nil || word(err) != "" {
		t.Errorf("signed in without a file: %v", err)
	}
	if c.text() != before || !slices.Equal(c.All(), all) {
		t.Error("it was changed all the same")
	}
	if err := os.RemoveAll(c.path + ".new"); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(t.Context(), boss, "op-7"); err != nil {
		t.Errorf("and does not recover: %v", err)
	}
}

// A file that this program would not write is refused, and left as it is.
func TestBadFile(t *testing.T) {
	c := staffed(t)
	if _, _, err := c.SignInPIN(t.Context(), "op-7", "0815"); err != nil {
		t.Fatal(err)
	}
	good := c.text()
	for want, change := range map[string][2]string{
		"unexpected EOF":                  {"}\n", ""},
		"unknown field":                   {`"gone"`, `"left"`},
		"it is of version 2":              {`"version": 1`, `"version": 2`},
		"there is no role":                {`"operator"`, `"boss"`},
		"two people have the id boss":     {`"id": "op-7",`, `"id": "boss",`},
		"nobody is admin":                 {`"admin"`, `"auditor"`},
		"a session is that of nobody":     {`"person": "op-7"`, `"person": "op-8"`},
		"cannot be the id":                {`"id": "op-7",`, `"id": "op 7",`},
		"this cannot be a name":           {"王小明", " "},
		"somebody else has this name":     {"王小明", "ADA LOVELACE"},
		"is not one entry":                {`"owed": null`, `"owed": [{}]`},
		"not one document":                {"}\n", "} {}\n"},
		"op-7 could not sign in":          {`"role": "operator",`, `"role": "operator", "pin": null, "wrong": 0}, {"id": "x",`},
		"cannot unmarshal":                {`"people": [`, `"people": 3, "gone": [`},
		"PIN or the badge of boss is not": {`"hash": "`, `"hash": "AAAA`},
	} {
		i := strings.LastIndex(good, change[0])
		if change[0] == `"admin"` || change[0] == `"hash": "` { // boss, who comes first
			i = strings.Index(good, change[0])
		}
		if i < 0 {
			t.Fatalf("%s: no %s in\n%s", want, change[0], good)
		}
		bad := good[:i] + change[1] + good[i+len(change[0]):]
		if err := os.WriteFile(c.path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenPeople(c.path, c.write); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v", want, err)
		}
		if c.text() != bad {
			t.Errorf("%s: the file was changed", want)
		}
	}
}
