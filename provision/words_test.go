package provision

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"station/ledger"
)

// names is what each sentence names, as words.go says it: whoever says it in another language has nothing else.
var names = map[string]string{
	WordScanSerial: "slot", WordScanValue: "serial slot value", WordPutIn: "serial slot", WordDone: "outcome serial slot", WordOpenHere: "serial slot", WordFound: "slot", WordNotScanned: "slot", WordSwapped: "slot",
	WordLeftIn: "serial slot", WordSerialElsewhere: "other serial slot", WordChipElsewhere: "other serial slot uid", WordNoBoard: "serial slot why",
	WordTwice: "code", WordTwoCodes: "code other", WordNotSerial: "code like", WordOtherCase: "code other", WordNotValue: "code serial value why", WordNoSuchSlot: "other", WordNoSlotFree: "code", WordWaitsBoard: "code serial slot",
	WordWaitsFirst: "serial slot", WordGivenUp: "serial", WordNoValue: "serial value", WordNoCancel: "",
	WordSlotStopped: "slot", WordSlotHeld: "slot", WordSlotUnseen: "slot", WordSlotOccupied: "slot", WordSlotRunning: "slot",
	WordOutRunning: "serial slot", WordOutLost: "serial slot",
	WordStoppedBoards: "count results slot", WordStoppedContacts: "count results slot", WordStoppedFixture: "count results slot", WordReleased: "slot", WordNotStopped: "slot",
	WordAcknowledged: "how run serial slot", WordTakeOutFirst: "serial slot", WordNoFail: "", WordSlotNoFail: "slot",
	WordOpenPerson: "do serial slot why", WordOpenRecipe: "recipe serial slot version", WordOpenScanned: "serial slot", WordOpenNowhere: "other serial", WordOpenStopped: "serial slot", WordOpenHeld: "serial slot",
	WordOpenWaits: "serial slot", WordNoOpen: "", WordAllRunning: "",
}

// TestWords: Words has each constant once, and each is said, with the facts that it is to have, all of which its sentence has too.
func TestWords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "words.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if c, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(c.Names[0].Name, "Word") && c.Names[0].Name != "Words" {
			constants++
		}
		return true
	})
	if sorted := slices.Sorted(slices.Values(Words)); len(slices.Compact(sorted)) != len(Words) || len(Words) != constants || len(names) != len(Words) {
		t.Errorf("%d words for %d constants, and %d have facts", len(Words), constants, len(names))
	}
	said := map[string]int{}
	for _, d := range everySentence(t) {
		if d.Word == "" {
			continue
		}
		said[d.Word]++
		got := slices.Sorted(maps.Keys(d.Facts))
		for name, text := range map[string]string{"slot": d.Slot, "serial": d.Serial} {
			if text != "" {
				got = append(got, name)
			}
		}
		if d.Slot == "" && (d.Word == WordOpenPerson || d.Word == WordOpenRecipe) { // the board is in none
			got = append(got, "slot")
		}
		slices.Sort(got)
		if want := names[d.Word]; strings.Join(got, " ") != want || d.Message == "" {
			t.Errorf("%s names %q, want %q: %+v", d.Word, got, want, d)
		}
		for name, value := range d.Facts {
			if name != "run" && name != "how" && !strings.Contains(d.Message+d.Next, value) {
				t.Errorf("%s: %s %q is not in the sentence: %+v", d.Word, name, value, d)
			}
		}
	}
	for _, w := range Words {
		if said[w] == 0 || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("%q is no word, or was never said", w)
		}
	}
}

// everySentence is what lines say in situations in which they say everything.
func everySentence(t *testing.T) (all []Decision) {
	const steps = "  - write: {region: boot, fields: [{text: serial, size: 8, pad: 0xFF}, {bytes: mac, size: 2}]}\n"
	valued := editedRecipe(t, "MT25QL256ABA", steps, "elsewhere: keep\n", "elsewhere: keep\nvalues:\n  mac: {scan: true, bytes: 2}\n")
	plain := recipe(t, 1, full)
	now := time.Unix(1e9, 0)
	take := func(d []Decision) { all = append(all, d...) }
	var l *Line
	scan := func(codes ...string) {
		for _, code := range codes {
			now = now.Add(repeatTime)
			take(l.Scan(now, code))
		}
	}
	see := func(slot, uid string) { take(l.Seen(slot, uid != "", uid)) }
	run := func(slot, serial string, o ledger.Outcome, cause string) {
		scan(LabelSlot+slot, serial)
		see(slot, "U"+serial)
		take(l.Ended(slot, Result{Run: "r" + serial, Serial: serial, Outcome: o, Cause: cause}))
		see(slot, "")
	}
	open := func(serial string) ledger.Run {
		return ledger.Run{Serial: serial, Slot: "9", Start: &ledger.RunStart{Recipe: ledger.Recipe{ID: "gateway", Version: 7, Digest: plain.Digest()}, Chip: ledger.Chip{UID: "U" + serial}}}
	}

	l = NewLine(valued, []string{"1", "2"}, nil)
	scan("SLOT:2", "S1") // nobody has looked
	see("1", "")
	see("2", "U2")
	scan("SLOT:2", "S1", "SLOT:1", "zz", "ABCD")
	take(l.Scan(now, "ABCD"))
	scan("S2", "CANCEL", "CANCEL", "S3", "CANCEL")
	scan("S4")
	see("1", "U4")
	scan("CANCEL")

	l = NewLine(plain, []string{"1", "2"}, []ledger.Run{open("S9")})
	see("1", "US9")
	see("1", "")
	see("1", "U1")
	see("1", "")
	see("2", "")
	scan("S1", "S2", "S1S2", "!", "SLOT:7", "s7")
	take(l.Failed("1", "its file is damaged"))
	scan("S1")
	see("1", "US1")
	scan("SLOT:1", "S1", "S2")
	see("2", "US1") // the chip of slot 1
	see("1", "")
	see("1", "US1")
	take(l.Ended("1", Result{Serial: "S1", Outcome: ledger.Error, Cause: "contact-lost"}))
	see("1", "")
	see("2", "")
	for cause, outcome := range map[string]ledger.Outcome{"contact-absent": ledger.Error, "fixture": ledger.Error, "verify-mismatch": ledger.Fail} {
		l = NewLine(plain, []string{"1", "2"}, nil)
		see("1", "")
		for range tooMany {
			run("1", "S1", outcome, cause)
		}
		scan("SLOT:1")
		see("1", "US9")
		take(l.Resume([]ledger.Run{open("S9")}))
		see("1", "")
		scan("RELEASE:1", "RELEASE:1")
	}

	l.HoldFails(Held{Slot: "7", Serial: "S8", Run: "r8"})
	take(l.Acknowledge("7"))
	scan("REJECT")
	take(l.Acknowledge("1"))
	scan("SLOT:1", "S5")
	see("1", "US5")
	take(l.Ended("1", Result{Run: "r5", Serial: "S5", Outcome: ledger.Fail}))
	scan("REJECT")
	see("1", "US7") // and nobody saw the board of S5 leave
	see("1", "")
	scan("SLOT:1")
	see("1", "US9")
	take(l.Resume([]ledger.Run{open("S9")}))
	see("1", "")
	scan("REJECT")

	stuck, other := open("S6"), open("S7")
	stuck.Stuck = &ledger.RunStuck{Message: "its password is foreign", Next: "Decide."}
	other.Start.Recipe.Digest = "sha256:other"
	see("1", "US6")
	take(l.Resume([]ledger.Run{stuck, other, open("S8")}))
	see("1", "")
	take(l.Resume(nil))
	scan("S9")
	take(l.Resume([]ledger.Run{open("S9")})) // it waits for this board
	see("1", "US9")
	take(l.Resume([]ledger.Run{open("S9")}))
	take(l.Ended("1", Result{Serial: "S9", Outcome: ledger.Pass}))
	see("1", "")
	l = NewLine(valued, []string{"1"}, nil)
	valuedRun := open("S9")
	valuedRun.Start.Recipe.Digest = valued.Digest()
	see("1", "")
	scan("S1")
	see("1", "US9")
	take(l.Resume([]ledger.Run{valuedRun}))
	return all
}

// TestOtherCase: what would be a serial or a card without Caps Lock is said to be so, and no more than that is done with it.
func TestOtherCase(t *testing.T) {
	l := NewLine(editedRecipe(t, "MT25QL256ABA", full, "serial: '^S[0-9]+$'", "serial: '^GW-[0-9]{6}$'"), []string{"a", "B"}, nil)
	for _, slot := range []string{"a", "B"} {
		l.Seen(slot, false, "")
	}
	for code, want := range map[string]string{"gw-000305": "other-case GW-000305", "slot:A": "other-case SLOT:a", "release:b": "other-case RELEASE:B", "resume": "other-case RESUME", "slot:9": "not-a-serial GW-123456",
		"gw-1": "not-a-serial GW-123456", "123": "not-a-serial GW-123456"} {
		got := ""
		for _, d := range l.Scan(time.Unix(1e9, 0), code) {
			if d.Word != WordScanSerial {
				got += d.Word + " " + d.Facts["other"] + d.Facts["like"]
			}
		}
		if got != want || l.State("a") != Free || l.State("B") != Free {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
}
