package report

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"station/ledger"
)

var samplesDir = flag.String("samples", "", "write the sample reports into this directory, to be looked at")

// A random report costs as much as hundreds of random texts, so there are few; -rapid.checks and -rapid.seed override.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "20", "rapid.seed": "1", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err) // a fault of this test, not of what it tests
		}
	}
	os.Exit(m.Run())
}

// rendered reports of all samples, made once.
var rendered = sync.OnceValues(func() (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, in := range samples() {
		pdf, err := PDF(in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = pdf
	}
	return out, nil
})

func renderedSamples(t *testing.T) map[string][]byte {
	t.Helper()
	all, err := rendered()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// An account of before mirrors were recorded says nothing of one; every word for one is told.
func TestMirrorText(t *testing.T) {
	seen := map[string]bool{}
	for _, word := range []string{ledger.MirrorNone, ledger.MirrorSecondDisk, ledger.MirrorSameDisk, ledger.MirrorAway} {
		if text := mirrorText(word); seen[text] || text == word {
			t.Errorf("%s: %q", word, text)
		} else {
			seen[text] = true
		}
	}
	if text := mirrorText(""); text != "" {
		t.Errorf("%q", text)
	}
}

func TestSamples(t *testing.T) {
	pages := map[string]int{"pass": 2, "refused": 1, "fail": 2, "error": 2}
	for name, pdf := range renderedSamples(t) {
		if want := pages[name]; want > 0 && pageCount(pdf) != want {
			t.Errorf("%s has %d pages, want %d", name, pageCount(pdf), want)
		}
		if *samplesDir != "" {
			if err := os.WriteFile(filepath.Join(*samplesDir, name+".pdf"), pdf, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func pageCount(pdf []byte) int { return bytes.Count(pdf, []byte("/Type /Page\n")) }

const printSums = "REPORT_TEST_PRINT_SUMS"

// The same entries give the same bytes: again, from several goroutines at once, and from another process in another time zone.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	first := renderedSamples(t)
	names := []string{"large", "long", "pass", "resumed"}
	all := samples()
	if os.Getenv(printSums) != "" {
		for _, name := range names {
			fmt.Printf("sum %s %x\n", name, sha256.Sum256(first[name]))
		}
		return
	}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			if again, err := PDF(all[name]); err != nil || !bytes.Equal(again, first[name]) {
				t.Errorf("%s: the second report differs from the first: %v", name, err)
			}
		})
	}
	wg.Wait()

	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run", "^TestSameBytes$")
	cmd.Env = append(os.Environ(), printSums+"=1", "TZ=Asia/Tokyo", "LANG=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range names {
		if want := fmt.Sprintf("sum %s %x\n", name, sha256.Sum256(first[name])); !strings.Contains(string(out), want) {
			t.Errorf("another process made another report of %s:\n%s", name, out)
		}
	}
}

// Dates come from the last entry, never from the clock.
func TestDates(t *testing.T) {
	pdf := renderedSamples(t)["pass"]
	end := samples()["pass"].Run.Records
	want := end[len(end)-1].Entry.Time.Format("20060102150405")
	for _, key := range []string{"/CreationDate (D:", "/ModDate (D:"} {
		if !bytes.Contains(pdf, []byte(key+want+")")) {
			t.Errorf("no %s%s)", key, want)
		}
	}
}

func TestBadInput(t *testing.T) {
	good := func() Input {
		a := newAccount()
		a.add(0, sampleStart())
		a.steps(sampleSteps, 0, 2)
		a.end(ledger.Pass, passed)
		return a.input()
	}
	for name, c := range map[string]struct {
		spoil func(*Input)
		want  error
	}{
		"no records":                  {func(in *Input) { in.Run.Records = nil }, ErrRun},
		"order":                       {func(in *Input) { slices.Reverse(in.Run.Records) }, ErrRun},
		"twice":                       {func(in *Input) { in.Run.Records[1] = in.Run.Records[0] }, ErrRun},
		"no bytes":                    {func(in *Input) { in.Run.Records[2].Bytes = nil }, ErrRun},
		"another run's id":            {func(in *Input) { in.Run.ID = "0000000000000000" }, ErrRun},
		"a foreign kind":              {func(in *Input) { in.Run.Records[1].Entry.Body = ledger.StationInit{} }, ErrRun},
		"another station":             {func(in *Input) { in.Run.Records[1].Entry.Station = "line-4" }, ErrRun},
		"simulated, but not in bytes": {func(in *Input) { in.Run.Records[3].Entry.Simulated = true }, ErrRun},
		"an altered entry": {func(in *Input) {
			b := in.Run.Records[3].Entry.Body.(ledger.RunEnd)
			b.Outcome = ledger.Fail
			in.Run.Records[3].Entry.Body = b
		}, ErrRun},
		"two runs": {func(in *Input) {
			b := in.Run.Records[1].Entry.Body.(ledger.RunStep)
			b.Run = "1111111111111111"
			in.Run.Records[1].Entry.Body = b
		}, ErrRun},
		"checkpoint before the end":  {func(in *Input) { in.Checkpoint = "station/line-3\n1044\nAAAA\n\n" }, ErrCheckpoint},
		"checkpoint of another line": {func(in *Input) { in.Checkpoint = "station/line-4\n2000\nAAAA\n\n" }, ErrCheckpoint},
		"checkpoint without size":    {func(in *Input) { in.Checkpoint = "station/line-3\nmany\nAAAA\n\n" }, ErrCheckpoint},
		"no checkpoint at all":       {func(in *Input) { in.Checkpoint = "hello" }, ErrCheckpoint},
	} {
		in := good()
		c.spoil(&in)
		if pdf, err := PDF(in); !errors.Is(err, c.want) || pdf != nil {
			t.Errorf("%s: %d bytes, error %v; want %v", name, len(pdf), err, c.want)
		}
	}
	if _, err := PDF(good()); err != nil {
		t.Errorf("unbroken: %v", err)
	}
	in := good()
	in.Checkpoint = "station/line-3\n1045\nAAAA\n\n" // entries 1041 to 1044: the first that covers the run
	if _, err := PDF(in); err != nil {
		t.Errorf("exact checkpoint: %v", err)
	}
}

// Fields beside Records are not trusted: the report prints what the leaves say.
func TestOnlyRecordsCount(t *testing.T) {
	in := samples()["fail"]
	in.Run.Serial, in.Run.Steps, in.Run.End = "other", nil, &ledger.RunEnd{Outcome: ledger.Pass}
	pdf, err := PDF(in)
	if err != nil || !bytes.Equal(pdf, renderedSamples(t)["fail"]) {
		t.Errorf("fields beside Records changed the report: %v", err)
	}
}

// anyRun draws a run of arbitrary texts, numbers and lengths.
func anyRun(t *rapid.T) *account {
	a := newAccount()
	a.simulated = rapid.Bool().Draw(t, "simulated")
	str := rapid.OneOf(rapid.String(), rapid.StringN(0, 30, -1), rapid.StringMatching(`[A-Z0-9 -]{0,40}`), rapid.StringOfN(rapid.Rune(), 200, 600, -1))
	text := func(name string) string { return strings.ToValidUTF8(str.Draw(t, name), "?") }
	number := rapid.OneOf(rapid.Int64Range(0, 1<<28), rapid.Int64Range(-1<<52, 1<<52))
	n := func(name string) int64 { return number.Draw(t, name) }
	list := func(name string, most int) int { return rapid.IntRange(0, most).Draw(t, name) }
	ranges := func() []ledger.Range {
		r := []ledger.Range{}
		for range list("ranges", 6) {
			r = append(r, ledger.Range{At: n("at"), Size: n("size")})
		}
		return r
	}
	locks := func() ledger.Locks {
		return ledger.Locks{Nonvolatile: ranges(), Volatile: ranges(), BlockProtect: ranges(), Frozen: rapid.Bool().Draw(t, "frozen"), SPR: text("spr")}
	}
	recipe := ledger.Recipe{ID: text("id"), Version: 1, Title: text("title"), Digest: text("digest")}
	chip := ledger.Chip{ID: text("id"), UID: text("uid"), SFDP: text("sfdp")}
	started := rapid.Bool().Draw(t, "start")
	if started {
		s := sampleStart()
		s.Serial, s.Slot, s.Operator, s.Fixture, s.Recipe, s.Chip, s.Elsewhere, s.Before = text("serial"), text("slot"), text("op"), text("fixture"), recipe, chip, text("elsewhere"), locks()
		s.Part.Map = rapid.SampledFrom([]string{"", ledger.InventedMap, "acme"}).Draw(t, "map")
		s.Part.Size = rapid.OneOf(rapid.SampledFrom([]int64{0, 1 << 20, 16 << 20, 64 << 20, 256 << 20}), number).Draw(t, "part size")
		s.Part.Sector = rapid.OneOf(rapid.Just(int64(1<<16)), number).Draw(t, "sector")
		s.Part.Assumed = rapid.SliceOfN(rapid.Map(str, func(s string) string { return strings.ToValidUTF8(s, "?") }), 0, 4).Draw(t, "assumed")
		s.Regions, s.Images = []ledger.Region{}, []ledger.Image{}
		for range list("regions", 12) {
			s.Regions = append(s.Regions, ledger.Region{Name: text("region"), At: n("at"), Size: n("size"), Image: text("image")})
			s.Images = append(s.Images, ledger.Image{Name: text("image"), File: text("file"), SHA256: text("sha"), Size: n("size")})
		}
		a.add(0, s)
	}
	for i := range list("steps", 12) {
		if !started {
			break
		}
		facts := []ledger.Fact{}
		for range list("facts", 3) {
			facts = append(facts, ledger.Fact{Name: text("fact"), Value: text("value")})
		}
		a.add(time.Duration(list("wait", 1e6))*time.Millisecond, ledger.RunStep{Run: runID, N: i, Of: 12, Step: text("step"), Title: text("title"), Result: ledger.Result(text("result")),
			Proof: text("proof"), Started: text("started"), Duration: n("ms"), Facts: facts, Permanent: i%3 == 0})
		if i == 5 {
			a.add(time.Hour, ledger.RunResume{Run: runID, Slot: text("slot"), Operator: text("op"), Fixture: text("fixture"), Chip: chip, Before: locks()})
		}
	}
	for i := range list("secrets", 8) {
		if !started {
			break
		}
		sealed := ledger.Sealed{ID: text("escrow"), SHA256: text("sha"), Recipients: []ledger.Recipient{}}
		for range list("recipients", 4) {
			sealed.Recipients = append(sealed.Recipients, ledger.Recipient{Group: text("group"), Fingerprint: text("fingerprint")})
		}
		relayed := func() (blocks []ledger.RelayBlock) {
			for k := range list("blocks", 20) {
				blocks = append(blocks, ledger.RelayBlock{Seq: k, Command: text("command"), Class: text("class"), OneWay: k%2 == 0, SHA256: text("sha"), Counter: text("counter")})
			}
			return blocks
		}
		a.add(0, rapid.SampledFrom([]ledger.Body{
			ledger.PasswordIntent{Run: runID, Escrow: sealed}, ledger.PasswordVoid{Run: runID, Escrow: text("escrow")}, ledger.PasswordProven{Run: runID, Escrow: sealed.ID},
			ledger.RootKeyIntent{Run: runID, Index: i, Key: text("key"), Escrow: sealed, Reply: text("reply")}, ledger.RootKeyProven{Run: runID, Index: int(n("index")), Key: text("key"), Escrow: sealed.ID},
			ledger.ModeIntent{Run: runID, Mode: text("mode")}, ledger.ModeProven{Run: runID, Mode: text("mode"), Grade: text("grade")},
			ledger.RelayIntent{Run: runID, N: i, Turn: int(n("turn")), Blocks: relayed()}, ledger.RelayAnswer{Run: runID, N: i, Turn: int(n("turn")), Answers: []ledger.RelayResult{{Seq: i, Status: text("status"), SHA256: text("sha")}}, Counter: text("counter")},
			ledger.RelayAnswer{Run: runID, N: i, Turn: i, Blocks: relayed(), Answers: []ledger.RelayResult{{Seq: i, Counter: text("counter")}}},
			ledger.PermanentIntent{Run: runID, What: text("what")}, ledger.RunStuck{Run: runID, Cause: text("cause"), Message: text("message"), Next: text("next")},
			ledger.UnitClose{Run: runID, As: text("as"), Reason: text("reason"), By: text("by")}}).Draw(t, "secret"))
	}
	if !started || rapid.Bool().Draw(t, "end") {
		after := locks()
		e := ledger.RunEnd{Run: runID, Serial: text("serial"), Slot: text("slot"), Recipe: recipe, Chip: &chip, Cause: text("cause"), Message: text("message"), Next: text("next"),
			Outcome:  ledger.Outcome(rapid.SampledFrom([]string{"PASS", "FAIL", "ERROR", "REFUSED", "ABORTED", "INTERRUPTED", "TRIAL", text("outcome")}).Draw(t, "outcome")),
			Duration: n("ms"), After: &after, Freeze: text("freeze"), Proven: []ledger.RegionProof{}}
		for range list("proofs", 4) {
			e.Proven = append(e.Proven, ledger.RegionProof{Region: text("region"), SHA256: text("sha"), Proof: text("proof"), Lock: text("lock")})
		}
		a.add(0, e)
	}
	return a
}

// No text, number or length makes a report fail, leave its page or grow without bound.
func TestAnyRun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anyRun(t).input()
		u, err := gather(in)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSheet(u)
		if err != nil {
			t.Fatal(err)
		}
		s.compose()
		high := 0.0
		for i, b := range s.blocks {
			high += b.h
			if b.h < 0 || b.h > maxRow+8 {
				t.Fatalf("block %d is %.1f mm high", i, b.h)
			}
		}
		if rapid.IntRange(0, 2).Draw(t, "draw it") > 0 {
			return // the layout is the risk; drawing costs more
		}
		pdf, err := s.output()
		if err != nil {
			t.Fatal(err)
		}
		// What is kept together leaves at most about half a page empty.
		if n := pageCount(pdf); n < 1 || n > 2+int(high/100) {
			t.Fatalf("%d pages for %.0f mm", n, high)
		}
	})
}

// A few of them are given to another program, which says where every word lies.
func TestAnyRunStaysOnItsPages(t *testing.T) {
	t.Parallel()
	for seed := range 2 {
		a := rapid.Custom(anyRun).Example(seed)
		checkWords(t, fmt.Sprint("seed ", seed), render(t, a.input()))
	}
}

func BenchmarkPDF(b *testing.B) {
	for _, name := range []string{"refused", "pass", "large"} {
		in := samples()[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := PDF(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
