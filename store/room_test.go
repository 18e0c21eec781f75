package store

import (
	"errors"
	"strings"
	"testing"
)

func TestRoom(t *testing.T) {
	d, _ := create(t, options(t, "line-3", 1))
	if err := d.Room(); err != nil {
		t.Errorf("on this machine: %v", err)
	}
	for _, row := range []struct {
		free uint64
		err  error
		full bool
		says string
	}{
		{leastRoom, nil, false, ""},
		{leastRoom - 1, nil, true, "127 MiB are free"},
		{0, nil, true, "0 MiB are free"},
		{0, errors.New("gone"), false, "gone"},
	} {
		d.free = func(string) (uint64, uint64, error) { return row.free, 0, row.err }
		err := d.Room()
		if errors.Is(err, ErrFull) != row.full || (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%d bytes free, %v: %v", row.free, row.err, err)
		}
	}
}
