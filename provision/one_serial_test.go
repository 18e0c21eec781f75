package provision

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"station/ledger"
	"station/recipes"
	"station/sim/nor"
	"station/spi"
)

// shop is the model of promise 5 in words of its own: who has which chip, what became of it, and what a supervisor has let be done once more.
type shop struct {
	chip    map[string]byte   // of a serial, 0 for none
	retired map[byte]bool     // chips
	state   map[string]string // of a serial: "", "pass", "fail", "broke off", "open", "closed"
	recipe  map[string]int    // of its last run that began
	leave   map[string]string // to run once more, on the "same" or a "new" chip
	leaned  map[string]bool   // the last run that began was by a leave
}

// begins says whether a run begins: "no", "done" where there is nothing to do, or "yes".
func (s *shop) begins(serial string, chip byte, recipe int) string {
	for other, c := range s.chip {
		if c == chip && other != serial {
			return "no"
		}
	}
	has := s.chip[serial]
	switch {
	case s.retired[chip]:
		return "no"
	case has == 0:
		return "yes"
	case s.state[serial] == "open":
		if has == chip && s.recipe[serial] == recipe {
			return "yes"
		}
		return "no"
	case has != chip && s.leave[serial] == "new":
		s.retired[has] = true
		return "yes"
	case has != chip || s.leave[serial] == "new":
		return "no"
	case s.leave[serial] == "same", s.state[serial] == "broke off":
		return "yes"
	case s.state[serial] == "pass" && s.recipe[serial] == recipe:
		return "done"
	}
	return "no"
}

// Random runs, reworks, withdrawals, swaps and closings: no serial ever has two chips that are not retired, no chip two serials, and what may begin begins, and nothing else.
func TestOneSerialOneChip(t *testing.T) {
	const steps = `  - write: {region: boot, image: boot}
  - lock: {regions: [boot], bits: nonvolatile}
`
	versions := []*recipes.Recipe{recipeFor(t, "MT25QL128ABB", 1, steps), recipeFor(t, "MT25QL128ABB", 2, steps)}
	began, ran := map[string]int{}, 0
	rapid.Check(t, func(rt *rapid.T) {
		l := newLine(t, Options{})
		chips := map[byte]*nor.Chip{}
		uids := map[string]byte{}
		s := shop{map[string]byte{}, map[byte]bool{}, map[string]string{}, map[string]int{}, map[string]string{}, map[string]bool{}}
		serials := rapid.SampledFrom([]string{"S1", "S2", "S3"})
		rt.Repeat(map[string]func(*rapid.T){
			"run": func(rt *rapid.T) {
				serial, n := serials.Draw(rt, "serial"), rapid.ByteRange(1, 4).Draw(rt, "chip")
				version := rapid.IntRange(0, 1).Draw(rt, "version")
				end := rapid.SampledFrom([]string{"pass", "pass", "fail", "broke off", "open"}).Draw(rt, "end")
				if own := s.chip[serial]; own != 0 && rapid.IntRange(0, 2).Draw(rt, "own") > 0 {
					n = own // which a line puts in most of the time
				}
				if chips[n] == nil {
					chips[n] = authenta(t, n)
				}
				chip := chips[n]
				chip.Power(false)
				chip.Power(true)
				l.socket.put("1", chip)
				want := s.begins(serial, n, version)
				if end == "fail" && s.state[serial] == "open" {
					end = "pass" // its start is not committed any more
				}
				dead := false
				l.books.before = func(c ledger.Change) error {
					if _, is := c.Bodies[0].(ledger.RunStep); is && end == "open" {
						dead = true
					}
					if dead {
						return errDead
					}
					return nil
				}
				l.books.after = func(c ledger.Change) error {
					if _, is := c.Bodies[0].(ledger.RunStart); is && end == "fail" {
						// Block protection of other hands, which no rework sees before it begins: it comes after the start, and once its own locks are erased.
						frames(chip, []byte{0x06}, []byte{0x01, 0x7C})
					}
					return nil
				}
				l.socket.before = func(_ string, f spi.Frame) error {
					if f.Out[0] == 0xE3 && end == "broke off" {
						return errUnplugged
					}
					return nil
				}
				ran++
				res := l.run(versions[version], "1", serial)
				l.revive()
				got := "yes"
				switch {
				case res.Already:
					got = "done"
				case res.Outcome == ledger.Refused:
					got = "no"
				}
				if got != want {
					rt.Fatalf("%s with chip %d and recipe %d: %s (%s: %s), want %s; %+v", serial, n, version, got, res.Cause, res.Message, want, s)
				}
				began[want+" "+end]++
				if got != "yes" {
					return
				}
				uids[res.UID] = n
				if s.state[serial] != "open" {
					s.leaned[serial] = s.leave[serial] != ""
					began["by leave "+s.leave[serial]]++
					delete(s.leave, serial)
				}
				s.chip[serial], s.recipe[serial] = n, version
				switch res.Outcome {
				case ledger.Pass:
					s.state[serial] = "pass"
				case ledger.Fail:
					s.state[serial] = "fail"
				default:
					s.state[serial] = "broke off"
					if end == "open" || s.leaned[serial] {
						s.state[serial] = "open"
					}
				}
			},
			"leave": func(rt *rapid.T) {
				serial, kind := serials.Draw(rt, "serial"), rapid.SampledFrom([]string{ledger.SameChip, ledger.NewChip}).Draw(rt, "kind")
				if s.chip[serial] == 0 || s.leave[serial] != "" || s.state[serial] == "open" {
					return
				}
				l.permit(serial, kind)
				s.leave[serial] = kind
			},
			"withdraw": func(rt *rapid.T) {
				serial := serials.Draw(rt, "serial")
				if s.leave[serial] == "" || rapid.IntRange(0, 4).Draw(rt, "keep") < 4 {
					return
				}
				records, _ := l.books.Permissions(serial)
				last := records[len(records)-1].Index
				if _, err := l.books.Commit(t.Context(), ledger.Change{Bodies: []ledger.Body{ledger.ReworkWithdrawn{Serial: serial, Permit: last, Reason: "r", By: "p"}}}); err != nil {
					rt.Fatal(err)
				}
				delete(s.leave, serial)
				began["withdrawn"]++
			},
			"close": func(rt *rapid.T) {
				serial := serials.Draw(rt, "serial")
				runs, _ := l.books.Runs(serial, "")
				i := slices.IndexFunc(runs, func(r ledger.Run) bool { return r.Open() })
				if (i >= 0) != (s.state[serial] == "open") {
					rt.Fatalf("%s is %s, and its open run is number %d", serial, s.state[serial], i)
				}
				if i < 0 {
					return
				}
				if _, err := l.books.Commit(t.Context(), ledger.Change{Bodies: []ledger.Body{ledger.UnitClose{Run: runs[i].ID, Serial: serial, As: ledger.Lost, Reason: "r", By: "p"}}}); err != nil {
					rt.Fatal(err)
				}
				s.state[serial] = "closed"
			},
			"": func(rt *rapid.T) {
				has, of, retired := map[string]map[string]bool{}, map[string]string{}, map[string]bool{}
				for _, r := range l.books.all() {
					if r.Start == nil {
						continue
					}
					uid := r.Start.Chip.UID
					if other, is := of[uid]; is && other != r.Serial {
						rt.Fatalf("chip %d was run as %s and as %s", uids[uid], other, r.Serial)
					}
					of[uid] = r.Serial
					retired[r.Start.Retires] = true
					if has[r.Serial] == nil {
						has[r.Serial] = map[string]bool{}
					}
					has[r.Serial][uid] = true
				}
				for serial, uids := range has {
					maps.DeleteFunc(uids, func(uid string, _ bool) bool { return retired[uid] })
					if len(uids) != 1 {
						rt.Fatalf("%s has %d chips that are not retired", serial, len(uids))
					}
				}
			},
		})
	})
	t.Log(ran, began)
	for _, what := range []string{"yes pass", "yes fail", "yes broke off", "yes open", "no pass", "done pass", "by leave same", "by leave new", "withdrawn"} {
		if began[what] == 0 && !testing.Short() { // a fifth of the sequences does not have them all
			t.Errorf("no sequence had %q", what)
		}
	}
}
