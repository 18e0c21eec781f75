package recipes

import (
	"fmt"
	"slices"
	"strings"

	"station/flash"
)

// Measure has the chip measure a region by an authenticated command, and the key server judge what it measured. The station reads nothing itself.
type Measure struct{ Region Region }

// Relay sends the blocks that the key server makes for a job, none of another command than these. Job is the server's name for it. Region and Image say
// what the job is about: with an image the region is to hold it at the end, FF behind it, as for Write, and the station reads it back; none of the commands is one-way then, since that would not tell whether it took effect.
type Relay struct {
	Job      string
	Access   flash.Class
	Commands []string // entries of the parts' tables
	Region   Region   // Name "" where there is none: in a read-only job
	Image    *Image
	OneWay   bool // one of Commands is
}

// Content is what the region holds once the step of the recipe that fills it is done: an image, and FF behind it to the region's end; no image where it is
// erased. ok is false where nobody fills it, and where it differs from unit to unit: a measurement of it could not be compared with anything.
func (r *Recipe) Content(region string) (image []byte, ok bool) {
	for _, step := range r.steps {
		switch s := step.(type) {
		case Write:
			if s.Region.Name == region && s.Image != nil {
				return s.Image.Data, true
			}
		case Relay:
			if s.Region.Name == region && s.Image != nil {
				return s.Image.Data, true
			}
		case Erase:
			if slices.Contains(regionNames(s.Regions), region) {
				return nil, true
			}
		}
	}
	return nil, false
}

// Reread are the steps before step n, from 1, that give the array content, where step n is the last relay that may change the chip: what they left is read once more
// behind it, since nobody but the key server knows what its commands touch. None behind any other step.
func (r *Recipe) Reread(n int) (before []Step) {
	changes := func(s Step) bool {
		relay, is := s.(Relay)
		return is && relay.Access == flash.StateChanging
	}
	if !changes(r.steps[n-1]) || slices.ContainsFunc(r.steps[n:], changes) {
		return nil
	}
	for _, step := range r.steps[:n-1] {
		switch s := step.(type) {
		case Write, Erase, Blank:
			before = append(before, step.clone())
		case Relay:
			if s.Image != nil {
				before = append(before, step.clone())
			}
		}
	}
	return before
}

func (Measure) Kind() string { return "measure" }
func (Relay) Kind() string   { return "relay" }

func (s Measure) Title() string { return "measure " + s.Region.Name }
func (s Relay) Title() string {
	title := fmt.Sprintf("relay %s (%s: %s)", s.Job, s.Access, strings.Join(s.Commands, ", "))
	if s.Image != nil {
		title += fmt.Sprintf(", %s to %s", s.Image.Name, s.Region.Name)
	} else if s.Region.Name != "" {
		title += ", " + s.Region.Name
	}
	return title
}

func (Measure) Permanent() bool { return false }
func (s Relay) Permanent() bool { return s.OneWay }

func (s Measure) clone() Step { return s }
func (s Relay) clone() Step {
	s.Commands = slices.Clone(s.Commands)
	if s.Image != nil {
		image := *s.Image
		s.Image = &image
	}
	return s
}
