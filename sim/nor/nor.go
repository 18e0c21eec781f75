// Package nor is the chip of the simulated line: a Micron MT25Q serial NOR flash in single-bit SPI,
// restated from the datasheet and driven by the edges of its pins. Chip select falls, clocks pass,
// chip select rises, power comes and goes; nothing else reaches it.
//
// What belongs here: the chip's behaviour, the board file that keeps a chip across processes (file.go
// specifies the format), and a few looks behind the pins for tests. What does not: programmers, USB,
// serprog (sim/ftdi, sim/serprog and their like), and anything shared with the driver side: this is a
// second, independent reading of the datasheet, so it imports the standard library only.
//
// # Modelled
//
// Identification and SFDP; reads 03 13 0B 0C, with the dummy clocks that the volatile configuration says, to the bit; page
// program 02 12; erases 20 21 52 5C D8 DC, C7 60 on parts of one die and C4 on stacked ones, which also tell status die by die;
// suspend 75 and resume 7A; status, flag status, extended address and configuration registers;
// 4-byte mode B7 E9; reset 66 99; deep power-down B9 AB; block protection; advanced sector protection
// 2D 2C E8 E5 E0 E1 E2 E3 E4 A7 A6 with its password 27 28 29; one-time-programmable memory 4B 42; on standard parts
// the check of the array 9B 27 with its result 96, on the others replay-protected monotonic counters, 9B 96, and authenticated commands
// of an invented map; that a chip in
// quad, dual or DTR protocol or in XIP is silent on one wire, 35 and the interface rescue. The array is NOR: programs clear
// bits, only erases set them. Every other opcode is answered with FF and changes nothing, and so is every command that comes
// while the chip is busy, 05, 70, 75 and the counters' 96 excepted. Writes take effect when chip select rises, on a
// byte boundary, after exactly the bytes the command has; W# is high, so that bit 7 of the status register locks nothing.
//
// Not modelled: dual, quad and DTR transfers, the way out of XIP, wrapped reads, the protection management register (2B 68) and
// what else the secure option protects, the rate to which counter updates are bound, what a suspended unit reads as (here: as
// before), an operation that begins while another is suspended (here: ignored).
//
// # Fault model
//
// Options.Faults, changed at any time with SetFaults, makes a chip bad in the ways that a driver must
// notice: it stays busy for ever, cells read wrong and stay wrong, a contact is weak so that answers
// differ from read to read, bytes get lost on their way, lock bits read back as set and protect nothing, the password or the sector
// protection register reads back blank though it is not, the ID is another one, programs or erases end in
// the flag status error, bits flip on their way to the chip, the supply goes with an operation. Faults are not kept in the board file.
//
// Besides these, power may be cut at any instant: an operation in progress then leaves undefined data in its
// own page, erase unit or register, drawn from Options.Seed, and nothing else is harmed. Of the permanent
// operations 28 leaves the password as it was, whole, or with any of the bits cleared that were to be, and so does 42 the OTP; 2C
// holds or does not; a root key is not written, or is, or another is in its place, with some of its bits
// still 1; a counter is incremented or is not. A signed write or erase leaves its range as a plain one does, and the command counter as it was or one more;
// a range is protected, with the command counter, or is not.
package nor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Pace is how long self-timed operations (program, erase, nonvolatile register writes) take.
type Pace int

const (
	// None: they end at once; nobody ever sees WIP=1.
	None Pace = iota
	// Real: they take the datasheet's typical time by time.Now, or by the time on the wire where the programmer tells it (At).
	Real
)

// Options are what a chip does that its board file does not hold.
type Options struct {
	Pace Pace
	// Seed draws what is undefined: data after a power cut, the weak contact's answers.
	Seed uint64
	// Scale: with Pace Real programs and erases of the array take so many times the typical time; 0 means 1.
	Scale float64
	// Spread, from 0 to 1: each of them takes a time of its own, even between 1-Spread and 1+Spread times that, and one in 256 three
	// times as long. Drawn from Seed, the address, and how many operations came before.
	Spread float64

	// What public sources leave open (mt25q facts marked unknown or from memory). The zero value
	// is the likelier reading.

	// UnlockedReads01: E2 answers 01 for an unlocked sector, not FF. A locked one is 00 in both.
	UnlockedReads01 bool
	// FrozenSilent: E3 and E4 while frozen are ignored without a word. Otherwise they raise flag status
	// bits 1+4 and 1+5. WEL stays 1 in both.
	FrozenSilent bool
	// WholeSectorVLB: the first and the last sector have one volatile lock each, as all others, not
	// one for each 4 KiB.
	WholeSectorVLB bool
	// SecondPassword is what 28 does where there is a password already.
	SecondPassword Rewrite
	// BlankPassword00: the password from the factory is all zeros, and 28 sets bits of it. Otherwise all ones.
	BlankPassword00 bool
	// RefusedProgramBit1: a program that met a lock raises flag status bit 1 alone. Otherwise bits 1+4. WEL stays 1 in both.
	RefusedProgramBit1 bool
	// LockedDownRaises: E5 and E1 to a cell that is locked down raise flag status bits 1+4. Otherwise they are ignored without
	// a word. WEL stays 1 in both.
	LockedDownRaises bool
	// UndrivenReads00: 27, which drives nothing in password mode, then reads 00, not FF.
	UndrivenReads00 bool
	// DieWIP: on stacked parts 05 tells WIP of one die, the next one in each frame, as 70 does. Otherwise of the whole part.
	DieWIP bool
	// FirstDieProtection: on stacked parts the freeze, the password, the sector protection register and E4 belong to
	// the first die: in the others A6 freezes nothing, and a lock bit is for ever. Otherwise to all dies.
	FirstDieProtection bool
	// LockedAtBoot: on secure parts all volatile locks are set after power-up and reset.
	LockedAtBoot bool
	// LockedOTPSilent: 42 on locked OTP is ignored without a word. Otherwise it raises flag status bits 1+4. WEL stays 1 in both.
	LockedOTPSilent bool
	// OTPWraps: 4B goes on with byte 0 behind the control byte. Otherwise the control byte repeats.
	OTPWraps bool
	// NoRescue: a byte FF in a frame of its own does not bring a chip out of quad or dual protocol.
	NoRescue bool
	// CRC is for standard parts.
	CRC CRC
	// RPMC and ACRTM are for the parts that have it.
	RPMC  RPMC
	ACRTM ACRTM

	// Size makes a smaller part, for tests: a power of two from 1 MiB up to the part's own; 0 is that. READ ID and SFDP tell it.
	Size uint32
	// Permanent, where it is set, is told each command that can have an effect for ever (28, 2C, 42, 9B with 00, 02, F1 or F2) as the chip takes it,
	// before the effect: the opcode, and what follows it but addresses. garbled: a bit of it was flipped, or a byte lost, on its way. It must not call the chip.
	Permanent func(command []byte, garbled bool)

	Faults Faults
}

// Faults is what is wrong with a chip. The zero value is a good one.
type Faults struct {
	// StuckBusy: an operation that starts never ends; WIP stays 1.
	StuckBusy bool
	// FailProgram: 02, 12, 28, 2C, 42, E3 and register writes time out inside: nothing changes, WEL clears,
	// flag status bit 4. RPMC commands 00 and 02, signed writes and the protection of a range end in extended status 20.
	FailProgram bool
	// FailErase: array erases and E4 time out inside: nothing changes, WEL clears, flag status bit 5. Signed erases end in extended status 20.
	FailErase bool
	// IgnoreLocks: lock bits, volatile and not, read back as written and protect nothing.
	IgnoreLocks bool
	// PasswordReadsFF: 27 answers FF, whatever the password is.
	PasswordReadsFF bool
	// SPRReadsFFFF: 2D answers FFFF, whatever the sector protection register is.
	SPRReadsFFFF bool
	// Flip turns bits of array bytes over whenever these are read: address to mask.
	Flip map[uint32]byte
	// ID replaces the first bytes that 9F answers, at most 20.
	ID []byte
	// WeakContact: of so many answer bytes about one is garbled, others in every read; 0 is a good contact.
	WeakContact int
	// DropByte: of so many bytes about one is lost on its way: the chip misses its clocks, and FF is read for it; 0 loses none.
	DropByte int
	// FlipIn: of so many bytes that reach the chip about one has a bit flipped; 0 flips none.
	FlipIn int
	// Cut: the supply goes away, once, with the self-timed operation of this number, 1 being the next that begins; 0 is never.
	// It is torn as by Power(false), or, with CutDone, over before. Nobody is told; Power(true) brings the chip back.
	Cut     int
	CutDone bool
	// ACRTM is for the parts that have it.
	ACRTM ACRTMFaults
}

// ErrPart says that no such part is known; Parts lists those that are.
var ErrPart = errors.New("unknown part")

// Chip is one flash on one board. Its methods may be called from any goroutine.
//
// The board keeps its own state: a chip made by Create or Open goes on exactly where the last process
// left it.
type Chip struct {
	mu    sync.Mutex
	part  part
	uid   [14]byte
	opts  Options
	noise *rand.Rand
	board board
	st    state
	wire  frame
	// The time on the wire, where the programmer tells it; onWire during its calls.
	at      time.Time
	perByte time.Duration
	onWire  bool

	packet [maxBlock + 1]byte // what came behind 9B in the last frame of it
	turns  turns
	slot   []byte    // reused by save
	page   [256]byte // reused by programPage
	err    error     // the board file failed: the chip is dead
}

// New makes a factory-blank chip in memory, powered up. The error is ErrPart, wrapped with the name.
func New(name string, uid [14]byte, o Options) (*Chip, error) {
	p, ok := parts[name]
	if !ok {
		return nil, fmt.Errorf("%w %q", ErrPart, name)
	}
	if o.Size != 0 {
		var err error
		if p, err = p.cutTo(o.Size); err != nil {
			return nil, err
		}
	}
	c := newChip(p, uid, o)
	c.board = &memory{blocks: make([][]byte, p.size/block)}
	return c, nil
}

// newChip is a factory-blank, powered chip without a board.
func newChip(p part, uid [14]byte, o Options) *Chip {
	c := &Chip{part: p, uid: uid, opts: o, noise: rand.New(rand.NewPCG(o.Seed, 0))}
	c.st = blankState(p)
	c.st.password = c.blankPassword()
	c.boot()
	return c
}

// Part is the name that New or Create was given.
func (c *Chip) Part() string { return c.part.name }

// UID is the 14 factory bytes that end the answer to 9F.
func (c *Chip) UID() [14]byte { return c.uid }

// Size is the array's size in bytes.
func (c *Chip) Size() int { return int(c.part.size) }

// SetFaults replaces the chip's faults from now on.
func (c *Chip) SetFaults(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle() // what ended under the old faults has ended
	c.opts.Faults = f
}

// Err is the failure of the board file that made the chip dead, or nil. A dead chip answers FF and takes
// nothing; opening the file anew brings back the last state that was whole.
func (c *Chip) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Power cuts or applies the supply; what is already so is left alone. An operation in progress is torn by a
// cut. Power-up loads the volatile state from the nonvolatile.
func (c *Chip) Power(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	if c.err != nil || c.st.powered == on {
		return
	}
	c.wire = frame{}
	if !on {
		c.powerDown()
		return
	}
	c.boot()
	c.st.powered = true
	c.st.powerUps++
	if !c.opts.Faults.ACRTM.PowerOnStays {
		c.st.acrtm.powerOn++
	}
	c.deafFor(powerUp)
	c.save()
}

// powerDown is the supply going away.
func (c *Chip) powerDown() {
	c.tear()
	c.boot()
	c.st.powered = false
	c.save()
}

// Powered tells whether the supply is on.
func (c *Chip) Powered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.powered
}

// PowerUps tells how often the supply came back in the life of this board. A new board has power, and 0 of them.
func (c *Chip) PowerUps() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st.powerUps
}

// Bytes is a look behind the pins: n bytes of the array from addr on, wrapping at its end, without faults. It is
// nil where the board file cannot be read.
func (c *Chip) Bytes(addr uint32, n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	p := make([]byte, max(n, 0))
	if c.err != nil || c.cells(p, addr) != nil {
		return nil
	}
	return p
}

// LockedNonvolatile tells whether the nonvolatile lock bit of a 64 KiB sector is programmed.
func (c *Chip) LockedNonvolatile(sector int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return sector >= 0 && sector < c.part.sectors() && c.st.nvLocked(sector)
}

// Frozen tells whether the global freeze bit is 0.
func (c *Chip) Frozen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return !c.st.gfb
}

// SPR is a look behind the pins: the sector protection register, without faults.
func (c *Chip) SPR() uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return c.st.spr
}

// Keys of Counters.
const (
	CountPassword         = "password"          // 28 programmed the password: permanent
	CountRootKey          = "root_key"          // RPMC command 00 wrote a root key: permanent
	CountIncrement        = "counter_increment" // RPMC command 02: permanent
	CountOTP              = "otp"               // 42 programmed OTP: permanent
	CountSectorProtection = "sector_protection" // 2C cleared a bit: permanent
	CountLock             = "nvlb_program"      // E3 locked a sector
	CountUnlockAll        = "nvlb_erase"        // E4 cleared the lock bits
	CountProgram          = "array_program"     // 02 or 12
	CountErase            = "array_erase"       // any array erase
	CountSignedWrite      = "signed_write"      // A-CRTM F1 00
	CountSignedErase      = "signed_erase"      // A-CRTM F1 01
	CountProtect          = "protect"           // A-CRTM F2 00: permanent
)

// counted gives each counter its place in the board file; places are never reused.
var counted = [...]string{CountSectorProtection, CountLock, CountUnlockAll, CountProgram, CountErase,
	CountPassword, CountRootKey, CountIncrement, CountOTP, CountSignedWrite, CountSignedErase, CountProtect}

// Counters tells how often each operation took effect in the life of this board: every key above,
// 0 included. An operation that was refused, failed, or was torn before it held is not counted, nor is
// a 2C or E3 that had nothing to change. A 28 or 42 that the chip carries out is counted whatever it changed; a torn
// one where it changed a bit, and a torn root key where one is there, right or wrong. A signed command is counted where the command counter is.
func (c *Chip) Counters() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	m := make(map[string]uint64, len(counted))
	for i, name := range counted {
		m[name] = c.st.counts[i]
	}
	return m
}

func (c *Chip) count(name string) {
	for i, n := range counted {
		if n == name {
			c.st.counts[i]++
		}
	}
}

// deafFor makes the chip take and answer nothing for a while: after power-up, wake-up and reset.
func (c *Chip) deafFor(d time.Duration) {
	if c.opts.Pace == Real {
		c.st.deaf = c.now().Add(d)
	}
}

func (c *Chip) isDeaf() bool { return !c.st.deaf.IsZero() && c.now().Before(c.st.deaf) }
