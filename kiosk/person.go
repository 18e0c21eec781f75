package kiosk

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"station/ledger"
)

// Person is somebody who may sign in. The name is in the file of people alone, and gone with it.
type Person struct {
	ID     string    `json:"id"` // pseudonymous: letters, digits and dashes; what the ledger says
	Name   string    `json:"name"`
	Role   Role      `json:"role"`
	PIN    bool      `json:"pin"`   // may sign in by name and PIN
	Badge  bool      `json:"badge"` // may sign in by badge
	Locked time.Time `json:"locked,omitzero"`
}

// PersonChange is what becomes different about a person; nil is left as it is.
type PersonChange struct {
	Role  *Role   `json:"role,omitempty"`
	Name  *string `json:"name,omitempty"`
	PIN   *string `json:"pin,omitempty"`   // "" takes it away
	Badge *string `json:"badge,omitempty"` // as in Add; "" takes it away
	Free  bool    `json:"free,omitempty"`  // forget wrong PINs
}

// member is a person in the file.
type member struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	Role   Role      `json:"role"`
	PIN    *pinHash  `json:"pin,omitempty"`
	Badge  []byte    `json:"badge,omitempty"` // stretched with the salt of the roll
	Wrong  int       `json:"wrong,omitempty"` // PINs in a row
	Locked time.Time `json:"locked,omitzero"`
}

func (m member) person(now time.Time) Person {
	p := Person{ID: m.ID, Name: m.Name, Role: m.Role, PIN: m.PIN != nil, Badge: m.Badge != nil}
	if locks(m.Locked, now) {
		p.Locked = m.Locked
	}
	return p
}

func (m member) changed(what string, by Who) ledger.UserChanged {
	return ledger.UserChanged{User: m.ID, What: what, Role: string(m.Role), By: by.ID, Authenticated: by.Authenticated}
}

// Words of what people are told of people. PeopleWords are all of them.
const (
	WordUserUnknown = "user-unknown" // id
	WordUserTaken   = "user-taken"   // id
	WordUserID      = "user-id"      // id
	WordUserName    = "user-name"    //
	WordNameTaken   = "user-name-taken"
	WordUserRole    = "user-role"  // role
	WordUserFirst   = "user-first" //
	WordUserBare    = "user-bare"  // id
	WordLastAdmin   = "last-admin" // id
	WordPINWeak     = "pin-weak"   //
	WordBadgeWeak   = "badge-weak" //
	WordBadgeForm   = "badge-form" //
	WordBadgeTaken  = "badge-taken"
	WordSignIn      = "sign-in-wrong"
	WordLocked      = "sign-in-locked" // minutes
)

var PeopleWords = []string{WordUserUnknown, WordUserTaken, WordUserID, WordUserName, WordNameTaken, WordUserRole, WordUserFirst, WordUserBare, WordLastAdmin,
	WordPINWeak, WordBadgeWeak, WordBadgeForm, WordBadgeTaken, WordSignIn, WordLocked}

func refused(status int, word string, facts map[string]string, text, next string) *Refusal {
	return &Refusal{Status: status, Said: Said{Word: word, Facts: facts, Text: text, Next: next}}
}

const longestPersonName = 64 // characters

var personID = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)

// notPeople stand in the ledger for who is no person.
var notPeople = []string{"setup", "station", "unnamed"}

// check refuses what a person cannot be, but for how they sign in.
func (m member) check(r *roll) error {
	if !personID.MatchString(m.ID) || slices.Contains(notPeople, strings.ToLower(m.ID)) || strings.EqualFold(m.ID, m.Name) {
		return refused(422, WordUserID, map[string]string{"id": m.ID}, fmt.Sprintf("%q cannot be the id of a person: it stands in the ledger for ever", m.ID),
			"Choose 1 to 32 letters, digits and dashes that do not say the name.")
	}
	if n := utf8.RuneCountInString(m.Name); n == 0 || n > longestPersonName || !utf8.ValidString(m.Name) || strings.TrimSpace(m.Name) != m.Name ||
		strings.ContainsFunc(m.Name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return refused(422, WordUserName, nil, "this cannot be a name", fmt.Sprintf("Give 1 to %d printable characters.", longestPersonName))
	}
	if !slices.Contains(Roles, m.Role) {
		return refused(422, WordUserRole, map[string]string{"role": string(m.Role)}, fmt.Sprintf("there is no role %q", m.Role), "Roles are operator, supervisor, auditor and admin.")
	}
	if m.PIN == nil && m.Badge == nil {
		return refused(422, WordUserBare, map[string]string{"id": m.ID}, fmt.Sprintf("%s could not sign in", m.ID), "Give a PIN, or a badge.")
	}
	for _, o := range r.People {
		switch {
		case o.ID == m.ID:
		case strings.EqualFold(o.ID, m.ID):
			return taken(m.ID)
		case strings.EqualFold(o.Name, m.Name), strings.EqualFold(o.ID, m.Name), strings.EqualFold(o.Name, m.ID):
			return refused(409, WordNameTaken, nil, "somebody else has this name, or this id", "Add something that tells them apart.")
		case m.Badge != nil && slices.Equal(o.Badge, m.Badge):
			return refused(409, WordBadgeTaken, nil, "this badge is somebody else's", "Take it from them first, or give another one.")
		}
	}
	return nil
}

func taken(id string) error {
	return refused(409, WordUserTaken, map[string]string{"id": id}, fmt.Sprintf("%s is somebody already, or was: what the ledger says of an id stays said of one person", id), "Choose another id.")
}

func unknown(id string) error {
	return refused(404, WordUserUnknown, map[string]string{"id": id}, fmt.Sprintf("there is nobody with the id %q", id), "`station user list` and the page of users name all.")
}

// All are the people, by id.
func (p *People) All() []Person {
	r, now, out := p.now.Load(), time.Now(), []Person{}
	for _, m := range r.People {
		out = append(out, m.person(now))
	}
	slices.SortFunc(out, func(a, b Person) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Add adds a person, of whom ID, Name and Role count; pin and badge are "" for none, and one of them is needed. The badge NewBadge makes one, and only then is code what is to be
// printed on it: nobody can be told it again. The first person is an admin, and added by "setup" whoever says so. What is refused is an *Refusal and changes nothing.
func (p *People) Add(ctx context.Context, by Who, person Person, pin, badge string) (code string, err error) {
	err = p.update(ctx, func(r *roll) ([]ledger.Body, error) {
		if len(r.People) == 0 {
			by = Who{ID: "setup"}
		}
		if err := r.mayChange(by); err != nil {
			return nil, err
		}
		if len(r.People) == 0 && person.Role != Admin {
			return nil, refused(422, WordUserFirst, nil, "the first person is an admin: nobody else could add the others", "Give the role admin.")
		}
		if slices.ContainsFunc(r.Gone, func(id string) bool { return strings.EqualFold(id, person.ID) }) || r.member(person.ID) != nil {
			return nil, taken(person.ID)
		}
		m := member{ID: person.ID, Name: person.Name, Role: person.Role}
		if err := p.setPIN(&m, pin); err != nil {
			return nil, err
		}
		if code, err = p.setBadge(r, &m, badge); err != nil {
			return nil, err
		}
		if err := m.check(r); err != nil {
			return nil, err
		}
		r.People = append(r.People, m)
		return []ledger.Body{m.changed(ledger.UserAdded, by)}, nil
	})
	if err != nil {
		return "", err
	}
	return code, nil
}

// Change changes a person; the last admin stays admin. Another PIN or badge, or none, ends their sessions.
func (p *People) Change(ctx context.Context, by Who, id string, c PersonChange) (code string, err error) {
	err = p.update(ctx, func(r *roll) (first []ledger.Body, err error) {
		if err := r.mayChange(by); err != nil {
			return nil, err
		}
		m := r.member(id)
		if m == nil {
			return nil, unknown(id)
		}
		old := m.Role
		if c.Role != nil && *c.Role != old {
			if m.Role = *c.Role; old == Admin && !r.hasAdmin() {
				return nil, lastAdmin(id)
			}
		}
		if c.Name != nil {
			m.Name = *c.Name
		}
		if c.PIN != nil {
			if err := p.setPIN(m, *c.PIN); err != nil {
				return nil, err
			}
		}
		if c.Badge != nil {
			if code, err = p.setBadge(r, m, *c.Badge); err != nil {
				return nil, err
			}
		}
		if err := m.check(r); err != nil {
			return nil, err
		}
		// What gives somebody something is written down before they have it, and what takes it after they have it no more.
		tell := func(what string, gives bool) {
			if b := m.changed(what, by); gives {
				first = append(first, b)
			} else {
				r.owe(b)
			}
		}
		if m.Role != old {
			tell(ledger.UserRole, m.Role.gives(old))
		}
		if c.PIN != nil {
			tell(ledger.UserPIN, *c.PIN != "")
		}
		if c.Badge != nil {
			tell(ledger.UserBadge, *c.Badge != "")
		}
		if c.Free {
			m.Wrong, m.Locked = 0, time.Time{}
			tell(ledger.UserFreed, true)
		}
		if c.PIN != nil || c.Badge != nil {
			r.endSessions(id, "changed")
		}
		return first, nil
	})
	if err != nil {
		return "", err
	}
	return code, nil
}

// mayChange refuses who was an admin when they asked, and is none now that it is their turn. Who has not signed in is whoever may open the socket, or this file.
func (r *roll) mayChange(by Who) error {
	if m := r.member(by.ID); by.Authenticated && (m == nil || !m.Role.May(ChangeUsers)) {
		return refused(403, "not-your-role", nil, by.ID+" may not do that any more", "Ask somebody who may.")
	}
	return nil
}

// gives tells whether a role may do something that the other may not.
func (r Role) gives(other Role) bool {
	for a := range may {
		if r.May(a) && !other.May(a) {
			return true
		}
	}
	return false
}

// Remove ends somebody's sessions and forgets all of them but the id, which nobody gets again; not the last admin.
func (p *People) Remove(ctx context.Context, by Who, id string) error {
	return p.update(ctx, func(r *roll) ([]ledger.Body, error) {
		if err := r.mayChange(by); err != nil {
			return nil, err
		}
		m := r.member(id)
		if m == nil {
			return nil, unknown(id)
		}
		gone := *m
		r.People = slices.DeleteFunc(r.People, func(m member) bool { return m.ID == id })
		if gone.Role == Admin && !r.hasAdmin() {
			return nil, lastAdmin(id)
		}
		r.Gone = append(r.Gone, id)
		r.endSessions(id, "removed")
		gone.Role = ""
		r.owe(gone.changed(ledger.UserRemoved, by))
		return nil, nil
	})
}

func lastAdmin(id string) error {
	return refused(409, WordLastAdmin, map[string]string{"id": id}, fmt.Sprintf("%s is the last admin: nobody could add people any more", id), "Make somebody else admin first.")
}
