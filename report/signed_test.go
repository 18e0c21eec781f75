package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"station/ledger"
)

func relayBlock(seq int, command, class string, counter int) ledger.RelayBlock {
	return ledger.RelayBlock{Seq: seq, Command: command, Class: class, OneWay: command == "protect", SHA256: hex64(fmt.Sprint(command, seq)), Counter: fmt.Sprint(counter)}
}

// looked adds a turn of one measurement.
func (a *account) looked(n, turn, counter int, status string) {
	a.add(ms(9), ledger.RelayAnswer{Run: runID, Serial: serialOf, UID: uidOf, N: n, Turn: turn, Blocks: []ledger.RelayBlock{relayBlock(1, "measure", ledger.ReadOnly, counter)},
		Answers: []ledger.RelayResult{{Seq: 1, Status: status, SHA256: hex64("reply")}}, PowerOn: "3", Counter: fmt.Sprint(counter)})
}

func (a *account) relayIntent(n, turn int, blocks ...ledger.RelayBlock) {
	a.add(ms(2), ledger.RelayIntent{Run: runID, Serial: serialOf, UID: uidOf, N: n, Turn: turn, Blocks: blocks})
}

func (a *account) relayAnswer(n, turn, counter int, answers ...ledger.RelayResult) {
	a.add(ms(40), ledger.RelayAnswer{Run: runID, Serial: serialOf, UID: uidOf, N: n, Turn: turn, Answers: answers, PowerOn: "3", Counter: fmt.Sprint(counter)})
}

func success(seq int) ledger.RelayResult {
	return ledger.RelayResult{Seq: seq, Status: "80", SHA256: hex64(fmt.Sprint("reply ", seq))}
}

var signedSteps = []stepLine{
	{"write", "write boot to boot", "not read back: it is measured", ledger.Done, 9412, false, []ledger.Fact{{Name: "done", Value: "64 x erase 64 KiB, program 15565 pages (3892 KiB)"}}},
	{"measure", "measure boot", "measurement, signed by the chip and verified by the key server", ledger.Confirmed, 80, false, []ledger.Fact{
		{Name: "SHA-256 of the region, measured", Value: hex64("chip boot")}, {Name: "key server", Value: "the region holds what the recipe wants"}, {Name: "commands", Value: "measure"}}},
	{"relay", "relay settings (state-changing: erase, write), settings to settings", "readback", ledger.Done, 700, false, []ledger.Fact{{Name: "key server", Value: "settings are written"}, {Name: "commands", Value: "erase, 3 x write"}}},
	{"relay", "relay shut (state-changing: protect), boot", "answers signed by the chip and verified by the key server", ledger.Done, 30, true, []ledger.Fact{{Name: "key server", Value: "boot is protected"}}},
}

// signedRun passes, on a simulated station: a measurement, writes of which one answer was lost, and a one-way command.
func signedRun(simulated bool, mapName string) *account {
	a := newAccount()
	a.simulated = simulated
	start := sampleStart()
	start.Part.Name, start.Part.Map = "MT25QL128ABB", mapName
	a.add(0, start)
	a.steps(signedSteps, 0, 1)
	a.looked(2, 1, 7, "80")
	a.steps(signedSteps, 1, 2)
	a.relayIntent(3, 1, relayBlock(1, "erase", ledger.StateChanging, 7), relayBlock(2, "write", ledger.StateChanging, 8), relayBlock(3, "write", ledger.StateChanging, 9))
	a.relayAnswer(3, 1, 9, success(1), ledger.RelayResult{Seq: 2, Counter: ledger.Executed})
	a.relayIntent(3, 2, relayBlock(4, "write", ledger.StateChanging, 9), relayBlock(5, "write", ledger.StateChanging, 10))
	a.relayAnswer(3, 2, 11, success(4), success(5))
	a.steps(signedSteps, 2, 3)
	a.relayIntent(4, 1, relayBlock(1, "protect", ledger.StateChanging, 11))
	a.relayAnswer(4, 1, 12, success(1))
	a.steps(signedSteps, 3, 4)
	a.end(ledger.Pass, func(e *ledger.RunEnd) {
		passed(e)
		e.Proven[0].Proof, e.Proven[2].Proof = "measurement", "readback, measurement"
	})
	return a
}

func signedSamples() map[string]Input {
	out := map[string]Input{"signed": signedRun(true, ledger.InventedMap).input(), "signedreal": signedRun(false, "a-crtm-1").input()}

	a := newAccount()
	a.simulated = true
	start := sampleStart()
	start.Part.Map = ledger.InventedMap
	a.add(0, start)
	a.looked(1, 1, 7, "80")
	a.steps([]stepLine{{"measure", "measure boot", "", ledger.Failed, 80, false, []ledger.Fact{{Name: "broke off", Value: "the region holds something else"}}}, {}}, 0, 1)
	a.end(ledger.Fail, func(e *ledger.RunEnd) {
		e.Cause, e.Message, e.Next = "measurement-mismatch", "The chip measures boot, and the key server does not accept it: the region holds something else.", "Put the board into the reject bin; it needs disposition."
	})
	out["signedfail"] = a.input()

	a = newAccount()
	start.Part.Map = "a-crtm-1"
	a.add(0, start)
	a.relayIntent(1, 1, relayBlock(1, "protect", ledger.StateChanging, 3))
	a.add(time.Hour, ledger.RunStuck{Run: runID, Serial: serialOf, Cause: "relay-unknown", Message: "Nobody knows whether the chip carried out protect: its command counter was 3 before and is 9.", Next: "Close the unit as scrapped."})
	out["signedstuck"] = a.input()

	a = newAccount()
	a.simulated = true
	start.Part.Map = ledger.InventedMap
	a.add(0, start)
	for turn := range 30 {
		var blocks []ledger.RelayBlock
		var answers []ledger.RelayResult
		for i := range 64 {
			blocks = append(blocks, relayBlock(turn*64+i+1, "write", ledger.StateChanging, turn*64+i))
			answers = append(answers, success(turn*64+i+1))
		}
		a.relayIntent(1, turn+1, blocks...)
		a.relayAnswer(1, turn+1, turn*64+64, answers...)
	}
	a.end(ledger.Aborted, func(e *ledger.RunEnd) {
		e.Cause, e.Message, e.Next = "aborted", "Someone stopped the run.", "Scan the unit again to finish it."
	})
	out["signedlarge"] = a.input()
	return out
}

// What the key server did with the chip is on the page, and on each page that the commands are invented.
func TestSignedCommandsAreTold(t *testing.T) {
	t.Parallel()
	const head, notice = "A key server made and signed these commands", "its signed commands are ones that no real part has"
	for name, c := range map[string]struct {
		invented   bool
		has, lacks []string
	}{
		"signed": {true, []string{head, "Step 2: measure boot ✔ accepted", "key server: the region holds what the recipe wants", "✔ measurement", "✔ readback, measurement", "Measurement: the chip hashed the region",
			"Step 3, turn 1", "2 write, state-changing: answer lost; executed, says the chip's counter, counter before 8", "3 write, state-changing: not sent", "5 write, state-changing: status 80",
			"Command counter afterwards: 12", "Step 4, turn 1", "◆ PERMANENT: cannot be undone", "yes, and for ever", "▲ invented: no real part has these commands",
			"Secrets and one-way steps", "Signed command protect", "✔ proven by the chip's command counter", "Step 4, turn 1: what it does cannot be undone. relay shut (state-changing: protect), boot.",
			"by a signed command (protect)", "boot: by a signed command (protect), for ever; no lock bit, and so no map, shows it"}, []string{"NOT KNOWN", "perhaps, by a signed", "settings: by a signed"}},
		"signedreal":  {false, []string{head, "Command map a-crtm-1"}, []string{"nvented", "INVENTED"}},
		"signedfail":  {true, []string{"✘ not accepted", "the region holds something else", "measurement-mismatch"}, []string{"Measurement: the chip hashed"}},
		"signedstuck": {false, []string{"▲ NOT KNOWN", "▲ no answer is recorded", "yes, perhaps for ever", "only a person can decide", "Signed command protect ▲ NOT PROVEN"}, []string{"yes, and for ever", "by a signed command", "proven by the chip's command counter"}},
		"signedlarge": {true, []string{"18 turns more: 1152 x write; 1152 x status 80", "64 blocks in all: 64 x write; 64 x status 80", "Step 1, turn 30"}, []string{"Step 1, turn 20 "}},
		"pass":        {false, nil, []string{head, "INVENTED"}},
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
		pages := strings.Split(strings.TrimSuffix(tool(t, renderedSamples(t)[name], "pdftotext", "-layout", "FILE", "-"), "\f"), "\f")
		for i, p := range pages {
			if has := strings.Contains(p, notice); has != c.invented {
				t.Errorf("%s: page %d of %d says that the map is invented: %t", name, i+1, len(pages), has)
			}
		}
	}
}

// Whether the chip was changed for ever is told by its counter, not by the status of a command.
func TestOnlyTheCounterTells(t *testing.T) {
	for name, c := range map[string]struct {
		result  ledger.RelayResult
		counter string
		want    string
	}{
		"done":             {success(1), "4", "yes, and for ever"},
		"refused":          {ledger.RelayResult{Seq: 1, Status: "02"}, "3", "a command that changes it may have been sent"},
		"without counters": {success(1), "", "yes, perhaps for ever"},
		"lost":             {ledger.RelayResult{Seq: 1}, "", "yes, perhaps for ever"},
		"lost and done":    {ledger.RelayResult{Seq: 1, Counter: ledger.Executed}, "4", "yes, and for ever"},
		"lost and not":     {ledger.RelayResult{Seq: 1, Counter: ledger.NotExecuted}, "3", "a command that changes it may have been sent"},
	} {
		a := newAccount()
		a.add(0, sampleStart())
		a.relayIntent(1, 1, relayBlock(1, "protect", ledger.StateChanging, 3))
		a.add(0, ledger.RelayAnswer{Run: runID, Serial: serialOf, UID: uidOf, N: 1, Turn: 1, Answers: []ledger.RelayResult{c.result}, Counter: c.counter})
		u, err := gather(a.input())
		if err != nil {
			t.Fatal(err)
		}
		if got := (&sheet{unit: u}).touched(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
