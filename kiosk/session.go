package kiosk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"time"

	"station/ledger"
)

// session is that of one page, in the file: a restart signs nobody out.
type session struct {
	Hash   []byte    `json:"hash"` // SHA-256 of the token, which is 128 random bits at least
	Person string    `json:"person"`
	Begun  time.Time `json:"begun"`
	Used   time.Time `json:"used"` // at most sessionGrain before it was
}

const (
	sessionIdle  = 9 * time.Hour    // after the last use
	sessionWhole = 14 * time.Hour   // after sign-in
	sessionGrain = 10 * time.Minute // a use after that is written down
	mostSessions = 16               // of one person; the oldest end
	clockSlack   = time.Minute      // by which the clock may be set back and nobody is signed out
)

// over tells whether it is, also where the clock was ahead when it was used last: nobody knows then how long ago that is.
func (s session) over(now time.Time) bool {
	ahead := now.Before(s.Begun.Add(-clockSlack)) || now.Before(s.Used.Add(-clockSlack))
	return ahead || now.Sub(s.Used) >= sessionIdle || now.Sub(s.Begun) >= sessionWhole
}

func (r *roll) session(token string) int {
	hash := sha256.Sum256([]byte(token))
	return slices.IndexFunc(r.Sessions, func(s session) bool { return slices.Equal(s.Hash, hash[:]) })
}

// begin begins a session.
func (r *roll) begin(id, how string, now time.Time) (token string, b ledger.Body) {
	token = rand.Text()
	hash := sha256.Sum256([]byte(token))
	now = now.UTC().Truncate(time.Second)
	r.Sessions = append(r.Sessions, session{hash[:], id, now, now})
	left := mostSessions
	for i, s := range slices.Backward(r.Sessions) { // newest first
		if s.Person != id {
			continue
		}
		if left--; left < 0 {
			r.end(i, "expired")
		}
	}
	return token, ledger.UserSession{User: id, In: true, How: how}
}

// end ends a session, and owes that to the ledger.
func (r *roll) end(i int, how string) {
	r.owe(ledger.UserSession{User: r.Sessions[i].Person, How: how})
	r.Sessions = slices.Delete(r.Sessions, i, i+1)
}

func (r *roll) endWhere(is func(session) bool, how string) {
	for i := len(r.Sessions) - 1; i >= 0; i-- {
		if is(r.Sessions[i]) {
			r.end(i, how)
		}
	}
}

func (r *roll) endSessions(id, how string) {
	r.endWhere(func(s session) bool { return s.Person == id }, how)
}

func (r *roll) endExpired(now time.Time) {
	r.endWhere(func(s session) bool { return s.over(now) }, "expired")
}

// Session is whose session a token is, which goes on by it: until 9 h after its last use, and 14 h after sign-in at most.
func (p *People) Session(token string) (Person, bool) {
	r, now := p.now.Load(), time.Now()
	i := r.session(token)
	if i < 0 {
		return Person{}, false
	}
	s := r.Sessions[i]
	over := s.over(now)
	if over || now.Sub(s.Used) >= sessionGrain {
		p.touch(token, now)
	}
	if over {
		return Person{}, false
	}
	return r.member(s.Person).person(now), true
}

// touch writes down that a session is used, or over, unless somebody else is changing people: then the next use does. What fails here fails again there.
func (p *People) touch(token string, now time.Time) {
	select {
	case p.turn <- struct{}{}:
	default:
		return
	}
	defer func() { <-p.turn }()
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	p.replace(ctx, func(r *roll) ([]ledger.Body, error) {
		if i := r.session(token); i >= 0 {
			r.Sessions[i].Used = now.UTC().Truncate(time.Second)
		}
		return nil, nil
	})
}

// SignOut ends the session of a token, if it is one; how is "card" or "button".
func (p *People) SignOut(ctx context.Context, token, how string) error {
	return p.update(ctx, func(r *roll) ([]ledger.Body, error) {
		if i := r.session(token); i >= 0 {
			r.end(i, how)
		}
		return nil, nil
	})
}
