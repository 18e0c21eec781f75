package kiosk

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"strings"
	"time"
	"unicode"

	"station/ledger"
)

// NewBadge has Add or Change make the code of a badge.
const NewBadge = "new"

const (
	badgePrefix   = "BADGE:"
	badgeSize     = 26 // characters of base32: 130 bits
	shortestBadge = 8  // characters of a code that was made elsewhere
	longestBadge  = 128
)

// isMade tells whether a code has the form of those that are made here: 130 random bits, which nobody guesses.
func isMade(code string) bool {
	secret, is := strings.CutPrefix(code, badgePrefix)
	return is && len(secret) == badgeSize && strings.Trim(secret, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// setBadge gives a badge, or takes it for "". code is that of a new one.
func (p *People) setBadge(r *roll, m *member, badge string) (code string, err error) {
	switch {
	case badge == "":
		m.Badge = nil
		return "", nil
	case badge == NewBadge:
		code = badgePrefix + rand.Text()[:badgeSize]
		badge = code
	case len(badge) < shortestBadge || len(badge) > longestBadge || strings.ContainsFunc(badge, func(c rune) bool { return c > unicode.MaxASCII || !unicode.IsGraphic(c) || c == ' ' }):
		return "", refused(422, WordBadgeWeak, nil, "this cannot be the code of a badge", "Scan a badge whose code has 8 to 128 letters, digits and signs, or have one made.")
	}
	// The pages would take it for a serial, and show it to everybody.
	if p.Form != nil && !p.Form.MatchString(badge) {
		return "", refused(422, WordBadgeForm, nil, "the pages would not know this code for a badge", "Its form is that of page.badge in config.yaml.")
	}
	m.Badge = p.stretch([]byte(badge), r.Salt)
	return code, nil
}

// SignInBadge signs in whose badge it is. The error is ErrSignIn, or one of this station.
func (p *People) SignInBadge(ctx context.Context, code string) (token string, who Person, err error) {
	err = p.update(ctx, func(r *roll) ([]ledger.Body, error) {
		now := time.Now()
		hash := p.stretch([]byte(code), r.Salt)
		for _, m := range r.People {
			if subtle.ConstantTimeCompare(hash, m.Badge) == 1 {
				var b ledger.Body
				token, b = r.begin(m.ID, "badge", now)
				who = m.person(now)
				return []ledger.Body{b}, nil
			}
		}
		return nil, ErrSignIn
	})
	if err != nil {
		return "", Person{}, err
	}
	return token, who, nil
}
