package store

import (
	"errors"
	"testing"
)

// A disk that fails a commit, before or after it has the pages: nothing is written any more, and what the file holds shows when it is opened again.
func TestDisk(t *testing.T) {
	for _, written := range []bool{false, true} {
		full := errors.New("no space left")
		calls, fails := 0, false
		o := options(t, "line1", 1)
		o.Disk = func(now bool) error {
			if calls++; fails && now == written {
				return full
			}
			return nil
		}
		d, path := create(t, o)
		i := mustAppend(t, d, start(1, "A"))
		if err := d.Sign(ctx); err != nil {
			t.Fatal(err)
		}
		if calls != 6 { // before and after the first checkpoint, the entry, and its checkpoint
			t.Errorf("the disk was asked %d times", calls)
		}
		fails = true
		if _, err := d.Append(ctx, start(2, "B")); !errors.Is(err, ErrBroken) || !errors.Is(err, full) {
			t.Errorf("append: %v", err)
		}
		fails = false
		if _, err := d.Append(ctx, start(3, "C")); !errors.Is(err, ErrBroken) {
			t.Errorf("append after a failed commit: %v", err)
		}
		if err := d.Close(); !errors.Is(err, ErrBroken) {
			t.Errorf("close: %v", err)
		}
		o.Disk = nil
		if d, err := Open(path, o); err != nil {
			t.Error(err)
		} else {
			want := i + 1
			if written { // it came that far
				want++
			}
			if r := sound(t, d, o.VerifierKey); r.Entries != want {
				t.Errorf("written %t: %d entries, want %d", written, r.Entries, want)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
