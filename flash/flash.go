// Package flash is the chip behind the pins, as its driver sees it: part profiles, identification by
// ID and SFDP with recovery of a chip that was left asleep, suspended or in another protocol, the plan of erases and programs, reading,
// verifying, sector protection with its password, one-time programmable memory, configuration, CRC, replay-protected
// monotonic counters (RPMC, JESD260), and the relay of authenticated commands (A-CRTM) that somebody else signed, of Micron MT25Q serial NOR in single-bit SPI,
// stacked parts included.
//
// It speaks spi frames and knows nothing of USB, recipes, runs or the ledger. What is to be done to a unit, and
// what a failure means for it, belongs to the rooms above; how frames reach the pins belongs to the drivers.
//
// Sources are the MT25QL256ABA data sheet (DS), Micron's low-level driver (LLD) and JESD216B (SFDP). What none of
// them confirms is a value of the part profile, named in Part.Assumed, and never a constant in code.
//
// Absence of an error bit proves nothing (a lost write enable sets none), so the flag status is read after every
// write-type command and effects are read back. An all-FF answer is also a floating bus, so whatever
// is read counts only between two good ID reads of the same chip in one batch.
//
// Permanent commands are sent once and never again by the same call, and their failure is a *SentError. What makes them wanted, their
// intents, and the keeping of secrets belong to the rooms above. Secrets travel in frames marked Secret and stand in no error, and
// what this room copies of them it wipes; the hash states inside crypto/hmac are out of its reach.
package flash

import (
	"encoding/hex"
	"strings"
	"time"

	"station/spi"
)

// Chip is one identified chip on one connection. It is used by one goroutine at a time, like its spi.Conn.
type Chip struct {
	conn spi.Conn
	part *Part
	id   [20]byte
	sfdp *SFDP
	dies int  // how many dies the status is read of: the part's; before it is known, the most of all that it may be
	wide bool // 4-byte address mode, FSR bit 0, as last seen by ready

	recovered []string
	batch     batch // of page programs

	slept time.Duration

	look bool // the next read is to find out whether the chip was ready for it

	// Of the last proven read, to be used again.
	before, after [20]byte
	frames, reads []spi.Frame
	out, buffer   []byte
}

// Part is the profile that ID and SFDP agreed with.
func (c *Chip) Part() *Part { return c.part }

// ID is all that READ ID (9F) tells: six bytes of device ID, then fourteen of unique ID (DS N25Q256 p.38).
func (c *Chip) ID() [20]byte { return c.id }

// UID is the unique ID, bytes 6..19 of READ ID, as 28 upper-case hexadecimal digits.
func (c *Chip) UID() string { return strings.ToUpper(hex.EncodeToString(c.id[6:])) }

// Slept is how long calls have waited for the chip so far with nothing sent: the time of its erases, mostly, on the host's clock.
func (c *Chip) Slept() time.Duration { return c.slept }

// SFDP is the decoded SFDP area of the chip. Callers do not change it.
func (c *Chip) SFDP() *SFDP { return c.sfdp }

// SFDPDigest is "sha256:" and the hexadecimal SHA-256 of the SFDP area, from byte 0 to the end of its last table.
func (c *Chip) SFDPDigest() string { return c.sfdp.Digest() }
