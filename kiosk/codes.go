package kiosk

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"station/provision"
)

// Codes of cards that the line never sees. Those that it does are in package provision.
const (
	CardSignOff    = "SIGN-OFF"
	CardBeginShift = "BEGIN-SHIFT"
	CardEndShift   = "END-SHIFT"
	CardCloseJob   = "CLOSE-JOB"
	CardJob        = "JOB:" // goes on with a recipe's file, ":" and a quantity: begins that job
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
	{CardBeginShift, BeginShift},
	{CardEndShift, EndShift},
	{CardSignOff, Anybody},
}

// reading is what a code is, before anybody acts on it.
type reading struct {
	action  Action // what scanning it is
	badge   bool   // it signs somebody in
	misread bool   // it may be a badge that was read wrongly: nobody is to see it
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
	case strings.HasPrefix(code, provision.CardRelease):
		return reading{action: Release}
	}
	if d, is := jobOf(code); is {
		return reading{action: BeginJob, deed: &d}
	}
	for _, c := range CardCodes {
		if c.Code != code {
			continue
		}
		r := reading{action: c.Action}
		switch c.Action {
		case CloseJob, BeginShift, EndShift:
			r.deed = &Deed{Action: c.Action, Card: true}
		}
		return r
	}
	return reading{action: Scan, misread: !strings.HasPrefix(code, provision.LabelSlot) && s.likeBadge(code)}
}

// longBase32 is how many characters of base32 in a row are taken for a part of a badge of ours. Hexadecimal digits alone are none: they are values.
const longBase32 = 20

// likeBadge tells whether a code that is no badge may have one in it: our badges as a whole or most of their secret, in any case, with anything around them; another form's in another
// case, with what cannot be printed around it, or twice. The page has the first half of the rule (station.js).
func (s *Server) likeBadge(code string) bool {
	if strings.Contains(strings.ToUpper(code), badgePrefix) {
		return true
	}
	for _, run := range strings.FieldsFunc(code, func(c rune) bool { return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '2' <= c && c <= '7') }) {
		if len(run) >= longBase32 && strings.Trim(run, "ABCDEFabcdef234567") != "" {
			return true
		}
	}
	if s.anyCase == nil {
		return false
	}
	parts := strings.FieldsFunc(code, func(c rune) bool { return c == ' ' || !unicode.IsPrint(c) })
	if len(parts) == 1 {
		if half := len(parts[0]) / 2; parts[0][:half] == parts[0][half:] {
			parts[0] = parts[0][:half]
		}
	}
	return len(parts) > 0 && !slices.ContainsFunc(parts, func(p string) bool { return !s.anyCase.MatchString(p) })
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
