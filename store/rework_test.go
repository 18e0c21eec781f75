package store

import (
	"errors"
	"testing"
	"time"

	"station/ledger"
)

func permit(serial, chip, uid string) ledger.ReworkPermit {
	return ledger.ReworkPermit{Serial: serial, Reason: "r", By: "p", Chip: chip, UID: uid}
}

// A permission shows with its unit until a start uses it, and the rules of the ledger hold as it is written.
func TestRework(t *testing.T) {
	o := options(t, "line1", 1)
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	o.Now = func() time.Time { at = at.Add(time.Second); return at }
	d, path := create(t, o)
	wantUnit := func(serial string, rework int64) Unit {
		t.Helper()
		units, _, err := d.Units(UnitQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range units {
			if u.Serial != serial {
				continue
			}
			if got := u.Rework; got == nil && rework != 0 || got != nil && got.Index != rework {
				t.Errorf("%s has the permission %+v, want entry %d", serial, got, rework)
			}
			return u
		}
		t.Fatalf("no unit %s", serial)
		return Unit{}
	}
	refused := func(bodies ...ledger.Body) {
		t.Helper()
		if _, err := d.Append(ctx, bodies...); !errors.Is(err, ledger.ErrGrammar) {
			t.Errorf("%v: %v", bodies, err)
		}
	}
	refused(permit("A", ledger.SameChip, "uid-A")) // never run
	mustAppend(t, d, start(1, "A"), end(1, "A", ledger.Fail))
	mustAppend(t, d, start(2, "B"), end(2, "B", ledger.Pass))
	first := mustAppend(t, d, permit("A", ledger.SameChip, "uid-A"))
	if u := wantUnit("A", first); u.Outcome != ledger.Fail || u.Index != first {
		t.Errorf("%+v", u)
	}
	wantUnit("B", 0)
	refused(permit("A", ledger.NewChip, "uid-A"))
	refused(start(3, "A")) // does not quote it
	// Withdrawn it is gone, and another one may be given.
	refused(ledger.ReworkWithdrawn{Serial: "A", Permit: first + 1, Reason: "r", By: "p"})
	refused(ledger.ReworkWithdrawn{Serial: "B", Permit: first, Reason: "r", By: "p"})
	mustAppend(t, d, ledger.ReworkWithdrawn{Serial: "A", Permit: first, Reason: "r", By: "p"})
	wantUnit("A", 0)
	unpermitted := start(3, "A")
	unpermitted.Permit = first
	refused(unpermitted)
	gone := first
	first = mustAppend(t, d, permit("A", ledger.SameChip, "uid-A"))
	again := start(3, "A")
	again.Permit = first
	// What ends before its start leaves the permission; the start uses it.
	early := end(4, "A", ledger.Refused)
	mustAppend(t, d, early)
	early = end(5, "A", ledger.Fail)
	mustAppend(t, d, early)
	wantUnit("A", first)
	mustAppend(t, d, again)
	wantUnit("A", 0)
	mustAppend(t, d, ledger.LocksErased{Run: run(3), Serial: "A", UID: "uid-A"}, end(3, "A", ledger.Pass))
	second := mustAppend(t, d, permit("A", ledger.NewChip, "uid-A"))
	swapped := start(6, "A")
	swapped.Permit, swapped.Retires, swapped.Chip.UID = second, "uid-A", "uid-A2"
	mustAppend(t, d, swapped, end(6, "A", ledger.Pass))
	wantUnit("A", 0)
	back := start(7, "C")
	back.Chip.UID = "uid-A"
	refused(back)
	if runs, err := d.Runs("", "uid-A"); err != nil || len(runs) != 3 || runs[2].ID != run(6) {
		t.Errorf("runs of the retired chip: %d, %v", len(runs), err)
	}
	check := func() {
		t.Helper()
		for serial, want := range map[string]int{"A": 4, "B": 0, "": 0} {
			if got, err := d.Permissions(serial); err != nil || len(got) != want || want > 0 && (got[0].Index != gone || got[2].Index != first || got[3].Index != second) {
				t.Errorf("permissions of %q: %v, %v", serial, got, err)
			}
		}
		sound(t, d, o.VerifierKey)
	}
	check()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if d, err = Open(path, o); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	check()
}
