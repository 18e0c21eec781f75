package recipes

import (
	"fmt"
	"slices"
	"strings"
)

// Step is one thing to be done, as a value: Write, Erase, Blank, Lock, Freeze, Check, Reset, PowerCycle, Config, Raw, Measure, Relay, or one of the
// permanent ones, Password, RootKey, Counter, PersistentProtection and OTP. A Relay may be permanent, too.
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
	Block       Bits = "block"       // one range of 2^n sectors at either end of the array; survives power-off (status register, TB and BP3..0)
)

// Verify is how a write is proven.
type Verify string

const (
	Readback Verify = "readback" // every byte is read back and compared
	CRC      Verify = "crc"      // the chip computes a CRC-64 over what it holds (9B 27)
	// Measurement: nothing is read back; a Measure of the region follows, before it is locked.
	Measurement Verify = "measurement"
)

// Write puts an image or fields at the start of the region and FF into the rest of it, and proves that all of it is there.
// One of Image and Fields is nil. Unit.Content has the bytes.
type Write struct {
	Region Region
	Image  *Image
	Fields []Field
	Verify Verify
}

// Erase makes the regions FF and reads them back.
type Erase struct{ Regions []Region }

// Blank makes everything outside the regions FF and reads it back. It is implied by `elsewhere: blank`.
type Blank struct{}

// Lock sets the lock bits of the regions, which are whole units of such bits, and reads them back. Down locks volatile
// bits down: nothing but reset and power-off opens them.
type Lock struct {
	Regions []Region
	Bits    Bits
	Down    bool
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

// Config sets the nonvolatile configuration register (B1), which the chip loads with the next reset or power-up.
type Config struct{ NVCR uint16 }

// Raw sends a command of the author's own, which the checker knows nothing about, in one frame. A station has to allow it.
type Raw struct {
	WriteEnable bool   // 06 before it
	Send        []byte // the opcode first
	Read        int    // bytes read behind it
	Expect      []byte // what these have to be; nil: they are recorded and not judged
}

func (Write) Kind() string      { return "write" }
func (Erase) Kind() string      { return "erase" }
func (Blank) Kind() string      { return "blank" }
func (Lock) Kind() string       { return "lock" }
func (Freeze) Kind() string     { return "freeze" }
func (Check) Kind() string      { return "check" }
func (Reset) Kind() string      { return "reset" }
func (PowerCycle) Kind() string { return "power_cycle" }
func (Config) Kind() string     { return "config" }
func (Raw) Kind() string        { return "raw" }

func (s Write) Title() string {
	what := "fields"
	if s.Image != nil {
		what = s.Image.Name
	}
	title := fmt.Sprintf("write %s to %s", what, s.Region.Name)
	switch s.Verify {
	case CRC:
		title += ", verified by CRC"
	case Measurement:
		title += ", to be measured"
	}
	return title
}
func (s Erase) Title() string { return "erase " + names(s.Regions) }
func (Blank) Title() string   { return "blank elsewhere" }
func (s Lock) Title() string {
	bits := string(s.Bits)
	if s.Down {
		bits += ", locked down"
	}
	return fmt.Sprintf("lock %s (%s)", names(s.Regions), bits)
}
func (Freeze) Title() string     { return "freeze lock bits" }
func (Reset) Title() string      { return "reset" }
func (PowerCycle) Title() string { return "power cycle" }
func (s Config) Title() string   { return fmt.Sprintf("nonvolatile configuration %04X", s.NVCR) }
func (s Raw) Title() string {
	title := fmt.Sprintf("raw command %X", s.Send)
	switch {
	case s.Expect != nil:
		title += fmt.Sprintf(", expecting %X", s.Expect)
	case s.Read > 0:
		title += ", reading " + count(s.Read, "byte")
	}
	return title
}
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
func (Config) Permanent() bool     { return false } // can be written again
func (Raw) Permanent() bool        { return false } // one-way opcodes are refused

func (s Write) clone() Step {
	c := Write{Region: s.Region, Fields: cloneFields(s.Fields), Verify: s.Verify}
	if s.Image != nil {
		image := *s.Image
		c.Image = &image
	}
	return c
}
func (s Erase) clone() Step      { return Erase{Regions: slices.Clone(s.Regions)} }
func (s Blank) clone() Step      { return s }
func (s Lock) clone() Step       { return Lock{slices.Clone(s.Regions), s.Bits, s.Down} }
func (s Freeze) clone() Step     { return s }
func (s Reset) clone() Step      { return s }
func (s PowerCycle) clone() Step { return s }
func (s Config) clone() Step     { return s }
func (s Raw) clone() Step {
	s.Send, s.Expect = slices.Clone(s.Send), slices.Clone(s.Expect)
	return s
}
func (s Check) clone() Step {
	c := Check{Locked: slices.Clone(s.Locked)}
	if s.Frozen != nil {
		frozen := *s.Frozen
		c.Frozen = &frozen
	}
	return c
}

func cloneFields(fields []Field) []Field {
	c := slices.Clone(fields)
	for i, f := range c {
		c[i].Over = slices.Clone(f.Over)
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
