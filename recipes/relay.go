package recipes

import (
	"fmt"
	"strings"

	"station/flash"
)

// Measure has the chip measure a region by an authenticated command, and the key server judge what it measured. The station reads nothing itself.
type Measure struct{ Region Region }

// Relay sends the blocks that the key server makes for a job, none of another command than these. Job is the server's name for it. Region and Image say
// what the job is about: with an image the region is to hold it at the end, FF behind it, as for Write, and the station reads it back.
type Relay struct {
	Job      string
	Access   flash.Class
	Commands []string // entries of the parts' tables
	Region   Region   // Name "" where there is none
	Image    *Image
	OneWay   bool // one of Commands is
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
	s.Commands = append([]string(nil), s.Commands...)
	if s.Image != nil {
		image := *s.Image
		s.Image = &image
	}
	return s
}
