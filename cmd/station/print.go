package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// printJSON prints one document, indented.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printLine prints one JSON object on a line, for what streams.
func (a *app) printLine(v any) error { return json.NewEncoder(a.stdout).Encode(v) }

// say prints facts as JSON where that is wanted, and else a sentence of them.
func (a *app) say(facts any, format string, args ...any) error {
	if a.json {
		return a.printJSON(facts)
	}
	_, err := printf(a.stdout, format, args...)
	return err
}

// shown is text from a ledger, a label or a chip as a terminal may have it: what is not printable stands there as Go writes it in
// quotes, \x1b or \n. What is accepted today has none of it; older ledgers may.
func shown(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// printf is fmt.Fprintf for what a person reads: every string and error among args is shown.
func printf(w io.Writer, format string, args ...any) (int, error) {
	safe := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			arg = shown(v)
		case error:
			arg = shown(v.Error())
		}
		safe[i] = arg
	}
	return fmt.Fprintf(w, format, safe...)
}

// printTable prints rows with aligned columns; the first row is the heading.
func (a *app) printTable(rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, shown(cell))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
