package ledger

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProgress(t *testing.T) {
	const id = "00000000000000aa"
	start := RunStart{Run: id, Serial: "S", Chip: Chip{UID: "u1"}}
	resume := RunResume{Run: id, Serial: "S", Chip: Chip{UID: "u1"}}
	step := func(n, of int) RunStep { return RunStep{Run: id, Serial: "S", N: n, Of: of, Result: Done} }
	end := RunEnd{Run: id, Serial: "S", Outcome: Pass, Touched: true}
	refused := RunEnd{Run: id, Serial: "S", Outcome: Refused}
	for name, c := range map[string]struct {
		bodies []Body
		bad    int // index of the body that may not stand there, -1 when all may
	}{
		"whole run":                 {[]Body{start, step(1, 2), step(2, 2), end}, -1},
		"resumed run repeats steps": {[]Body{start, step(1, 2), resume, step(1, 2), step(2, 2), end}, -1},
		"refused":                   {[]Body{refused}, -1},
		"refused twice":             {[]Body{refused, refused}, 1},
		"started twice":             {[]Body{start, start}, 1},
		"step without start":        {[]Body{step(1, 1)}, 0},
		"resume without start":      {[]Body{resume}, 0},
		"pass without start":        {[]Body{RunEnd{Run: id, Outcome: Pass}}, 0},
		"touched without start":     {[]Body{RunEnd{Run: id, Outcome: Fail, Touched: true}}, 0},
		"start after end":           {[]Body{refused, start}, 1},
		"step after end":            {[]Body{start, end, step(1, 1)}, 2},
		"resume after end":          {[]Body{start, end, resume}, 2},
		"two ends":                  {[]Body{start, end, end}, 2},
		"step 0":                    {[]Body{start, step(0, 1)}, 1},
		"step beyond":               {[]Body{start, step(2, 1)}, 1},
		"steps change":              {[]Body{start, step(1, 2), step(2, 3)}, 2},
		"unknown result":            {[]Body{start, RunStep{Run: id, Serial: "S", N: 1, Of: 1, Result: "ok"}}, 1},
		"unknown outcome":           {[]Body{start, RunEnd{Run: id, Serial: "S", Outcome: "GOOD"}}, 1},
		"other serial":              {[]Body{start, RunStep{Run: id, Serial: "T", N: 1, Of: 1, Result: Done}}, 1},
		"other chip":                {[]Body{start, RunResume{Run: id, Serial: "S", Chip: Chip{UID: "u2"}}}, 1},
		"short id":                  {[]Body{RunStart{Run: "aa"}}, 0},
		"upper-case id":             {[]Body{RunStart{Run: "00000000000000AA"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := walkRun(t, c.bodies, c.bad)
			if c.bad >= 0 {
				return
			}
			_, isEnd := c.bodies[len(c.bodies)-1].(RunEnd)
			if p.Open() == isEnd {
				t.Errorf("open is %t", p.Open())
			}
		})
	}
}

// walkRun wants the body at index bad refused, -1 for none, and returns the progress up to it.
func walkRun(t *testing.T, bodies []Body, bad int) (p Progress) {
	t.Helper()
	for i, b := range bodies {
		before := p
		before.RootKeys = maps.Clone(p.RootKeys)
		next, err := p.After(b)
		if (err != nil) != (i == bad) {
			t.Fatalf("body %d (%s): %v", i, b.Kind(), err)
		}
		if !cmp.Equal(p, before) {
			t.Fatalf("body %d (%s) changed what it was judged by: %+v from %+v", i, b.Kind(), p, before)
		}
		if err != nil {
			if !errors.Is(err, ErrGrammar) || !cmp.Equal(next, p) {
				t.Fatalf("error %v, progress %+v from %+v", err, next, p)
			}
			return p
		}
		p = next
	}
	return p
}

// TRIAL says that nothing permanent was begun.
func TestNoTrialAfterAnIntent(t *testing.T) {
	const id, uid = "00000000000000aa", "u1"
	start := RunStart{Run: id, Serial: "S", Chip: Chip{UID: uid}}
	trial := RunEnd{Run: id, Serial: "S", Outcome: Trial, Touched: true}
	intent := RootKeyIntent{Run: id, Serial: "S", UID: uid, Index: 0, Key: "random", Escrow: sealedAs("00000000000000e1"), Reply: zeros}
	proven := RootKeyProven{Run: id, Serial: "S", UID: uid, Escrow: intent.Escrow.ID}
	void := RootKeyVoid{Run: id, Serial: "S", Escrow: intent.Escrow.ID}
	mode := ModeIntent{Run: id, Serial: "S", UID: uid, Mode: PersistentMode}
	modeProven := ModeProven{Run: id, Serial: "S", UID: uid, Mode: PersistentMode}
	walkRun(t, []Body{start, trial}, -1)
	walkRun(t, []Body{start, intent, void, trial}, -1)
	walkRun(t, []Body{start, intent, proven, trial}, 3)
	walkRun(t, []Body{start, mode, modeProven, trial}, 3)
}

// TestRunStop holds the bytes of run.stop to testdata/stop; it stands in a run that goes on or ends, and names somebody.
func TestRunStop(t *testing.T) {
	stop := RunStop{Run: secretRun, Serial: "S", By: "op-7f", Authenticated: true}
	leaf := newBook(t, []Body{stop}).leaves[0]
	const path = "testdata/stop/entry.json"
	if *update {
		if err := os.WriteFile(path, leaf, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if was, err := os.ReadFile(path); err != nil || !bytes.Equal(leaf, was) {
		t.Errorf("the entry is now\n%s\nand was\n%s (%v)", leaf, was, err)
	}
	if e, err := Decode(leaf); err != nil || !reflect.DeepEqual(e.Body, stop) {
		t.Errorf("%+v, %v", e.Body, err)
	}
	if run, serial, slot := RunOf(stop); run != secretRun || serial != "S" || slot != "" || Permanent(stop) {
		t.Errorf("it belongs to run %q, serial %q, slot %q", run, serial, slot)
	}
	start := RunStart{Run: secretRun, Serial: "S", Chip: Chip{UID: "u"}}
	resume := RunResume{Run: secretRun, Serial: "S", Chip: Chip{UID: "u"}}
	aborted := RunEnd{Run: secretRun, Serial: "S", Outcome: Aborted, Touched: true}
	walkRun(t, []Body{start, stop, aborted}, -1)
	walkRun(t, []Body{start, stop, resume, stop, resume, aborted}, -1) // it stayed open
	walkRun(t, []Body{stop}, 0)
	walkRun(t, []Body{start, aborted, stop}, 2)
	walkRun(t, []Body{start, RunStuck{Run: secretRun, Serial: "S"}, stop}, 2)
	walkRun(t, []Body{start, RunStop{Run: secretRun, Serial: "S"}}, 1)
	walkRun(t, []Body{start, RunStop{Run: secretRun, Serial: "T", By: "op-7f"}}, 1)
}
