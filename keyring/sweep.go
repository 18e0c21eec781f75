package keyring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Who makes a key shares the directory's lock with others who do; who sweeps has it alone.
const (
	sweepLimit = 5 * time.Second
	sweepPause = 5 * time.Millisecond
)

// hold keeps a directory from being swept until the file is closed.
func hold(dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for begun := time.Now(); ; time.Sleep(sweepPause) {
		err := syscall.Flock(int(d.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(begun) > sweepLimit {
			d.Close()
			return nil, fmt.Errorf("%s is locked by another process (%w): %w", dir, err, ErrProvider)
		}
	}
}

// sweep removes what was left of keys whose maker was killed: it may be a second link of a key that is destroyed later. Where a key is being made just now, the next
// one sweeps.
func sweep(dir string) {
	if all, err := leftovers(dir, made); err != nil || len(all) == 0 {
		return
	}
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	if syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return
	}
	all, err := leftovers(dir, made) // those of before may have become keys
	if err != nil {
		return
	}
	for _, path := range all {
		os.Remove(path)
	}
	d.Sync()
}

// leftovers are the paths of what writeNew left in dir, by how it ends. What somebody else put there is none.
func leftovers(dir string, ending *regexp.Regexp) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, file := range files {
		end := ending.FindStringIndex(file.Name())
		if end == nil || !file.Type().IsRegular() {
			continue
		}
		of := strings.TrimSuffix(file.Name()[:end[0]], lockSuffix)
		if strings.HasPrefix(of, masterPrefix) || strings.HasSuffix(of, keySuffix) || of+lockSuffix == lockFile {
			all = append(all, filepath.Join(dir, file.Name()))
		}
	}
	return all, nil
}
