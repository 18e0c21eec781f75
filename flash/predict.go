package flash

// Action is what a command does that protection decides over.
type Action int

const (
	ActProgram     Action = iota // 02, 12
	ActErase                     // an erase of Range: 4 KiB to a die, or all by C7
	ActLock                      // E3
	ActEraseLocks                // E4
	ActVolatile                  // E1, E5
	ActBlockStatus               // 01
)

// Command is a write-type command behind a write enable, as far as protection decides over it.
type Command struct {
	Action Action
	Range  Range // the bytes that are programmed or erased, the sector, or the cell
}

// Refusal is what a chip does with a command that protection forbids. It has no effect and leaves the write enable latch set; FSR are the
// error bits that it raises, 0 where it ignores the command without a word.
type Refusal struct{ FSR byte }

// Refuses predicts what a chip in this state of protection does with a command: nil, it carries it out; else how it refuses. It is pure.
//
// Sources: DS p.66 (array), p.35 and LLD (freeze), N25Q256 p.14 (lock-down); what they leave open is in the part profile.
func (p Protection) Refuses(cmd Command) *Refusal {
	switch cmd.Action {
	case ActProgram:
		if p.touched(cmd.Range) {
			return &Refusal{p.part.ProgramRefused}
		}
	case ActErase:
		// An erase of the whole part runs only when all block protection bits are 0 (DS p.23 note 1): that is the same, because every
		// value but 0 protects something.
		if p.touched(cmd.Range) {
			return &Refusal{p.part.EraseRefused}
		}
	case ActLock:
		if p.Frozen {
			return &Refusal{p.part.LockRefused}
		}
	case ActEraseLocks:
		if p.Frozen {
			return &Refusal{p.part.LockEraseRefused}
		}
	case ActVolatile:
		if i := p.part.cell(cmd.Range.Addr); p.Volatile[i]&volatileDown != 0 {
			return &Refusal{p.part.VolatileRefused}
		}
	}
	return nil
}

// touched tells whether any byte of r that the part has is locked, by block protection, a nonvolatile or a volatile lock bit.
func (p Protection) touched(r Range) bool {
	end := min(r.Addr+r.Size, p.part.Size)
	if r.Addr < 0 || r.Addr >= end {
		return false
	}
	if b := p.BlockRange(); b.Addr < end && r.Addr < b.Addr+b.Size {
		return true
	}
	for s := r.Addr / p.part.Sector; s*p.part.Sector < end; s++ {
		if p.Nonvolatile[s] {
			return true
		}
	}
	for i := p.part.cell(r.Addr); i <= p.part.cell(end-1); i++ {
		if p.Volatile[i]&volatileLock != 0 {
			return true
		}
	}
	return false
}

// cell is the number of the volatile cell that holds addr, in the order of VolatileCells.
func (p *Part) cell(addr int64) int {
	sector := int(addr / p.Sector)
	if !p.VLB4KBoundary {
		return sector
	}
	unit := p.Erases[0].Size
	more := int(p.Sector / unit)
	switch sector {
	case 0:
		return int(addr / unit)
	case p.Sectors() - 1:
		return more + sector - 1 + int(addr%p.Sector/unit)
	}
	return more + sector - 1
}
