package kiosk

import (
	"strconv"
	"strings"

	"station/provision"
)

// Codes of cards that the line never sees. Those that it does are in package provision.
const (
	CardSignOff  = "SIGN-OFF"
	CardCloseJob = "CLOSE-JOB"
	CardJob      = "JOB:" // goes on with a recipe's file, ":" and a quantity: begins that job
)

// CardCode is one that can be printed as it is.
type CardCode struct {
	Code   string
	Action Action // what scanning it is; Anybody for what is no matter of a role
}

// CardCodes are all of those, in the order in which they are laid out. The others go on with something: provision.LabelSlot, provision.CardRelease, CardJob.
var CardCodes = []CardCode{
	{provision.CardReject, Acknowledge},
	{provision.CardResume, Resume},
	{provision.CardCancel, Cancel},
	{CardCloseJob, CloseJob},
	{CardSignOff, Anybody},
}

// reading is what a code is, before anybody acts on it.
type reading struct {
	action  Action // what scanning it is
	badge   bool   // it signs somebody in
	signOff bool   // it signs off who is signed in
	deed    *Deed  // what it wants done; nil for what the line reads
}

// readCode tells what a code is. What is none of ours is a serial, a value, or nothing: the line's to say.
func (s *Server) readCode(code string) reading {
	switch {
	case s.o.Badge != nil && s.o.Badge.MatchString(code):
		return reading{badge: true}
	case code == CardSignOff:
		return reading{signOff: true}
	case code == CardCloseJob:
		return reading{action: CloseJob, deed: &Deed{Action: CloseJob}}
	case strings.HasPrefix(code, provision.CardRelease):
		return reading{action: Release}
	}
	if d, is := jobOf(code); is {
		return reading{action: BeginJob, deed: &d}
	}
	for _, c := range CardCodes {
		if c.Code == code {
			return reading{action: c.Action}
		}
	}
	return reading{action: Scan}
}

// jobOf reads the code of the card of a job: its file may have colons in it. One that has no quantity, or no file, is no such card.
func jobOf(code string) (Deed, bool) {
	rest, is := strings.CutPrefix(code, CardJob)
	i := strings.LastIndexByte(rest, ':')
	if !is || i < 1 {
		return Deed{}, false
	}
	n, err := strconv.ParseUint(rest[i+1:], 10, 31) // takes no sign
	return Deed{Action: BeginJob, Recipe: rest[:i], Quantity: int(n)}, err == nil && n <= mostUnits
}

// mostUnits is how many a job may be for.
const mostUnits = 1_000_000
