package kiosk

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/argon2"

	"station/ledger"
)

// pinHash is what is kept of a PIN.
type pinHash struct {
	Salt []byte `json:"salt"`
	Hash []byte `json:"hash"` // stretched
}

const (
	shortestPIN = 4  // digits
	longestPIN  = 12 //

	lockAfter   = 5 // wrong PINs in a row, and again after each so many more
	firstLock   = 5 * time.Minute
	longestLock = 4 * time.Hour

	// mostStrange is how many names of nobody have their tries counted, about 2 MB: at 60 sign-ins a minute nobody has them forgotten within the longest lock.
	mostStrange = 20000
)

// ErrSignIn is what whoever cannot be signed in is told, whatever was wrong.
var ErrSignIn error = refused(401, WordSignIn, nil, "that is nobody here", "Check the name and the PIN, or scan the badge again.")

// LockedError is what a name is told after too many wrong PINs, whether or not it is somebody's. It is an *Refusal too.
type LockedError struct{ Until time.Time }

func (e *LockedError) Error() string { return e.refusal().Text }
func (e *LockedError) Unwrap() error { return e.refusal() }

func (e *LockedError) refusal() *Refusal {
	minutes := strconv.Itoa(max(1, int((time.Until(e.Until)+time.Minute-1)/time.Minute)))
	return refused(429, WordLocked, map[string]string{"minutes": minutes}, fmt.Sprintf("too many wrong PINs: no PIN is taken for this name for %s min", minutes),
		"Wait, sign in by badge, or have an admin free it.")
}

// stretch makes guessing slow: argon2id, 19 MiB, two passes, one lane (OWASP's choice for it). About 40 ms of one core.
func stretch(secret, salt []byte) []byte { return argon2.IDKey(secret, salt, 2, 19*1024, 1, hashSize) }

// strong tells whether a PIN may be one: digits that are neither all equal nor a run such as 1234, 3210 or 7890.
func strong(pin string) bool {
	if len(pin) < shortestPIN || len(pin) > longestPIN || strings.Trim(pin, "0123456789") != "" {
		return false
	}
	apart := (int(pin[1]) - int(pin[0]) + 10) % 10
	for i := 2; i < len(pin); i++ {
		if (int(pin[i])-int(pin[i-1])+10)%10 != apart {
			return true
		}
	}
	return apart != 0 && apart != 1 && apart != 9
}

// setPIN gives a PIN, or takes it for "", and forgets wrong ones.
func (p *People) setPIN(m *member, pin string) error {
	m.PIN, m.Wrong, m.Locked = nil, 0, time.Time{}
	if pin == "" {
		return nil
	}
	if !strong(pin) {
		return refused(422, WordPINWeak, nil, "this cannot be a PIN", fmt.Sprintf("Choose %d to %d digits, not all the same and no run such as 1234.", shortestPIN, longestPIN))
	}
	salt := random(saltSize)
	m.PIN = &pinHash{Salt: salt, Hash: p.stretch([]byte(pin), salt)}
	return nil
}

// tries are wrong PINs of a name that nobody has.
type tries struct {
	wrong  int
	locked time.Time
}

// fold is the same for what strings.EqualFold takes for equal, as names are compared, and for nothing else: each letter is the first of all its cases.
func fold(s string) string {
	return strings.Map(func(c rune) rune {
		first := c
		for next := unicode.SimpleFold(c); next != c; next = unicode.SimpleFold(next) {
			first = min(first, next)
		}
		return first
	}, s)
}

// locks tells whether a lock still holds. One that ends later than any is of a clock that was ahead.
func locks(until, now time.Time) bool {
	return now.Before(until) && until.Sub(now) <= longestLock
}

// count counts one more wrong PIN, and locks after so many.
func (t *tries) count(now time.Time) (locked bool) {
	t.wrong++
	if t.wrong%lockAfter != 0 {
		return false
	}
	lock := longestLock
	if n := t.wrong/lockAfter - 1; n < 8 { // far above the longest, and no shift overflows
		lock = min(firstLock<<n, longestLock)
	}
	t.locked = now.Add(lock).UTC().Truncate(time.Second)
	return true
}

// SignInPIN signs in who has a name or an id, and this PIN. The error is ErrSignIn or a *LockedError, or one of this station. A name that nobody has, or nobody with a PIN, costs
// what a wrong PIN costs, is locked like one, and is told the same; but its lock is no entry.
func (p *People) SignInPIN(ctx context.Context, name, pin string) (token string, who Person, err error) {
	var no error
	err = p.update(ctx, func(r *roll) ([]ledger.Body, error) {
		now := time.Now()
		var m *member
		for i, o := range r.People {
			if o.PIN != nil && (strings.EqualFold(o.ID, name) || strings.EqualFold(o.Name, name)) {
				m = &r.People[i]
			}
		}
		key := sha256.Sum256([]byte(fold(name)))
		t, against := p.strange[key], pinHash{Salt: r.Salt} // which no PIN is
		if m != nil {
			t, against = tries{m.Wrong, m.Locked}, *m.PIN
		}
		if locks(t.locked, now) {
			return nil, &LockedError{t.locked}
		}
		right := subtle.ConstantTimeCompare(p.stretch([]byte(pin), against.Salt), against.Hash) == 1
		if m != nil && right {
			m.Wrong, m.Locked = 0, time.Time{}
			var b ledger.Body
			token, b = r.begin(m.ID, "pin", now)
			who = m.person(now)
			return []ledger.Body{b}, nil
		}
		if no = ErrSignIn; t.count(now) {
			no = &LockedError{t.locked}
		}
		if m == nil {
			if len(p.strange) >= mostStrange {
				clear(p.strange)
			}
			p.strange[key] = t
			return nil, nil // and the file is written, as for somebody
		}
		if m.Wrong, m.Locked = t.wrong, t.locked; now.Before(t.locked) {
			r.owe(m.changed(ledger.UserLocked, Who{ID: "station"}))
		}
		return nil, nil
	})
	if err = cmp.Or(err, no); err != nil {
		return "", Person{}, err
	}
	return token, who, nil
}
