//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/pkcs11"

	"station/keyring"
)

// What the library has no names for (PKCS#11 3.0).
const (
	ckkEdwards    = 0x40
	ckmEdwardsGen = 0x1055
	ckmEdDSA      = 0x1057
)

// needed are the mechanisms that a token must have.
var needed = []struct {
	mechanism uint
	name      string
}{
	{pkcs11.CKM_GENERIC_SECRET_KEY_GEN, "CKM_GENERIC_SECRET_KEY_GEN"},
	{pkcs11.CKM_SHA256_HMAC, "CKM_SHA256_HMAC"},
	{ckmEdwardsGen, "CKM_EC_EDWARDS_KEY_PAIR_GEN"},
	{ckmEdDSA, "CKM_EDDSA"},
}

// Token is a keyring.Provider. Printing it in any way shows no PIN.
type Token struct {
	m     *module
	label string
	pin   func() string // in a closure, because no verb of fmt shows what is in one

	// What follows belongs to who has the module's turn.
	session    pkcs11.SessionHandle
	generation int   // of the module, that the session is of; 0 for none
	refused    error // the PIN was wrong: it is never given again
	closed     bool
}

// A token in files does not show itself, or its PIN, for the moment in which another process writes it.
const (
	tries = 5
	pause = 40 * time.Millisecond
)

// Open logs in to a token of a module. The PIN is given once: tokens count wrong ones, and lock themselves.
func Open(path, label string, pin []byte) (keyring.Provider, error) {
	m, err := load(path)
	if err != nil {
		return nil, err
	}
	text := string(pin)
	t := &Token{m: m, label: label, pin: func() string { return text }}
	_, err = call(m, func() (struct{}, error) { return struct{}{}, t.login(false) })
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// login opens a session, anew where the one before is lost.
func (t *Token) login(anew bool) error {
	if t.refused != nil {
		return t.refused
	}
	if t.closed {
		return fmt.Errorf("%s was closed: %w", t, keyring.ErrProvider)
	}
	// Where another token of this process has begun the library anew, that will do.
	anew = anew && t.generation == t.m.generation
	t.generation = 0
	for try := 1; ; try++ {
		if err := t.m.begin(anew || try > 1); err != nil {
			return err
		}
		session, err := t.enter()
		if err == nil {
			t.session, t.generation = session, t.m.generation
			return nil
		}
		if t.refused != nil || !errors.Is(err, errNotYet) || try == tries {
			return err
		}
		time.Sleep(pause)
	}
}

// errNotYet is what may be a moment later; nobody has looked at the PIN.
var errNotYet = errors.New("it may be there in a moment")

// enter opens a session and logs in.
func (t *Token) enter() (session pkcs11.SessionHandle, err error) {
	slot, info, err := t.m.slot(t.label)
	if err != nil {
		return 0, err
	}
	switch {
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return 0, fmt.Errorf("%s has locked itself after too many wrong PINs: its security officer opens it again: %w", t, keyring.ErrProvider)
	case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return 0, fmt.Errorf("%s locks itself at the next wrong PIN, so it is not given one: log in once by hand with the right one: %w", t, keyring.ErrProvider)
	}
	mechanisms, err := t.m.ctx.GetMechanismList(slot)
	if err != nil {
		return 0, notYet(failure(err))
	}
	for _, n := range needed {
		if !slices.ContainsFunc(mechanisms, func(m *pkcs11.Mechanism) bool { return m.Mechanism == n.mechanism }) {
			return 0, fmt.Errorf("%s does not have %s: it cannot keep a station's keys: %w", t, n.name, keyring.ErrProvider)
		}
	}
	if session, err = t.m.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
		return 0, notYet(failure(err))
	}
	defer func() {
		if err != nil {
			t.m.ctx.CloseSession(session)
		}
	}()
	err = t.m.ctx.Login(session, pkcs11.CKU_USER, t.pin())
	var says pkcs11.Error
	switch errors.As(err, &says); {
	case err == nil, says == pkcs11.CKR_USER_ALREADY_LOGGED_IN: // by another session of this process
		return session, nil
	case says == pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
		return 0, notYet(fmt.Errorf("%s has no user PIN yet: its security officer sets one: %w", t, keyring.ErrProvider))
	case slices.Contains([]pkcs11.Error{pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_PIN_EXPIRED}, says):
		t.refused = fmt.Errorf("%s does not take the PIN (%w). It was given once and is not given again: correct it before the program is started anew, for too many wrong ones lock the token: %w", t, says, keyring.ErrProvider)
		return 0, t.refused
	case says == pkcs11.CKR_GENERAL_ERROR:
		now, lost := t.m.ctx.GetTokenInfo(slot)
		for try := 1; lost != nil && try < tries; try++ { // another process may be writing it still
			time.Sleep(pause)
			now, lost = t.m.ctx.GetTokenInfo(slot)
		}
		if lost == nil && now.Flags&pkcs11.CKF_USER_PIN_COUNT_LOW == 0 { // so it has counted no wrong PIN
			return 0, notYet(failure(err))
		}
	}
	return 0, failure(err)
}

// lost are the answers of a token that was away, or whose session somebody ended.
var lost = []pkcs11.Error{pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_TOKEN_NOT_PRESENT,
	pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_USER_NOT_LOGGED_IN, pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED,
	pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_SLOT_ID_INVALID}

// ask uses the session. Where the token was away it logs in once more, and, where the question may be put twice, puts it again. A token without any key
// is taken for one that was away: some libraries show an empty token where none is.
func ask[T any](t *Token, twice bool, question func(c *pkcs11.Ctx, s pkcs11.SessionHandle) (T, error)) (T, error) {
	return call(t.m, func() (value T, err error) {
		fresh := t.closed || t.refused != nil || t.generation == 0 || t.generation != t.m.generation
		if fresh {
			if err := t.login(true); err != nil {
				return value, err
			}
		}
		value, err = question(t.m.ctx, t.session)
		var says pkcs11.Error
		away := errors.As(err, &says) && slices.Contains(lost, says) || errors.Is(err, keyring.ErrMissing) && empty(t.m.ctx, t.session)
		if away && !fresh {
			t.m.ctx.CloseSession(t.session)
			if err := t.login(true); err != nil {
				return value, err
			}
			if twice {
				value, err = question(t.m.ctx, t.session)
			}
		}
		if errors.As(err, &says) { // whatever is left of the question ends with its session
			t.m.ctx.CloseSession(t.session)
			t.generation = 0
		}
		for _, ours := range []error{keyring.ErrMissing, keyring.ErrExists, keyring.ErrKey} {
			if errors.Is(err, ours) {
				return value, err
			}
		}
		if err != nil {
			return value, fmt.Errorf("%s: %w", t, failure(err))
		}
		return value, nil
	})
}

// empty tells whether a token shows no object at all.
func empty(c *pkcs11.Ctx, s pkcs11.SessionHandle) bool {
	all, err := find(c, s, pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true))
	return err != nil || len(all) == 0
}

// Close ends the session, and the library behind its last user.
func (t *Token) Close() error {
	open, err := call(t.m, func() (bool, error) {
		if t.closed {
			return false, nil
		}
		t.closed = true
		if t.generation != 0 && t.generation == t.m.generation {
			t.m.ctx.CloseSession(t.session)
		}
		return true, nil
	})
	if err == nil && open {
		t.m.release()
	}
	return nil // what hangs was left where it is, and everybody who asked has been told so
}

// String says which token of what.
func (t *Token) String() string {
	return fmt.Sprintf("token %q of %s", t.label, strings.TrimSpace(t.m.path))
}
