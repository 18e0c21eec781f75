package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"station/store"
)

// backupSocket is where a station at work hands out copies of its ledger: a stream socket in the data directory, which sends the ledger file as it is at one
// moment and closes. Whoever may read that file may ask: the same user, and root.
const backupSocket = "backup.sock"

const (
	backupLimit    = 10 * time.Minute // how long one copy may take
	progressLimit  = time.Minute      // and how long its other end may read nothing; the ledger's file grows meanwhile, and the next one waits
	acceptInterval = time.Second      // after a failure, of which the commonest is too many open files
	quietLimit     = 3 * time.Second  // after which who waits for the first byte is told why
)

// errNoBackups means that who holds the ledger has no backupSocket.
var errNoBackups = errors.New("it hands out no backups")

// backups is an open backupSocket.
type backups struct {
	listener net.Listener
	dir      *os.File // its directory
	copy     func(io.Writer) error
	progress time.Duration // progressLimit, or a test's
	quit     chan struct{}
	done     chan struct{}

	mu      sync.Mutex
	present net.Conn // who is being served
}

// offerBackups hands out copies of the ledger until the bench is closed. Where that cannot be, it is said, and all else goes on.
func (b *bench) offerBackups() {
	if end := offerBackups(b.stderr, b.data, b.db); end != nil {
		b.closers = append(b.closers, end)
	}
}

// offerBackups hands out copies of a ledger until end is called; nil where it cannot.
func offerBackups(stderr io.Writer, data string, db *store.DB) (end func() error) {
	o, err := listenForBackups(data, db.Copy)
	if err != nil {
		printf(stderr, "no backup can be made while this runs: %v\n", err)
		return nil
	}
	go o.serve()
	return o.close
}

// listenForBackups opens the socket, for serve.
func listenForBackups(data string, copy func(io.Writer) error) (*backups, error) {
	dir, err := os.Open(data)
	if err != nil {
		return nil, err
	}
	// Whoever holds the ledger has the only right to it: what is left there is of a station that died.
	if err := os.Remove(filepath.Join(data, backupSocket)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, dir.Close())
	}
	l, err := listenPrivate(dir, backupSocket)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	o := &backups{listener: l, dir: dir, copy: copy, progress: progressLimit, quit: make(chan struct{}), done: make(chan struct{})}
	return o, nil
}

func (o *backups) serve() {
	defer close(o.done)
	for {
		c, err := o.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			select {
			case <-o.quit:
				return
			case <-time.After(acceptInterval):
			}
			continue
		}
		if o.begin(c) && mayRead(c) {
			o.copy(&sender{c, o.progress, time.Now().Add(backupLimit)}) // who asked checks what came, and says so
		}
		o.end(c)
	}
}

// sender writes to a connection as long as its other end reads.
type sender struct {
	c        net.Conn
	progress time.Duration // for each piece of what is written
	end      time.Time     // for all
}

// piece is what is written with a limit of its own, in bytes.
const piece = 64 << 10

func (s *sender) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		limit := time.Now().Add(s.progress)
		if limit.After(s.end) {
			limit = s.end
		}
		s.c.SetWriteDeadline(limit)
		var wrote int
		wrote, err = s.c.Write(p[n:min(len(p), n+piece)])
		n += wrote
	}
	return n, err
}

func (o *backups) begin(c net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.present = c
	select {
	case <-o.quit:
		return false
	default:
		return true
	}
}

func (o *backups) end(c net.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.present = nil
	c.Close()
}

// close ends serve, and a copy that is under way: the ledger cannot be closed before.
func (o *backups) close() error {
	close(o.quit)
	o.mu.Lock()
	if o.present != nil {
		o.present.Close()
	}
	o.mu.Unlock()
	err := o.listener.Close() // it removes the socket
	<-o.done
	return errors.Join(err, o.dir.Close())
}

// copyOfRunning writes the ledger of a station at work. It has tell say so once where nothing comes for a while.
func copyOfRunning(ctx context.Context, data string, tell func(string)) func(io.Writer) error {
	return func(w io.Writer) error {
		dir, err := os.Open(data)
		if err != nil {
			return fmt.Errorf("%w: %w", errNoBackups, err)
		}
		defer dir.Close()
		ctx, cancel := context.WithTimeout(ctx, backupLimit)
		defer cancel()
		c, err := new(net.Dialer).DialContext(ctx, "unix", socketIn(dir, backupSocket))
		if err != nil {
			return fmt.Errorf("%w: %v", errNoBackups, err)
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		quiet := time.AfterFunc(quietLimit, func() {
			tell("the station hands out one backup at a time, and another one is under way: waiting")
		})
		defer quiet.Stop()
		_, err = io.Copy(w, &first{c, quiet.Stop})
		return err
	}
}

// first calls came when the first byte is there.
type first struct {
	io.Reader
	came func() bool
}

func (f *first) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if n > 0 {
		f.came()
	}
	return n, err
}
