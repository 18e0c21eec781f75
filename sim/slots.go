package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The file DIR/slots: a line "slot<TAB>path" for each slot with a board, sorted by slot; a path without a leading slash is
// relative to DIR. It is replaced as a whole, by rename.
const slotsFile = "slots"

// readSlots reads DIR/slots into absolute paths by slot. A missing file is an empty one.
func readSlots(dir string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, slotsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	paths := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if len(text) == 0 {
			break
		}
		slot, path, ok := strings.Cut(line, "\t")
		if !ok || checkSlot(slot, path) != nil || paths[slot] != "" {
			return nil, fmt.Errorf("%s line %d: want slot, tab, path, each slot once", slotsFile, i+1)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		paths[slot] = path
	}
	return paths, nil
}

// checkSlot refuses what the file cannot hold.
func checkSlot(slot, path string) error {
	if slot == "" || path == "" || strings.ContainsAny(slot, "\t\n") || strings.ContainsAny(path, "\t\n") {
		return fmt.Errorf("slot %q with board %q: neither may be empty, or have a tab or a line break", slot, path)
	}
	return nil
}

// writeSlots makes what is remembered durable. b.mu is held.
func (b *Boards) writeSlots() (err error) {
	var text bytes.Buffer
	for _, slot := range slices.Sorted(maps.Keys(b.remembered)) {
		path := b.remembered[slot]
		if filepath.Dir(path) == b.dir {
			path = filepath.Base(path)
		}
		fmt.Fprintf(&text, "%s\t%s\n", slot, path)
	}
	f, err := os.CreateTemp(b.dir, "."+slotsFile+"-*")
	if err != nil {
		return fmt.Errorf("slots: %w", err)
	}
	_, err = f.Write(text.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(b.dir, slotsFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("slots: %w", err), os.Remove(f.Name()))
	}
	return syncDir(b.dir)
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("slots: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("slots: %w", err)
	}
	return nil
}
