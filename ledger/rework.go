package ledger

import (
	"errors"
	"fmt"
	"time"
)

// Entries about rework: a supervised second run on a unit that already passed, failed or was closed.

const (
	KindReworkPermit    = "rework.permit"
	KindReworkWithdrawn = "rework.withdrawn"
	KindPasswordOpened  = "password.opened"
	KindLocksErased     = "locks.erased"
)

// What chip a reworked unit is to have.
const (
	SameChip = "same" // the one that it has
	NewChip  = "new"  // one that the ledger does not know; the old one is retired
)

// ReworkPermit is a person's leave to run a unit once more. The next run of the serial uses it, and no other ever does.
type ReworkPermit struct {
	Serial        string `json:"serial"`
	Reason        string `json:"reason"`
	By            string `json:"by"`            // pseudonymous id
	Authenticated bool   `json:"authenticated"` // somebody checked that it was that person
	Chip          string `json:"chip"`          // SameChip or NewChip
	UID           string `json:"uid"`           // of the chip that the serial has until then
	Recipient     string `json:"recipient"`     // of the station (age1...): to whom an auditor may re-seal that chip's password for the run; "" where there is none
}

// ReworkWithdrawn takes back a permission that no run has used, so that another one can be given.
type ReworkWithdrawn struct {
	Serial        string `json:"serial"`
	Permit        int64  `json:"permit"` // index of the permission
	Reason        string `json:"reason"`
	By            string `json:"by"`
	Authenticated bool   `json:"authenticated"`
}

// PasswordOpened says that the chip, frozen by its password mode, opened with the password of an escrow of an earlier run (command 29).
type PasswordOpened struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Escrow string `json:"escrow"`
}

// LocksErased says that a reworked chip's nonvolatile lock bits were erased (E4) and its block protection lifted, and that both read back so.
type LocksErased struct {
	Run          string  `json:"run"`
	Serial       string  `json:"serial"`
	UID          string  `json:"uid"`
	Nonvolatile  []Range `json:"nonvolatile"`   // which were locked until then
	BlockProtect []Range `json:"block_protect"` // likewise by the status register
}

func (ReworkPermit) Kind() string    { return KindReworkPermit }
func (ReworkWithdrawn) Kind() string { return KindReworkWithdrawn }
func (PasswordOpened) Kind() string  { return KindPasswordOpened }
func (LocksErased) Kind() string     { return KindLocksErased }

// Permission is a rework.permit with its place in the ledger, and what took it back, if anything did.
type Permission struct {
	ReworkPermit
	Index     int64
	Time      time.Time
	Withdrawn *ReworkWithdrawn
}

// Permissions reads the permissions among records of one serial, in the order of their indexes.
func Permissions(records []Record) []Permission {
	var out []Permission
	for _, rec := range records {
		switch b := rec.Entry.Body.(type) {
		case ReworkPermit:
			out = append(out, Permission{ReworkPermit: b, Index: rec.Index, Time: rec.Entry.Time})
		case ReworkWithdrawn:
			if n := len(out); n > 0 && out[n-1].Index == b.Permit {
				out[n-1].Withdrawn = &b
			}
		}
	}
	return out
}

// Unused is the permission of a serial that its next run uses, nil where there is none. runs are all of that serial.
func Unused(runs []Run, permits []Permission) *Permission {
	if len(permits) == 0 {
		return nil
	}
	p := &permits[len(permits)-1]
	if p.Withdrawn != nil {
		return nil
	}
	for _, r := range runs {
		if r.Start != nil && r.Start.Permit == p.Index {
			return nil
		}
	}
	return p
}

// Check judges a permission by itself; unused is one of the same serial that no run has used, nil where there is none. Errors wrap ErrGrammar.
func (p ReworkPermit) Check(unused *Permission) error {
	var err error
	switch {
	case p.Serial == "" || p.UID == "":
		err = errors.New("of no unit or no chip")
	case p.Chip != SameChip && p.Chip != NewChip:
		err = fmt.Errorf("for the chip %q", p.Chip)
	case p.Reason == "" || p.By == "":
		err = errors.New("without a reason or a person")
	case unused != nil:
		err = fmt.Errorf("beside the permission of entry %d, which no run has used", unused.Index)
	}
	if err != nil {
		err = fmt.Errorf("%w: %s of %q %w", ErrGrammar, KindReworkPermit, p.Serial, err)
	}
	return err
}

// Check judges a withdrawal; unused is the serial's permission that no run has used, nil where there is none. Errors wrap ErrGrammar.
func (w ReworkWithdrawn) Check(unused *Permission) error {
	switch {
	case unused == nil || unused.Index != w.Permit:
		return fmt.Errorf("%w: %s of permission %d of %q, which is not there unused", ErrGrammar, KindReworkWithdrawn, w.Permit, w.Serial)
	case w.Reason == "" || w.By == "":
		return fmt.Errorf("%w: %s of %q without a reason or a person", ErrGrammar, KindReworkWithdrawn, w.Serial)
	}
	return nil
}

// CheckRework judges what a run.start says of rework: it uses the serial's unused permission, where there is one, on the chip that this names, and
// retires the chip that the unit had where a new one takes its place; and a chip once retired is never begun again. Errors wrap ErrGrammar.
func (s RunStart) CheckRework(unused *Permission, retired bool) error {
	var err error
	switch {
	case retired:
		err = fmt.Errorf("on chip %s, which is retired", s.Chip.UID)
	case unused == nil && s.Permit != 0:
		err = fmt.Errorf("by the permission of entry %d, which its serial does not have", s.Permit)
	case unused == nil && s.Retires != "":
		err = fmt.Errorf("retires chip %s without a permission", s.Retires)
	case unused == nil:
	case s.Permit != unused.Index:
		err = fmt.Errorf("quotes permission %d, and its serial has that of entry %d", s.Permit, unused.Index)
	case unused.Chip == SameChip && (s.Retires != "" || s.Chip.UID != unused.UID):
		err = fmt.Errorf("on chip %s, retiring %q, and the permission is for chip %s again", s.Chip.UID, s.Retires, unused.UID)
	case unused.Chip == NewChip && (s.Retires != unused.UID || s.Chip.UID == unused.UID):
		err = fmt.Errorf("on chip %s, retiring %q, and the permission is for another chip than %s, which it retires", s.Chip.UID, s.Retires, unused.UID)
	}
	if err != nil {
		err = fmt.Errorf("%w: run %s: started %w", ErrGrammar, s.Run, err)
	}
	return err
}

// Reworks follows permissions and retired chips through a whole ledger. The zero value is that of an empty one.
type Reworks struct {
	unused  map[string]*Permission // by serial
	retired map[string]bool        // by UID
}

// After takes one more entry in. Errors wrap ErrGrammar and change nothing.
func (r *Reworks) After(rec Record) error {
	switch b := rec.Entry.Body.(type) {
	case ReworkPermit:
		if err := b.Check(r.unused[b.Serial]); err != nil {
			return err
		}
		if r.unused == nil {
			r.unused = map[string]*Permission{}
		}
		r.unused[b.Serial] = &Permission{ReworkPermit: b, Index: rec.Index, Time: rec.Entry.Time}
	case ReworkWithdrawn:
		if err := b.Check(r.unused[b.Serial]); err != nil {
			return err
		}
		delete(r.unused, b.Serial)
	case RunStart:
		if err := b.CheckRework(r.unused[b.Serial], r.retired[b.Chip.UID]); err != nil {
			return err
		}
		delete(r.unused, b.Serial)
		if b.Retires != "" {
			if r.retired == nil {
				r.retired = map[string]bool{}
			}
			r.retired[b.Retires] = true
		}
	}
	return nil
}
