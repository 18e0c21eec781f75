package ledger

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const relayRun = "00112233445566dd"

func blockOf(seq int, command, class, counter string) RelayBlock {
	return RelayBlock{Seq: seq, Command: command, Class: class, SHA256: strings.Repeat(fmt.Sprintf("%02x", seq), 32), Counter: counter}
}

// relayBodies are a run that relays, and which passes: a measurement, a turn whose last answer was lost, and a one-way command that took effect.
func relayBodies() []Body {
	const run, serial, uid = relayRun, "GW-000003", "3102030405060708090a0b0c0d0e"
	start := vectorBodies()[1].(RunStart)
	start.Run, start.Serial, start.Chip.UID, start.Part.Map = run, serial, uid, InventedMap
	protect := blockOf(4, "protect", StateChanging, "18446744073709551615")
	protect.OneWay = true
	return []Body{
		start,
		RelayAnswer{run, serial, uid, 1, 1, []RelayBlock{blockOf(1, "measure", ReadOnly, "7")}, []RelayResult{{Seq: 1, Status: "80", SHA256: zeros}}, "3", "7"},
		RelayIntent{run, serial, uid, 2, 1, []RelayBlock{blockOf(1, "erase", StateChanging, "7"), blockOf(2, "write", StateChanging, "8"), blockOf(3, "measure", ReadOnly, "")}},
		RelayAnswer{run, serial, uid, 2, 1, nil, []RelayResult{{Seq: 1, Status: "80", SHA256: zeros}, {Seq: 2, Counter: NotExecuted}}, "4", "8"},
		RelayIntent{run, serial, uid, 3, 2, []RelayBlock{protect}},
		RelayAnswer{run, serial, uid, 3, 2, nil, []RelayResult{{Seq: 4, Counter: Executed}}, "", ""},
		RunEnd{Run: run, Serial: serial, Slot: "1", Operator: "op-7f", Software: "station 1.0", Recipe: start.Recipe, Chip: &start.Chip, Outcome: Pass, Touched: true, Duration: 9,
			Proven: []RegionProof{{Region: "boot", SHA256: zeros, Proof: "measurement", Lock: "none"}}, After: &Locks{SPR: "FFFF"}, Freeze: "none"},
	}
}

// TestRelayVectors holds the bytes of these entries to testdata/relay, and has them read back, belong to their run, and verify behind all others.
func TestRelayVectors(t *testing.T) {
	for i, leaf := range newBook(t, relayBodies()).leaves {
		path := filepath.Join("testdata/relay", fmt.Sprintf("entry-%d.json", i))
		if *update {
			if err := os.WriteFile(path, leaf, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if was, err := os.ReadFile(path); err != nil || !bytes.Equal(leaf, was) {
			t.Errorf("entry %d is now\n%s\nand was\n%s (%v)", i, leaf, was, err)
		}
		e, err := Decode(leaf)
		if err != nil || !reflect.DeepEqual(e.Body, relayBodies()[i]) {
			t.Errorf("entry %d: %+v, %v", i, e.Body, err)
		}
		if run, serial, _ := RunOf(e.Body); run != relayRun || serial != "GW-000003" {
			t.Errorf("entry %d belongs to run %q of %q", i, run, serial)
		}
		if got, want := Permanent(e.Body), i == 4; got != want {
			t.Errorf("entry %d is permanent: %t", i, got)
		}
	}
	all := append(allBodies(), relayBodies()...)
	if r := verify(t, newBook(t, all, int64(len(all)))); len(r.Findings) != 0 || r.Entries != int64(len(all)) {
		t.Errorf("%+v", r)
	}
}

func TestRelayGrammar(t *testing.T) {
	const run, serial, uid = relayRun, "S", "u1"
	start := RunStart{Run: run, Serial: serial, Chip: Chip{UID: uid}}
	resume := RunResume{Run: run, Serial: serial, Chip: Chip{UID: uid}}
	end := func(o Outcome) RunEnd { return RunEnd{Run: run, Serial: serial, Outcome: o, Touched: true} }
	step := func(r Result) RunStep { return RunStep{Run: run, Serial: serial, N: 1, Of: 2, Result: r} }
	write := func(seq int) RelayBlock { return blockOf(seq, "write", StateChanging, "7") }
	look := func(seq int) RelayBlock { return blockOf(seq, "counters", ReadOnly, "") }
	protect := func(seq int) RelayBlock {
		b := blockOf(seq, "protect", StateChanging, "7")
		b.OneWay = true
		return b
	}
	changed := func(b RelayBlock, change func(*RelayBlock)) RelayBlock { change(&b); return b }
	intent := func(n, turn int, blocks ...RelayBlock) RelayIntent {
		return RelayIntent{run, serial, uid, n, turn, blocks}
	}
	answered := func(n, turn, first, many int) RelayAnswer {
		b := RelayAnswer{Run: run, Serial: serial, UID: uid, N: n, Turn: turn, Answers: []RelayResult{}}
		for i := range many {
			b.Answers = append(b.Answers, RelayResult{Seq: first + i, Status: "80"})
		}
		return b
	}
	read := func(n, turn int, blocks ...RelayBlock) RelayAnswer {
		b := answered(n, turn, blocks[0].Seq, len(blocks))
		b.Blocks = blocks
		return b
	}
	result := func(r RelayResult) RelayAnswer {
		b := answered(1, 1, 1, 0)
		b.Answers = []RelayResult{r}
		return b
	}
	elsewhere := intent(1, 1, write(1))
	elsewhere.UID = "u2"
	counters := answered(1, 1, 1, 1)
	counters.Counter = "07"
	many := func(n int) (blocks []RelayBlock) {
		for i := range n {
			blocks = append(blocks, write(i+1))
		}
		return blocks
	}
	for name, c := range map[string]struct {
		bodies []Body
		bad    int // index of the body that may not stand there, -1 when all may
		left   string
	}{
		"whole":                        {[]Body{start, read(1, 1, look(1)), intent(1, 2, write(2), look(3)), answered(1, 2, 2, 2), step(Done), intent(2, 1, protect(1)), answered(2, 1, 1, 1), end(Pass)}, -1, ""},
		"stopped early":                {[]Body{start, intent(1, 1, many(64)...), answered(1, 1, 1, 0), end(Aborted)}, -1, ""},
		"goes on":                      {[]Body{start, intent(1, 1, write(1)), resume, answered(1, 1, 1, 1), intent(1, 2, write(1)), answered(1, 2, 1, 1), step(Done), end(Pass)}, -1, ""},
		"stuck":                        {[]Body{start, intent(1, 1, write(1)), step(Failed), RunStuck{run, serial, "relay-unknown", "m", "n"}}, -1, "a relayed command"},
		"failed":                       {[]Body{start, intent(1, 1, write(1)), step(Failed), end(Fail)}, -1, "a relayed command"},
		"lost":                         {[]Body{start, intent(1, 1, write(1)), result(RelayResult{Seq: 1})}, -1, ""},
		"two intents":                  {[]Body{start, intent(1, 1, write(1)), intent(1, 2, write(2))}, 2, "a relayed command"},
		"ended unanswered":             {[]Body{start, intent(1, 1, write(1)), end(Error)}, 2, "a relayed command"},
		"done unanswered":              {[]Body{start, intent(1, 1, write(1)), step(Done)}, 2, "a relayed command"},
		"read unanswered":              {[]Body{start, intent(1, 1, write(1)), read(1, 2, look(2))}, 2, "a relayed command"},
		"blocks twice":                 {[]Body{start, intent(1, 1, write(1)), read(1, 1, look(1))}, 2, "a relayed command"},
		"another turn":                 {[]Body{start, intent(1, 1, write(1)), answered(1, 2, 1, 1)}, 2, "a relayed command"},
		"another step":                 {[]Body{start, intent(1, 1, write(1)), answered(2, 1, 1, 1)}, 2, "a relayed command"},
		"another block":                {[]Body{start, intent(1, 1, write(1)), answered(1, 1, 2, 1)}, 2, "a relayed command"},
		"too many answers":             {[]Body{start, intent(1, 1, write(1)), answered(1, 1, 1, 2)}, 2, "a relayed command"},
		"answered twice":               {[]Body{start, intent(1, 1, write(1)), answered(1, 1, 1, 1), answered(1, 1, 1, 1)}, 3, ""},
		"turn twice":                   {[]Body{start, read(1, 1, look(1)), read(1, 1, look(1))}, 2, ""},
		"turn 0":                       {[]Body{start, intent(1, 0, write(1))}, 1, ""},
		"step 0":                       {[]Body{start, intent(0, 1, write(1))}, 1, ""},
		"another chip":                 {[]Body{start, elsewhere}, 1, ""},
		"no block":                     {[]Body{start, intent(1, 1)}, 1, ""},
		"65 blocks":                    {[]Body{start, intent(1, 1, many(65)...)}, 1, ""},
		"block 0":                      {[]Body{start, intent(1, 1, write(0))}, 1, ""},
		"a gap":                        {[]Body{start, intent(1, 1, write(1), write(3))}, 1, ""},
		"changes nothing":              {[]Body{start, intent(1, 1, look(1))}, 1, ""},
		"changes without an intent":    {[]Body{start, read(1, 1, look(1), write(2))}, 1, ""},
		"one way beside others":        {[]Body{start, intent(1, 1, write(1), protect(2))}, 1, ""},
		"one way and read-only":        {[]Body{start, intent(1, 1, write(1), changed(look(2), func(b *RelayBlock) { b.OneWay = true }))}, 1, ""},
		"no class":                     {[]Body{start, intent(1, 1, write(1), changed(look(2), func(b *RelayBlock) { b.Class = "" }))}, 1, ""},
		"no name":                      {[]Body{start, intent(1, 1, changed(write(1), func(b *RelayBlock) { b.Command = "" }))}, 1, ""},
		"no digest":                    {[]Body{start, intent(1, 1, changed(write(1), func(b *RelayBlock) { b.SHA256 = "00" }))}, 1, ""},
		"counter in words":             {[]Body{start, intent(1, 1, changed(write(1), func(b *RelayBlock) { b.Counter = "seven" }))}, 1, ""},
		"counter beyond 64 bits":       {[]Body{start, intent(1, 1, changed(write(1), func(b *RelayBlock) { b.Counter = "18446744073709551616" }))}, 1, ""},
		"counter afterwards":           {[]Body{start, intent(1, 1, write(1)), counters}, 2, "a relayed command"},
		"status in words":              {[]Body{start, intent(1, 1, write(1)), result(RelayResult{Seq: 1, Status: "ok"})}, 2, "a relayed command"},
		"reply of a lost answer":       {[]Body{start, intent(1, 1, write(1)), result(RelayResult{Seq: 1, SHA256: zeros})}, 2, "a relayed command"},
		"status and by counter":        {[]Body{start, intent(1, 1, write(1)), result(RelayResult{Seq: 1, Status: "80", Counter: Executed})}, 2, "a relayed command"},
		"perhaps executed":             {[]Body{start, intent(1, 1, write(1)), result(RelayResult{Seq: 1, Counter: "perhaps"})}, 2, "a relayed command"},
		"reply without a whole digest": {[]Body{start, intent(1, 1, write(1)), result(RelayResult{Seq: 1, Status: "80", SHA256: "00"})}, 2, "a relayed command"},
		"trial after a one-way":        {[]Body{start, intent(1, 1, protect(1)), answered(1, 1, 1, 1), end(Trial)}, 3, ""},
		"trial after a write":          {[]Body{start, intent(1, 1, write(1)), answered(1, 1, 1, 1), end(Trial)}, -1, ""},
		"without a start":              {[]Body{intent(1, 1, write(1))}, 0, ""},
		"after the end":                {[]Body{start, end(Error), intent(1, 1, write(1))}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if p := walkRun(t, slices.Clone(c.bodies), c.bad); p.Unsettled() != c.left {
				t.Errorf("left is %q, want %q", p.Unsettled(), c.left)
			}
		})
	}
}
