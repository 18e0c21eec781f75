// Package conformance judges a chip by the datasheet alone: each case is one statement of the MT25Q data sheets, told with
// its section of the fact sheet, and tried in frames of chip select. It is a third reading, beside driver and simulator,
// and shares nothing with either: where all three agree on a real chip, the statement is true; where the simulator passes and
// a chip does not, the simulator is wrong.
//
// What belongs here: statements that can be seen through single-bit frames and undone. What does not: anything permanent
// (28, 2C, 42, 68, and 9B on parts with monotonic counters, are never sent), secrets (27, 29), programmers, profiles.
//
// # What a run does to a chip
//
// Without an Area it reads, and writes volatile registers. With one it programs and erases inside of the Area, writes
// the block protection bits of the status register and, where the chip allows that they be taken back (sector protection
// register FFFF, not frozen, no lock bit set), nonvolatile lock bits of the Area. With Options.NVCR it turns bit 0 of the
// nonvolatile configuration register over and back. After each case the chip is brought back to what it was, and at the
// end the sectors that were written to are erased; the rest of the Area keeps its data.
//
// A Pass or a Fail is about a statement that a source confirms. Where sources are silent or contradict each other,
// the result is Observed: it says in words what this chip does.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrContact says that a chip's ID was not constant, or that it stopped answering: what failed meanwhile proves nothing.
var ErrContact = errors.New("contact is bad")

// ErrBusy says that a chip answers steadily that it is busy, beyond every limit: it can be tested no further.
var ErrBusy = errors.New("chip stays busy")

// ErrState says that a chip comes up in another state than the statements expect, by its nonvolatile configuration register. Nothing was
// changed.
var ErrState = errors.New("the chip comes up in another state than the statements expect")

// Part is what the suite needs to know of the part under test.
type Part struct {
	Size         int     // bytes, all dies together
	Dies         int     // stacked dies of Size/Dies bytes; at least 1
	ID           [6]byte // the first bytes that 9F answers
	AddressBytes int     // that the size needs: 3 or 4
	Erase5C      bool    // has the 32 KiB erase with four address bytes
	RPMC         bool    // 9B and 96 are those of monotonic counters

	// StackedProtection says that on this stacked part lock bits of every die are known to be cleared by E4. Where it is false,
	// the suite sets none: a lock bit that E4 does not reach is for ever.
	StackedProtection bool

	// What the part's profile assumes where no source is sure. An Observed result says whether the chip differs.
	VLB4K    bool  // the first and the last sector have a volatile lock bit for each 4 KiB
	NVLBMask byte  // the bits of the answer to E2 that tell: all 0 is locked
	OTPSize  int   // bytes of the one-time-programmable area of 4B, before its control byte; 0: there is none
	CRC      *CRC  // nil: there is no CRC check
	Rescue   []int // bytes of the frames of FF that end quad protocol, ascending

	// Flag status bits of a command that is refused; 0: it is ignored without a word.
	ProgramRefused   byte // a program that hits a protected area
	EraseRefused     byte // an erase likewise
	LockRefused      byte // E3 to a frozen chip
	LockEraseRefused byte // E4 to a frozen chip
	VolatileRefused  byte // E5 to volatile lock bits that are locked down

	// Longest is how long an operation takes at most, by opcode: 02, 20, 52, D8, C7 or, on stacked parts, C4, 01, B1, E3, E4, 9B.
	// Those with four address bytes go with their twins. 0: nobody knows.
	Longest map[byte]time.Duration
}

// CRC is the layout of the check of 9B 27.
type CRC struct {
	Reflected    bool // the lowest bit of each byte goes first
	AddressBytes int  // of start and stop: 4, or 0 for as many as the address mode wants
	StopIncluded bool // stop is the last byte, not the one behind it
	WriteEnable  bool // 06 has to go before it
	ReadDummy    int  // bytes between 96 and its answer
}

// Range is Size bytes of the array from Addr on.
type Range struct{ Addr, Size int }

// Options are what a run may do, and to whom it tells.
type Options struct {
	// Power switches the chip's supply and returns when it is stable; nil: cases that need it are skipped. Its ctx is that of Run: a person
	// may take any time. A chip that was not without supply all the same is no fault of the chip: the case begins again, twice at most, then it is skipped.
	Power func(ctx context.Context, on bool) error
	// Kept hears that a chip was not without supply although Power said so; nil: nobody does.
	Kept func()
	// Area may be destroyed: whole 64 KiB sectors, at least four. Empty: nothing may.
	Area Range
	// Full adds what takes long or reaches beyond the Area without changing it: bulk and die erase where the Area holds all they
	// erase, and the borders of block protection.
	Full bool
	// NVCR allows writes of the nonvolatile configuration register.
	NVCR bool
	// Begin hears of each case that is not skipped at once, before it is tried; nil: nobody does.
	Begin func(Case)
	// Report hears of each result as it comes; nil: nobody does.
	Report func(Result)
}

// Case is one statement of the data sheets.
type Case struct {
	Name        string // the statement, in words
	Section     string // of the fact sheet
	Destructive bool   // writes to the array or to nonvolatile registers
	needs       need
	run         func(*bench)
}

// Minutes tells whether a case has the whole chip, or a die, erased, which takes minutes.
func (c Case) Minutes() bool { return c.needs&whole != 0 }

// Status is how a case ended.
type Status int

const (
	// Skipped: not tried; Detail says why.
	Skipped Status = iota
	// Pass: the chip does what the statement says.
	Pass
	// Fail: it does not; Detail says what it does, Evidence holds the last frames.
	Fail
	// Observed: no source is sure; Detail says what this chip does.
	Observed
)

func (s Status) String() string {
	return [...]string{"skipped", "pass", "fail", "observed"}[s]
}

// Result is how one case ended.
type Result struct {
	Case     Case
	Status   Status
	Detail   string   // why skipped, what failed, what was observed; empty for Pass
	Differs  bool     // Observed, and the part's profile assumes something else
	Locked   bool     // Skipped, for lock bits or block protection that were found set
	Evidence []string // of a Fail: the last frames until then, "9F > 20 BA 19" in hex
}

func (r Result) String() string {
	return fmt.Sprintf("%s (%s): %s %s", r.Case.Name, r.Case.Section, r.Status, r.Detail)
}

// Cases lists all statements in the order in which Run tries them.
func Cases() []Case {
	var all []Case
	for _, some := range [][]Case{identification, writeEnable(), program, erase(), busy, suspend, registers, addressing, lockBits,
		volatileLocks, freeze, refusals(), blockProtection, reset, power, otp, crc, rpmc, dies, longest(), last} {
		all = append(all, some...)
	}
	return all
}

// Longest waits: three times the maximum of section 7, at least 100 ms.
const (
	limitShort  = 100 * time.Millisecond // program, lock bit, status register
	limitErase  = 5 * time.Second        // 4, 32, 64 KiB, all lock bits; CRC of 64 KiB
	limitNVCR   = 3 * time.Second
	limitBulk   = 23 * time.Minute // 512 Mb, a die
	limitTidy   = 30 * time.Minute // all that has to be put back after a case, a bulk erase under way included
	afterReset  = time.Millisecond
	afterPower  = 10 * time.Millisecond
	afterWake   = 100 * time.Microsecond
	afterAsleep = 100 * time.Microsecond
)
