package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"station/fixtures"
)

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
		if _, _, err := editSlots(path, text, []slotEdit{{s.Name, map[string]string{"port": elsewhere, "volts": "1"}}}); asked(s) && errors.Is(err, errByHand) {
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
	p := &placer{app: a, lines: lines, rack: rack, plugs: make(chan fixtures.Change), ended: make(chan error, 1)}
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
	rack  *fixtures.Rack
	plugs chan fixtures.Change
	ended chan error // of the watching
	edits []slotEdit

	left    []fixtures.Slot // to be asked for, where they are now
	settled []fixtures.Slot // where they will be
}

const (
	alone  = 1700 * time.Millisecond // for which a programmer has to be the only one that came: several behind one hub do not come in one look. No whole number of looks, so that neither is late
	sooner = 600 * time.Millisecond  // than which nobody plugs in what he is asked for, and more than passes between two looks
)

// place asks for the programmer of one slot until it has a place. What came before it asked is nobody's. more is false where the person wants no more slots.
func (p *placer) place(ctx context.Context, s fixtures.Slot) (more bool, err error) {
	asked := time.Now().Add(sooner)
	p.say("slot %s (now %s): plug in its programmer alone; or take it out and plug it in again; or type its port and channel, `skip` or `stop`", s.Name, where(s.Port, s.Channel))
	var came []fixtures.Change   // programmers, while they are not known to be alone
	var settled <-chan time.Time // when that is known
	port, channels := "", []string(nil)
	which := func(c fixtures.Change) {
		port, channels = c.Device.Port, c.Channels
		p.say("%s at USB port %s: which channel is wired to slot %s, %s?", c.Family, port, s.Name, strings.Join(channels, " or "))
	}
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
			came = slices.DeleteFunc(came, func(b fixtures.Change) bool { return b.Device.Port == c.Device.Port })
			switch {
			case !c.In || c.First:
			case c.Seen.Before(asked) && c.Family != "":
				p.say("%s at USB port %s came before it was asked for: take it out, and plug it in again if it is that of slot %s", c.Family, c.Device.Port, s.Name)
			case c.Family == "":
				p.say("%s at USB port %s is not a programmer that this station can drive", deviceText(c.Device), c.Device.Port)
			default:
				came, settled = append(came, c), time.After(alone)
			}
		case <-settled:
			switch {
			case len(came) == 0: // taken out again
			case len(came) > 1:
				var ports []string
				for _, c := range came {
					ports = append(ports, c.Device.Port)
				}
				p.say("%d programmers came at once, at the USB ports %s: take them out, and plug in that of slot %s alone", len(came), strings.Join(ports, ", "), s.Name)
			case len(came[0].Channels) > 0:
				which(came[0])
			case p.take(s, came[0].Device.Port, ""):
				return p.feed(ctx, s)
			}
			came = nil
		case line, ok := <-p.lines.lines:
			words := strings.Fields(line)
			switch {
			case !ok:
				return false, exit(exitRefused, fmt.Errorf("the input ended before slot %s was bound: nothing was written", s.Name))
			case line == "stop" && p.fit(p.left...):
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
				typed := strings.ToUpper(strings.Join(words[1:], ""))
				there, why := plugged(ctx, p.rack, words[0])
				switch err := there.wired(typed); {
				case err != nil && typed == "":
					which(*there.Change)
				case err != nil:
					p.say("%v", err)
				case p.take(s, words[0], typed):
					if why != "" {
						p.say("warning: %s: %s", where(words[0], typed), why)
					}
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
	p.say("slot %s is at %s", s.Name, where(port, channel))
	return true
}

// feed asks for the volts of a slot that was just bound, s being what it was: they are those of the fixture, and one at another place is another one. more is as for place.
func (p *placer) feed(ctx context.Context, s fixtures.Slot) (more bool, err error) {
	e := p.edits[len(p.edits)-1]
	switch {
	case s.Volts == "":
		p.say("slot %s does not say which voltage its fixture gives, and nothing is written in it until it does: type the volts that a meter shows there, such as 3.3 or 1.8, `skip` or `stop`", s.Name)
	case e.set["port"] == s.Port && e.set["channel"] == s.Channel:
		return true, nil
	default:
		e.set["volts"] = "" // until they are known
		p.say("the fixture of slot %s at %s gave %s V: type the volts that a meter shows at this one, `same` where it is %[3]s, or `skip` or `stop`, which leave the slot without, so that nothing is written in it", s.Name, where(s.Port, s.Channel), s.Volts)
	}
	kept := s.Volts
	for {
		select {
		case <-ctx.Done():
			return false, errUnwritten
		case <-p.plugs: // whatever is plugged in meanwhile is nobody's
		case line, ok := <-p.lines.lines:
			switch s.Volts = line; {
			case !ok:
				return false, exit(exitRefused, fmt.Errorf("the input ended before the volts of slot %s were known: nothing was written", s.Name))
			case line == "stop":
				return false, nil
			case line == "skip":
				return true, nil
			case line == "same" && kept != "":
				delete(e.set, "volts")
				return true, nil
			}
			if _, err := fixtures.NewRack(nil, []fixtures.Slot{s}); err != nil {
				p.say("%v", err)
				continue
			}
			e.set["volts"] = line
			return true, nil
		}
	}
}

func (p *placer) say(format string, args ...any) { printf(p.app.stderr, format+"\n", args...) }

// where is a place, for sentences.
func where(port, channel string) string {
	if channel != "" {
		port += " channel " + channel
	}
	return port
}
