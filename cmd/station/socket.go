package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// socketIn names a socket in a directory by the directory's descriptor: the whole path may be longer than the address of a socket (unix(7): 108 bytes).
func socketIn(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// listenPrivate makes a socket in a directory, for its owner alone.
func listenPrivate(dir *os.File, name string) (net.Listener, error) {
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return net.Listen("unix", socketIn(dir, name))
}

// mayRead tells whether the other end could read the ledger file too.
func mayRead(c net.Conn) bool {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false
	}
	var who *syscall.Ucred
	if err := raw.Control(func(fd uintptr) {
		who, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return false
	}
	return err == nil && (who.Uid == 0 || int(who.Uid) == os.Getuid())
}

// listenSocket makes a socket in the directory at path, for its owner alone, and answers nobody else. What is left of a process that died is nobody's: the ledger is locked by now.
func listenSocket(path, name string) (net.Listener, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, dir.Close())
	}
	l, err := listenPrivate(dir, name)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return privateListener{l, dir}, nil
}

// privateListener keeps the directory open by which its socket is named.
type privateListener struct {
	net.Listener
	dir *os.File
}

func (l privateListener) Close() error { return errors.Join(l.Listener.Close(), l.dir.Close()) }

// Accept lets those in who could read the ledger.
func (l privateListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || mayRead(c) {
			return c, err
		}
		c.Close()
	}
}

// dialSocket connects to a socket in the directory at path.
func dialSocket(ctx context.Context, path, name string) (net.Conn, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return (&net.Dialer{}).DialContext(ctx, "unix", socketIn(dir, name))
}

// serveBoth serves on a network and on a socket until ctx is over, and then lets go what is under way.
func serveBoth(ctx context.Context, public *http.Server, network net.Listener, private *http.Server, socket net.Listener) error {
	failed := make(chan error, 2)
	go func() { failed <- public.Serve(network) }()
	go func() { failed <- private.Serve(socket) }()
	var err error
	running := 2
	select {
	case <-ctx.Done():
	case err = <-failed:
		running--
	}
	const limit = 5 * time.Second
	stop, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err = errors.Join(err, public.Shutdown(stop), private.Shutdown(stop))
	for range running {
		if late := <-failed; !errors.Is(late, http.ErrServerClosed) {
			err = errors.Join(err, late)
		}
	}
	return err
}
