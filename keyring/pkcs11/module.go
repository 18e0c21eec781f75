//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/pkcs11"

	"station/keyring"
)

// limit is how long a call waits, for its turn and for the token. A token that is a machine on a network answers in milliseconds.
var limit = 10 * time.Second

// modules are those that this process has loaded, by their paths: a library has one state for all that use it.
var (
	modulesMu sync.Mutex
	modules   = map[string]*module{}
)

// module is a loaded library. One call is under way at a time.
type module struct {
	path string
	refs int           // under modulesMu
	turn chan struct{} // holds one token: who has it may call
	dead chan struct{} // closed when a call did not end
	ctx  *pkcs11.Ctx   // nil until it is loaded

	// generation counts how often the library was begun: sessions of before are no more.
	generation int
}

// load counts a user of the library in.
func load(path string) (*module, error) {
	file, err := filepath.EvalSymlinks(path)
	if err == nil {
		file, err = filepath.Abs(file) // a name without a folder is looked for elsewhere
	}
	if err != nil {
		return nil, fmt.Errorf("the PKCS#11 module: %w: %w", err, keyring.ErrProvider)
	}
	modulesMu.Lock()
	defer modulesMu.Unlock()
	m := modules[file]
	if m == nil {
		m = &module{path: file, turn: make(chan struct{}, 1), dead: make(chan struct{})}
		m.turn <- struct{}{}
		modules[file] = m
	}
	m.refs++
	return m, nil
}

// release counts a user out; behind the last one the library is ended, unless it hangs.
func (m *module) release() {
	modulesMu.Lock()
	defer modulesMu.Unlock()
	if m.refs--; m.refs > 0 {
		return
	}
	delete(modules, m.path)
	call(m, func() (struct{}, error) {
		if m.ctx != nil {
			m.ctx.Finalize()
			m.ctx.Destroy()
			m.ctx = nil
		}
		return struct{}{}, nil
	})
}

// call runs what calls the library, and waits for it no longer than limit. What hangs is left where it is, and the library is never called again: nobody can stop it.
func call[T any](m *module, f func() (T, error)) (T, error) {
	var none T
	hung := fmt.Errorf("%s did not answer within %s, and is not asked again until the program is started anew: %w", m.path, limit, keyring.ErrProvider)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-m.dead:
		return none, hung
	case <-m.turn:
	case <-timer.C:
		return none, fmt.Errorf("%s was busy for %s: %w", m.path, limit, keyring.ErrProvider)
	}
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := f()
		done <- answer{value, err}
	}()
	select {
	case a := <-done:
		m.turn <- struct{}{}
		return a.value, a.err
	case <-timer.C:
		close(m.dead) // whoever has the turn, and it is not given back
		return none, hung
	}
}

// begin loads the library where it is not, or ends it and begins anew: some never see a token again otherwise that was away.
func (m *module) begin(anew bool) error {
	if m.ctx != nil && !anew {
		return nil
	}
	if m.ctx == nil {
		if m.ctx = pkcs11.New(m.path); m.ctx == nil {
			return fmt.Errorf("%s cannot be loaded: it is no PKCS#11 module, or none for this machine: %w", m.path, keyring.ErrProvider)
		}
	} else {
		m.ctx.Finalize()
	}
	m.generation++
	if err := m.ctx.Initialize(); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		m.ctx.Destroy()
		m.ctx = nil
		return fmt.Errorf("%s does not begin: %w", m.path, failure(err))
	}
	return nil
}

// slot finds the token of a label.
func (m *module) slot(label string) (uint, pkcs11.TokenInfo, error) {
	slots, err := m.ctx.GetSlotList(true)
	if err != nil {
		return 0, pkcs11.TokenInfo{}, notYet(failure(err))
	}
	var found []uint
	var info pkcs11.TokenInfo
	var others []string
	for _, s := range slots {
		i, err := m.ctx.GetTokenInfo(s)
		name := strings.TrimRight(i.Label, " \x00")
		switch {
		case err != nil, i.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0:
		case name == label:
			found, info = append(found, s), i
		default:
			others = append(others, fmt.Sprintf("%q", name))
		}
	}
	slices.Sort(others)
	switch {
	case len(found) > 1:
		return 0, info, fmt.Errorf("there are %d tokens %q at %s: %w", len(found), label, m.path, keyring.ErrProvider)
	case len(found) == 0 && len(others) == 0:
		return 0, info, notYet(fmt.Errorf("there is no token %q at %s, nor any other: %w", label, m.path, keyring.ErrProvider))
	case len(found) == 0:
		return 0, info, notYet(fmt.Errorf("there is no token %q at %s, only %s: %w", label, m.path, strings.Join(others, ", "), keyring.ErrProvider))
	}
	return found[0], info, nil
}

// notYet marks an error as errNotYet, and leaves its sentence.
func notYet(err error) error { return &transient{err} }

type transient struct{ error }

func (e *transient) Unwrap() error        { return e.error }
func (e *transient) Is(target error) bool { return target == errNotYet }

// exclusive runs f while no other process of this machine does that makes a key by this library: a token takes two keys of one name without a word.
func (m *module) exclusive(f func() error) error {
	file, err := os.Open(m.path)
	if err != nil {
		return fmt.Errorf("the PKCS#11 module: %w: %w", err, keyring.ErrProvider)
	}
	defer file.Close()
	for end := time.Now().Add(limit / 2); ; time.Sleep(5 * time.Millisecond) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f() // the lock goes with the file
		}
		if time.Now().After(end) {
			return fmt.Errorf("another process makes a key by %s, or has it locked: %w: %w", m.path, err, keyring.ErrProvider)
		}
	}
}

// failure is what a token says, as an error of a provider.
func failure(err error) error {
	if err == nil || errors.Is(err, keyring.ErrProvider) {
		return err
	}
	return fmt.Errorf("the token says %w: %w", err, keyring.ErrProvider)
}
