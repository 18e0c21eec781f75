package recipes

import (
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"station/flash"
)

// lockable proves that lock bits can cover exactly the region, on every part.
func (p *parser) lockable(region Region, n *yaml.Node, bits Bits) {
	if region.Size == 0 {
		return // not known, and reported
	}
	for _, part := range p.r.parts {
		unit, last := part.Sector, part.Size-part.Sector
		// whole tells whether a border between locked and unlocked can be at this address.
		whole := func(addr int64) bool { return addr%unit == 0 }
		cover := fmt.Sprintf("%s lock bits of %s cover %s each", bits, part.Name, sizeText(unit))
		if cell := part.Erases[0].Size; bits == Volatile && part.VLB4KBoundary {
			whole = func(addr int64) bool {
				return addr%unit == 0 || addr%cell == 0 && (addr < unit || addr > last)
			}
			cover += fmt.Sprintf(" (%s in its first and last %s)", sizeText(cell), sizeText(unit))
		}
		if !whole(region.At) || !whole(region.At+region.Size) {
			p.At(n, fmt.Sprintf("region %s (%s) cannot be locked exactly: %s", region.Name, rangeText(region.At, region.Size), cover),
				fmt.Sprintf("let it begin and end at a multiple of 0x%X", unit))
			return
		}
	}
}

// blockable proves that the status register can protect exactly these regions together, on every part.
func (p *parser) blockable(regions []Region, n *yaml.Node) {
	ranges := make([]flash.Range, len(regions))
	for i, r := range regions {
		if r.Size == 0 {
			return // not known, and reported
		}
		ranges[i] = flash.Range{Addr: r.At, Size: r.Size}
	}
	slices.SortFunc(ranges, func(a, b flash.Range) int { return cmp.Compare(a.Addr, b.Addr) })
	whole := ranges[0]
	for _, r := range ranges[1:] {
		if r.Addr != whole.Addr+whole.Size {
			p.At(n, fmt.Sprintf("block protection is one range, and these regions leave a gap from 0x%06X to 0x%06X", whole.Addr+whole.Size, r.Addr-1), "use bits: nonvolatile")
			return
		}
		whole.Size += r.Size
	}
	for _, part := range p.r.parts {
		if _, ok := part.BlockProtection(whole); !ok {
			p.At(n, fmt.Sprintf("block protection of %s cannot cover exactly %s (%s)", part.Name, whole, sizeText(whole.Size)),
				fmt.Sprintf("it covers %s, or 2, 4, 8... times that, from the first or up to the last byte of the chip", sizeText(part.Sector)))
			return
		}
	}
}

// protectable proves that protection commands, and those of registers and the OTP area, are known to reach every die of every part.
func (p *parser) protectable(d draftStep) {
	for _, part := range p.r.parts {
		if err := part.CanProtect(); err != nil {
			p.At(d.node, fmt.Sprintf("%s: %v", d.node.Value, err), "use a profile in which that was confirmed on silicon")
			return
		}
	}
}

// chipState is what the steps so far have done to a chip, as line numbers (0: not).
type chipState struct {
	content     map[string]int // region -> the write or erase
	nonvolatile map[string]int // region -> the lock
	volatile    map[string]int
	block       map[string]int
	config, otp int         // the steps
	password    int         // the step that switched password mode on
	persistent  int         // the step that ruled it out
	keys        map[int]key // counter -> its root key
	counted     map[int]int // counter -> the step that counted it
	frozen      int
	thawed      string // how the last freeze ended: "the power_cycle in line 12"
	thawedFrom  int    // the line of that freeze
	unlocked    map[string]string
	signed      map[string]int       // region -> the relay that may change it
	varies      map[string]int       // region -> the write of fields, which differ from unit to unit
	unmeasured  map[string]draftStep // region -> the write that a measure is to prove
}

// key is what is known of a root key.
type key struct {
	line    int
	derived bool
}

// restart is what a reset or power-off does. end names what did it, "the reset in line 12".
func (s *chipState) restart(end string, line int) {
	switch {
	case s.password != 0 && s.frozen == 0:
		s.frozen = line
	case s.password == 0 && s.frozen != 0:
		s.thawed, s.thawedFrom, s.frozen = end, s.frozen, 0
	}
	for name := range s.volatile {
		s.unlocked[name] = end
	}
	clear(s.volatile)
}

// comesUpFrozen explains a freeze that no freeze step made.
func (s *chipState) comesUpFrozen() string {
	if s.password == 0 {
		return ""
	}
	return "in password mode a chip comes up frozen from every reset and power-off"
}

// reported stands for the line of a content that comes too late or never, which the author has been told.
const reported = -1

// order walks the steps and proves the order rules. It stops at the first step that could not be read: what
// that one would have done is unknown. The rules are the same for every part.
func (p *parser) order() {
	s := chipState{content: map[string]int{}, nonvolatile: map[string]int{}, volatile: map[string]int{}, block: map[string]int{}, unlocked: map[string]string{},
		keys: map[int]key{}, counted: map[int]int{}, signed: map[string]int{}, varies: map[string]int{}, unmeasured: map[string]draftStep{}}
	for _, d := range p.steps {
		line := d.node.Line
		switch d.step.(type) {
		case Lock, Freeze, Password, PersistentProtection, OTP, Config:
			p.protectable(d)
		}
		switch step := d.step.(type) {
		case Write:
			p.plain(&s, step.Region.Name, d.regions[0])
			p.fill(&s, step.Region.Name, d.regions[0], line)
			if step.Image == nil {
				s.varies[step.Region.Name] = line
			}
			if step.Verify == Measurement {
				s.unmeasured[step.Region.Name] = d
			}
		case Erase:
			for i, r := range step.Regions {
				p.plain(&s, r.Name, d.regions[i])
				p.fill(&s, r.Name, d.regions[i], line)
			}
		case Measure:
			p.measures(&s, step, d)
		case Relay:
			if step.Image != nil {
				p.fill(&s, step.Region.Name, d.regions[0], line)
			} else if name := step.Region.Name; name != "" && step.Access == flash.StateChanging {
				s.signed[name] = line
				if filled := s.content[name]; filled > 0 && !step.OneWay { // what is never undone guards a region, as a rule
					p.warn(line, fmt.Sprintf("commands of job %s may change region %s, which line %d filled: it is read again at the end, and a unit where it differs FAILs", step.Job, name, filled))
				}
			}
		case Lock:
			p.locks(&s, step, d)
		case Freeze:
			if s.frozen != 0 {
				p.At(d.node, fmt.Sprintf("the chip is already frozen, since line %d", s.frozen), s.comesUpFrozen())
			}
			s.frozen = line
			if s.password == 0 {
				p.warn(line, "without password mode the freeze lasts until power-off or reset")
			}
		case Reset, PowerCycle:
			s.restart(fmt.Sprintf("the %s in line %d", step.Kind(), line), line)
		case Password:
			p.passwordMode(&s, step, d)
		case PersistentProtection:
			p.persistentMode(&s, d)
		case RootKey:
			if before, is := s.keys[step.Index]; is {
				p.At(d.index, fmt.Sprintf("counter %d has its root key already, from line %d", step.Index, before.line), "a root key can be written once")
				before.derived = before.derived || step.Derive != "" // which of the two is meant to be there is not known
				s.keys[step.Index] = before
			} else {
				s.keys[step.Index] = key{line, step.Derive != ""}
			}
		case Counter:
			p.counts(&s, step, d)
		case OTP:
			p.once(&s.otp, d, "what a second one wants to hold can stand in the first")
		case Config:
			p.once(&s.config, d, "the register holds one value")
		case Raw:
		case Check:
			p.checks(&s, step, d)
		default:
			return
		}
	}
	for _, d := range p.steps {
		if w, is := d.step.(Write); is && s.unmeasured[w.Region.Name].node == d.node {
			p.At(d.verify, fmt.Sprintf("no step measures region %s behind this one, so nothing would prove what it holds", w.Region.Name), fmt.Sprintf("add: - measure: {region: %s}", w.Region.Name))
		}
	}
	p.unused()
}

// once notes the line of a step of which there may be one.
func (p *parser) once(line *int, d draftStep, why string) {
	if *line != 0 {
		p.At(d.node, fmt.Sprintf("%s was carried out already, in line %d", d.node.Value, *line), why)
	}
	*line = d.node.Line
}

func (p *parser) warn(line int, sentence string) {
	p.r.warnings = append(p.r.warnings, fmt.Sprintf("line %d: %s", line, sentence))
}

// mode proves what both modes of protection want: that the chip is not frozen, since no source tells whether a frozen chip
// takes a password or a mode, and that none of the two is on.
func (p *parser) mode(s *chipState, d draftStep) bool {
	kind := d.node.Value
	switch {
	case s.password != 0 && kind == "password", s.persistent != 0 && kind == "persistent_protection":
		p.At(d.node, fmt.Sprintf("%s was carried out already, in line %d", kind, max(s.password, s.persistent)), "a chip takes it once")
	case s.password != 0:
		p.At(d.node, fmt.Sprintf("the password in line %d and persistent_protection exclude each other for ever", s.password), "choose one of them")
	case s.persistent != 0:
		p.At(d.node, fmt.Sprintf("persistent_protection in line %d rules a password out for ever", s.persistent), "choose one of them")
	case s.frozen != 0:
		p.At(d.node, fmt.Sprintf("%s comes too late: the chip is frozen since line %d", kind, s.frozen), "move it before the freeze")
	default:
		return true
	}
	return false
}

func (p *parser) passwordMode(s *chipState, step Password, d draftStep) {
	if !p.mode(s, d) {
		return
	}
	s.password = d.node.Line
	if len(s.nonvolatile) == 0 {
		p.warn(d.node.Line, "no region has nonvolatile lock bits, so the password keeps nothing locked: it keeps all regions from being locked")
	}
	if step.Exercise != NoExercise {
		s.restart(fmt.Sprintf("the exercise of the password in line %d", d.node.Line), d.node.Line)
	}
}

func (p *parser) persistentMode(s *chipState, d draftStep) {
	if p.mode(s, d) {
		s.persistent = d.node.Line
	}
}

func (p *parser) counts(s *chipState, step Counter, d draftStep) {
	root, is := s.keys[step.Index]
	switch {
	case !is:
		suggestion := fmt.Sprintf("only the root key can count; put before this step: - root_key: {index: %d, key: {derive: ...}, escrow: [...]}", step.Index)
		for _, later := range p.steps {
			if root, is := later.step.(RootKey); is && root.Index == step.Index {
				suggestion = fmt.Sprintf("move it behind the root_key in line %d", later.node.Line)
			}
		}
		p.At(d.index, fmt.Sprintf("counter %d has no root key here: no step before this one writes it", step.Index), suggestion)
	case !root.derived:
		p.At(d.index, fmt.Sprintf("counter %d has a random root key, from line %d, which the station does not keep", step.Index, root.line), "derive the root key, or leave the counter at its first value")
	case s.counted[step.Index] != 0:
		p.At(d.index, fmt.Sprintf("counter %d has its value already, from line %d", step.Index, s.counted[step.Index]), "one step counts to the last value")
	}
	s.counted[step.Index] = d.node.Line
}

// fill gives a region its content. There is one content for each region: a run that is resumed looks at the
// chip and could not tell the first of two contents from the second.
func (p *parser) fill(s *chipState, name string, n *yaml.Node, line int) {
	lockLine := max(s.nonvolatile[name], s.volatile[name], s.block[name])
	switch {
	case s.content[name] == reported:
		s.content[name] = line
	case lockLine != 0:
		p.At(n, fmt.Sprintf("region %s is locked since line %d and cannot change any more", name, lockLine), "move this step before the lock")
	case s.content[name] != 0:
		p.At(n, fmt.Sprintf("region %s has its content already, from line %d", name, s.content[name]), "a region is written or erased once; a write erases what it has to")
	default:
		s.content[name] = line
	}
}

// plain refuses a plain write or erase where signed commands were at work before: they may have made the chip refuse it.
func (p *parser) plain(s *chipState, name string, n *yaml.Node) {
	if line := s.signed[name]; line != 0 {
		p.At(n, fmt.Sprintf("region %s was left to signed commands in line %d, and the chip may refuse plain ones there from then on", name, line), "move this step before the relay, or let a relay write the image")
	}
}

// measures proves that the key server can know what the region holds: it is filled, and for all units alike.
func (p *parser) measures(s *chipState, step Measure, d draftStep) {
	name := step.Region.Name
	delete(s.unmeasured, name)
	switch {
	case s.varies[name] != 0:
		p.At(d.regions[0], fmt.Sprintf("region %s holds fields, from line %d, which differ from unit to unit: nobody knows what its measurement should be", name, s.varies[name]), "measure regions that hold an image or are erased")
	case s.content[name] == 0 && p.filled(name):
		p.At(d.regions[0], fmt.Sprintf("region %s is measured before it is written", name), "move the measure after the step that writes or erases it")
		s.content[name] = reported
	case s.content[name] == 0:
		p.At(d.regions[0], fmt.Sprintf("region %s would be measured, and no step writes or erases it: nobody knows what its measurement should be", name), "write it first")
		s.content[name] = reported
	}
}

func (p *parser) locks(s *chipState, step Lock, d draftStep) {
	late := step.Bits == Nonvolatile && (s.frozen != 0 || s.password != 0)
	switch {
	case late && s.password != 0:
		p.At(d.node, fmt.Sprintf("nonvolatile lock bits have to be set before the password in line %d, which is to keep them as they are", s.password), "lock first, then password, then freeze")
	case late:
		p.At(d.node, fmt.Sprintf("nonvolatile lock bits cannot change after the freeze in line %d", s.frozen), "lock first, then freeze")
	}
	locked := map[Bits]map[string]int{Nonvolatile: s.nonvolatile, Volatile: s.volatile, Block: s.block}[step.Bits]
	if step.Bits == Block {
		for _, line := range s.block {
			p.At(d.node, fmt.Sprintf("block protection is one range, set already in line %d", line), "name all of its regions there")
			return
		}
	}
	for i, r := range step.Regions {
		switch {
		case late:
		case locked[r.Name] != 0:
			p.At(d.regions[i], fmt.Sprintf("region %s is already locked, since line %d", r.Name, locked[r.Name]), "")
		case s.content[r.Name] == 0 && p.filled(r.Name):
			p.At(d.regions[i], fmt.Sprintf("region %s is locked before it is written", r.Name), "move the lock after the step that writes or erases it")
			s.content[r.Name] = reported
		case s.unmeasured[r.Name].node != nil:
			p.At(d.regions[i], fmt.Sprintf("region %s is locked before it is measured, and the write in line %d is proven by that alone", r.Name, s.unmeasured[r.Name].node.Line),
				fmt.Sprintf("put before the lock: - measure: {region: %s}", r.Name))
			delete(s.unmeasured, r.Name)
		case s.content[r.Name] == 0:
			p.At(d.regions[i], fmt.Sprintf("region %s would be locked, and no step writes or erases it", r.Name), "write it first: only content that was verified is locked")
			s.content[r.Name] = reported
		}
		locked[r.Name] = d.node.Line
	}
}

// filled tells whether any step writes or erases the region.
func (p *parser) filled(name string) bool {
	for _, d := range p.steps {
		switch step := d.step.(type) {
		case Write:
			if step.Region.Name == name {
				return true
			}
		case Relay:
			if step.Region.Name == name && step.Image != nil {
				return true
			}
		case Erase:
			if slices.Contains(regionNames(step.Regions), name) {
				return true
			}
		}
	}
	return false
}

func (p *parser) checks(s *chipState, step Check, d draftStep) {
	for i, r := range step.Locked {
		if s.nonvolatile[r.Name] != 0 || s.volatile[r.Name] != 0 || s.block[r.Name] != 0 {
			continue
		}
		if end := s.unlocked[r.Name]; end != "" {
			p.At(d.regions[i], fmt.Sprintf("region %s is not locked here: %s ended its volatile lock", r.Name, end), "lock it again before the check, or use bits: nonvolatile")
			continue
		}
		p.At(d.regions[i], fmt.Sprintf("region %s is not locked here: no step before this one locks it", r.Name), "")
	}
	if step.Frozen == nil {
		return
	}
	switch {
	case *step.Frozen && s.frozen == 0 && s.thawed != "":
		p.At(d.frozen, fmt.Sprintf("the chip is not frozen here: %s ended the freeze of line %d", s.thawed, s.thawedFrom), "without password mode a freeze lasts until power-off or reset; check before that, or freeze again")
	case *step.Frozen && s.frozen == 0 && s.password != 0:
		p.At(d.frozen, fmt.Sprintf("the chip is not frozen here: the password mode of line %d freezes it with the next reset or power-off", s.password), "put freeze, reset or power_cycle before the check")
	case *step.Frozen && s.frozen == 0:
		p.At(d.frozen, "the chip is not frozen here: no step before this one freezes it", "")
	case !*step.Frozen && s.frozen != 0:
		p.At(d.frozen, fmt.Sprintf("the chip is frozen here, since line %d", s.frozen), s.comesUpFrozen())
	}
}

// unused reports sound names that no step uses. It is asked only when every step could be read.
func (p *parser) unused() {
	for _, d := range p.regions {
		if !d.used && d.ok {
			p.At(d.key, fmt.Sprintf("region %s is never used", d.Name), "leave it out, or write, erase or lock it")
		}
	}
	for _, d := range p.values {
		if !d.used && d.ok {
			p.At(d.key, fmt.Sprintf("value %s is never used", d.Name), "leave it out, or write it to a region")
		}
	}
	for _, d := range p.images {
		if !d.used && d.ok {
			p.At(d.key, fmt.Sprintf("image %s is never used", d.Name), "leave it out, or write it to a region")
		}
	}
}
