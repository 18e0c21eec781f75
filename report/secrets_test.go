package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"station/ledger"
)

const serialOf, uidOf = "GW-004711", "8c1f00a7b3d24e5566f0911a2b3c"

var recipients = []ledger.Recipient{{Group: "audit", Fingerprint: digestOf("auditor 1")}, {Group: "audit", Fingerprint: digestOf("auditor 2")},
	{Group: "customer", Fingerprint: digestOf("customer")}}

func sealedAs(id string) ledger.Sealed {
	return ledger.Sealed{ID: id, SHA256: hex64("ciphertext " + id), Recipients: recipients}
}

// oneWaySteps are the steps of a recipe with every kind of one-way step.
var oneWaySteps = append(sampleSteps[:4:4],
	stepLine{"root_key", "root key 0 (derive line/root-2026)", "nonce signed by the chip", ledger.Done, 61, true, nil},
	stepLine{"counter", "counter 0 to 5", "nonce signed by the chip", ledger.Done, 130, true, []ledger.Fact{{Name: "counter", Value: "0, value 5"}}},
	stepLine{"root_key", "root key 1 (random)", "nonce signed by the chip", ledger.Done, 58, true, nil},
	stepLine{"password", "password, unlock exercised by reset", "unlock exercised", ledger.Done, 55, true, []ledger.Fact{{Name: "mode", Value: "password, for ever"}}},
	sampleSteps[5], sampleSteps[6])

func rootKeyIntent(index int, key, id string) ledger.RootKeyIntent {
	return ledger.RootKeyIntent{Run: runID, Serial: serialOf, UID: uidOf, Index: index, Key: key, Escrow: sealedAs(id), Reply: hex64("reply " + id)}
}

func rootKeyProven(index int, key, id string, counter uint32) ledger.RootKeyProven {
	return ledger.RootKeyProven{Run: runID, Serial: serialOf, UID: uidOf, Index: index, Key: key, Counter: counter, Escrow: id}
}

func (a *account) password(id string) {
	a.add(ms(3), ledger.PasswordIntent{Run: runID, Serial: serialOf, UID: uidOf, Escrow: sealedAs(id)})
}

func (a *account) passwordProven(id string) {
	a.add(ms(2), ledger.PasswordProven{Run: runID, Serial: serialOf, UID: uidOf, Escrow: id})
}

func (a *account) mode(mode, grade string) {
	a.add(ms(1), ledger.ModeIntent{Run: runID, Serial: serialOf, UID: uidOf, Mode: mode})
	a.add(ms(9), ledger.ModeProven{Run: runID, Serial: serialOf, UID: uidOf, Mode: mode, Grade: grade})
}

func startWithValues() ledger.RunStart {
	s := sampleStart()
	s.Values = []ledger.Fact{{Name: "mac", Value: "0200c0ffee01"}, {Name: "uuid", Value: hex64("uuid")[:32]}}
	return s
}

func (a *account) resume(wait time.Duration) {
	a.add(wait, ledger.RunResume{Run: runID, Serial: serialOf, Slot: "2", Operator: "op-9", Fixture: "CH341A at 1-4", Software: "station 1.0.0", Chip: sampleChip,
		Before: ledger.Locks{Nonvolatile: []ledger.Range{{At: 0, Size: 4 << 20}, {At: 0x1FF0000, Size: 0x10000}}, SPR: "FFFF"}})
}

func (a *account) increments(from, to int) {
	for v := from; v < to; v++ {
		a.add(ms(20), ledger.PermanentIntent{Run: runID, Serial: serialOf, UID: uidOf, What: fmt.Sprintf("counter 0: %d to %d", v, v+1)})
	}
}

var foreign = ledger.RunStuck{Run: runID, Serial: serialOf, Cause: "password-foreign", Message: "The chip holds a password that is not the one of this run: it was torn, or another station wrote it.",
	Next: "Call a supervisor, who closes the unit with “station unit close GW-004711”."}

// secretSamples are reports of runs with one-way steps, and of runs that a person decided.
func secretSamples() map[string]Input {
	out := map[string]Input{}
	a := newAccount()
	a.add(0, startWithValues())
	a.steps(oneWaySteps, 0, 4)
	a.add(ms(1), rootKeyIntent(0, "derive:line/root-2026", "c200000000000001"))
	a.add(ms(50), rootKeyProven(0, "derive:line/root-2026", "c200000000000001", 0))
	a.steps(oneWaySteps, 4, 5)
	a.increments(0, 5)
	a.steps(oneWaySteps, 5, 6)
	a.add(ms(1), rootKeyIntent(1, "random", "c200000000000002"))
	a.add(ms(50), rootKeyProven(1, "random", "c200000000000002", 1<<32-1))
	a.steps(oneWaySteps, 6, 7)
	a.password("c200000000000003")
	a.passwordProven("c200000000000003")
	a.mode(ledger.PasswordMode, "unlock exercised")
	a.steps(oneWaySteps, 7, len(oneWaySteps))
	a.end(ledger.Pass, passed)
	out["secrets"] = a.input()

	// Power was lost between the intents and the commands: neither secret reached the chip, and both have been drawn anew.
	a = newAccount()
	a.simulated = true
	a.add(0, startWithValues())
	a.steps(oneWaySteps, 0, 4)
	a.add(ms(1), rootKeyIntent(0, "random", "c200000000000011"))
	a.resume(3 * time.Minute)
	a.add(ms(40), ledger.RootKeyVoid{Run: runID, Serial: serialOf, Index: 0, Escrow: "c200000000000011"})
	a.add(ms(1), rootKeyIntent(0, "random", "c200000000000012"))
	a.add(ms(50), rootKeyProven(0, "random", "c200000000000012", 4))
	a.steps(oneWaySteps, 4, 7)
	a.password("c200000000000013")
	a.resume(20 * time.Hour)
	a.add(ms(40), ledger.PasswordVoid{Run: runID, Serial: serialOf, Escrow: "c200000000000013"})
	a.password("c200000000000014")
	a.passwordProven("c200000000000014")
	a.mode(ledger.PasswordMode, "read back before the mode")
	a.steps(oneWaySteps, 7, len(oneWaySteps))
	a.end(ledger.Pass, passed)
	out["void"] = a.input()

	a = newAccount()
	a.add(0, startWithValues())
	a.steps(oneWaySteps, 0, 4)
	a.password("c200000000000021")
	a.add(ms(30), foreign)
	out["stuck"] = a.input()
	a.resume(time.Hour)
	a.add(ms(30), foreign)
	a.add(26*time.Hour, ledger.UnitClose{Run: runID, Serial: serialOf, As: ledger.Scrapped, Reason: "board dropped when it was taken out, chip cracked", By: "op-80"})
	out["closed"] = a.input()

	a = newAccount()
	a.add(0, startWithValues())
	a.steps(oneWaySteps, 0, 2)
	a.add(time.Hour, ledger.UnitClose{Run: runID, Serial: serialOf, As: ledger.Lost, Reason: "not in the tray", By: "op-80"})
	out["lost"] = a.input()

	a = newAccount()
	a.add(0, sampleStart())
	a.steps(sampleSteps, 0, 4)
	a.mode(ledger.PersistentMode, "register read back")
	a.steps([]stepLine{4: {"persistent_protection", "persistent protection mode", "register read back", ledger.Done, 12, true, nil}}, 4, 5)
	a.end(ledger.Pass, func(e *ledger.RunEnd) { passed(e); e.Freeze, e.After.SPR, e.After.Frozen = "none", "FFFD", false })
	out["persistent"] = a.input()

	// A long list of increments, and entries without the intent that they belong to.
	a = newAccount()
	a.add(0, sampleStart())
	a.increments(0, 201)
	a.add(ms(1), ledger.PasswordVoid{Run: runID, Serial: serialOf, Escrow: "c200000000000031"})
	a.add(ms(1), ledger.ModeIntent{Run: runID, Serial: serialOf, UID: uidOf, Mode: "unheard-of"})
	a.end(ledger.Fail, func(e *ledger.RunEnd) { e.Cause, e.Message, e.Next = "counter", "Counter 0 did not move.", "Red bin." })
	out["counters"] = a.input()
	return out
}

var gaps = regexp.MustCompile(`\s+`)

// flat is the text of a report with its lines in reading order and single spaces, so that what wraps can be searched.
func flat(t *testing.T, pdf []byte) string {
	return gaps.ReplaceAllString(tool(t, pdf, "pdftotext", "FILE", "-"), " ")
}

// What an auditor asks of secrets and decisions is on the page, in words.
func TestSecretsAreTold(t *testing.T) {
	t.Parallel()
	const noSecret = "No secret is in this report or in the ledger."
	const open = "station escrow open SERIAL --identity FILE"
	for name, c := range map[string]struct{ has, lacks []string }{
		"secrets": {[]string{noSecret, open, "Password ✔ proven read back from the chip", "Root key of counter 0 Key derive:line/root-2026 ✔ proven by a nonce that the chip signed Counter value, signed: 0",
			"Root key of counter 1 Key random ✔ proven by a nonce that the chip signed Counter value, signed: 4294967295", "Password mode ✔ proven unlock exercised", "The password lifted the freeze",
			"counter 0: 4 to 5", "Sealed to audit:", "Sealed to customer:", "◆ PERMANENT: cannot be undone", "Frozen until the password is given", "mac", "0200c0ffee01", "yes, and for ever"},
			[]string{"never learned", "NOT PROVEN", "only a person"}},
		"void": {[]string{"○ never learned by the chip", "Void; the escrow is kept.", "c200000000000011", "c200000000000013", "✔ proven read back before the mode", "was not tried", noSecret},
			[]string{"NOT PROVEN", "The password lifted the freeze"}},
		"stuck": {[]string{"INTERRUPTED", "only a person can decide", foreign.Message, foreign.Next, "cause password-foreign", "▲ NOT PROVEN", "c200000000000021", "▲ Stopped", "yes, perhaps for ever"},
			[]string{"✔ proven:", "Closed"}},
		"closed": {[]string{"closed by a person as scrapped", "Closed as scrapped: board dropped when it was taken out, chip cracked", "By op-80, 2026-11-24 12:3", "The unit did not pass in this run.", foreign.Message,
			"A person had to decide before that", "▲ NOT PROVEN", "closed by a person 2026-11-24"}, []string{foreign.Next}},
		"lost":       {[]string{"Closed as lost: not in the tray", "came to no end"}, []string{"What to do", "Secrets and one-way steps"}},
		"persistent": {[]string{"Persistent mode ✔ proven register read back", "password mode can never be switched on", noSecret}, []string{open}},
		"counters":   {[]string{"counter 0: 0 to 1", "counter 0: 200 to 201", "No entry of this run says what it holds", "Mode unheard-of ▲ NOT PROVEN", "yes, perhaps for ever"}, nil},
		"pass":       {[]string{"yes, and for ever"}, []string{"Secrets and one-way steps"}},
		"refused":    {nil, []string{"Secrets and one-way steps"}},
	} {
		got := flat(t, renderedSamples(t)[name])
		for _, w := range c.has {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is not in the text", name, w)
			}
		}
		for _, w := range c.lacks {
			if strings.Contains(got, w) {
				t.Errorf("%s: %q is in the text", name, w)
			}
		}
	}
}

// A person's decision stands on the first page, above the details.
func TestDecisionsComeFirst(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"stuck": "Call a supervisor", "closed": "Closed as scrapped", "lost": "Closed as lost"} {
		got := tool(t, renderedSamples(t)[name], "pdftotext", "-l", "1", "FILE", "-")
		if at, run := strings.Index(got, want), strings.Index(got, "Recipe digest"); at < 0 || at > run {
			t.Errorf("%s: %q at %d, the details at %d", name, want, at, run)
		}
	}
}

// The QR code is read from the right part of rendered pages, with a watermark around it too.
func TestQRCodeIsRead(t *testing.T) {
	t.Parallel()
	long := newAccount()
	long.station = strings.Repeat("line-3.", 40)
	long.end(ledger.Refused, nil)
	all := samples()
	all["long station"] = long.input()
	for name, resolution := range map[string]int{"refused": 100, "secrets": 150, "void": 150, "closed": 150, "long station": 300} {
		in := all[name]
		last := in.Run.Records[len(in.Run.Records)-1]
		pdf := renderedSamples(t)[name]
		if pdf == nil {
			pdf = render(t, in)
		}
		png := filepath.Join(t.TempDir(), "page")
		page := fmt.Sprint(pageCount(pdf))
		tool(t, pdf, "pdftoppm", "-r", fmt.Sprint(resolution), "-x", fmt.Sprint(resolution*6), "-W", fmt.Sprint(resolution*2), "-y", "0", "-H", fmt.Sprint(resolution*12), "-f", page, "-l", page, "-gray", "-png", "-singlefile", "FILE", png)
		want := fmt.Sprintf("QR-Code:station/%s %d %s", last.Entry.Station, last.Index, leafHash(last.Bytes))
		if got := tool(t, pdf, "zbarimg", "-q", "-Sdisable", "-Sqrcode.enable", png+".png"); strings.TrimSpace(got) != want {
			t.Errorf("%s: read %q, want %q", name, got, want)
		}
	}
}

// A station's id that no code of this size can hold costs the code, not the report.
func TestQRCodeTooLong(t *testing.T) {
	a := newAccount()
	a.station = strings.Repeat("x", 4000)
	a.end(ledger.Refused, nil)
	if got := flat(t, render(t, a.input())); !strings.Contains(got, "None: the station's id is too long.") {
		t.Error("the report does not say why it has no QR code")
	}
}

// The checkpoint is attached as it is, next to the entries.
func TestCheckpointIsAttached(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"secrets", "refused", "stuck", "open"} {
		in, pdf, dir := samples()[name], renderedSamples(t)[name], t.TempDir()
		tool(t, pdf, "pdfdetach", "-saveall", "-o", dir, "FILE")
		got, err := os.ReadFile(filepath.Join(dir, attachedCheckpoint))
		if in.Checkpoint == "" && !os.IsNotExist(err) {
			t.Errorf("%s: a checkpoint is attached where there is none: %v", name, err)
		}
		if in.Checkpoint != "" && (err != nil || string(got) != in.Checkpoint) {
			t.Errorf("%s: attached is %q, %v; want %q", name, got, err, in.Checkpoint)
		}
		lines, err := os.ReadFile(filepath.Join(dir, attached))
		if err != nil || bytes.Count(lines, []byte("\n")) != len(in.Run.Records) {
			t.Errorf("%s: %d lines of entries, %v", name, bytes.Count(lines, []byte("\n")), err)
		}
	}
}
