package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"station/yamltext"
)

func (a *app) slotBind() *cobra.Command {
	var port, channel, volts string
	var dryRun bool
	c := &cobra.Command{
		Use:   "bind [NAME...]",
		Short: "Write into the configuration where the programmers of slots are plugged in, and how many volts they give",
		Long: "Asks for the programmer of one slot after the other (all that are at USB ports, or the named ones) to be plugged in, sees where it appears, asks for the volts of those that moved or do not say them,\n" +
			"shows what would change, and writes that into the configuration when it is told to. With --port or --volts it asks nothing, and changes one slot; one that moves needs both, unless it had no volts.",
		Example: "  station slot bind\n  station slot bind 3 --port 1-4.2 --channel A --volts 3.3\n  station slot bind 3 --volts 1.8",
		RunE: func(c *cobra.Command, names []string) error {
			path, before, err := a.configFileText()
			if err != nil {
				return err
			}
			given := c.Flags().Changed
			byFlags := given("port") || given("volts")
			var edits []slotEdit
			var lines *wedge // of whoever is asked
			switch {
			case byFlags && len(names) != 1:
				return exit(exitRefused, errors.New("--port and --volts are for one slot: station slot bind NAME --port PORT"))
			case given("port") && port == "", given("volts") && volts == "":
				return exit(exitRefused, errors.New("--port or --volts is empty: a slot has both"))
			case given("channel") && !given("port"):
				return exit(exitRefused, errors.New("--channel goes with --port"))
			case byFlags:
				e := slotEdit{names[0], map[string]string{}}
				if given("port") {
					e = placed(names[0], port, channel)
				}
				if given("volts") {
					e.set["volts"] = volts
				}
				edits = []slotEdit{e}
			default:
				lines = a.readLines(c.Context())
				if edits, err = a.askPlaces(c.Context(), lines, names, path, before, dryRun); err != nil {
					return err
				}
			}
			after, changes, err := editSlots(path, before, edits)
			if err == nil && given("port") {
				err = errors.Join(a.checkWired(c.Context(), names[0], port, channel), otherVolts(path, before, edits[0]))
			}
			if err != nil {
				return exit(exitRefused, fmt.Errorf("nothing was written: %w", err))
			}
			write := !dryRun && len(changes) > 0
			asked := write && !byFlags
			if asked {
				a.tellChanges(path, changes)
				if write, err = a.agreed(c.Context(), lines, fmt.Sprintf("write this to %s?", path)); err != nil {
					return err
				}
			}
			if write {
				if err := replaceConfig(path, before, after); err != nil {
					return err
				}
			}
			return a.printBinding(bindingJSON{path, write, append([]keyChange{}, changes...)}, len(edits), asked)
		},
	}
	f := c.Flags()
	f.StringVar(&port, "port", "", "USB `PORT` path as `station slot list` shows it, or tcp:HOST:PORT")
	f.StringVar(&channel, "channel", "", "`CHANNEL` of a programmer that has several; without it the slot has none")
	f.StringVar(&volts, "volts", "", "`VOLTS` that the fixture gives the board, such as 3.3 or 1.8")
	f.BoolVar(&dryRun, "dry-run", false, "show what would change, and write nothing")
	return c
}

func placed(slot, port, channel string) slotEdit {
	return slotEdit{slot, map[string]string{"port": port, "channel": channel}}
}

// otherVolts refuses an edit that moves a slot and would leave it the volts of the fixture where it was.
func otherVolts(path string, text []byte, e slotEdit) error {
	m, err := slotNode(text, e.slot)
	_, said := e.set["volts"]
	if err != nil || said || m.find("volts") < 0 || m.value("port") == e.set["port"] && m.value("channel") == e.set["channel"] {
		return err
	}
	pg := yamltext.New(path, "configuration", text)
	pg.At(m.node.Content[m.find("volts")+1], fmt.Sprintf("slot %s: volts %s are those of the fixture at %s", e.slot, yamltext.Quote(m.value("volts")), m.value("port")),
		"say with --volts what a meter shows at the one at "+e.set["port"])
	return pg.Err()
}

var errUnwritten = exit(exitAborted, errors.New("ABORTED: nothing was written"))

type bindingJSON struct {
	Config  string      `json:"config"`
	Written bool        `json:"written"`
	Changes []keyChange `json:"changes"`
}

// printBinding prints what became of the changes, which come from that many edits, and the changes themselves to whoever was not asked for them.
func (a *app) printBinding(j bindingJSON, edits int, asked bool) error {
	if a.json {
		return a.printJSON(j)
	}
	var rows [][]string
	if !asked {
		rows = changeRows(j.Changes)
	}
	switch {
	case edits == 0:
		rows = append(rows, []string{"no slot was bound, and nothing was written to " + j.Config})
	case len(j.Changes) == 0:
		rows = append(rows, []string{j.Config + " says so already"})
	case j.Written:
		rows = append(rows, []string{"written to " + j.Config})
	default:
		rows = append(rows, []string{"nothing was written to " + j.Config})
	}
	return a.printTable(rows)
}

func changeRows(changes []keyChange) (rows [][]string) {
	for _, c := range changes {
		rows = append(rows, []string{"slot " + c.Slot, c.Key, orDash(c.From), "->", orDash(c.To)})
	}
	return rows
}

// tellChanges shows what is about to be written to whoever is asked for it.
func (a *app) tellChanges(path string, changes []keyChange) {
	for _, row := range changeRows(changes) {
		printf(a.stderr, "%s\n", strings.Join(row, "  "))
	}
}

// agreed asks a person a question that yes is the answer to.
func (a *app) agreed(ctx context.Context, lines *wedge, question string) (bool, error) {
	printf(a.stderr, "%s [y/N] ", question)
	select {
	case line, ok := <-lines.lines:
		if !ok {
			return false, exit(exitRefused, errors.New("the input ended before anybody agreed: nothing was written"))
		}
		return strings.EqualFold(line, "y") || strings.EqualFold(line, "yes"), nil
	case <-ctx.Done():
		return false, errUnwritten
	}
}
