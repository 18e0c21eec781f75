package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// floorBodies are an entry of each kind of the floor, every field set, in an order in which they may stand, behind the station.init.
func floorBodies() []Body {
	const job, run, serial = "00000000000000a1", "0123456789abcdef", "GW-000001"
	recipe := Recipe{ID: "gateway-boot", Version: 3, Title: "Gateway boot flash", Digest: "sha256:" + zeros, Released: true}
	return []Body{
		StationInit{Software: "station 1.0", CheckpointKey: testVerifier},
		UserChanged{User: "op-7f", What: UserAdded, Role: "operator", By: "setup"},
		UserSession{User: "op-7f", In: true, How: "badge"},
		ShiftBegin{By: "op-7f", Authenticated: true, Checks: []Check{{Name: "slot 1", OK: true, Text: "FT2232H channel A at 1-2"}}},
		JobBegin{Job: job, By: "op-7f", Authenticated: true, File: "gateway-boot.yaml", Recipe: recipe, Quantity: 8, Trial: true},
		FailAcknowledged{Run: run, Serial: serial, Slot: "1", By: "op-7f", Authenticated: true, How: "card"},
		AccessRefused{User: "op-7f", Role: "operator", Action: "release"},
		JobEnd{Job: job, By: "op-7f", Authenticated: true, Passed: 6, Failed: 2, Open: []string{serial}},
		ShiftEnd{By: "op-7f", Authenticated: true, Open: []string{serial}, Held: []string{"GW-000002"}},
	}
}

// TestFloorVectors holds the bytes of the entries to testdata/floor; they come back as what they were, belong to no run, and a ledger of them verifies.
func TestFloorVectors(t *testing.T) {
	bodies := floorBodies()
	b := newBook(t, bodies, 3, int64(len(bodies)))
	for i, leaf := range b.leaves[1:] {
		body := bodies[i+1]
		path := filepath.Join("testdata/floor", fmt.Sprintf("%s.json", body.Kind()))
		if *update {
			if err := os.WriteFile(path, leaf, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if was, err := os.ReadFile(path); err != nil || !bytes.Equal(leaf, was) {
			t.Errorf("%s is now\n%s\nand was\n%s (%v)", body.Kind(), leaf, was, err)
		}
		e, err := Decode(leaf)
		if err != nil || !reflect.DeepEqual(e.Body, body) {
			t.Errorf("%+v, %v", e.Body, err)
		}
		if run, serial, slot := RunOf(e.Body); run+serial+slot != "" || Permanent(e.Body) {
			t.Errorf("%s belongs to run %q, serial %q, slot %q", e.Body.Kind(), run, serial, slot)
		}
	}
	if r := verify(t, b); len(r.Findings) != 0 || r.Signed != int64(len(bodies)) {
		t.Errorf("%+v", r)
	}
}

// What Check refuses is found in a ledger too: each field that has to be there, left out, and words that are none.
func TestFloorGrammar(t *testing.T) {
	may := []string{"Authenticated", "Checks", "Open", "Held", "Quantity", "Trial", "Passed", "Failed", "In", "Role"}
	first := floorBodies()[0]
	refused := 0
	refuse := func(b FloorEntry, what string) {
		t.Helper()
		refused++
		if err := b.Check(); !errors.Is(err, ErrGrammar) {
			t.Errorf("%s %s: %v", b.Kind(), what, err)
		}
		r := verify(t, newBook(t, []Body{first, b}, 2))
		if len(r.Findings) != 1 || r.Findings[0].From != 1 {
			t.Errorf("%s %s: %+v", b.Kind(), what, r.Findings)
		}
	}
	for _, body := range floorBodies()[1:] {
		v := reflect.ValueOf(body)
		for i := range v.NumField() {
			changed := reflect.New(v.Type()).Elem()
			changed.Set(v)
			changed.Field(i).SetZero()
			name := v.Type().Field(i).Name
			b := changed.Interface().(FloorEntry)
			if !slices.Contains(may, name) || name == "Role" && body.Kind() == KindUserChanged {
				refuse(b, "without "+name)
			} else if err := b.Check(); err != nil {
				t.Errorf("%s without %s: %v", body.Kind(), name, err)
			}
		}
	}
	good := floorBodies()
	begin, end, ack := good[4].(JobBegin), good[7].(JobEnd), good[5].(FailAcknowledged)
	begin.Quantity = -1
	refuse(begin, "of less than none")
	end.Passed = -1
	refuse(end, "of less than none")
	ack.How = "shouted"
	refuse(ack, "in no way")
	refuse(UserChanged{User: "op-7f", What: UserRemoved, Role: "operator", By: "op-1"}, "with a role that is gone")
	refuse(UserChanged{User: "op-7f", What: "renamed", Role: "operator", By: "op-1"}, "of no sort")
	if refused != 26 {
		t.Errorf("%d were refused", refused)
	}
}

// TestFloorOrder: one job at a time, which its own end closes; a shift ends once, or by the next one; both at once, in any order. Verify finds the first that is out of place.
func TestFloorOrder(t *testing.T) {
	good := floorBodies()
	first, shift, shiftEnd := good[0], good[3], good[8]
	job := func(n int) Body { b := good[4].(JobBegin); b.Job = fmt.Sprintf("%016x", n); return b }
	end := func(n int) Body { b := good[7].(JobEnd); b.Job = fmt.Sprintf("%016x", n); return b }
	for name, c := range map[string]struct {
		bodies []Body
		bad    int   // index of the one that is out of place, 0 for none
		left   Floor // after those before it
	}{
		"a job through two shifts":   {[]Body{shift, job(1), shiftEnd, shift, end(1), job(2)}, 0, Floor{fmt.Sprintf("%016x", 2), 6, 4}},
		"a shift that the next ends": {[]Body{shift, shift, shiftEnd}, 0, Floor{}},
		"which ends once":            {[]Body{shift, shift, shiftEnd, shiftEnd}, 4, Floor{}},
		"a shift that did not begin": {[]Body{job(1), shiftEnd}, 2, Floor{fmt.Sprintf("%016x", 1), 1, 0}},
		"a job in another":           {[]Body{job(1), job(2)}, 2, Floor{fmt.Sprintf("%016x", 1), 1, 0}},
		"a job in itself":            {[]Body{job(1), job(1)}, 2, Floor{fmt.Sprintf("%016x", 1), 1, 0}},
		"another job's end":          {[]Body{job(1), end(2)}, 2, Floor{fmt.Sprintf("%016x", 1), 1, 0}},
		"an end of nothing":          {[]Body{shift, end(1)}, 2, Floor{"", 0, 1}},
		"an end twice":               {[]Body{job(1), end(1), end(1)}, 3, Floor{}},
		"what says nothing of it":    {[]Body{job(1), good[1], good[2], good[5], good[6], end(1)}, 0, Floor{}},
	} {
		t.Run(name, func(t *testing.T) {
			var f Floor
			for i, b := range c.bodies {
				next, err := f.After(int64(i+1), b.(FloorEntry))
				if (err != nil) != (i+1 == c.bad) || err != nil && (!errors.Is(err, ErrGrammar) || next != f) {
					t.Fatalf("%d: %+v, %v", i+1, next, err)
				}
				f = next
			}
			if f != c.left {
				t.Errorf("%+v, want %+v", f, c.left)
			}
			r := verify(t, newBook(t, append([]Body{first}, c.bodies...)))
			if c.bad == 0 && len(r.Findings) != 0 || c.bad != 0 && (len(r.Findings) != 1 || r.Findings[0].From != int64(c.bad)) {
				t.Errorf("%+v", r.Findings)
			}
		})
	}
}
