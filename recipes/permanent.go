package recipes

import (
	"fmt"
	"slices"
	"strings"
)

// Password gives the unit a password of its own (28), proves that the chip holds it (27), and then switches password
// mode on for ever (2C, bit 2): the password can no longer be read nor changed, the chip comes up frozen, and
// only the password (29) lets nonvolatile lock bits change. The password is drawn at random and sealed to every group of
// Escrow before the chip learns it. Source: MT25Q data sheet, sector protection register and password commands.
type Password struct {
	Escrow   []string // names of groups, at least one
	Exercise Exercise
}

// Exercise is how a Password step tries the unlock out once password mode is on: it resets or power-cycles the chip, opens
// it with the password and closes it again. Volatile locks end, and the chip is frozen afterwards.
type Exercise string

const (
	NoExercise         Exercise = ""
	ExerciseReset      Exercise = "reset"
	ExercisePowerCycle Exercise = "power_cycle"
)

// RootKey gives the monotonic counter Index its root key (RPMC command 00, JESD260), which no command reads or
// replaces. Derive names the master from which the station derives this unit's key; where it is "" the key is
// random and known to the groups of Escrow alone. Either is sealed to them before the chip learns it.
type RootKey struct {
	Index  int // of the counter, from 0
	Derive string
	Escrow []string // names of groups, at least one
}

// Counter increments the monotonic counter Index (RPMC command 02) until it has the value To. Its key was derived
// by a RootKey step before.
type Counter struct {
	Index int
	To    uint32
}

// PersistentProtection rules password mode out for ever (2C, bit 1): lock bits stay as changeable as they are.
type PersistentProtection struct{}

// OTP programs fields from byte 0 of the one-time-programmable area on (42), whose bits can only ever become 0, and reads them back (4B).
// Lock then locks the whole area for ever (its control byte).
type OTP struct {
	Fields []Field
	Lock   bool
}

func (Password) Kind() string             { return "password" }
func (RootKey) Kind() string              { return "root_key" }
func (Counter) Kind() string              { return "counter" }
func (PersistentProtection) Kind() string { return "persistent_protection" }
func (OTP) Kind() string                  { return "otp" }

func (s Password) Title() string {
	title := "password, sealed to " + strings.Join(s.Escrow, ", ")
	switch s.Exercise {
	case ExerciseReset:
		title += ", tried out after a reset"
	case ExercisePowerCycle:
		title += ", tried out after a power cycle"
	}
	return title
}
func (s RootKey) Title() string {
	from := "random"
	if s.Derive != "" {
		from = "from " + s.Derive
	}
	return fmt.Sprintf("root key %d, %s, sealed to %s", s.Index, from, strings.Join(s.Escrow, ", "))
}
func (s Counter) Title() string            { return fmt.Sprintf("counter %d to %d", s.Index, s.To) }
func (PersistentProtection) Title() string { return "persistent protection mode" }
func (s OTP) Title() string {
	title := fmt.Sprintf("OTP area, %s", count(int(fieldsSize(s.Fields)), "byte"))
	if s.Lock {
		title += ", locked"
	}
	return title
}

func (Password) Permanent() bool             { return true }
func (RootKey) Permanent() bool              { return true }
func (Counter) Permanent() bool              { return true }
func (PersistentProtection) Permanent() bool { return true }
func (OTP) Permanent() bool                  { return true }

func (s Password) clone() Step {
	s.Escrow = slices.Clone(s.Escrow)
	return s
}
func (s RootKey) clone() Step {
	s.Escrow = slices.Clone(s.Escrow)
	return s
}
func (s Counter) clone() Step              { return s }
func (s PersistentProtection) clone() Step { return s }
func (s OTP) clone() Step                  { return OTP{cloneFields(s.Fields), s.Lock} }

// permanentOf lists the kinds of the permanent steps, each once.
func permanentOf(steps []Step) []string {
	var kinds []string
	for _, s := range steps {
		if s.Permanent() && !slices.Contains(kinds, s.Kind()) {
			kinds = append(kinds, s.Kind())
		}
	}
	return kinds
}

// forever says what a permanent step leaves behind that nothing ever undoes.
func forever(step Step) string {
	switch s := step.(type) {
	case Password:
		return "password mode stays on, and the password can never be read or changed; without it the lock bits stay as they are for ever"
	case RootKey:
		return fmt.Sprintf("counter %d keeps its root key, which can never be read or replaced", s.Index)
	case Counter:
		return fmt.Sprintf("counter %d never again has less than %d", s.Index, s.To)
	case PersistentProtection:
		return "this chip can never be given password mode"
	case OTP:
		if s.Lock {
			return "the OTP area keeps its content, and nothing can ever be added"
		}
		return fmt.Sprintf("what becomes 0 in the first %s of the OTP area stays 0", count(int(fieldsSize(s.Fields)), "byte"))
	case Relay:
		about := ""
		if s.Region.Name != "" {
			about = ", region " + s.Region.Name
		}
		return fmt.Sprintf("job %s of the key server%s: what its one-way commands do is never undone", s.Job, about)
	}
	return ""
}
