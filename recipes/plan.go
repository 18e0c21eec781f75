package recipes

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"station/flash"
)

// Plan is what a recipe does to one part when nothing is known of the chip, so that everything is erased and
// programmed: the most that a run can do. Times are nanoseconds in JSON.
type Plan struct {
	Recipe     string          `json:"recipe"`
	Version    int             `json:"version"`
	Title      string          `json:"title"`
	Digest     string          `json:"digest"`
	Part       string          `json:"part"`
	PartDigest string          `json:"part_digest"`
	ByteTime   time.Duration   `json:"byte_time_ns"` // eight clocks on the wire
	Steps      []PlannedStep   `json:"steps"`
	Total      Work            `json:"total"`
	Locked     []PlannedLock   `json:"locked"`    // at the end of the recipe
	OneWay     []PlannedOneWay `json:"one_way"`   // signed commands that are never undone; what they do to their region no lock bit tells
	Freeze     string          `json:"freeze"`    // at the end, one of the Freeze constants
	Permanent  []string        `json:"permanent"` // kinds of step that cannot be undone
	Forever    []string        `json:"forever"`   // what these steps leave behind, a sentence for each
	Escrow     []string        `json:"escrow"`    // groups that can open the secrets
	Values     []Value         `json:"values"`    // besides the serial
	ACRTMMap   string          `json:"acrtm_map"` // of the part's table, where signed commands are used: "invented" says that no real chip knows them
	Warnings   []string        `json:"warnings"`
	Assumed    []string        `json:"assumed"` // facts of the part profile that no source confirms
}

// How long lock bits stay as they are when a recipe has ended.
const (
	FreezeNone          = "none"
	FreezeUntilPowerOff = "until power-off"
	FreezePassword      = "until the password is given"
	FreezeNextPowerOn   = "from the next reset or power-off until the password is given"
)

// PlannedStep is one step with the ranges that it erases and programs, or locks.
type PlannedStep struct {
	Number    int           `json:"number"` // from 1
	Kind      string        `json:"kind"`
	Title     string        `json:"title"`
	Permanent bool          `json:"permanent"`
	Ranges    []flash.Range `json:"ranges"`  // rounded outward to what the chip can erase or lock
	Rounded   []flash.Range `json:"rounded"` // what rounding added; it comes out blank
	Work      Work          `json:"work"`
	Commands  []SignedKind  `json:"commands"` // of a relay
}

// PlannedOneWay is a signed one-way command that a region may get.
type PlannedOneWay struct {
	Command string      `json:"command"`
	Step    int         `json:"step"`
	Region  string      `json:"region"`
	Range   flash.Range `json:"range"`
}

// SignedKind is an authenticated command that a relay may carry.
type SignedKind struct {
	Name   string      `json:"name"`
	Class  flash.Class `json:"class"`
	OneWay bool        `json:"one_way"`
}

// Work counts operations and bytes, and the time they take: erasing, programming, setting lock bits and reading
// back, without the delays of USB and of people.
type Work struct {
	Erases       []EraseCount  `json:"erases"` // ascending by size
	Programs     int           `json:"programs"`
	LockBits     int           `json:"lock_bits"`
	EraseBytes   int64         `json:"erase_bytes"`
	ProgramBytes int64         `json:"program_bytes"`
	ReadBytes    int64         `json:"read_bytes"` // the readback, also that of earlier steps behind the last relay
	Typical      time.Duration `json:"typical_ns"` // by the part's typical times
	Max          time.Duration `json:"max_ns"`     // by the part's maximum times
}

// EraseCount is how many erases of one size there are.
type EraseCount struct {
	Size  int64 `json:"size"`
	Count int   `json:"count"`
}

// PlannedLock is a region that is locked when the recipe ends.
type PlannedLock struct {
	Region string `json:"region"`
	flash.Range
	Bits Bits `json:"bits"`
}

// Plan works out what the recipe does to a part, which has to be one of Parts (by name). byteTime is the time
// of eight clocks.
func (r *Recipe) Plan(part *flash.Part, byteTime time.Duration) (*Plan, error) {
	if !slices.ContainsFunc(r.parts, func(p *flash.Part) bool { return p.Name == part.Name }) {
		return nil, fmt.Errorf("recipe %s is not for part %s", r.id, part.Name)
	}
	if byteTime < 0 {
		return nil, fmt.Errorf("byte time %v is negative", byteTime)
	}
	p := &Plan{
		Recipe: r.id, Version: r.version, Title: r.title, Digest: r.digest, Part: part.Name, PartDigest: part.Digest(),
		ByteTime: byteTime, Locked: []PlannedLock{}, OneWay: []PlannedOneWay{}, Freeze: FreezeNone, Permanent: append([]string{}, r.Permanent()...),
		Forever: []string{}, Escrow: append([]string{}, r.EscrowGroups()...), Values: append([]Value{}, r.values...),
		Warnings: append([]string{}, r.warnings...), Assumed: append([]string{}, part.Assumed...),
	}
	for i, step := range r.steps {
		planned := PlannedStep{
			Number: i + 1, Kind: step.Kind(), Title: step.Title(), Permanent: step.Permanent(),
			Ranges: []flash.Range{}, Rounded: []flash.Range{}, Work: Work{Erases: []EraseCount{}}, Commands: []SignedKind{},
		}
		if step.Permanent() {
			p.Forever = append(p.Forever, forever(step))
		}
		var err error
		switch s := step.(type) {
		case Write, Erase, Blank:
			err = planned.content(part, r.wanted(part, step, unknownUnit), byteTime)
			if w, is := s.(Write); is && w.Verify == Measurement { // not read back
				readback := time.Duration(planned.Work.ReadBytes) * byteTime
				planned.Work.ReadBytes, planned.Work.Typical, planned.Work.Max = 0, planned.Work.Typical-readback, planned.Work.Max-readback
			}
		case Lock:
			planned.lock(part, s)
			for _, region := range s.Regions {
				p.Locked = append(p.Locked, PlannedLock{region.Name, flash.Range{Addr: region.At, Size: region.Size}, s.Bits})
			}
		case Freeze:
			planned.Work.Typical, planned.Work.Max = part.Register.Typ, part.Register.Max
			if p.Freeze == FreezeNextPowerOn {
				p.Freeze = FreezePassword
			} else {
				p.Freeze = FreezeUntilPowerOff
			}
		case Measure:
			p.signed(part, &planned, s.Region)
		case Relay:
			p.signed(part, &planned, s.Region)
			planned.relay(part, s)
			for _, c := range planned.Commands {
				if c.OneWay {
					p.OneWay = append(p.OneWay, PlannedOneWay{c.Name, i + 1, s.Region.Name, flash.Range{Addr: s.Region.At, Size: s.Region.Size}})
				}
			}
			for _, before := range r.Reread(i + 1) {
				for _, e := range r.wanted(part, before, unknownUnit) {
					planned.Work.ReadBytes += e.Size
				}
			}
		case Reset, PowerCycle:
			p.restart()
		case Password:
			planned.password(part, s)
			p.Freeze = FreezeNextPowerOn
			if s.Exercise != NoExercise {
				p.restart()
			}
		case PersistentProtection:
			planned.Work.Typical, planned.Work.Max = part.Protection.Typ, part.Protection.Max
		case Counter:
			// The pace is the chip's: it sustains no more.
			if rpmc := part.RPMC; rpmc != nil {
				increments := time.Duration(s.To - rpmc.Initial)
				planned.Work.Typical, planned.Work.Max = increments*rpmc.UpdateRate, increments*(rpmc.UpdateRate+rpmc.Limit)
			}
		case OTP:
			programs := time.Duration(1)
			if s.Lock {
				programs++
			}
			planned.Work.Typical, planned.Work.Max = programs*part.OTP.Program.Typ, programs*part.OTP.Program.Max
		case Config:
			planned.Work.Typical, planned.Work.Max = part.NVCR.Write.Typ, part.NVCR.Write.Max
		}
		if err != nil {
			return nil, fmt.Errorf("step %d, %s: %w", i+1, step.Title(), err)
		}
		p.Steps = append(p.Steps, planned)
		p.Total.add(planned.Work)
	}
	return p, nil
}

// signed notes a step that the key server signs. How many commands it takes, and how long they do, is the server's to know.
func (p *Plan) signed(part *flash.Part, planned *PlannedStep, region Region) {
	if part.ACRTM != nil {
		p.ACRTMMap = part.ACRTM.Map
	}
	if region.Name != "" {
		planned.Ranges = append(planned.Ranges, flash.Range{Addr: region.At, Size: region.Size})
	}
}

// relay lists the commands, and counts the readback of an image.
func (s *PlannedStep) relay(part *flash.Part, step Relay) {
	for _, name := range step.Commands {
		if part.ACRTM == nil {
			break
		}
		if c := part.ACRTM.Command(name); c != nil {
			s.Commands = append(s.Commands, SignedKind{c.Name, c.Class, c.OneWay})
		}
	}
	if step.Image != nil {
		s.Work.ReadBytes = step.Region.Size
	}
}

// restart is what a reset or power-off leaves.
func (p *Plan) restart() {
	switch p.Freeze {
	case FreezeNextPowerOn:
		p.Freeze = FreezePassword
	case FreezeUntilPowerOff:
		p.Freeze = FreezeNone
	}
	p.Locked = slices.DeleteFunc(p.Locked, func(l PlannedLock) bool { return l.Bits == Volatile })
}

// content plans erases and programs.
func (s *PlannedStep) content(part *flash.Part, want []flash.Extent, byteTime time.Duration) error {
	plan, err := flash.NewPlan(part, want, nil)
	if err != nil {
		return err
	}
	s.Ranges = append(s.Ranges, plan.Ranges...)
	s.Rounded = append(s.Rounded, plan.Rounded...)
	w := &s.Work
	for _, e := range part.Erases {
		if n := plan.Erases[e.Size]; n > 0 {
			w.Erases = append(w.Erases, EraseCount{e.Size, n})
		}
	}
	w.Programs, w.EraseBytes, w.ProgramBytes = plan.Programs, plan.EraseBytes, plan.ProgramBytes
	for _, r := range plan.Ranges {
		w.ReadBytes += r.Size
	}
	readback := time.Duration(w.ReadBytes) * byteTime
	w.Typical, w.Max = plan.Typical(byteTime)+readback, plan.Max(byteTime)+readback
	return nil
}

// lock counts lock bits: one for each sector, or for each smallest erase where volatile bits are that fine. Block protection is
// one write of the status register.
func (s *PlannedStep) lock(part *flash.Part, step Lock) {
	w := &s.Work
	for _, region := range step.Regions {
		s.Ranges = append(s.Ranges, flash.Range{Addr: region.At, Size: region.Size})
		for addr := region.At; step.Bits != Block && addr < region.At+region.Size; w.LockBits++ {
			edge := addr < part.Sector || addr >= part.Size-part.Sector
			if step.Bits == Volatile && part.VLB4KBoundary && edge {
				addr += part.Erases[0].Size
			} else {
				addr += part.Sector
			}
		}
	}
	slices.SortFunc(s.Ranges, func(a, b flash.Range) int { return cmp.Compare(a.Addr, b.Addr) })
	switch step.Bits {
	case Nonvolatile:
		w.Typical, w.Max = time.Duration(w.LockBits)*part.LockSet.Typ, time.Duration(w.LockBits)*part.LockSet.Max
	case Volatile:
		w.Typical, w.Max = time.Duration(w.LockBits)*part.Register.Typ, time.Duration(w.LockBits)*part.Register.Max
	case Block:
		w.Typical, w.Max = part.StatusWrite.Typ, part.StatusWrite.Max
	}
}

// password adds up 28, 2C, and where the unlock is tried out the restart, 29 and A6.
func (s *PlannedStep) password(part *flash.Part, step Password) {
	times := []flash.Timing{part.Password, part.Protection}
	if step.Exercise != NoExercise {
		times = append(times, flash.Timing{Typ: part.ResetRecovery, Max: part.ResetRecovery}, part.Unlock, part.Register)
	}
	for _, t := range times {
		s.Work.Typical += t.Typ
		s.Work.Max += t.Max
	}
}

func (w *Work) add(o Work) {
	for _, e := range o.Erases {
		i, found := slices.BinarySearchFunc(w.Erases, e, func(a, b EraseCount) int { return cmp.Compare(a.Size, b.Size) })
		if !found {
			w.Erases = slices.Insert(w.Erases, i, EraseCount{Size: e.Size})
		}
		w.Erases[i].Count += e.Count
	}
	w.Programs += o.Programs
	w.LockBits += o.LockBits
	w.EraseBytes += o.EraseBytes
	w.ProgramBytes += o.ProgramBytes
	w.ReadBytes += o.ReadBytes
	w.Typical += o.Typical
	w.Max += o.Max
}

// Print writes the plan for people.
func (p *Plan) Print(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s version %d: %s\n%s\non %s (%s)\n", p.Recipe, p.Version, p.Title, p.Digest, p.Part, p.PartDigest)
	if p.ACRTMMap == flash.Invented {
		b.WriteString("INVENTED MAP: the authenticated commands of this plan are made up, no real chip knows them, and only a simulated station sends them\n")
	} else if p.ACRTMMap != "" {
		fmt.Fprintf(&b, "map of the authenticated commands: %s\n", p.ACRTMMap)
	}
	b.WriteString("\n")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range p.Steps {
		title := s.Title
		if s.Permanent {
			title = "PERMANENT " + title
		}
		fmt.Fprintf(table, "%d.\t%s\t%s\t%s\n", s.Number, title, s.Work, s.Work.times())
		for _, r := range s.Ranges {
			fmt.Fprintf(table, "\t  %s\t%s\t\n", r, sizeText(r.Size))
		}
		for _, c := range s.Commands {
			class := string(c.Class)
			if c.OneWay {
				class += ", one-way"
			}
			fmt.Fprintf(table, "\t  command %s\t%s\t\n", c.Name, class)
		}
		for _, r := range s.Rounded {
			fmt.Fprintf(table, "\t  %s\t%s, added by rounding, comes out blank\t\n", r, sizeText(r.Size))
		}
	}
	fmt.Fprintf(table, "\ttotal\t%s\t%s\n", p.Total, p.Total.times())
	if err := table.Flush(); err != nil {
		return err
	}
	b.WriteString("\nAt the end:\n")
	for _, l := range p.Locked {
		fmt.Fprintf(&b, "  locked, %s: %s %s\n", l.Bits, l.Region, l.Range)
	}
	for _, o := range p.OneWay {
		fmt.Fprintf(&b, "  for ever, by the signed command %s of step %d: %s %s\n", o.Command, o.Step, o.Region, o.Range)
	}
	if len(p.Locked)+len(p.OneWay) == 0 {
		b.WriteString("  nothing is locked\n")
	}
	fmt.Fprintf(&b, "  freeze: %s\n", p.Freeze)
	if len(p.Forever) == 0 {
		b.WriteString("  cannot be undone: no step\n")
	} else {
		fmt.Fprintf(&b, "\nPERMANENT, never to be undone on that chip: %s\n", strings.Join(p.Permanent, ", "))
		for _, sentence := range p.Forever {
			fmt.Fprintf(&b, "  %s\n", sentence)
		}
	}
	if len(p.Escrow) > 0 {
		fmt.Fprintf(&b, "Secrets are sealed to: %s\n", strings.Join(p.Escrow, ", "))
	}
	for _, v := range p.Values {
		if v.Hex == "" {
			fmt.Fprintf(&b, "Each unit brings: %s, %s\n", v.Name, count(int(v.Bytes), "byte"))
		}
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	if len(p.Assumed) > 0 {
		fmt.Fprintf(&b, "assumed of the part, confirmed by no source: %s\n", strings.Join(p.Assumed, ", "))
	}
	if p.ACRTMMap != "" {
		b.WriteString("Signed commands are the key server's to count: the plan has neither their number nor their time.\n")
	}
	fmt.Fprintf(&b, "Counts are for a chip of unknown content; times are the chip's and the wire's at %v a byte.\n", p.ByteTime)
	lines := strings.Split(b.String(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	_, err := io.WriteString(out, strings.Join(lines, "\n"))
	return err
}

// String is "erase 64 x 64 KiB, program 16384 pages".
func (w Work) String() string {
	var parts []string
	for _, e := range w.Erases {
		parts = append(parts, fmt.Sprintf("erase %d x %s", e.Count, sizeText(e.Size)))
	}
	if w.Programs > 0 {
		parts = append(parts, "program "+count(w.Programs, "page"))
	}
	if w.LockBits > 0 {
		parts = append(parts, "set "+count(w.LockBits, "lock bit"))
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (w Work) times() string {
	if w.Max == 0 {
		return ""
	}
	return fmt.Sprintf("typical %s, at most %s", short(w.Typical), short(w.Max))
}

// short keeps as many digits as mean something.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.String()
}
