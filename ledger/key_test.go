package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

type fataler interface{ Fatal(...any) }

// keyPair is a key for tests that follows from a seed.
type keyPair struct {
	note.Signer
	note.Verifier
	text string // verifier key
}

func testKey(t fataler, seed byte) keyPair {
	skey, vkey, err := note.GenerateKey(rand.NewChaCha8(sha256.Sum256([]byte{seed})), "station/line1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{s, v, vkey}
}

// signed signs the checkpoint of a size with exactly these keys.
func (b *book) signed(t fataler, size int64, keys ...keyPair) {
	root, err := tlog.TreeHash(size, b)
	if err != nil {
		t.Fatal(err)
	}
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k.Signer)
	}
	if b.checkpoints[size], err = (Checkpoint{"line1", size, root}).Sign(signers...); err != nil {
		t.Fatal(err)
	}
}

func verifyWith(t fataler, b Source, pinned ...keyPair) Report {
	var vs []note.Verifier
	for _, k := range pinned {
		vs = append(vs, k.Verifier)
	}
	r, err := Verify(context.Background(), b, vs...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestKeyVectors holds the bytes of the entries about keys, and of a checkpoint with two signatures, to testdata/key.
func TestKeyVectors(t *testing.T) {
	b := rotated(t, false)
	files := map[string][]byte{"station-key.json": b.leaves[2], "checkpoint-3.txt": b.checkpoints[3],
		"master-retired.json": newBook(t, []Body{MasterRetired{"line/root-2026", "87fde0f7fbd8eb20", "the card <1> is lost", "op-80"}}).leaves[0]}
	for name, content := range files {
		path := "testdata/key/" + name
		if *update {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if was, err := os.ReadFile(path); err != nil || !bytes.Equal(content, was) {
			t.Errorf("%s is now\n%s\nand was\n%s (%v)", name, content, was, err)
		}
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		e, err := Decode(content)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := e.Encode(); err != nil || !bytes.Equal(again, content) || reflect.TypeOf(e.Body) == reflect.TypeFor[Other]() {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if run, serial, slot := RunOf(e.Body); run+serial+slot != "" {
			t.Errorf("%s belongs to run %q of %q", name, run, serial)
		}
	}
}

// rotated is a ledger of five entries whose key 1 is replaced by key 2 in entry 2, with checkpoints of 1, 3 and 5.
func rotated(t fataler, lost bool) *book {
	one, two := testKey(t, 1), testKey(t, 2)
	start := RunStart{Run: fmt.Sprintf("%016x", 1), Serial: "S"}
	b := newBook(t, []Body{StationInit{"s", one.text}, start, StationKey{one.text, two.text, lost, "yearly", "op-80"},
		RunEnd{Run: start.Run, Serial: "S", Outcome: Aborted}, MasterRetired{"m", "", "r", "b"}})
	b.signed(t, 1, one)
	b.signed(t, 3, one, two)
	if lost {
		b.signed(t, 3, two)
	}
	b.signed(t, 5, two)
	return b
}

// Whichever keys are pinned, the answer says what they vouch for.
func TestPinnedKeys(t *testing.T) {
	one, two, stranger := testKey(t, 1), testKey(t, 2), testKey(t, 3)
	for name, c := range map[string]struct {
		lost     bool
		pinned   []keyPair
		signed   int64
		from, to int64 // of the finding, 0 and 0 for none
		what     string
	}{
		"none":                        {false, nil, 5, 0, 0, ""},
		"the first":                   {false, []keyPair{one}, 5, 0, 0, ""},
		"the second":                  {false, []keyPair{two}, 5, 0, 0, ""},
		"both":                        {false, []keyPair{two, one}, 5, 0, 0, ""},
		"a stranger's":                {false, []keyPair{stranger}, 0, 0, 1, "begun with checkpoint key"},
		"a stranger's too":            {false, []keyPair{one, stranger}, 5, 0, 1, "begun with checkpoint key"},
		"lost, none":                  {true, nil, 5, 0, 0, ""},
		"lost, the first":             {true, []keyPair{one}, 1, 1, 5, "entries 1 to 4 are vouched for by the key " + two.text + " alone"},
		"lost, the second":            {true, []keyPair{two}, 0, 0, 1, "entries 0 to 0 are vouched for by the key " + one.text + " alone"},
		"lost, both":                  {true, []keyPair{one, two}, 5, 0, 0, ""},
		"lost, both and a stranger's": {true, []keyPair{one, two, stranger}, 5, 0, 1, "none of them is"},
	} {
		r := verifyWith(t, rotated(t, c.lost), c.pinned...)
		var f Finding
		if len(r.Findings) > 0 {
			f = r.Findings[0]
		}
		if f.From != c.from || f.To != c.to || !strings.Contains(f.What, c.what) || r.Signed != c.signed || r.Entries != 5 || r.Checkpoints != 3 {
			t.Errorf("%s: %+v", name, r)
		}
		alone := int64(0)
		if c.lost {
			alone = 1
		}
		want := []Key{
			{Link{0, one.text, false}, slices.ContainsFunc(c.pinned, func(k keyPair) bool { return k.text == one.text }), 3, 0},
			{Link{2, two.text, c.lost}, slices.ContainsFunc(c.pinned, func(k keyPair) bool { return k.text == two.text }), 5, alone},
		}
		if c.lost {
			want[0].Signed = 1
		}
		if !reflect.DeepEqual(r.Keys, want) {
			t.Errorf("%s: keys %+v, want %+v", name, r.Keys, want)
		}
	}
	// A key that the ledger names and that has signed nothing vouches for nothing: whoever rewrites a ledger can name it.
	b := rotated(t, false)
	delete(b.checkpoints, 3)
	delete(b.checkpoints, 5)
	if r := verifyWith(t, b, two); len(r.Findings) != 1 || r.Signed != 0 || r.Findings[0].To != 1 {
		t.Errorf("the second, which signed nothing: %+v", r)
	}
}

// A checkpoint has the signatures of its place, and the entry its grammar.
func TestBadRotations(t *testing.T) {
	one, two, three := testKey(t, 1), testKey(t, 2), testKey(t, 3)
	elsewhere, err := note.NewEd25519VerifierKey("station/line2", bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(*book)
		what  string
	}{
		"old key alone":           {func(b *book) { b.signed(t, 3, one) }, "no signature"},
		"new key alone":           {func(b *book) { b.signed(t, 3, two) }, "checkpoint kept for size 3"},
		"one that covers it too":  {func(b *book) { delete(b.checkpoints, 3); b.signed(t, 4, two) }, "checkpoint kept for size 4"},
		"old key afterwards":      {func(b *book) { b.signed(t, 5, one) }, "checkpoint kept for size 5"},
		"a stranger's afterwards": {func(b *book) { b.signed(t, 5, three) }, "checkpoint kept for size 5"},
	} {
		b := rotated(t, false)
		c.spoil(b)
		if r := verifyWith(t, b, one, two); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].What, c.what) {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
	b := rotated(t, false)
	b.signed(t, 5, two, three) // a witness may sign too
	if r := verifyWith(t, b, one); len(r.Findings) != 0 {
		t.Errorf("with a witness: %+v", r.Findings)
	}
	for name, k := range map[string]StationKey{
		"from another key": {three.text, two.text, false, "r", "b"},
		"to the present":   {one.text, one.text, false, "r", "b"},
		"to another's":     {one.text, elsewhere, false, "r", "b"},
		"to no key":        {one.text, "x", false, "r", "b"},
		"for no reason":    {one.text, two.text, false, "", "b"},
		"by nobody":        {one.text, two.text, false, "r", ""},
	} {
		chain := Chain{{0, one.text, false}}
		if got, err := chain.After(7, "line1", k); !errors.Is(err, ErrGrammar) || !reflect.DeepEqual(got, chain) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		b := newBook(t, []Body{StationInit{"s", one.text}, k})
		if r := verifyWith(t, b, one); len(r.Findings) != 1 || r.Findings[0].From != 1 {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
	chain := Chain{{0, one.text, false}, {3, two.text, false}}
	if _, err := chain.After(7, "line1", StationKey{two.text, one.text, false, "r", "b"}); !errors.Is(err, ErrGrammar) {
		t.Errorf("back to a key of before: %v", err)
	}
	for name, b := range map[string]MasterRetired{"no name": {"", "", "r", "b"}, "no fingerprint": {"m", "x", "r", "b"}, "no reason": {"m", "", "", "b"}, "by nobody": {"m", "", "r", ""}} {
		if err := b.Check(false); !errors.Is(err, ErrGrammar) {
			t.Errorf("retired, %s: %v", name, err)
		}
	}
	m := MasterRetired{"m", "", "r", "b"}
	if r := verifyWith(t, newBook(t, []Body{StationInit{"s", one.text}, m, m}), one); len(r.Findings) != 1 || r.Findings[0].From != 2 {
		t.Errorf("retired twice: %+v", r.Findings)
	}
}

// Whoever has one of the keys, and not the other, cannot pass with a ledger of their own where both are pinned.
func TestThief(t *testing.T) {
	one, two := testKey(t, 1), testKey(t, 2)
	init := StationInit{"s", one.text}
	run := func(serial string) []Body {
		return []Body{RunStart{Run: fmt.Sprintf("%016x", 1), Serial: serial}, RunEnd{Run: fmt.Sprintf("%016x", 1), Serial: serial, Outcome: Aborted}}
	}
	key := func(lost bool) Body { return StationKey{one.text, two.text, lost, "r", "b"} }
	for name, c := range map[string]struct {
		bodies []Body
		signed map[int64]keyPair
		what   string // "" where it is not found
		pinned []keyPair
	}{
		"the old key goes on as if there were no other": {append([]Body{init}, run("X")...), map[int64]keyPair{1: one, 3: one}, "none of them is", []keyPair{one, two}},
		"likewise, and only it is pinned":               {append([]Body{init}, run("X")...), map[int64]keyPair{1: one, 3: one}, "", []keyPair{one}},
		"the new key rewrites what is before":           {append(append([]Body{init}, run("X")...), key(false)), map[int64]keyPair{4: two}, "checkpoint kept for size 4", []keyPair{one, two}},
		"likewise, and calls the old one lost":          {append(append([]Body{init}, run("X")...), key(true)), map[int64]keyPair{4: two}, "nothing is there that the pinned key", []keyPair{one, two}},
		"likewise, and leaves the first checkpoint":     {append(append([]Body{init}, run("X")...), key(true)), map[int64]keyPair{1: one, 4: two}, "", []keyPair{one, two}}, // as after a loss
	} {
		b := newBook(t, c.bodies)
		for size, k := range c.signed {
			b.signed(t, size, k)
		}
		r := verifyWith(t, b, c.pinned...)
		if found := len(r.Findings) > 0; found != (c.what != "") || found && !strings.Contains(r.Findings[0].What, c.what) {
			t.Errorf("%s: %+v", name, r.Findings)
		}
		if k := r.Keys[len(r.Keys)-1]; k.Lost && c.what == "" && k.Alone != 1 {
			t.Errorf("%s: from entry %d on the new key vouches alone", name, k.Alone)
		}
	}
}

func TestSigners(t *testing.T) {
	c := Chain{{0, "a", false}, {3, "b", false}, {5, "c", true}, {8, "d", false}}
	for _, w := range []struct {
		signed, size int64
		keys         string
	}{{0, 1, "a"}, {0, 3, "a"}, {0, 4, "ab"}, {3, 4, "ab"}, {4, 5, "b"}, {4, 6, "c"}, {0, 6, "c"}, {6, 8, "c"}, {6, 9, "cd"}, {9, 9, "d"}, {9, 20, "d"}, {0, 20, "cd"}} {
		if got := strings.Join(c.Signers(w.signed, w.size), ""); got != w.keys {
			t.Errorf("%d after %d: %s, want %s", w.size, w.signed, got, w.keys)
		}
	}
	if got := (Chain{}).Signers(0, 1); len(got) != 0 {
		t.Errorf("an empty chain: %v", got)
	}
}

// history is a random ledger with rotations, signed as a station signs.
type history struct {
	*book
	keys  []keyPair
	at    []int64 // of the rotations; at[k] replaces keys[k] by keys[k+1]
	lost  []bool
	sizes []int64
}

func randomHistory(t *rapid.T) history {
	h := history{keys: []keyPair{testKey(t, 1)}}
	bodies := []Body{}
	for i, b := range randomBodies(t) {
		if i == 0 {
			b = StationInit{"s", h.keys[0].text}
		}
		bodies = append(bodies, b)
		for i > 0 && len(h.at) < 3 && rapid.IntRange(0, 4).Draw(t, "rotate") == 0 {
			next := testKey(t, byte(len(h.keys)+1))
			h.at, h.lost = append(h.at, int64(len(bodies))), append(h.lost, rapid.Bool().Draw(t, "lost"))
			bodies = append(bodies, StationKey{h.keys[len(h.keys)-1].text, next.text, h.lost[len(h.lost)-1], "r", "b"})
			h.keys = append(h.keys, next)
		}
	}
	h.book = newBook(t, bodies)
	sizes := map[int64]bool{int64(len(bodies)): true}
	for range rapid.IntRange(0, 6).Draw(t, "checkpoints") {
		sizes[int64(rapid.IntRange(1, len(bodies)).Draw(t, "size"))] = true
	}
	h.sizes = slices.Sorted(maps.Keys(sizes))
	signed := int64(0)
	for _, size := range h.sizes {
		h.signed(t, size, h.signers(signed, size)...)
		signed = size
	}
	return h
}

// signers is a second reading of who has to sign.
func (h history) signers(signed, size int64) (out []keyPair) {
	out = []keyPair{h.keys[0]}
	for k, at := range h.at {
		if at >= size {
			break
		}
		if at < signed || h.lost[k] {
			out = nil
		}
		out = append(out, h.keys[k+1])
	}
	return out
}

// TestRotationsVerify pins a key of each unbroken chain, and then leaves one such key out that has signed anything.
func TestRotationsVerify(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := randomHistory(t)
		chains := [][]keyPair{{h.keys[0]}}
		for k, lost := range h.lost {
			if lost {
				chains = append(chains, nil)
			}
			chains[len(chains)-1] = append(chains[len(chains)-1], h.keys[k+1])
		}
		signed := map[string]bool{}
		for _, k := range verifyWith(t, h).Keys {
			signed[k.Key] = k.Signed > 0
		}
		var pins []keyPair
		for _, c := range chains {
			c = slices.DeleteFunc(c, func(k keyPair) bool { return !signed[k.text] })
			if len(c) > 0 {
				pins = append(pins, rapid.SampledFrom(c).Draw(t, "pin"))
			}
		}
		if r := verifyWith(t, h, pins...); len(r.Findings) != 0 || r.Signed != int64(len(h.leaves)) {
			t.Fatalf("sound, pinned %v: %+v", pins, r)
		}
		if len(pins) > 1 {
			i := rapid.IntRange(0, len(pins)-1).Draw(t, "left out")
			if r := verifyWith(t, h, slices.Delete(pins, i, i+1)...); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].What, "alone") {
				t.Fatalf("broken chain: %+v", r)
			}
		}
	})
}

// TestTamperedRotationIsFound alters what is around a rotation, as somebody would who has a key of their own and none of the station's, with all hashes made to fit
// and what can be signed signed. Either something is found, or fewer entries are signed than were, or a key vouches alone for more of them than it did: what the key before a loss signed can be left out.
func TestTamperedRotationIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := randomHistory(t)
		if len(h.at) == 0 {
			t.Skip("no rotation")
		}
		n := int64(len(h.leaves))
		mine := testKey(t, 99)
		b := h.clone()
		k := rapid.IntRange(0, len(h.at)-1).Draw(t, "rotation")
		at := h.at[k]
		size := rapid.SampledFrom(h.sizes).Draw(t, "checkpoint")
		lines := strings.SplitAfter(string(b.checkpoints[size]), "\n")
		edit := func(do func(*StationKey)) {
			e, err := Decode(b.leaves[at])
			if err != nil {
				t.Fatal(err)
			}
			body := e.Body.(StationKey)
			do(&body)
			e.Body = body
			if b.leaves[at], err = e.Encode(); err != nil {
				t.Fatal(err)
			}
			b.rehash()
		}
		// resign signs again whatever comes after the altered entry, with the attacker's key alone.
		resign := func() {
			for _, s := range h.sizes {
				if s > at && s <= int64(len(b.leaves)) {
					b.signed(t, s, mine)
				}
			}
		}
		switch what := rapid.SampledFrom([]string{"to mine", "to mine, resigned", "to mine and lost, resigned", "lost or not", "from", "dropped", "dropped, resigned", "moved", "inserted", "inserted, resigned",
			"signature dropped", "signature altered", "signatures of another", "checkpoint dropped", "text"}).Draw(t, "tampering"); what {
		case "to mine":
			edit(func(b *StationKey) { b.To = mine.text })
		case "to mine, resigned":
			edit(func(b *StationKey) { b.To = mine.text })
			resign()
		case "to mine and lost, resigned":
			edit(func(b *StationKey) { b.To, b.Lost = mine.text, true })
			resign()
		case "lost or not":
			edit(func(b *StationKey) { b.Lost = !b.Lost })
		case "from":
			edit(func(b *StationKey) { b.From = mine.text })
		case "dropped", "dropped, resigned":
			b.leaves = slices.Delete(slices.Clone(b.leaves), int(at), int(at)+1)
			b.rehash()
			if what != "dropped" {
				delete(b.checkpoints, n)
				resign()
			}
		case "moved":
			to := rapid.IntRange(1, int(n)-1).Draw(t, "to")
			if int64(to) == at {
				t.Skip("not moved")
			}
			leaf := b.leaves[at]
			b.leaves = slices.Insert(slices.Delete(slices.Clone(b.leaves), int(at), int(at)+1), to, leaf)
			if reflect.DeepEqual(b.leaves, h.leaves) {
				t.Skip("not moved")
			}
			b.rehash()
		case "inserted", "inserted, resigned":
			e, err := Decode(b.leaves[at])
			if err != nil {
				t.Fatal(err)
			}
			e.Body = StationKey{h.keys[k].text, mine.text, true, "r", "b"}
			leaf, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			b.leaves = slices.Insert(slices.Clone(b.leaves), int(at), leaf)
			b.rehash()
			if what != "inserted" {
				resign()
			}
		case "signature dropped":
			i := rapid.IntRange(4, len(lines)-2).Draw(t, "line")
			b.checkpoints[size] = []byte(strings.Join(slices.Delete(lines, i, i+1), ""))
		case "signature altered":
			i := rapid.IntRange(4, len(lines)-2).Draw(t, "line")
			line := []byte(lines[i])
			c := rapid.IntRange(bytes.LastIndexByte(line, ' ')+1, len(line)-5).Draw(t, "letter")
			line[c] = map[bool]byte{true: 'B', false: 'A'}[line[c] == 'A']
			lines[i] = string(line)
			b.checkpoints[size] = []byte(strings.Join(lines, ""))
		case "signatures of another":
			other := rapid.SampledFrom(h.sizes).Draw(t, "other")
			if other == size {
				t.Skip("its own")
			}
			_, signatures, _ := strings.Cut(string(b.checkpoints[other]), "\n\n")
			b.checkpoints[size] = []byte(strings.Join(lines[:4], "") + signatures)
		case "checkpoint dropped":
			delete(b.checkpoints, size)
			covers := h.signers(sizeBefore(h.sizes, size), size)
			if size != n && reflect.DeepEqual(covers, h.signers(size, size)) {
				t.Skip("nothing that a later one does not say")
			}
		case "text":
			b.checkpoints[size] = bytes.Replace(b.checkpoints[size], []byte("\n"+fmt.Sprint(size)+"\n"), []byte("\n"+fmt.Sprint(size+1)+"\n"), 1)
		}
		sound := verifyWith(t, h, h.keys...)
		r := verifyWith(t, b, h.keys...)
		alone := func(r Report) (out []int64) {
			for _, k := range r.Keys {
				out = append(out, k.Alone)
			}
			return out
		}
		if len(r.Findings) == 0 && r.Signed >= n && slices.Equal(alone(sound), alone(r)) {
			t.Fatalf("nothing found: %+v", r)
		}
	})
}

func sizeBefore(sizes []int64, size int64) (before int64) {
	for _, s := range sizes {
		if s < size {
			before = s
		}
	}
	return before
}
