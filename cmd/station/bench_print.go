package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// splitJSON is a time and where it goes. Wire: clocks. Flash: the chip works, and chip select is high or the host waits for it. USB: else in the
// programmer's driver, until its answers were there. Host: the rest. Nobody predicts the latter two.
type splitJSON struct {
	Total int64   `json:"us"`
	Wire  int64   `json:"wire_us"`
	Flash int64   `json:"flash_us"`
	USB   *int64  `json:"usb_us"`
	Host  *int64  `json:"host_us"`
	Rate  float64 `json:"mb_per_s"` // of 10^6 bytes
	// Cut: the programmer was faster than the clock that it tells, or paused less than it was told, so that wire and flash are cut to what it took.
	Cut bool `json:"cut,omitempty"`
}

// predicted is what wire and flash alone need.
func predicted(wire, flash time.Duration, size int64) splitJSON {
	return splitJSON{Total: (wire + flash).Microseconds(), Wire: wire.Microseconds(), Flash: flash.Microseconds(), Rate: rate(size, wire+flash)}
}

// measured takes a time apart by the clock. inside: of it in the driver, where the programmer was to clock bytes for wire and to pause for idle. slept: of
// it elsewhere, waiting for the flash.
func measured(total, inside, wire, idle, slept time.Duration, size int64) splitJSON {
	cut := wire+idle > inside+inside/100 // what is less is rounding
	wire = min(wire, inside)
	idle = min(idle, inside-wire)
	usb, host := (inside - wire - idle).Microseconds(), (total - inside - slept).Microseconds()
	return splitJSON{Total: total.Microseconds(), Wire: wire.Microseconds(), Flash: (idle + slept).Microseconds(), USB: &usb, Host: &host, Rate: rate(size, total), Cut: cut}
}

// rate is in 10^6 bytes a second.
func rate(size int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(size) / 1e6 / d.Seconds()
}

// moveJSON is one move of a slot: what wire and flash alone would need, and what it took.
type moveJSON struct {
	Predicted splitJSON `json:"predicted"`
	Measured  splitJSON `json:"measured"`
	Batches   int64     `json:"batches"` // how often all answers were awaited before anything else was sent; a driver sends a large one in pieces
}

type benchJSON struct {
	Slot    string   `json:"slot"`
	Fixture string   `json:"fixture"`
	Part    string   `json:"part"`
	UID     string   `json:"uid"`
	At      int64    `json:"at"`
	Size    int64    `json:"size"`
	Write   moveJSON `json:"write"`
	Verify  moveJSON `json:"verify"`
}

// concludeBench prints what was measured, tells what was not, and picks the exit code.
func (a *app) concludeBench(measured []benchJSON, errs []error) error {
	code := exitDone
	for _, err := range errs {
		if err == nil {
			continue
		}
		one := exitError
		var e *exitErr
		if errors.As(err, &e) {
			one = e.code
		} else if errors.Is(err, context.Canceled) {
			one = exitAborted
		}
		code = worse(code, one)
		printf(a.stderr, "station: %v\n", err)
	}
	if err := a.printBench(measured); err != nil {
		return exit(worse(code, exitError), err)
	}
	if code == exitDone {
		return nil
	}
	return exit(code, nil)
}

func (a *app) printBench(measured []benchJSON) error {
	if a.json {
		for _, j := range measured {
			if err := a.printLine(j); err != nil {
				return err
			}
		}
		return nil
	}
	if len(measured) == 0 {
		return nil
	}
	rows := [][]string{{"SLOT", "FIXTURE", "MOVE", "", "TOTAL", "WIRE", "FLASH", "USB", "HOST", "MB/S", "BATCHES"}}
	cut := false
	row := func(slot, fixture, move, what string, s splitJSON, batches string) {
		cells := []string{slot, fixture, move, what}
		for _, us := range []*int64{&s.Total, &s.Wire, &s.Flash, s.USB, s.Host} {
			cell := "-"
			if us != nil {
				cell = fmt.Sprintf("%.3fs", float64(*us)/1e6)
			}
			cells = append(cells, cell)
		}
		cells = append(cells, fmt.Sprintf("%.2f", s.Rate), batches)
		if s.Cut {
			cells, cut = append(cells, "cut"), true
		}
		rows = append(rows, cells)
	}
	for _, j := range measured {
		row(j.Slot, j.Fixture, "write", "predicted", j.Write.Predicted, "")
		row("", "", "", "measured", j.Write.Measured, fmt.Sprint(j.Write.Batches))
		row("", "", "verify", "predicted", j.Verify.Predicted, "")
		row("", "", "", "measured", j.Verify.Measured, fmt.Sprint(j.Verify.Batches))
	}
	if err := a.printTable(rows); err != nil || !cut {
		return err
	}
	_, err := fmt.Fprintln(a.stdout, "cut: the programmer took less than its clock and the pauses asked for need: WIRE and FLASH are cut to what it took, and tell nothing. TOTAL and MB/S are the clock's.")
	return err
}
