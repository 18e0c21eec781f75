package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"station/ledger"
	"station/provision"
	"station/recipes"
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
	w := a.readLines(ctx)
	var under sync.Map // serial -> slot of the units under way
	var results []outcome
	running := 0
	take := func(o outcome) {
		results = append(results, o)
		running--
		free <- o.Slot
	}
	refuse := func(p pair, cause, message, next string) {
		results = append(results, outcome{Result: provision.Result{Slot: p.slot, Serial: p.value, Index: -1, Outcome: ledger.Refused,
			Cause: cause, Message: message, Next: next}})
		free <- p.slot
	}
	for more := true; more; {
		var p pair
		select {
		case p.slot = <-free:
		case o := <-ended:
			take(o)
			continue
		case <-ctx.Done():
			more = false
			continue
		}
		var values map[string]string
		for p.value = ""; more && values == nil; {
			if p.value == "" {
				p.value, more = a.scanSerial(ctx, w, p.slot)
			}
			// The engine would refuse it too, but on a simulated line the board would be out of the other slot by then.
			if other, is := under.Load(p.value); is {
				refuse(p, "in-two-slots", fmt.Sprintf("serial %s is being provisioned in slot %s right now", p.value, other),
					"Scan the label of the board that is in slot "+p.slot+".")
				break
			}
			if more {
				values, p.value, more = a.scanValues(ctx, w, j.recipe, p)
			}
		}
		if values == nil {
			continue
		}
		if err := b.insert(j.recipe, []pair{p}, nil); err != nil {
			refuse(p, "", err.Error(), "Nothing was touched. Scan the board again.")
			continue
		}
		running++
		under.Store(p.value, p.slot)
		go func() {
			o := b.provisionOne(ctx, engine, j.order(p, values))
			under.Delete(p.value)
			ended <- o
		}()
	}
	for running > 0 {
		take(<-ended)
	}
	done()
	err := a.conclude(results)
	if w.err != nil {
		code := exitError
		var e *exitErr
		if errors.As(err, &e) {
			code = worse(code, e.code)
		}
		return exit(code, fmt.Errorf("the scanner cannot be read any more: %w", w.err))
	}
	return err
}

// ask waits for the next line. more is false at the end of input.
func (a *app) ask(ctx context.Context, w *wedge, slot, what string) (line string, more bool) {
	fmt.Fprintf(a.stderr, "slot %s is free: scan the %s\n", slot, what)
	select {
	case line, more = <-w.lines:
		return line, more
	case <-ctx.Done():
		return "", false
	}
}

// scanSerial asks for the serial of the board in a slot.
func (a *app) scanSerial(ctx context.Context, w *wedge, slot string) (serial string, more bool) {
	for {
		serial, more := a.ask(ctx, w, slot, "serial")
		if !more {
			return "", false
		}
		err := readable("serial", serial, longestName)
		if err == nil {
			return serial, true
		}
		fmt.Fprintln(a.stderr, err)
	}
}

// scanValues asks for what the unit p brings besides its serial, until each value is one. values is nil where they are not complete:
// at the end of input, or because the serial of another unit was scanned, which is next.
func (a *app) scanValues(ctx context.Context, w *wedge, recipe *recipes.Recipe, p pair) (values map[string]string, serial string, more bool) {
	values = map[string]string{}
	for _, v := range recipe.Values() {
		if v.Hex != "" || !recipe.MatchSerial(p.value) {
			continue // fixed by the recipe, or refused by the engine whatever else is scanned
		}
		for {
			line, more := a.ask(ctx, w, p.slot, fmt.Sprintf("%s of %s", v.Name, p.value))
			values[v.Name] = line
			wrong := valueError(recipe, p.value, values, v.Name)
			if more && wrong == nil {
				break
			}
			if !more || recipe.MatchSerial(line) {
				fmt.Fprintf(a.stderr, "%s was not begun: its %s is missing\n", p.value, v.Name)
				return nil, line, more
			}
			fmt.Fprintln(a.stderr, wrong)
		}
	}
	return values, p.value, true
}

// valueError is what the recipe says against one of the values, nil for nothing.
func valueError(recipe *recipes.Recipe, serial string, values map[string]string, name string) error {
	_, err := recipe.Bind(serial, values)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, err := range joined.Unwrap() {
		var e *recipes.ValueError
		if errors.As(err, &e) && e.Name == name {
			return e
		}
	}
	return nil
}

// wedge is the lines of a scanner that types like a keyboard, blank ones left out.
type wedge struct {
	lines chan string // closed at the end of input
	err   error       // why it ended, nil for its end; settled before lines is closed
}

// longestLine is in bytes. No value that a scanner reads is near it.
const longestLine = 64 << 10

// readLines reads standard input, whose lines end with CR, LF or both. Reading cannot be cancelled, but nobody waits for it longer
// than ctx.
func (a *app) readLines(ctx context.Context) *wedge {
	w := &wedge{lines: make(chan string)}
	go func() {
		defer close(w.lines)
		in := bufio.NewReader(a.stdin)
		var line []byte
		for {
			c, err := in.ReadByte()
			if err == nil && c != '\r' && c != '\n' {
				if len(line) <= longestLine {
					line = append(line, c)
				}
				continue
			}
			text := strings.TrimSpace(string(line))
			switch {
			case err != nil && err != io.EOF:
				w.err = err
				return
			case len(line) > longestLine:
				fmt.Fprintf(a.stderr, "a line of more than %d bytes was dropped: nothing that is scanned is that long\n", longestLine)
			case text != "":
				select {
				case w.lines <- text:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
			line = line[:0]
		}
	}()
	return w
}
