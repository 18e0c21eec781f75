package kiosk

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"station/ledger"
)

// People are those who may sign in, and who is. They are in one file of mode 0600, which is replaced whole: who is removed is gone from it. Safe for concurrent use; of one
// file there is one People that changes it.
type People struct {
	Form    *regexp.Regexp // what the code of a badge has to look like, nil for anything; set before use
	path    string
	note    func(context.Context, ledger.Body) error
	stretch func(secret, salt []byte) []byte
	turn    chan struct{} // holds who changes people, or stretches a secret: one at a time
	now     atomic.Pointer[roll]
	strange map[[32]byte]tries // under turn
}

// roll is the file. One that is current is never changed.
type roll struct {
	Version  int       `json:"version"`
	Salt     []byte    `json:"salt"` // of badges
	People   []member  `json:"people"`
	Sessions []session `json:"sessions"`
	Gone     []string  `json:"gone"` // ids of who was removed
	Owed     []owed    `json:"owed"` // what the ledger is not yet known to have
}

// owed is an entry that is written down after the file says so: one of the two.
type owed struct {
	Changed *ledger.UserChanged `json:"changed,omitempty"`
	Session *ledger.UserSession `json:"session,omitempty"`
}

const (
	rollVersion = 1
	saltSize    = 16 // bytes
	hashSize    = 32 // bytes of what is stretched
	// settleTime is for entries that nobody waits for.
	settleTime = 5 * time.Second
)

// OpenPeople opens the file of people; where there is none there is nobody, and the first Add makes it. note writes an entry into the ledger; nil is for who only looks. A file that
// others may read, or that is not what it should be, is an error.
func OpenPeople(path string, note func(context.Context, ledger.Body) error) (*People, error) {
	r, err := readRoll(path)
	if err != nil {
		return nil, err
	}
	p := &People{path: path, note: note, stretch: stretch, turn: make(chan struct{}, 1), strange: map[[32]byte]tries{}}
	p.now.Store(r)
	if note == nil {
		p.note = func(context.Context, ledger.Body) error { return errors.New("people were opened to look only") }
		return p, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	return p, p.settle(ctx)
}

func readRoll(path string) (*roll, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &roll{Version: rollVersion, Salt: random(saltSize)}, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if perm := info.Mode().Perm(); perm&^0o600 != 0 {
		return nil, fmt.Errorf("%s can be read by others: its mode is %#o; run chmod 0600 on it, and think about who may have read it", path, perm)
	}
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields() // which the next change would drop
	r := &roll{}
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s is not one document", path)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// check refuses a file that this program did not write.
func (r *roll) check() error {
	if r.Version != rollVersion || len(r.Salt) != saltSize {
		return fmt.Errorf("it is of version %d, and this program knows version %d", r.Version, rollVersion)
	}
	for i, m := range r.People {
		if err := m.check(r); err != nil {
			return fmt.Errorf("person %d: %w", i+1, err)
		}
		if pin := m.PIN; pin != nil && (len(pin.Salt) != saltSize || len(pin.Hash) != hashSize) || m.Badge != nil && len(m.Badge) != hashSize {
			return fmt.Errorf("the PIN or the badge of %s is not as this program keeps it", m.ID)
		}
		if r.member(m.ID) != &r.People[i] {
			return fmt.Errorf("two people have the id %s", m.ID)
		}
	}
	if len(r.People) > 0 && !r.hasAdmin() {
		return errors.New("nobody is admin")
	}
	for _, s := range r.Sessions {
		if r.member(s.Person) == nil {
			return errors.New("a session is that of nobody")
		}
	}
	for _, o := range r.Owed {
		if (o.Changed == nil) == (o.Session == nil) {
			return errors.New("what is owed to the ledger is not one entry")
		}
	}
	return nil
}

// None tells whether there is nobody.
func (p *People) None() bool { return len(p.now.Load().People) == 0 }

func (r *roll) member(id string) *member {
	if i := slices.IndexFunc(r.People, func(m member) bool { return m.ID == id }); i >= 0 {
		return &r.People[i]
	}
	return nil
}

func (r *roll) hasAdmin() bool {
	return slices.ContainsFunc(r.People, func(m member) bool { return m.Role == Admin })
}

func (r *roll) owe(b ledger.Body) {
	switch b := b.(type) {
	case ledger.UserChanged:
		r.Owed = append(r.Owed, owed{Changed: &b})
	case ledger.UserSession:
		r.Owed = append(r.Owed, owed{Session: &b})
	}
}

// clone shares nothing with r that is changed in place.
func (r *roll) clone() *roll {
	c := *r
	c.People, c.Sessions, c.Gone, c.Owed = slices.Clone(r.People), slices.Clone(r.Sessions), slices.Clone(r.Gone), slices.Clone(r.Owed)
	return &c
}

// update has do change a copy of the roll, writes down what do returns, and then puts the copy in the place of the file. What do owes is written down behind that, and, where
// the program dies in between, when people are opened again: maybe twice, and never not at all. An error of do changes nothing.
func (p *People) update(ctx context.Context, do func(r *roll) (first []ledger.Body, err error)) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	return p.replace(ctx, do)
}

// replace is update for who has the turn.
func (p *People) replace(ctx context.Context, do func(r *roll) ([]ledger.Body, error)) error {
	if err := p.settle(ctx); err != nil {
		return err
	}
	r := p.now.Load().clone()
	r.endExpired(time.Now())
	first, err := do(r)
	if err != nil {
		return err
	}
	for _, b := range first {
		if err := p.note(ctx, b); err != nil {
			return err
		}
	}
	if err := p.save(r); err != nil {
		return err
	}
	if err := p.settle(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("this is done, and will be written down before anything else about people is: %w", err)
	}
	return nil
}

// settle writes down what is owed.
func (p *People) settle(ctx context.Context) error {
	r := p.now.Load()
	if len(r.Owed) == 0 {
		return nil
	}
	for _, o := range r.Owed {
		var b ledger.Body
		if o.Changed != nil {
			b = *o.Changed
		} else {
			b = *o.Session
		}
		if err := p.note(ctx, b); err != nil {
			return err
		}
	}
	r = r.clone()
	r.Owed = nil
	return p.save(r)
}

// save puts a roll in the place of the file, durably, and makes it the current one.
func (p *People) save(r *roll) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	// Always the same name: what a death left there is written over, and no name outlives its person in it.
	fresh := p.path + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Chmod(0o600), likeFolder(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(fresh, p.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	p.now.Store(r)
	folder, err := os.Open(filepath.Dir(p.path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// likeFolder gives a file that root makes to the owner of its folder, who is to read it later.
func likeFolder(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // which never fails
	return b
}
