package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// configFileText is the configuration file and what it holds, for whoever is going to change it.
func (a *app) configFileText() (path string, text []byte, err error) {
	path = cmp.Or(a.configFile, ownConfig)
	text, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, exit(exitRefused, fmt.Errorf("there is no %s to write to: `station init` makes one", path))
	} else if err != nil {
		return "", nil, exit(exitError, err)
	}
	if err := checkConfig(path, text); err != nil {
		return "", nil, exit(exitRefused, fmt.Errorf("this configuration cannot be used\n%w", err))
	}
	return path, text, nil
}

// replaceConfig writes after in place of before, whole or not at all. A file that somebody else changed meanwhile is left alone.
func replaceConfig(path string, before, after []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return exit(exitError, err)
	}
	if now, err := os.ReadFile(path); err != nil {
		return exit(exitError, err)
	} else if !bytes.Equal(now, before) {
		return exit(exitRefused, fmt.Errorf("%s was changed meanwhile by somebody else: nothing was written; do it again", path))
	}
	info, err := os.Stat(path)
	if err != nil {
		return exit(exitError, err)
	}
	// A rename would not ask the file.
	if f, err := os.OpenFile(path, os.O_WRONLY, 0); err != nil {
		return exit(exitRefused, fmt.Errorf("%s may not be written by this user: nothing was written; let its owner do it, or change its rights (%w)", path, err))
	} else if err := f.Close(); err != nil {
		return exit(exitError, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return exit(exitError, err)
	}
	defer os.Remove(tmp.Name()) // gone where it has the name
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		_ = tmp.Chown(int(owner.Uid), int(owner.Gid)) // who may not give it away has it
	}
	_, err = tmp.Write(after)
	if err := errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Sync(), tmp.Close()); err != nil {
		return exit(exitError, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return exit(exitError, err)
	}
	return nil
}
