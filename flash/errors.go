package flash

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers branch on.
var (
	// ErrAbsent: every answer was FF, or every answer was 00. Nothing is connected, or nothing is powered.
	ErrAbsent = errors.New("no chip answers")
	// ErrUnsteady: of many readings of the same thing some came out differently.
	ErrUnsteady = errors.New("the contact is unstable")
	// ErrNotExecuted: the command raised no error, and reading back shows that it had no effect.
	ErrNotExecuted = errors.New("the chip did not carry out the command")
	// ErrFrozen: the global freeze bit is 0, so nonvolatile lock bits cannot be changed. Nothing was sent.
	ErrFrozen = errors.New("the chip is frozen")
	// ErrCells: a volatile lock bit locks more, or less, than the cell that the part profile says it has.
	ErrCells = errors.New("the chip's volatile lock cells are not as the part profile says")
	// ErrStacked: no source tells whether protection acts on all dies of a stacked part, and the profile does not say that it was seen to. Nothing was sent.
	ErrStacked = errors.New("protection of stacked parts is not confirmed")
)

// at names an operation in an error; addr < 0 means that it has no address.
func at(op string, addr int64) string {
	if addr < 0 {
		return op
	}
	return fmt.Sprintf("%s at 0x%06X", op, addr)
}

// UnstableError: the same thing read twice came out differently. The contact is bad, not the chip. Readings of a
// secret are left out.
type UnstableError struct {
	Op            string
	Addr          int64 // -1 where there is none
	First, Second []byte
}

func (e *UnstableError) Error() string {
	if e.First == nil {
		return at(e.Op, e.Addr) + ": two readings differ"
	}
	return fmt.Sprintf("%s: two readings differ: %X, then %X", at(e.Op, e.Addr), e.First, e.Second)
}

// WrongPartError: a chip answered steadily, and its six device ID bytes are none of the wanted.
type WrongPartError struct {
	Got  DeviceID
	Want []*Part
}

func (e *WrongPartError) Error() string {
	s := fmt.Sprintf("wrong part: ID is %s, want", e.Got)
	for i, p := range e.Want {
		if i > 0 {
			s += " or"
		}
		s += fmt.Sprintf(" %s (%s)", p.ID, p.Name)
	}
	if v := e.variant(); v != "" {
		s += ": " + v
	}
	return s
}

// WrongSFDPError: the ID is right, and the SFDP area contradicts the part profile.
type WrongSFDPError struct {
	Field     string
	Got, Want string
}

func (e *WrongSFDPError) Error() string {
	return fmt.Sprintf("wrong SFDP: %s is %s, want %s", e.Field, e.Got, e.Want)
}

// OtherChipError: a chip answers steadily, and it is not the one that was identified.
type OtherChipError struct{ Got, Want [20]byte }

func (e *OtherChipError) Error() string {
	return fmt.Sprintf("another chip answers: ID is %X, was %X", e.Got, e.Want)
}

// BusyError: an operation was not over at the part's limit.
//
// StuckBusy says that the status registers answered steadily and plausibly, so the chip is at fault. Otherwise the contact is,
// and the error wraps ErrAbsent (all 00, all FF) or an *UnstableError.
type BusyError struct {
	Op        string
	Addr      int64 // -1 where there is none
	Limit     time.Duration
	SR, FSR   byte // the last ones read
	StuckBusy bool
	contact   error
}

func (e *BusyError) Error() string {
	s := fmt.Sprintf("%s: not ready after %v (status 0x%02X, flag status 0x%02X)", at(e.Op, e.Addr), e.Limit, e.SR, e.FSR)
	if e.contact != nil {
		s += ": " + e.contact.Error()
	}
	return s
}

func (e *BusyError) Unwrap() error { return e.contact }

// ProtectedError: the chip refused, because the address is locked (flag status bit 1).
type ProtectedError struct {
	Op   string
	Addr int64 // -1 where there is none
	FSR  byte
}

func (e *ProtectedError) Error() string {
	return fmt.Sprintf("%s: refused, protected (flag status 0x%02X)", at(e.Op, e.Addr), e.FSR)
}

// OperationError: the chip tried and failed (flag status bit 4 or 5 without bit 1).
type OperationError struct {
	Op   string
	Addr int64 // -1 where there is none
	FSR  byte
}

func (e *OperationError) Error() string {
	return fmt.Sprintf("%s: failed (flag status 0x%02X)", at(e.Op, e.Addr), e.FSR)
}

// MismatchError: the byte at Addr was read twice as Got and should be Want.
type MismatchError struct {
	Addr      int64
	Want, Got byte
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("mismatch at 0x%06X: want 0x%02X, got 0x%02X", e.Addr, e.Want, e.Got)
}

// UnprotectedError: an address that should be locked did not refuse a program. Changed says that its data was altered by it.
type UnprotectedError struct {
	Addr    int64
	FSR     byte
	Changed bool
}

func (e *UnprotectedError) Error() string {
	s := fmt.Sprintf("0x%06X is not protected: a program was not refused (flag status 0x%02X)", e.Addr, e.FSR)
	if e.Changed {
		s += " and changed the data"
	}
	return s
}
