package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// split is where time goes. Wire: clocks. Flash: chip select high, because the chip works. USB: else in the programmer's driver, until its answers
// were there. Host: the rest.
type split struct{ Wire, Flash, USB, Host time.Duration }

type splitJSON struct {
	Total int64   `json:"us"`
	Wire  int64   `json:"wire_us"`
	Flash int64   `json:"flash_us"`
	USB   int64   `json:"usb_us"`
	Host  int64   `json:"host_us"`
	Rate  float64 `json:"mb_per_s"` // of 10^6 bytes
}

func (s split) json(size int64) splitJSON {
	total := s.Wire + s.Flash + s.USB + s.Host
	j := splitJSON{Total: total.Microseconds(), Wire: s.Wire.Microseconds(), Flash: s.Flash.Microseconds(), USB: s.USB.Microseconds(), Host: s.Host.Microseconds()}
	if total > 0 {
		j.Rate = float64(size) / 1e6 / total.Seconds()
	}
	return j
}

// moveJSON is one move of a slot: what wire and flash alone would need, and what it took.
type moveJSON struct {
	Predicted  splitJSON `json:"predicted"`
	Measured   splitJSON `json:"measured"`
	RoundTrips int64     `json:"round_trips"` // how often the host heard all answers before it went on
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
	rows := [][]string{{"SLOT", "FIXTURE", "MOVE", "", "TOTAL", "WIRE", "FLASH", "USB", "HOST", "MB/S", "ROUND TRIPS"}}
	row := func(slot, fixture, move, what string, s splitJSON, trips string) {
		cells := []string{slot, fixture, move, what}
		for _, us := range []int64{s.Total, s.Wire, s.Flash, s.USB, s.Host} {
			cells = append(cells, fmt.Sprintf("%.3fs", float64(us)/1e6))
		}
		rows = append(rows, append(cells, fmt.Sprintf("%.2f", s.Rate), trips))
	}
	for _, j := range measured {
		row(j.Slot, j.Fixture, "write", "predicted", j.Write.Predicted, "")
		row("", "", "", "measured", j.Write.Measured, fmt.Sprint(j.Write.RoundTrips))
		row("", "", "verify", "predicted", j.Verify.Predicted, "")
		row("", "", "", "measured", j.Verify.Measured, fmt.Sprint(j.Verify.RoundTrips))
	}
	return a.printTable(rows)
}
