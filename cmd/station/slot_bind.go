package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"station/fixtures"
)

func (a *app) slotBind() *cobra.Command {
	var port, channel, volts string
	var dryRun bool
	c := &cobra.Command{
		Use:   "bind [NAME...]",
		Short: "Write into the configuration where the programmers of slots are plugged in, and how many volts they give",
		Long: "Asks for the programmer of one slot after the other (all that are at USB ports, or the named ones) to be plugged in, sees where it appears, asks for the volts of those that do not say them,\n" +
			"shows what would change, and writes that into the configuration when it is told to. With --port or --volts it asks nothing, and changes one slot.",
		Example: "  station slot bind\n  station slot bind 3 --port 1-4.2 --channel A\n  station slot bind 3 --volts 1.8",
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
			return a.printBinding(bindingJSON{path, write, append([]keyChange{}, changes...)}, asked)
		},
	}
	f := c.Flags()
	f.StringVar(&port, "port", "", "USB `PORT` path as `station slot list` shows it, or tcp:HOST:PORT")
	f.StringVar(&channel, "channel", "", "`CHANNEL` of a programmer that has several; without it the slot has none")
	f.StringVar(&volts, "volts", "", "`VOLTS` that the fixture gives the board, such as 3.3 or 1.8; without it they stay as they are")
	f.BoolVar(&dryRun, "dry-run", false, "show what would change, and write nothing")
	return c
}

func placed(slot, port, channel string) slotEdit {
	return slotEdit{slot, map[string]string{"port": port, "channel": channel}}
}

var errUnwritten = exit(exitAborted, errors.New("ABORTED: nothing was written"))

type bindingJSON struct {
	Config  string      `json:"config"`
	Written bool        `json:"written"`
	Changes []keyChange `json:"changes"`
}

// printBinding prints what became of the changes, and the changes themselves to whoever was not asked for them.
func (a *app) printBinding(j bindingJSON, asked bool) error {
	if a.json {
		return a.printJSON(j)
	}
	var rows [][]string
	if !asked {
		rows = changeRows(j.Changes)
	}
	switch {
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

// askPlaces asks a person where the programmers of the named slots are, nobody being all. What would keep the answers from being written into the
// configuration, text in the file at path, is told before.
func (a *app) askPlaces(ctx context.Context, lines *wedge, names []string, path string, text []byte, dryRun bool) ([]slotEdit, error) {
	b, err := a.glance(true)
	if err != nil {
		return nil, err
	}
	if b.simulated {
		return nil, exit(exitRefused, errors.New("this station is simulated: its programmers are where the configuration says, and nothing can be plugged in; `station slot bind NAME --port PORT` writes another place"))
	}
	if !dryRun {
		if err := tryConfig(path); err != nil {
			return nil, err
		}
	}
	asked := func(s fixtures.Slot) bool { return len(names) == 0 && !s.OnNetwork() || slices.Contains(names, s.Name) }
	for _, s := range b.rack.Slots() {
		const elsewhere = "255-255"
		if _, _, err := editSlots(path, text, []slotEdit{{s.Name, map[string]string{"port": elsewhere}}}); asked(s) && errors.Is(err, errByHand) {
			return nil, exit(exitRefused, fmt.Errorf("slot %s: %w", s.Name, err))
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(b.rack.Slots(), func(s fixtures.Slot) bool { return s.Name == name }) {
			return nil, exit(exitRefused, fmt.Errorf("there is no slot %q: `station slot list` shows them", name))
		}
	}
	return a.askOver(ctx, lines, b.rack, asked)
}

// askOver asks for the slots of a rack that are to be asked for, in their order.
func (a *app) askOver(ctx context.Context, lines *wedge, rack *fixtures.Rack, asked func(fixtures.Slot) bool) ([]slotEdit, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &placer{app: a, lines: lines, plugs: make(chan fixtures.Change), ended: make(chan error, 1)}
	for _, s := range rack.Slots() {
		if asked(s) {
			p.left = append(p.left, s)
		} else {
			p.settled = append(p.settled, s)
		}
	}
	go func() {
		defer crashed(a.stderr)
		p.ended <- rack.Watch(ctx, func(c fixtures.Change) error {
			select {
			case p.plugs <- c:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	for more := true; more && len(p.left) > 0; {
		var err error
		if more, err = p.place(ctx, p.left[0]); err != nil {
			return nil, err
		}
	}
	return p.edits, nil
}

// placer asks for the places of slots.
type placer struct {
	app   *app
	lines *wedge
	plugs chan fixtures.Change
	ended chan error // of the watching
	edits []slotEdit

	left    []fixtures.Slot // to be asked for, where they are now
	settled []fixtures.Slot // where they will be
}

// place asks for the programmer of one slot until it has a place. more is false where the person wants no more slots.
func (p *placer) place(ctx context.Context, s fixtures.Slot) (more bool, err error) {
	now := s.Port
	if s.Channel != "" {
		now += " channel " + s.Channel
	}
	p.say("slot %s (now %s): plug in its programmer alone; or take it out and plug it in again; or type its port and channel, `skip` or `stop`", s.Name, now)
	port, channels := "", []string(nil)
	for {
		select {
		case <-ctx.Done():
			return false, errUnwritten
		case err := <-p.ended:
			if err == nil {
				continue // ctx has ended
			}
			return false, exit(exitError, err)
		case c := <-p.plugs:
			switch {
			case !c.In || c.First:
			case c.Family == "":
				p.say("%s at USB port %s is not a programmer that this station can drive", deviceText(c.Device), c.Device.Port)
			case len(c.Channels) > 0:
				port, channels = c.Device.Port, c.Channels
				p.say("%s at USB port %s: which channel is wired to slot %s, %s?", c.Family, port, s.Name, strings.Join(channels, " or "))
			case p.take(s, c.Device.Port, ""):
				return p.feed(ctx, s)
			}
		case line, ok := <-p.lines.lines:
			words := strings.Fields(line)
			switch {
			case !ok || line == "stop" && p.fit(p.left...):
				return false, nil
			case line == "skip" && p.fit(s):
				p.settle(s)
				return true, nil
			case line == "stop", line == "skip":
				p.say("so `%s` is not possible: bind that one too, or end with Ctrl-C, which writes nothing", line)
			case len(words) == 1 && slices.Contains(channels, strings.ToUpper(line)):
				if p.take(s, port, strings.ToUpper(line)) {
					return p.feed(ctx, s)
				}
			case channels == nil && len(words) == 1, len(words) == 2:
				if p.take(s, words[0], strings.ToUpper(strings.Join(words[1:], ""))) {
					return p.feed(ctx, s)
				}
			default:
				p.say("%s is none of that", line)
			}
		}
	}
}

// fit tells whether slots can be where they are beside those that are settled, and says why not.
func (p *placer) fit(slots ...fixtures.Slot) bool {
	_, err := fixtures.NewRack(nil, slices.Concat(p.settled, slots))
	if err != nil {
		p.say("%v", err)
	}
	return err == nil
}

// settle is done with the slot that is asked for.
func (p *placer) settle(s fixtures.Slot) { p.left, p.settled = p.left[1:], append(p.settled, s) }

// take binds s to a place, and says why where it cannot be there. What is still to be asked for may have been there until now.
func (p *placer) take(s fixtures.Slot, port, channel string) bool {
	s.Port, s.Channel = port, channel
	if !p.fit(s) {
		return false
	}
	p.settle(s)
	p.edits = append(p.edits, placed(s.Name, port, channel))
	p.say("slot %s is at %s %s", s.Name, port, channel)
	return true
}

// feed asks for the volts of a slot that was just bound and does not say them. more is as for place.
func (p *placer) feed(ctx context.Context, s fixtures.Slot) (more bool, err error) {
	if s.Volts != "" {
		return true, nil
	}
	p.say("slot %s does not say which voltage its fixture gives, and nothing is written in it until it does: type the volts that a meter shows there, such as 3.3 or 1.8, `skip` or `stop`", s.Name)
	for {
		select {
		case <-ctx.Done():
			return false, errUnwritten
		case <-p.plugs: // whatever is plugged in meanwhile is nobody's
		case line, ok := <-p.lines.lines:
			switch s.Volts = line; {
			case !ok || line == "stop":
				return false, nil
			case line == "skip":
				return true, nil
			}
			if _, err := fixtures.NewRack(nil, []fixtures.Slot{s}); err != nil {
				p.say("%v", err)
				continue
			}
			p.edits[len(p.edits)-1].set["volts"] = line
			return true, nil
		}
	}
}

func (p *placer) say(format string, args ...any) { printf(p.app.stderr, format+"\n", args...) }

// agreed asks a person a question that yes is the answer to.
func (a *app) agreed(ctx context.Context, lines *wedge, question string) (bool, error) {
	printf(a.stderr, "%s [y/N] ", question)
	select {
	case line := <-lines.lines:
		return strings.EqualFold(line, "y") || strings.EqualFold(line, "yes"), nil
	case <-ctx.Done():
		return false, errUnwritten
	}
}
