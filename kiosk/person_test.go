package kiosk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"station/ledger"
)

// What a person cannot be is refused with its word, and changes neither the file nor the ledger.
func TestRefusedPerson(t *testing.T) {
	c := staffed(t)
	before := c.text()
	operator := func(id, name string) Person { return Person{ID: id, Name: name, Role: Operator} }
	add := func(p Person, pin, badge string) error { _, err := c.Add(t.Context(), boss, p, pin, badge); return err }
	is := func(id string, to PersonChange) error { return change(c, id, to) }
	pointer := func(s string) *string { return &s }
	role := func(r Role) *Role { return &r }
	for i, r := range []struct {
		err  error
		want string
	}{
		{add(operator("op 8", "Bob"), "2580", ""), WordUserID},
		{add(operator("", "Bob"), "2580", ""), WordUserID},
		{add(operator("bob", "Bob"), "2580", ""), WordUserID},
		{add(operator("王", "Bob"), "2580", ""), WordUserID},
		{add(operator(strings.Repeat("x", 33), "Bob"), "2580", ""), WordUserID},
		{add(operator("unnamed", "Bob"), "2580", ""), WordUserID},
		{add(operator("Setup", "Bob"), "2580", ""), WordUserID},
		{add(operator("op-7", "Bob"), "2580", ""), WordUserTaken},
		{add(operator("Op-7", "Bob"), "2580", ""), WordUserTaken},
		{add(operator("op-8", ""), "2580", ""), WordUserName},
		{add(operator("op-8", " Bob"), "2580", ""), WordUserName},
		{add(operator("op-8", "Bob\n"), "2580", ""), WordUserName},
		{add(operator("op-8", "B\x1b[31m"), "2580", ""), WordUserName},
		{add(operator("op-8", "\xff"), "2580", ""), WordUserName},
		{add(operator("op-8", strings.Repeat("王", 65)), "2580", ""), WordUserName},
		{add(operator("op-8", "ada lovelace"), "2580", ""), WordNameTaken},
		{add(operator("op-8", "OP-7"), "2580", ""), WordNameTaken},
		{add(Person{ID: "op-8", Name: "Bob", Role: "boss"}, "2580", ""), WordUserRole},
		{add(Person{ID: "op-8", Name: "Bob"}, "2580", ""), WordUserRole},
		{add(operator("op-8", "Bob"), "", ""), WordUserBare},
		{add(operator("op-8", "Bob"), "1234", ""), WordPINWeak},
		{add(operator("op-8", "Bob"), "", "short"), WordBadgeWeak},
		{is("op-8", PersonChange{Free: true}), WordUserUnknown},
		{is("OP-7", PersonChange{Free: true}), WordUserUnknown},
		{is("op-7", PersonChange{Role: role("boss")}), WordUserRole},
		{is("op-7", PersonChange{Role: role("")}), WordUserRole},
		{is("op-7", PersonChange{Name: pointer("Ada LOVELACE")}), WordNameTaken},
		{is("op-7", PersonChange{Name: pointer("")}), WordUserName},
		{is("op-7", PersonChange{Role: role(Admin), PIN: pointer("1111")}), WordPINWeak}, // and nothing else of it
		{is("op-7", PersonChange{PIN: pointer("")}), WordUserBare},
		{is("boss", PersonChange{Role: role(Supervisor)}), WordLastAdmin},
		{c.Remove(t.Context(), boss, "boss"), WordLastAdmin},
		{c.Remove(t.Context(), boss, "op-8"), WordUserUnknown},
		{c.Remove(t.Context(), boss, ""), WordUserUnknown},
	} {
		if word(r.err) != r.want {
			t.Errorf("%d: %v (%s), want %s", i, r.err, word(r.err), r.want)
		}
		if !slices.Contains(PeopleWords, r.want) {
			t.Errorf("%s is not among the words", r.want)
		}
	}
	c.want()
	if c.text() != before {
		t.Error("the file was changed")
	}
	if err := is("boss", PersonChange{Role: role(Admin), Name: pointer("Ada King")}); err != nil { // who stays admin may be renamed
		t.Error(err)
	}
	c.want() // names are nothing to the ledger
}

// TestPeopleHold does what comes with people, and starts the program anew now and then: there is always an admin; nobody has an id twice, or one that somebody had; and whoever reads the
// ledger alone knows of everybody what they may do.
func TestPeopleHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCrew(t)
		ids := rapid.SampledFrom([]string{"a1", "a2", "a3", "A3", "a4"})
		roles := rapid.SampledFrom(append([]Role{"boss"}, Roles...))
		secrets := rapid.SampledFrom([]string{"", "0815", "COMPANY-0042", "COMPANY-0043", NewBadge})
		ever := map[string]bool{} // removed
		tokens := map[string]string{}
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				id := ids.Draw(rt, "id")
				_, err := c.Add(t.Context(), boss, Person{ID: id, Name: "Name of " + id + rapid.SampledFrom([]string{"", "!"}).Draw(rt, "name"), Role: roles.Draw(rt, "role")},
					rapid.SampledFrom([]string{"", "0815"}).Draw(rt, "pin"), secrets.Draw(rt, "badge"))
				if err == nil && ever[strings.ToLower(id)] {
					rt.Fatalf("%s is given again", id)
				}
			},
			"change": func(rt *rapid.T) {
				to := PersonChange{Free: rapid.Bool().Draw(rt, "free")}
				if role := roles.Draw(rt, "role"); rapid.Bool().Draw(rt, "other role") {
					to.Role = &role
				}
				if pin := secrets.Draw(rt, "pin"); rapid.Bool().Draw(rt, "other pin") {
					to.PIN = &pin
				}
				if badge := secrets.Draw(rt, "badge"); rapid.Bool().Draw(rt, "other badge") {
					to.Badge = &badge
				}
				c.Change(t.Context(), boss, ids.Draw(rt, "id"), to)
			},
			"remove": func(rt *rapid.T) {
				id := ids.Draw(rt, "id")
				if c.Remove(t.Context(), boss, id) == nil {
					ever[strings.ToLower(id)] = true
				}
			},
			"sign in": func(rt *rapid.T) {
				if token, who, err := c.SignInPIN(t.Context(), ids.Draw(rt, "id"), "0815"); err == nil {
					tokens[token] = who.ID
				}
			},
			"sign out": func(rt *rapid.T) {
				for token := range tokens {
					c.SignOut(t.Context(), token, "button")
					delete(tokens, token)
					break
				}
			},
			"start": func(*rapid.T) { c.open() },
			"": func(rt *rapid.T) {
				told := map[string]Role{}
				for _, b := range c.noted {
					if b, is := b.(ledger.UserChanged); is && b.What == ledger.UserRemoved {
						delete(told, b.User)
					} else if is {
						told[b.User] = Role(b.Role)
					}
				}
				have, admins := map[string]Role{}, 0
				for _, p := range c.All() {
					if have[p.ID] = p.Role; p.Role == Admin {
						admins++
					}
					if !p.PIN && !p.Badge {
						rt.Fatalf("%s cannot sign in", p.ID)
					}
				}
				if !maps.Equal(have, told) || len(have) != len(c.All()) {
					rt.Fatalf("people are %v, and the ledger says %v", have, told)
				}
				if len(have) > 0 && admins == 0 {
					rt.Fatalf("nobody is admin of %v", have)
				}
				for token, id := range tokens {
					if who, ok := c.Session(token); ok && (who.ID != id || have[id] == "") {
						rt.Fatalf("the session of %s is that of %+v", id, who)
					}
				}
				signedIn := map[string]int{}
				for _, b := range c.noted {
					if b, is := b.(ledger.UserSession); is && b.In {
						signedIn[b.User]++
					} else if is {
						signedIn[b.User]--
					}
				}
				for _, s := range c.now.Load().Sessions {
					signedIn[s.Person]--
				}
				for id, n := range signedIn {
					if n != 0 {
						rt.Fatal(fmt.Sprintf("%s: %d sessions that the ledger does not tell of rightly", id, n))
					}
				}
			},
		})
	})
}
