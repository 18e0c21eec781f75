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

// replaceConfig writes after in place of before, whole or not at all, with the owner, the group and the rights that the file had. A file that somebody
// else changed meanwhile is left alone.
func replaceConfig(path string, before, after []byte) error {
	file, tmp, err := besideConfig(path)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone where it has the name
	_, err = tmp.Write(after)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return exit(exitError, fmt.Errorf("%s could not be written, and is as it was: %w", file, bare(err)))
	}
	if now, err := os.ReadFile(file); err != nil {
		return exit(exitError, err)
	} else if !bytes.Equal(now, before) {
		return exit(exitRefused, fmt.Errorf("%s was changed meanwhile by somebody else: nothing was written; do it again", file))
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return exit(exitError, fmt.Errorf("%s could not be written, and is as it was: %w", file, bare(err)))
	}
	// Not before that does a loss of power leave the new name in the folder.
	folder, err := os.Open(filepath.Dir(file))
	if err == nil {
		err = errors.Join(folder.Sync(), folder.Close())
	}
	if err != nil {
		return exit(exitError, fmt.Errorf("%s was written, but a loss of power now may bring back what it was: %w", file, bare(err)))
	}
	return nil
}

// tryConfig tells what would keep replaceConfig from writing, for whoever is about to ask a person, or a chip, for what is to be written.
func tryConfig(path string) error {
	_, tmp, err := besideConfig(path)
	if err != nil {
		return err
	}
	return errors.Join(tmp.Close(), os.Remove(tmp.Name()))
}

// besideConfig makes an empty file with the owner, the group and the rights of the configuration, in the folder of the file behind path. Where it cannot
// have them it refuses: a configuration that goes to another user or group is one that somebody may not read, or write, any more.
func besideConfig(path string) (file string, tmp *os.File, err error) {
	if file, err = filepath.EvalSymlinks(path); err != nil {
		return "", nil, exit(exitError, err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", nil, exit(exitError, err)
	}
	refused := func(why string, err error) (string, *os.File, error) {
		return "", nil, exit(exitRefused, fmt.Errorf("%s %s: nothing was written; let its owner do it, or change its rights (%w)", file, why, bare(err)))
	}
	// A rename would not ask the file.
	if f, err := os.OpenFile(file, os.O_WRONLY, 0); err != nil {
		return refused("may not be written by this user", err)
	} else if err := f.Close(); err != nil {
		return "", nil, exit(exitError, err)
	}
	if tmp, err = os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*"); err != nil {
		return refused("cannot be replaced by this user, who may not make files in its folder", err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	err = tmp.Chown(int(owner.Uid), int(owner.Gid))
	if err == nil {
		err = tmp.Chmod(info.Mode().Perm()) // after the owner, whose change takes some rights away
	}
	if err != nil {
		tmp.Close()
		os.Remove(tmp.Name())
		return refused("belongs to a user or a group that this user may not give a new file to", err)
	}
	return file, tmp, nil
}

// bare is what the system says, without the name of a file that nobody asked for.
func bare(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}
