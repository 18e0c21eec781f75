package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
)

// printJSON prints one document, indented.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printLine prints one JSON object on a line, for what streams.
func (a *app) printLine(v any) error { return json.NewEncoder(a.stdout).Encode(v) }

// printTable prints rows with aligned columns; the first row is the heading.
func (a *app) printTable(rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
