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
	End     *RunEnd   // nil while the run is open
}

// Open says that the run was begun and never settled.
func (r *Run) Open() bool { return r.Start != nil && r.End == nil }

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

// Outcome is Interrupted for a run that is open.
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
		id, serial, slot := runOf(rec.Entry.Body)
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
		case RunStep:
			r.Steps = append(r.Steps, b)
		case RunEnd:
			r.End = &b
		}
	}
	return runs
}

func runOf(b Body) (run, serial, slot string) {
	switch b := b.(type) {
	case RunStart:
		return b.Run, b.Serial, b.Slot
	case RunResume:
		return b.Run, b.Serial, b.Slot
	case RunStep:
		return b.Run, b.Serial, ""
	case RunEnd:
		return b.Run, b.Serial, b.Slot
	}
	return "", "", ""
}
