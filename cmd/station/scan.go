package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"station/ledger"
	"station/provision"
)

// scan provisions one unit after the other as their serials are scanned, each in the next free slot, until the input ends. The
// values that a recipe asks for are scanned after the serial.
func (a *app) scan(ctx context.Context, b *bench, j job) error {
	watch, done := a.watch(ctx)
	engine := b.engine(ctx, watch)
	free := make(chan string, len(b.config.Slots))
	for _, s := range b.config.Slots {
		free <- s.Name
	}
	ended := make(chan outcome)
	lines := readLines(ctx, a.stdin)
	var results []outcome
	running := 0
	take := func(o outcome) {
		results = append(results, o)
		running--
		free <- o.Slot
	}
	for more := true; more; {
		var slot string
		select {
		case slot = <-free:
		case o := <-ended:
			take(o)
			continue
		case <-ctx.Done():
			more = false
			continue
		}
		var order provision.Order
		if order, more = a.scanUnit(ctx, b, j, slot, lines); !more {
			break
		}
		if err := b.insert(j.recipe, []pair{{slot, order.Serial}}, nil); err != nil {
			results = append(results, outcome{Result: provision.Result{Slot: slot, Serial: order.Serial, Index: -1, Outcome: ledger.Refused,
				Message: err.Error(), Next: "Nothing was touched. Scan the board again."}})
			free <- slot
			continue
		}
		running++
		go func() { ended <- b.provisionOne(ctx, engine, order) }()
	}
	for running > 0 {
		take(<-ended)
	}
	done()
	return a.conclude(results)
}

// scanUnit asks for the serial of the board in a slot, and for its values. more is false at the end of input.
func (a *app) scanUnit(ctx context.Context, b *bench, j job, slot string, lines <-chan string) (o provision.Order, more bool) {
	ask := func(what string) (string, bool) {
		for {
			fmt.Fprintf(a.stderr, "slot %s is free: scan the %s\n", slot, what)
			select {
			case line, ok := <-lines:
				if line = strings.TrimSpace(line); line != "" || !ok {
					return line, ok
				}
			case <-ctx.Done():
				return "", false
			}
		}
	}
	serial, more := ask("serial")
	for more {
		err := readable("serial", serial, longestName)
		if err == nil {
			break
		}
		fmt.Fprintln(a.stderr, err)
		serial, more = ask("serial")
	}
	if !more {
		return o, false
	}
	values := map[string]string{}
	for _, v := range j.recipe.Values() {
		if v.Hex != "" || !j.recipe.MatchSerial(serial) {
			continue
		}
		if values[v.Name], more = ask(fmt.Sprintf("%s of %s", v.Name, serial)); !more {
			fmt.Fprintf(a.stderr, "%s was not begun: its %s is missing\n", serial, v.Name)
			return o, false
		}
	}
	return j.order(pair{slot, serial}, values), true
}

// readLines gives the lines of r. Reading cannot be cancelled, but nobody waits for it longer than ctx.
func readLines(ctx context.Context, r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(io.Reader(r)); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}
