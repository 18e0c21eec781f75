package provision

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestEveryOrder is everything that can happen in small worlds: each state that any order of events leads to, once. The witness (hear, begin) has the
// rules; and from every state the operator's doing leads back to where both slots take a board. Three worlds, because one of all events has millions of states.
func TestEveryOrder(t *testing.T) {
	t.Parallel()
	plain := recipe(t, 1, full)
	for _, c := range []struct {
		name         string
		fails, holds bool
		boards       []int
		least        int // states
	}{
		{"three boards", false, false, []int{0, 1, openBoard}, 10_000},
		{"one board that fails", true, false, []int{openBoard}, 1000},
		{"one board, and FAILs wait", false, true, []int{openBoard}, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && len(c.boards) > 1 {
				t.Skip("NOT RUN: two million steps")
			}
			t.Parallel()
			dead, states, steps := everyState(newWorld(plain, c.holds), worldEvents(c.fails, c.holds, c.boards...), math.MaxInt)
			if dead != "" {
				t.Errorf("a dead end after: %s", dead)
			}
			if t.Logf("%d states, %d steps between them", states, steps); states < c.least {
				t.Errorf("%d states, want at least %d", states, c.least)
			}
		})
	}
}

// everyState goes through the states breadth first, so that the way to what goes wrong is the shortest. dead is the way to a state that nothing leads back from, "" for none; it says nothing where there are
// more than most states.
func everyState(first *world, events []event, most int) (dead string, states, steps int) {
	type node struct {
		w          *world // nil once its events were tried
		from, with int
	}
	nodes := []node{{w: first, from: -1}}
	at := map[string]int{first.key(): 0}
	back := map[int][]int{} // by events that heal
	var todo []int          // those that take a board in both slots, and then all that lead to one that does
	way := func(i int) string {
		var names []string
		for ; nodes[i].from >= 0; i = nodes[i].from {
			names = append(names, events[nodes[i].with].name)
		}
		slices.Reverse(names)
		return strings.Join(names, "; ")
	}
	for i := 0; i < len(nodes) && i < most; i++ {
		if nodes[i].w.fresh() {
			todo = append(todo, i)
		}
		for e, ev := range events {
			w := nodes[i].w.clone()
			if !w.step(ev, func() string { return way(i) }) {
				continue
			}
			steps++
			j, seen := at[w.key()]
			if !seen {
				j = len(nodes)
				at[w.key()] = j
				nodes = append(nodes, node{w, i, e})
			}
			if ev.heal {
				back[j] = append(back[j], i)
			}
		}
		nodes[i].w = nil
	}
	leads := make([]bool, len(nodes))
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !leads[i] {
			leads[i] = true
			todo = append(todo, back[i]...)
		}
	}
	if i := slices.Index(leads, false); i >= 0 {
		dead = way(i)
	}
	return dead, len(nodes), steps
}

// TestAnyOrder is the same witness over long random walks through the whole world, where each code is scanned twice.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	const seeds, steps = 100, 3300
	plain := recipe(t, 1, full)
	events := map[bool][]event{} // by whether FAILs wait
	for _, holds := range []bool{true, false} {
		for _, ev := range worldEvents(true, holds, 0, 1, openBoard) {
			events[holds] = append(events[holds], ev)
			if !strings.HasPrefix(ev.name, "scan ") && ev.name != "three minutes pass" && !strings.HasSuffix(ev.name, "unseen") { // boards are moved more often than cards are scanned
				events[holds] = append(events[holds], ev, ev, ev)
			}
		}
	}
	begun := 0
	for seed := range uint64(seeds) {
		dice := rand.New(rand.NewPCG(seed, 0))
		holds := seed%2 == 1
		w := newWorld(plain, holds)
		w.twice = true
		var names []string
		for len(names) < steps {
			ev := events[holds][dice.IntN(len(events[holds]))]
			if w.step(ev, func() string {
				return fmt.Sprintf("seed %d: %s", seed, strings.Join(names[max(0, len(names)-30):], "; "))
			}) {
				names = append(names, ev.name)
			}
		}
		begun += w.begun
	}
	t.Logf("%d walks of %d steps, %d runs", seeds, steps, begun)
	if begun < 4000 {
		t.Errorf("only %d runs", begun)
	}
}

// TestWitness: a line that lets go of any one rule is found out, in a way that is short.
func TestWitness(t *testing.T) {
	t.Parallel()
	plain := recipe(t, 1, full)
	each := func(do func(s *lineSlot)) func(l *Line) {
		return func(l *Line) {
			for _, s := range l.slots {
				do(s)
			}
		}
	}
	for want, spoil := range map[string]func(l *Line){
		"was armed with something in it": each(func(s *lineSlot) {
			if s.state == Occupied {
				s.state = Free
			}
		}),
		"in a stopped slot": each(func(s *lineSlot) { s.stopped = false }),
		"runs in two slots": each(func(s *lineSlot) {
			if s.state == Running {
				s.uid = ""
			}
		}),
		"which a scan armed for": each(func(s *lineSlot) {
			if s.state == Free {
				s.state, s.serial = Armed, "S1"
			}
		}),
		"was begun twice": each(func(s *lineSlot) {
			if s.state == Running {
				s.serial = ""
			}
		}),
		"two slots were armed": each(func(s *lineSlot) {
			if s.state == Armed {
				s.state = Free
			}
		}),
		"was resumed where its chip was not seen": each(func(s *lineSlot) { s.uid = uidOf(openBoard) }),
		"was armed, and its FAIL waits":           func(l *Line) { l.held = nil },
		"was begun in a slot whose FAIL waits": func(l *Line) {
			if slices.ContainsFunc(l.slots, func(s *lineSlot) bool { return s.state == Occupied && s.uid == uidOf(openBoard) }) {
				l.held = nil
			}
		},
		"the boards came out in the order": func(l *Line) { slices.Reverse(l.held) },
		"and none waited":                  func(l *Line) { l.HoldFails(Held{Slot: "1"}) },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			w := newWorld(plain, true)
			w.spoil = spoil
			defer func() {
				if r := fmt.Sprint(recover()); !strings.Contains(r, want) {
					t.Errorf("found %q, want %q", r, want)
				} else {
					t.Log(r)
				}
			}()
			everyState(w, worldEvents(true, !strings.HasSuffix(want, "FAIL waits"), 0, openBoard), 20_000) // where nobody acknowledges it, the slot has to stay as it is
		})
	}
}
