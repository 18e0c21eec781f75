package main

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestPrivateSocket: a socket of this PC is its owner's alone, whatever the mask of whoever started the station; and whoever gets at it all the same is not let in.
func TestPrivateSocket(t *testing.T) { // not parallel: the mask is the whole program's
	dir := t.TempDir()
	old := syscall.Umask(0)
	l, err := listenSocket(dir, stationSocket)
	if mask := syscall.Umask(old); mask != 0 {
		t.Errorf("the mask is %#o now, and was 0", mask)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(filepath.Join(dir, stationSocket)); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if near, _ := socketOf(t, -1); !mayRead(near) {
		t.Error("the owner is not let in")
	}
	if os.Getuid() != 0 {
		t.Skip("NOT RUN: only root is somebody else for a while")
	}
	if near, err := socketOf(t, 65534); err != nil || mayRead(near) {
		t.Errorf("somebody else is let in (%v)", err)
	}
}

// socketOf is a connection with somebody, -1 for oneself.
func socketOf(t *testing.T, uid int) (near net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and ends with the goroutine: nobody else has this user
		if _, _, no := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); no != 0 {
			err = no
			return
		}
		var pair [2]int
		if pair, err = syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); err != nil {
			return
		}
		syscall.Close(pair[1])
		f := os.NewFile(uintptr(pair[0]), "pair")
		defer f.Close()
		near, err = net.FileConn(f)
	}()
	<-done
	if near != nil {
		t.Cleanup(func() { near.Close() })
	}
	return near, err
}
