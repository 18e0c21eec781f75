package recipes

import (
	"fmt"
	"slices"
	"strings"
)

// Step is one thing to be done, as a value: Write, Erase, Blank, Lock, Freeze, Check, Reset, PowerCycle, or one of the
// permanent ones, Password, RootKey, Counter and PersistentProtection.
type Step interface {
	// Kind is the step's name in the recipe, "write"; "blank" for Blank.
	Kind() string
	// Title is a short line for people: "lock boot (nonvolatile)".
	Title() string
	// Permanent tells whether the step cannot be undone on that chip.
	Permanent() bool

	clone() Step // without shared slices and pointers
}

// Bits are the kind of lock bits.
type Bits string

const (
	Nonvolatile Bits = "nonvolatile" // one per 64 KiB; survives power-off (data sheet: NVLB, opcode E3)
	Volatile    Bits = "volatile"    // 64 KiB, perhaps 4 KiB cells in first and last sector; ends with reset and power-off (VLB)
)

// Write puts an image or fields at the start of the region and FF into the rest of it, and reads all of it back.
// One of Image and Fields is nil. Unit.Content has the bytes.
type Write struct {
	Region Region
	Image  *Image
	Fields []Field
}

// Erase makes the regions FF and reads them back.
type Erase struct{ Regions []Region }

// Blank makes everything outside the regions FF and reads it back. It is implied by `elsewhere: blank`.
type Blank struct{}

// Lock sets the lock bits of the regions, which are whole units of such bits, and reads them back.
type Lock struct {
	Regions []Region
	Bits    Bits
}

// Freeze clears the global freeze bit (A6): nonvolatile lock bits cannot be changed until power-off or reset, and in
// password mode until the password is given.
type Freeze struct{}

// Check looks at the chip's protection and changes nothing. Locked regions have to refuse a program of
// the data which they hold. Frozen is nil where the recipe does not ask.
type Check struct {
	Locked []Region
	Frozen *bool
}

// Reset is the software reset, 66 then 99. It ends volatile locks and the freeze; in password mode it freezes.
type Reset struct{}

// PowerCycle switches the chip off and on. It ends volatile locks and the freeze; in password mode it freezes.
type PowerCycle struct{}

func (Write) Kind() string      { return "write" }
func (Erase) Kind() string      { return "erase" }
func (Blank) Kind() string      { return "blank" }
func (Lock) Kind() string       { return "lock" }
func (Freeze) Kind() string     { return "freeze" }
func (Check) Kind() string      { return "check" }
func (Reset) Kind() string      { return "reset" }
func (PowerCycle) Kind() string { return "power_cycle" }

func (s Write) Title() string {
	if s.Image == nil {
		return "write fields to " + s.Region.Name
	}
	return fmt.Sprintf("write %s to %s", s.Image.Name, s.Region.Name)
}
func (s Erase) Title() string    { return "erase " + names(s.Regions) }
func (Blank) Title() string      { return "blank elsewhere" }
func (s Lock) Title() string     { return fmt.Sprintf("lock %s (%s)", names(s.Regions), s.Bits) }
func (Freeze) Title() string     { return "freeze lock bits" }
func (Reset) Title() string      { return "reset" }
func (PowerCycle) Title() string { return "power cycle" }
func (s Check) Title() string {
	var parts []string
	if len(s.Locked) > 0 {
		parts = append(parts, names(s.Locked)+" locked")
	}
	if s.Frozen != nil && *s.Frozen {
		parts = append(parts, "frozen")
	} else if s.Frozen != nil {
		parts = append(parts, "not frozen")
	}
	return "check " + strings.Join(parts, ", ")
}

func (Write) Permanent() bool      { return false }
func (Erase) Permanent() bool      { return false }
func (Blank) Permanent() bool      { return false }
func (Lock) Permanent() bool       { return false } // E4 clears the bits while the chip is not frozen
func (Freeze) Permanent() bool     { return false } // ends with power-off: password mode is another step
func (Check) Permanent() bool      { return false }
func (Reset) Permanent() bool      { return false }
func (PowerCycle) Permanent() bool { return false }

func (s Write) clone() Step {
	c := Write{Region: s.Region, Fields: slices.Clone(s.Fields)}
	for i, f := range c.Fields {
		c.Fields[i].Over = slices.Clone(f.Over)
	}
	if s.Image != nil {
		image := *s.Image
		c.Image = &image
	}
	return c
}
func (s Erase) clone() Step      { return Erase{Regions: slices.Clone(s.Regions)} }
func (s Blank) clone() Step      { return s }
func (s Lock) clone() Step       { return Lock{Regions: slices.Clone(s.Regions), Bits: s.Bits} }
func (s Freeze) clone() Step     { return s }
func (s Reset) clone() Step      { return s }
func (s PowerCycle) clone() Step { return s }
func (s Check) clone() Step {
	c := Check{Locked: slices.Clone(s.Locked)}
	if s.Frozen != nil {
		frozen := *s.Frozen
		c.Frozen = &frozen
	}
	return c
}

func names(regions []Region) string { return strings.Join(regionNames(regions), ", ") }

func regionNames(regions []Region) []string {
	var list []string
	for _, r := range regions {
		list = append(list, r.Name)
	}
	return list
}
