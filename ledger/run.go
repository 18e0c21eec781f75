package ledger

// Record is an entry with its place in the ledger.
type Record struct {
	Index int64
	Entry Entry
	Bytes []byte // canonical bytes, the leaf
}

// Run is what the entries of one run add up to.
type Run struct {
	ID      string
	Serial  string
	Slot    string // where it was last
	Records []Record
	Start   *RunStart // nil when nothing was touched
	Steps   []RunStep // in the order of their entries; a resumed run may have a step twice
	Stuck   *RunStuck // why only a person can decide; nil when nobody needs to, and once the run was resumed
	End     *RunEnd   // nil while the run is open, and when a person closed it
	Close   *UnitClose
}

// Open says that the run was begun and never settled, neither by its end nor by a person.
func (r *Run) Open() bool { return r.Start != nil && r.End == nil && r.Close == nil }

// Chip is the chip that the run met, nil when it met none.
func (r *Run) Chip() *Chip {
	switch {
	case r.Start != nil:
		return &r.Start.Chip
	case r.End != nil:
		return r.End.Chip
	}
	return nil
}

// Recipe is what the run carried out or was asked to.
func (r *Run) Recipe() Recipe {
	switch {
	case r.Start != nil:
		return r.Start.Recipe
	case r.End != nil:
		return r.End.Recipe
	}
	return Recipe{}
}

// Outcome is Interrupted for a run that is open, and for one that a person closed: nobody knows what became of that chip.
func (r *Run) Outcome() Outcome {
	if r.End == nil {
		return Interrupted
	}
	return r.End.Outcome
}

// Runs adds records, in the order of their indexes, up to runs, in the order of their first records.
func Runs(records []Record) []Run {
	var runs []Run
	at := map[string]int{}
	for _, rec := range records {
		id, serial, slot := RunOf(rec.Entry.Body)
		if id == "" {
			continue
		}
		i, ok := at[id]
		if !ok {
			i = len(runs)
			at[id] = i
			runs = append(runs, Run{ID: id, Serial: serial})
		}
		r := &runs[i]
		r.Records = append(r.Records, rec)
		if slot != "" {
			r.Slot = slot
		}
		switch b := rec.Entry.Body.(type) {
		case RunStart:
			r.Start = &b
		case RunResume:
			r.Stuck = nil
		case RunStep:
			r.Steps = append(r.Steps, b)
		case RunStuck:
			r.Stuck = &b
		case RunEnd:
			r.End = &b
		case UnitClose:
			r.Close = &b
		}
	}
	return runs
}

// RunOf names the run that an entry belongs to, its serial, and the slot where the entry tells it. All are "" for an entry
// of no run, but for the serial of a permission for rework, and for a kind that this version does not know.
func RunOf(b Body) (run, serial, slot string) {
	switch b := b.(type) {
	case RunStart:
		return b.Run, b.Serial, b.Slot
	case RunResume:
		return b.Run, b.Serial, b.Slot
	case RunStep:
		return b.Run, b.Serial, ""
	case RunStop:
		return b.Run, b.Serial, ""
	case RunEnd:
		return b.Run, b.Serial, b.Slot
	case PasswordIntent:
		return b.Run, b.Serial, ""
	case PasswordVoid:
		return b.Run, b.Serial, ""
	case PasswordProven:
		return b.Run, b.Serial, ""
	case ModeIntent:
		return b.Run, b.Serial, ""
	case ModeProven:
		return b.Run, b.Serial, ""
	case RootKeyIntent:
		return b.Run, b.Serial, ""
	case RootKeyVoid:
		return b.Run, b.Serial, ""
	case RootKeyProven:
		return b.Run, b.Serial, ""
	case PermanentIntent:
		return b.Run, b.Serial, ""
	case RunStuck:
		return b.Run, b.Serial, ""
	case UnitClose:
		return b.Run, b.Serial, ""
	case ReworkPermit:
		return "", b.Serial, ""
	case ReworkWithdrawn:
		return "", b.Serial, ""
	case PasswordOpened:
		return b.Run, b.Serial, ""
	case LocksErased:
		return b.Run, b.Serial, ""
	case RelayIntent:
		return b.Run, b.Serial, ""
	case RelayAnswer:
		return b.Run, b.Serial, ""
	}
	return "", "", ""
}
