package report

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"time"

	"station/ledger"
)

// account builds the records of one run.
type account struct {
	at        time.Time
	index     int64
	station   string
	simulated bool
	records   []ledger.Record
}

func newAccount() *account {
	return &account{at: time.Date(2026, 11, 23, 9, 30, 0, 120e6, time.UTC), index: 1041, station: "line-3"}
}

// add appends an entry after wait.
func (a *account) add(wait time.Duration, b ledger.Body) {
	a.at = a.at.Add(wait)
	e := ledger.Entry{Station: a.station, Simulated: a.simulated, Time: a.at, Boot: time.Hour, Body: b}
	enc, err := e.Encode()
	if err != nil {
		panic(err) // a fault of this test, not of what it tests
	}
	// As the store hands it out: decoded from the canonical bytes.
	if e, err = ledger.Decode(enc); err != nil {
		panic(err)
	}
	a.records = append(a.records, ledger.Record{Index: a.index, Entry: e, Bytes: enc})
	a.index++
}

// input is the run with a checkpoint that covers it.
func (a *account) input() Input {
	return Input{Run: ledger.Runs(a.records)[0], Checkpoint: fmt.Sprintf("station/%s\n%d\n%s\n\n— station/%[1]s %[4]s\n", a.station, a.index,
		base64.StdEncoding.EncodeToString(sum("root")), base64.StdEncoding.EncodeToString(append(sum("sig"), append(sum("n"), 1, 2, 3, 4)...)))}
}

func sum(s string) []byte       { h := sha256.Sum256([]byte(s)); return h[:] }
func hex64(s string) string     { return hex.EncodeToString(sum(s)) }
func digestOf(s string) string  { return "sha256:" + hex64(s) }
func ms(n int64) time.Duration  { return time.Duration(n) * time.Millisecond }
func sectors(n int64) int64     { return n << 16 }
func locksFrom() ledger.Locks   { return ledger.Locks{SPR: "FFFF"} }
func (a *account) time() string { return a.at.Format(ledger.TimeFormat) }

// longSerial has a bar code too wide for the frame at the top.
const longSerial = "SN-2026-0000-1234-ABCD-EFGH-0001-lower-9876543210-x"

const runID = "5d0c8a1be2f94763"

var sampleRecipe = ledger.Recipe{ID: "gateway-boot", Version: 3, Title: "Gateway boot flash", Digest: digestOf("recipe"), Released: true}

var sampleChip = ledger.Chip{ID: "20ba20104400", UID: "8c1f00a7b3d24e5566f0911a2b3c", SFDP: digestOf("sfdp")}

func sampleStart() ledger.RunStart {
	return ledger.RunStart{
		Run: runID, Serial: "GW-004711", Slot: "3", Operator: "op-17", Authenticated: true, Fixture: "FT2232H channel A at 1-2.3", Software: "station 1.0.0",
		Recipe: sampleRecipe,
		Part: ledger.Part{Name: "MT25QL256ABA", Digest: digestOf("part"), Size: sectors(512), Sector: sectors(1), Assumed: []string{
			"password: 27 reads all FF once password mode is on", "global freeze: register write time below 1 ms"}},
		Chip: sampleChip,
		Images: []ledger.Image{
			{Name: "boot", File: "images/boot.bin", SHA256: hex64("boot"), Size: 3_984_588},
			{Name: "app", File: "images/app.bin", SHA256: hex64("app"), Size: 11 << 20}},
		Regions: []ledger.Region{
			{Name: "boot", At: 0, Size: 4 << 20, Image: "boot"}, {Name: "app", At: 4 << 20, Size: 12 << 20, Image: "app"},
			{Name: "settings", At: 0x1000000, Size: 0x10000}, {Name: "identity", At: 0x1FF0000, Size: 0x10000}},
		Elsewhere: "blank", Before: locksFrom(), Mirror: ledger.MirrorSecondDisk,
	}
}

type stepLine struct {
	step, title, proof string
	result             ledger.Result
	ms                 int64
	permanent          bool
	facts              []ledger.Fact
}

var sampleSteps = []stepLine{
	{"write", "write boot (4 MiB)", "read back", ledger.Done, 9412, false, []ledger.Fact{{Name: "erased", Value: "64 sectors"}, {Name: "programmed", Value: "15 565 pages"}, {Name: "round trips", Value: "312"}}},
	{"write", "write app (12 MiB)", "read back", ledger.Done, 30120, false, []ledger.Fact{{Name: "erased", Value: "192 sectors"}, {Name: "programmed", Value: "45 056 pages"}}},
	{"write", "write identity (64 KiB)", "read back", ledger.Done, 410, false, []ledger.Fact{{Name: "erased", Value: "none, was blank"}}},
	{"lock", "lock boot, identity (nonvolatile)", "lock bits read back", ledger.Done, 96, false, []ledger.Fact{{Name: "bits", Value: "65"}}},
	{"password", "set the password and switch password mode on", "read back before the mode", ledger.Done, 55, true, []ledger.Fact{{Name: "escrow", Value: "audit, 2 recipients"}, {Name: "SPR", Value: "FFFB"}}},
	{"freeze", "freeze the lock bits", "freeze bit read back", ledger.Done, 3, false, nil},
	{"check", "check locks and freeze", "refusal seen", ledger.Confirmed, 44, false, []ledger.Fact{{Name: "refused", Value: "boot, identity"}}},
}

func (a *account) steps(lines []stepLine, from, to int) {
	for i := from; i < to; i++ {
		l := lines[i]
		facts := l.facts
		if facts == nil {
			facts = []ledger.Fact{}
		}
		started := a.time()
		a.add(ms(l.ms), ledger.RunStep{Run: runID, Serial: "GW-004711", N: i + 1, Of: len(lines), Step: l.step, Title: l.title, Result: l.result,
			Proof: l.proof, Started: started, Duration: l.ms, Facts: facts, Permanent: l.permanent})
	}
}

func (a *account) end(o ledger.Outcome, change func(*ledger.RunEnd)) {
	chip := sampleChip
	e := ledger.RunEnd{Run: runID, Serial: "GW-004711", Slot: "3", Operator: "op-17", Authenticated: true, Software: "station 1.0.0", Recipe: sampleRecipe, Chip: &chip,
		Outcome: o, Touched: true, Duration: 40930, Proven: []ledger.RegionProof{}, Freeze: "none"}
	if change != nil {
		change(&e)
	}
	a.add(ms(20), e)
}

func passed(e *ledger.RunEnd) {
	for _, r := range sampleStart().Regions {
		lock := "nonvolatile"
		if r.Name == "app" || r.Name == "settings" {
			lock = "none"
		}
		e.Proven = append(e.Proven, ledger.RegionProof{Region: r.Name, SHA256: hex64("chip " + r.Name), Proof: "readback", Lock: lock})
	}
	e.After = &ledger.Locks{Nonvolatile: []ledger.Range{{At: 0, Size: 4 << 20}, {At: 0x1FF0000, Size: 0x10000}}, Frozen: true, SPR: "FFFB"}
	e.Freeze = "until the password is given"
}

// samples are the reports that people look at.
func samples() map[string]Input {
	out := secretSamples()
	maps.Copy(out, signedSamples())
	out["reworked"], out["newchip"] = reworked(false), reworked(true)
	pass := func(simulated bool) *account {
		a := newAccount()
		a.simulated = simulated
		a.add(0, sampleStart())
		a.steps(sampleSteps, 0, len(sampleSteps))
		a.end(ledger.Pass, passed)
		return a
	}
	out["pass"] = pass(false).input()
	out["simulated"] = pass(true).input()
	rotated := pass(false).input() // the checkpoint of a change of keys
	rotated.Checkpoint += "— station/line-3 " + strings.Repeat("B", 91) + "=\n"
	out["rotated"] = rotated

	a := newAccount()
	a.add(0, sampleStart())
	a.steps(sampleSteps, 0, 1)
	a.steps([]stepLine{sampleSteps[0], {"write", "write app (12 MiB)", "", ledger.Failed, 30120, false, []ledger.Fact{{Name: "mismatch", Value: "0x0040F3A0"}}}, {}, {}, {}, {}, {}}, 1, 2)
	a.end(ledger.Fail, func(e *ledger.RunEnd) {
		e.Cause, e.Message = "verify-mismatch", "The chip does not hold what was written: 1 byte differs at 0x0040F3A0, and still did when read again."
		e.Next = "Put the board into the red bin. A supervisor decides about it; do not scan it again."
		e.After = &ledger.Locks{SPR: "FFFF"}
	})
	out["fail"] = a.input()

	a = newAccount()
	a.end(ledger.Refused, func(e *ledger.RunEnd) {
		e.Cause, e.Touched, e.Duration = "serial-known", false, 212
		e.Message = "GW-004711 already passed on another chip (8c1f00a7b3d24e5566f0911a2b3d)."
		e.Next = "Check the label of the board. If the label is right, call a supervisor for rework."
		e.Freeze = ""
	})
	out["refused"] = a.input()

	a = newAccount()
	a.add(0, sampleStart())
	a.steps(sampleSteps, 0, 1)
	a.end(ledger.Error, func(e *ledger.RunEnd) {
		e.Cause, e.Message, e.Next = "usb-gone", "The fixture of slot 3 stopped answering while app was written.", "Plug the fixture in again and scan the same board: the run goes on where it stopped."
	})
	out["error"] = a.input()

	a = newAccount()
	start := sampleStart()
	start.Recipe.Released = false
	start.Before.Volatile = []ledger.Range{{At: 0, Size: 0x1000}, {At: 0x1FFF000, Size: 0x1000}}
	start.Before.BlockProtect = []ledger.Range{{At: 0x1800000, Size: 0x800000}}
	a.add(0, start)
	a.steps(sampleSteps, 0, 2)
	a.index += 4
	a.add(47*time.Minute, ledger.RunResume{Run: runID, Serial: "GW-004711", Slot: "2", Operator: "op-9", Fixture: "FT2232H channel B at 1-2.3", Software: "station 1.0.0", Chip: sampleChip, Before: locksFrom(), Mirror: ledger.MirrorAway})
	a.steps(sampleSteps, 1, len(sampleSteps))
	a.end(ledger.Pass, func(e *ledger.RunEnd) {
		passed(e)
		e.Operator, e.Authenticated, e.Slot, e.Freeze = "op-9", false, "2", "until power-off"
		e.After.Volatile = []ledger.Range{{At: 4 << 20, Size: 12 << 20}, {At: 0x3F0000, Size: 0x10000}}
	})
	out["resumed"] = a.input()

	a = newAccount()
	start = sampleStart()
	start.Part.Name, start.Part.Size = "MT25QL512ABB", sectors(1024)
	start.Regions = nil
	for i := range 12 {
		r := ledger.Region{Name: fmt.Sprintf("region-%d", i), At: sectors(int64(i) * 80), Size: sectors(int64(1 + i*7)), Image: "boot"}
		if i > 7 {
			r.At, r.Size = sectors(1000+int64(i)), sectors(1)
		}
		start.Regions = append(start.Regions, r)
	}
	a.add(0, start)
	var many []stepLine
	for i := range 30 {
		l := sampleSteps[i%len(sampleSteps)]
		many = append(many, l)
	}
	a.steps(many, 0, 30)
	a.end(ledger.Pass, func(e *ledger.RunEnd) {
		e.After = &ledger.Locks{SPR: "FFFF"}
		for _, r := range start.Regions {
			e.Proven = append(e.Proven, ledger.RegionProof{Region: r.Name, SHA256: hex64(r.Name), Proof: "readback", Lock: "volatile"})
			e.After.Volatile = append(e.After.Volatile, ledger.Range{At: r.At, Size: r.Size})
		}
	})
	out["large"] = a.input()

	a = newAccount()
	a.end(ledger.Aborted, func(e *ledger.RunEnd) { e.Serial, e.Message, e.Chip = longSerial, "Stopped by the operator.", nil })
	out["longserial"] = a.input()

	long := func(s string, n int) string {
		out := s
		for len(out) < n {
			out += s
		}
		return out
	}
	a = newAccount()
	start = sampleStart()
	start.Serial = long("SN-2026-", 130)
	start.Operator = "оператор Ёлкин"
	start.Fixture = long("FT2232H channel A at 1-2.3 ", 200)
	start.Recipe.Title = "Прошивка шлюза · Φόρτωση μνήμης · 固件 😀 e\u0301 שלום " + long("a very long title ", 300)
	start.Regions[0].Name = long("загрузчик_", 60)
	start.Part.Size = sectors(4096)
	start.Before.Nonvolatile = []ledger.Range{{At: 1 << 60, Size: 1 << 62}, {At: -5, Size: 100}}
	a.add(0, start)
	a.steps([]stepLine{{"write", long("write the boot region ", 400), long("read back ", 90), ledger.Done, 9_999_999, true, []ledger.Fact{{Name: long("name", 80), Value: long("Δ", 90)}}}}, 0, 1)
	a.end(ledger.Interrupted, func(e *ledger.RunEnd) {
		e.Cause = "password-torn"
		e.Message = "Чип хранит пароль, которого станция не знает: \t\x01 \u202e" + long("the chip holds a password that nobody knows; ", 500)
		e.Next = long("Call a supervisor. ", 200)
	})
	out["long"] = a.input()

	a = newAccount()
	a.add(0, sampleStart())
	a.steps(sampleSteps, 0, 3)
	in := a.input()
	in.Checkpoint = ""
	out["open"] = in

	for _, o := range []ledger.Outcome{ledger.Aborted, ledger.Trial} {
		a = newAccount()
		a.add(0, sampleStart())
		a.steps(sampleSteps, 0, 4)
		if o == ledger.Aborted {
			a.add(time.Second, ledger.RunStop{Run: runID, Serial: "GW-004711", By: "op-9"})
		}
		a.end(o, func(e *ledger.RunEnd) {
			e.Cause, e.Message, e.Next = "user", "Stopped by the operator.", "Scan the board again to finish."
			e.After = &ledger.Locks{SPR: "FFFF", Nonvolatile: []ledger.Range{{At: 0, Size: 4 << 20}}}
		})
		out[string(o)] = a.input()
	}
	return out
}
