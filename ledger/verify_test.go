package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func verify(t interface{ Fatal(...any) }, b Source) Report {
	r, err := Verify(context.Background(), b, verifier(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerifySound(t *testing.T) {
	for _, c := range []struct {
		sizes  []int64
		signed int64
	}{{[]int64{7}, 7}, {[]int64{1, 4}, 4}, {nil, 0}, {[]int64{1, 2, 3, 4, 5, 6, 7}, 7}} {
		b := newBook(t, vectorBodies(), c.sizes...)
		r := verify(t, b)
		root, err := tlog.TreeHash(7, b)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Findings) != 0 || r.Entries != 7 || r.Signed != c.signed || r.Unsigned() != 7-c.signed ||
			r.Checkpoints != int64(len(c.sizes)) || r.Root != root || r.Station != "line1" || r.Simulated {
			t.Errorf("sizes %v: %+v", c.sizes, r)
		}
	}
	if r := verify(t, &book{}); len(r.Findings) != 0 || r.Entries != 0 {
		t.Errorf("empty ledger: %+v", r)
	}
}

// bodies of three runs that overlap, as those of three slots do.
func randomBodies(t *rapid.T) []Body {
	out := []Body{StationInit{Software: "station 1.0", CheckpointKey: testVerifier}}
	progress := map[int]int{}
	n := rapid.IntRange(3, 40).Draw(t, "entries")
	next := 3
	slots := []int{0, 1, 2}
	for len(out) < n {
		slot := rapid.IntRange(0, 2).Draw(t, "slot")
		run := slots[slot]
		id, serial := fmt.Sprintf("%016x", run), fmt.Sprint("S", run)
		switch progress[run] {
		case 0:
			out = append(out, RunStart{Run: id, Serial: serial, Chip: Chip{UID: serial}})
		case 3:
			out = append(out, RunEnd{Run: id, Serial: serial, Outcome: Pass})
			slots[slot], next = next, next+1
		default:
			out = append(out, RunStep{Run: id, Serial: serial, N: progress[run], Of: 2, Result: Done})
		}
		progress[run]++
	}
	return out
}

// TestVerifyFindsEveryMutation alters a random sound ledger in a random way and wants the place named.
func TestVerifyFindsEveryMutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bodies := randomBodies(t)
		n := len(bodies)
		sizes := map[int64]bool{int64(n): true} // the last entry is signed: an unsigned tail may be rewritten unseen
		for range rapid.IntRange(0, 5).Draw(t, "checkpoints") {
			sizes[int64(rapid.IntRange(1, n).Draw(t, "size"))] = true
		}
		sound := newBook(t, bodies, slices.Collect(maps.Keys(sizes))...)
		if r := verify(t, sound); len(r.Findings) != 0 {
			t.Fatalf("sound ledger: %+v", r.Findings)
		}
		b := sound.clone()
		i := rapid.IntRange(0, n-1).Draw(t, "at")
		first := int64(i) // first entry that is not what it was
		cut := false
		switch rapid.SampledFrom([]string{"flip", "edit", "drop", "insert", "swap", "truncate"}).Draw(t, "mutation") {
		case "flip":
			b.leaves[i] = bytes.Clone(b.leaves[i])
			b.leaves[i][rapid.IntRange(0, len(b.leaves[i])-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case "edit": // still canonical and well placed
			b.leaves[i] = bytes.Replace(b.leaves[i], []byte(`"boot_ns":"1`), []byte(`"boot_ns":"9`), 1)
			if bytes.Equal(b.leaves[i], sound.leaves[i]) {
				b.leaves[i] = bytes.Replace(b.leaves[i], []byte(`"boot_ns":"`), []byte(`"boot_ns":"1`), 1)
			}
		case "drop":
			b.leaves = slices.Delete(slices.Clone(b.leaves), i, i+1)
		case "insert":
			extra := sound.leaves[rapid.IntRange(0, n-1).Draw(t, "copy of")]
			b.leaves = slices.Insert(slices.Clone(b.leaves), i, extra)
			for int(first) < n && bytes.Equal(b.leaves[first], sound.leaves[first]) {
				first++ // a copy of entry i before it looks like a copy after it
			}
		case "swap":
			j := rapid.IntRange(0, n-1).Draw(t, "with")
			if i == j {
				t.Skip("nothing is swapped")
			}
			b.leaves[i], b.leaves[j] = b.leaves[j], b.leaves[i]
			first = int64(min(i, j))
		case "truncate":
			b.leaves, cut = b.leaves[:i], true
		}
		careful := rapid.Bool().Draw(t, "hashes made to fit")
		if careful {
			b.rehash()
		}
		if careful && int(first) >= n {
			// Every signed entry is as it was: what was added is an unsigned tail, which no signature accuses.
			r := verify(t, b)
			if r.Unsigned() != 1 && len(r.Findings) == 0 {
				t.Fatalf("%+v", r)
			}
			return
		}
		r := verify(t, b)
		if len(r.Findings) == 0 {
			t.Fatalf("nothing found, first bad entry is %d", first)
		}
		// Some finding has the first bad entry in its range, and none accuses only entries before it.
		var named bool
		for _, f := range r.Findings {
			named = named || f.From <= first && first < f.To
			if f.To <= first && f.To > f.From {
				t.Fatalf("sound entries are accused: %+v, first bad entry is %d", f, first)
			}
			if f.What == "" {
				t.Fatalf("finding without words: %+v", f)
			}
		}
		if !named {
			t.Fatalf("findings %+v do not name entry %d", r.Findings, first)
		}
		if !careful && !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.From == first && (f.To == first+1 || cut) }) {
			t.Fatalf("stored hashes were left, yet entry %d is not named exactly: %+v", first, r.Findings)
		}
		if careful { // the range ends at the first checkpoint that covers the entry and begins at the one before
			var below, above int64
			for _, size := range slices.Sorted(maps.Keys(sizes)) {
				if size <= first {
					below = size
				} else if above == 0 {
					above = size
				}
			}
			if f := r.Findings[0]; f.From < below || f.To > max(above, first+1) {
				t.Fatalf("%+v is wider than the checkpoints %d and %d around entry %d", f, below, above, first)
			}
		}
	})
}

// TestVerifyFindsBadHashes alters one stored hash at a time.
func TestVerifyFindsBadHashes(t *testing.T) {
	sound := newBook(t, vectorBodies(), 4)
	for index := range sound.hashes {
		for _, gone := range []bool{false, true} {
			b := sound.clone()
			if gone {
				delete(b.hashes, index)
			} else {
				b.hashes[index] = tlog.Hash{1}
			}
			level, k := tlog.SplitStoredHashIndex(index)
			last := (k+1)<<level - 1
			r := verify(t, b)
			if len(r.Findings) != 1 || r.Findings[0].From > last || r.Findings[0].To != last+1 || r.Entries != last {
				t.Errorf("hash %d (level %d) gone=%t: %+v", index, level, gone, r)
			}
			root, err := tlog.TreeHash(last, sound)
			if err != nil {
				t.Fatal(err)
			}
			if r.Root != root {
				t.Errorf("hash %d: root is not that of the %d entries before", index, last)
			}
		}
	}
}

func TestVerifyFindsBadCheckpoints(t *testing.T) {
	_, strangerKey, err := note.GenerateKey(strings.NewReader(strings.Repeat("x", 64)), "station/line1")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := note.NewVerifier(strangerKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(b *book)
		want  Finding // What is a part of the sentence
	}{
		"signature": {func(b *book) { b.checkpoints[4] = bytes.Replace(b.checkpoints[4], []byte("\n4\n"), []byte("\n5\n"), 1) },
			Finding{4, 4, "not a valid checkpoint"}},
		"no text":                        {func(b *book) { b.checkpoints[4] = nil }, Finding{4, 4, "not a valid checkpoint"}},
		"wrong size":                     {func(b *book) { b.checkpoints[4] = b.checkpoints[1] }, Finding{4, 4, "its size is 1"}},
		"size zero":                      {func(b *book) { b.checkpoints[0] = b.checkpoints[1] }, Finding{0, 0, "its size is 1"}},
		"truncated":                      {func(b *book) { b.leaves = b.leaves[:5]; b.rehash() }, Finding{4, 7, "of entries 4 to 6 one"}},
		"cut, hashes and signature left": {func(b *book) { b.leaves = b.leaves[:5] }, Finding{5, 7, "of entries 5 to 6 one"}},
		"truncated, hashes left": {func(b *book) { b.leaves = b.leaves[:5]; delete(b.checkpoints, 7) },
			Finding{5, 6, "entry 5 is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t, vectorBodies(), 1, 4, 7)
			c.spoil(b)
			r := verify(t, b)
			if len(r.Findings) != 1 || r.Findings[0].From != c.want.From || r.Findings[0].To != c.want.To ||
				!strings.Contains(r.Findings[0].What, c.want.What) {
				t.Errorf("%+v", r.Findings)
			}
		})
	}
	r, err := Verify(context.Background(), newBook(t, vectorBodies(), 1, 4, 7), stranger)
	if err != nil || len(r.Findings) != 2 || !strings.Contains(r.Findings[0].What, "begun with checkpoint key") || r.Signed != 0 {
		t.Errorf("another key: %+v, %v", r, err)
	}
}

func TestVerifyFindsMisplacedEntries(t *testing.T) {
	init := StationInit{Software: "s", CheckpointKey: testVerifier}
	start := RunStart{Run: fmt.Sprintf("%016x", 1), Serial: "S"}
	end := RunEnd{Run: start.Run, Serial: "S", Outcome: Aborted}
	for name, c := range map[string]struct {
		bodies []Body
		bad    int64
	}{
		"no station.init":  {[]Body{start, end}, 0},
		"two station.init": {[]Body{init, start, init, end}, 2},
		"two ends":         {[]Body{init, start, end, end}, 3},
		"after the end":    {[]Body{init, start, end, start}, 3},
	} {
		r := verify(t, newBook(t, c.bodies, int64(len(c.bodies))))
		if len(r.Findings) != 1 || r.Findings[0].From != c.bad || r.Findings[0].To != c.bad+1 || !strings.Contains(r.Findings[0].What, ErrGrammar.Error()) {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
	for name, e := range map[string]Entry{
		"another station": {Station: "line2", Body: start},
		"simulated":       {Station: "line1", Simulated: true, Body: start},
	} {
		b := newBook(t, []Body{init})
		leaf, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		b.leaves = append(b.leaves, leaf)
		b.rehash()
		if r := verify(t, b); len(r.Findings) != 1 || r.Findings[0].From != 1 {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

// A ledger that grows while it is verified is not a truncated one.
type growing struct {
	*book
	whole *book
}

func (g *growing) Checkpoint(size int64) (int64, []byte, error) {
	if size > 1 {
		g.book = g.whole
	}
	return g.book.Checkpoint(size)
}

func TestVerifyWhileGrowing(t *testing.T) {
	whole := newBook(t, vectorBodies(), 1, 7)
	part := newBook(t, vectorBodies()[:3], 1)
	if r := verify(t, &growing{part, whole}); len(r.Findings) != 0 || r.Entries != 3 || r.Signed != 1 {
		t.Errorf("%+v", r)
	}
}

type unreadable struct{ *book }

var errDisk = errors.New("disk")

func (unreadable) Leaf(int64) ([]byte, error) { return nil, errDisk }

func TestVerifyErrors(t *testing.T) {
	b := newBook(t, vectorBodies(), 7)
	if _, err := Verify(context.Background(), unreadable{b}, verifier(t)); !errors.Is(err, errDisk) {
		t.Errorf("unreadable source: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Verify(ctx, b, verifier(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, leaf := range newBook(f, append(allBodies(), relayBodies()...)).leaves {
		f.Add(leaf)
	}
	f.Add([]byte(`{"boot_ns":"1","kind":"unit.seen","station":"s","time":"2026-11-23T09:30:00.000000Z","v":1,"why":1e+30}`))
	f.Add([]byte(`{"boot_ns":"-0","kind":"x","station":"\ud800","time":"2026-11-23T09:30:00.000000Z","v":1.0}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Fatal(err)
			}
			return
		}
		again, err := e.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decoded\n%q\nencoded\n%q, %v", b, again, err)
		}
	})
}
