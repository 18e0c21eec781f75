package ledger

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The key is for tests alone: it is printed here, so it signs nothing.
const (
	testSigner   = "PRIVATE+KEY+station/line1+6c2288f1+AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
	testVerifier = "station/line1+6c2288f1+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
)

// book is a ledger in memory, whose every byte a test may alter.
type book struct {
	leaves      [][]byte
	hashes      map[int64]tlog.Hash
	checkpoints map[int64][]byte
}

func (b *book) Size() (int64, error) { return int64(len(b.leaves)), nil }

func (b *book) Leaf(i int64) ([]byte, error) {
	if i < 0 || i >= int64(len(b.leaves)) {
		return nil, fmt.Errorf("entry %d: %w", i, ErrMissing)
	}
	return b.leaves[i], nil
}

func (b *book) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for k, i := range indexes {
		h, ok := b.hashes[i]
		if !ok {
			return nil, fmt.Errorf("hash %d: %w", i, ErrMissing)
		}
		out[k] = h
	}
	return out, nil
}

func (b *book) Checkpoint(size int64) (int64, []byte, error) {
	for _, kept := range slices.Sorted(maps.Keys(b.checkpoints)) {
		if kept >= size {
			return kept, b.checkpoints[kept], nil
		}
	}
	return 0, nil, ErrMissing
}

// rehash stores the hashes that fit the leaves, as whoever alters an entry with care would.
func (b *book) rehash() {
	b.hashes = map[int64]tlog.Hash{}
	for i, leaf := range b.leaves {
		hashes, err := tlog.StoredHashes(int64(i), leaf, b)
		if err != nil {
			panic(err) // the hashes of all earlier leaves are there
		}
		for k, h := range hashes {
			b.hashes[tlog.StoredHashIndex(0, int64(i))+int64(k)] = h
		}
	}
}

func (b *book) clone() *book {
	return &book{slices.Clone(b.leaves), maps.Clone(b.hashes), maps.Clone(b.checkpoints)}
}

func newBook(t interface{ Fatal(...any) }, bodies []Body, sizes ...int64) *book {
	b := &book{checkpoints: map[int64][]byte{}}
	for i, body := range bodies {
		leaf, err := Entry{
			Station: "line1", Time: time.Date(2026, 11, 23, 9, 30, i, 123456000, time.UTC),
			Boot: time.Duration(i+1) * 1234567891, Body: body,
		}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		b.leaves = append(b.leaves, leaf)
	}
	b.rehash()
	s, err := note.NewSigner(testSigner)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range sizes {
		root, err := tlog.TreeHash(size, b)
		if err != nil {
			t.Fatal(err)
		}
		if b.checkpoints[size], err = (Checkpoint{"line1", size, root}).Sign(s); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func verifier(t interface{ Fatal(...any) }) note.Verifier {
	v, err := note.NewVerifier(testVerifier)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// vectorBodies are the entries of the test vectors: every kind, every field set, and text that needs care in JSON.
func vectorBodies() []Body {
	chip := Chip{ID: "20ba18104400", UID: "0102030405060708090a0b0c0d0e", SFDP: "sha256:" + zeros}
	recipe := Recipe{ID: "gateway-boot", Version: 3, Title: "Gateway boot flash", Digest: "sha256:" + zeros, Released: true}
	locks := Locks{SPR: "FFFF"}
	return []Body{
		StationInit{Software: "station 1.0", CheckpointKey: testVerifier},
		RunStart{
			Run: "0123456789abcdef", Serial: "GW-000001", Slot: "1", Operator: "op-7f", Fixture: "FT2232H channel A at 1-2",
			Software: "station 1.0", Recipe: recipe,
			Part:   Part{Name: "MT25QL128ABB", Digest: "sha256:" + zeros, Size: 16 << 20, Sector: 65536, Assumed: []string{"tPOR"}},
			Chip:   chip,
			Images: []Image{{Name: "boot", File: "images/boot.bin", SHA256: zeros, Size: 4 << 20}},
			Regions: []Region{
				{Name: "boot", At: 0, Size: 4 << 20, Image: "boot"}, {Name: "identity", At: 0xFF0000, Size: 65536},
			},
			Elsewhere: "blank", Before: locks,
		},
		RunStep{
			Run: "0123456789abcdef", Serial: "GW-000001", N: 1, Of: 2, Step: "write", Title: "write boot (4 MiB) <ü€\U0001F600\u2028>&\"\\",
			Result: Done, Proof: "read back", Started: "2026-11-23T09:30:01.000000Z", Duration: 8123,
			Facts: []Fact{{"sectors erased", "64"}},
		},
		RunResume{
			Run: "0123456789abcdef", Serial: "GW-000001", Slot: "left", Operator: "op-7f", Fixture: "FT2232H channel B at 1-2",
			Software: "station 1.0", Chip: chip, Before: locks,
		},
		RunStep{
			Run: "0123456789abcdef", Serial: "GW-000001", N: 2, Of: 2, Step: "password", Title: "password",
			Result: Done, Proof: "unlock exercised", Started: "2026-11-23T09:30:03.000000Z", Duration: 1, Facts: []Fact{}, Permanent: true,
		},
		RunEnd{
			Run: "0123456789abcdef", Serial: "GW-000001", Slot: "left", Operator: "op-7f", Software: "station 1.0", Recipe: recipe,
			Chip: &chip, Outcome: Pass, Touched: true, Duration: 9000,
			Proven: []RegionProof{{"boot", zeros, "readback", "nonvolatile"}},
			After:  &Locks{Nonvolatile: []Range{{0, 4 << 20}}, Volatile: []Range{}, BlockProtect: []Range{}, Frozen: true, SPR: "FFFB"},
			Freeze: "until the password is given",
		},
		RunEnd{
			Run: "fedcba9876543210", Serial: "GW-000001", Slot: "2", Operator: "op-7f", Software: "station 1.0", Recipe: recipe,
			Outcome: Refused, Cause: "serial-known", Message: "GW-000001 has passed on another chip.", Next: "Ask a supervisor for rework.",
			Duration: 12, Proven: []RegionProof{}, Freeze: "none",
		},
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func TestRuns(t *testing.T) {
	b := newBook(t, vectorBodies())
	var records []Record
	for i, leaf := range b.leaves {
		e, err := Decode(leaf)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, Record{int64(i), e, leaf})
	}
	runs := Runs(records)
	if len(runs) != 2 {
		t.Fatalf("%d runs", len(runs))
	}
	passed, refused := runs[0], runs[1]
	if passed.ID != "0123456789abcdef" || passed.Slot != "left" || len(passed.Records) != 5 || len(passed.Steps) != 2 ||
		passed.Open() || passed.Outcome() != Pass || passed.Chip().UID != "0102030405060708090a0b0c0d0e" {
		t.Errorf("passed run: %+v", passed)
	}
	if refused.Start != nil || refused.Outcome() != Refused || refused.Chip() != nil || refused.Recipe().ID != "gateway-boot" {
		t.Errorf("refused run: %+v", refused)
	}
	if open := Runs(records[:3]); !open[0].Open() || open[0].Outcome() != Interrupted {
		t.Errorf("open run: %+v", open[0])
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := newBook(t, vectorBodies()[:1]).leaves[0]
	if _, err := Decode(good); err != nil {
		t.Fatal(err)
	}
	const head = `"boot_ns":"1","kind":%s,"station":"s","time":"2026-11-23T09:30:00.000000Z","v":1`
	for name, text := range map[string]string{
		"nothing":              ``,
		"no object":            `[]`,
		"spaces":               ` ` + string(good),
		"line end":             string(good) + "\n",
		"no kind":              `{` + fmt.Sprintf(head, `""`) + `}`,
		"no fields":            `{` + fmt.Sprintf(head, `"run.end"`) + `}`,
		"field too many":       `{"a":1,` + string(good[1:]),
		"two fields of a name": `{"boot_ns":"1",` + string(good[1:]),
		"later version":        `{"boot_ns":"1","kind":"x","station":"s","time":"2026-11-23T09:30:00.000000Z","v":2}`,
		"simulated false":      `{"boot_ns":"1","kind":"x","simulated":false,"station":"s","time":"2026-11-23T09:30:00.000000Z","v":1}`,
		"boot in another form": `{"boot_ns":"01","kind":"x","station":"s","time":"2026-11-23T09:30:00.000000Z","v":1}`,
		"time in another form": `{"boot_ns":"1","kind":"x","station":"s","time":"2026-11-23T09:30:00.0000000Z","v":1}`,
		"other spelling":       `{"Kind":"x","boot_ns":"1","station":"s","time":"2026-11-23T09:30:00.000000Z","v":1}`,
	} {
		if e, err := Decode([]byte(text)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v, %+v", name, err, e)
		}
	}
	// A kind of a later version is kept as it is.
	later := []byte(`{"boot_ns":"1","kind":"unit.seen","station":"s","time":"2026-11-23T09:30:00.000000Z","v":1,"why":"<lost>"}`)
	e, err := Decode(later)
	if err != nil || e.Body.Kind() != "unit.seen" || e.Station != "s" {
		t.Fatalf("%+v, %v", e, err)
	}
	if again, err := e.Encode(); err != nil || string(again) != string(later) {
		t.Errorf("%s, %v", again, err)
	}
}
