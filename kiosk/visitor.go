package kiosk

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The cookies. Neither is readable by a script, nor sent along from another site.
const (
	cookieSession = "station_session" // of who is signed in
	cookieVisit   = "station_visit"   // of who is not: something for the token to hang on
	headerToken   = "X-Station-Token" // of a request that changes something
	headerWho     = "Station-Operator"
)

// visitor is who asks.
type visitor struct {
	Person *Person // nil where nobody is signed in, and where nobody needs to
	Role   Role    // "" where nobody is signed in; Anyone where nobody needs to
	Who    Who
	Token  string // for the pages that are rendered for them

	session string // the cookie's, "" for none; it may have ended
	address string // by addressOf
	local   bool   // over the socket of this PC
}

type visitorKey struct{}

func withVisitor(ctx context.Context, v visitor) context.Context {
	return context.WithValue(ctx, visitorKey{}, v)
}

// visitorOf is who asks, of the context of a request.
func visitorOf(ctx context.Context) visitor {
	v, _ := ctx.Value(visitorKey{}).(visitor)
	return v
}

// visit finds out who asks, and gives a cookie to who has none.
func (s *Server) visit(w http.ResponseWriter, r *http.Request) visitor {
	v := visitor{address: addressOf(r), session: cookieOf(r, cookieSession)}
	seed := cmp.Or(v.session, cookieOf(r, cookieVisit)) // of a session that ended too: its page is told to sign in, and not that it is too old
	if seed == "" && !strings.HasPrefix(r.URL.Path, "/assets/") {
		seed = rand.Text()
		w.Header().Add("Set-Cookie", s.cookie(cookieVisit, seed))
	}
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(seed))
	v.Token = hex.EncodeToString(mac.Sum(nil))
	if person, ok := s.o.People.Session(v.session); ok {
		v.Person, v.Role, v.Who = &person, person.Role, Who{ID: person.ID, Authenticated: true}
	} else if s.open() {
		v.Role, v.Who = Anyone, Who{ID: unnamed}
	}
	return v
}

const unnamed = "unnamed"

// local is who asks over the socket: who they say, which nobody checked.
func local(r *http.Request) (visitor, *Problem) {
	const longest = 64 // characters, as at the terminal
	who := cmp.Or(r.Header.Get(headerWho), unnamed)
	if !utf8.ValidString(who) || utf8.RuneCountInString(who) > longest || strings.ContainsFunc(who, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return visitor{}, problem(http.StatusUnprocessableEntity, "invalid", fmt.Sprintf("%s: want 1 to %d printable characters", headerWho, longest), "")
	}
	if who != unnamed && slices.Contains(notPeople, strings.ToLower(who)) {
		return visitor{}, problem(http.StatusUnprocessableEntity, "invalid", fmt.Sprintf("%s: %q stands in the ledger for who is no person", headerWho, who), "")
	}
	return visitor{Role: Anyone, Who: Who{ID: who}, local: true}, nil
}

type stillKey struct{}

// WithStill is ctx with what Still asks.
func WithStill(ctx context.Context, still func() error) context.Context {
	return context.WithValue(ctx, stillKey{}, still)
}

// Still looks once more at whoever asked for what is done with ctx: a Station does so where that had to wait. The error is what they are told; nil lets it be done, as where nobody asked.
func Still(ctx context.Context) error {
	if still, ok := ctx.Value(stillKey{}).(func() error); ok {
		return still()
	}
	return nil
}

// look refuses who is not any more who they were when they asked.
func (s *Server) look(t route, v visitor) error {
	if s.still(v) {
		return nil
	}
	p := signInFirst()
	if _, ok := s.o.People.Session(v.session); ok {
		p = problem(http.StatusForbidden, "not-your-role", "the role of whoever asked is another one since", "Ask again, or ask somebody who may.")
	}
	s.note(t.pattern, t.action, v, p)
	return p
}

// open tells whether nobody needs to sign in.
func (s *Server) open() bool { return s.o.Open && s.o.People.None() }

// still tells whether somebody is who they were when they asked: a stream ends for who signed off since, or has another role.
func (s *Server) still(v visitor) bool {
	switch {
	case v.local:
		return true
	case v.Person == nil:
		return s.open()
	}
	p, ok := s.o.People.Session(v.session)
	return ok && p.ID == v.Person.ID && p.Role == v.Role
}

// cookie is the header for a cookie that is gone with the browser, or takes it back where value is "".
func (s *Server) cookie(name, value string) string {
	c := http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: s.o.TLS, SameSite: http.SameSiteStrictMode}
	if value == "" {
		c.MaxAge = -1
	}
	return c.String()
}

// cookieOf is the value of a cookie, "" where there is none, or one that was never ours.
func cookieOf(r *http.Request, name string) string {
	const most = 128
	if c, err := r.Cookie(name); err == nil && len(c.Value) <= most {
		return c.Value
	}
	return ""
}

// addressOf is where a request comes from.
func addressOf(r *http.Request) string { return networkOf(r.RemoteAddr) }

// networkOf is what an address with its port is counted by: of version 6 the network of 64 bits, of which one PC has all addresses.
func networkOf(address string) string {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}
