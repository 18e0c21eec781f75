package flash

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// Range is Size bytes from Addr on.
type Range struct {
	Addr int64 `json:"addr"`
	Size int64 `json:"size"`
}

func (r Range) String() string { return fmt.Sprintf("0x%06X..0x%06X", r.Addr, r.Addr+r.Size-1) }

// Extent is what Size bytes from Addr on are to hold: Data, and FF where Data is shorter.
type Extent struct {
	Addr, Size int64
	Data       []byte
}

// blank tells whether b is FF throughout.
func blank(b []byte) bool {
	for _, v := range b {
		if v != 0xFF {
			return false
		}
	}
	return true
}

// fill copies to p what the extent wants from addr on, addr and all of p being inside it.
func (e Extent) fill(p []byte, addr int64) {
	n := 0
	if from := addr - e.Addr; from < int64(len(e.Data)) {
		n = copy(p, e.Data[from:])
	}
	for i := range p[n:] {
		p[n+i] = 0xFF
	}
}

// check refuses an extent that the part cannot hold.
func (e Extent) check(p *Part) error {
	if e.Addr < 0 || e.Size <= 0 || e.Addr > p.Size-e.Size {
		return fmt.Errorf("extent of 0x%X bytes at 0x%06X is not within the 0x%X bytes of a %s", e.Size, e.Addr, p.Size, p.Name)
	}
	if int64(len(e.Data)) > e.Size {
		return fmt.Errorf("extent at 0x%06X: %d bytes of data in %d bytes", e.Addr, len(e.Data), e.Size)
	}
	return nil
}

// Knowledge is what is known of one sector. The zero value: nothing.
type Knowledge struct {
	Blank bool   // all FF
	Data  []byte // the sector's present bytes, all of them; nil: not known
}

// Known is knowledge by sector number, as Survey returns it.
type Known map[int]Knowledge

// Sector is what is known of a sector; the argument that NewPlan wants.
func (k Known) Sector(sector int) Knowledge { return k[sector] }

// Op is one operation of a plan: a program of Data at Addr, or, where Data is nil, an erase of Size bytes.
// A program stays within one page.
type Op struct {
	Addr, Size int64
	Data       []byte
}

// Plan is the ordered erases and programs that make a part hold what is wanted. By ascending sector,
// in each sector first the erases and then the programs, ascending; the erase of a die comes first of all in it. Empty Ops: all is right already.
type Plan struct {
	Part    *Part
	Ops     []Op
	Ranges  []Range // what the plan is responsible for: each extent, rounded outward to the smallest erase; ascending
	Rounded []Range // what rounding added to the extents; comes out blank

	EraseBytes, ProgramBytes int64
	Erases                   map[int64]int // erases by their size
	Programs                 int
}

// NewPlan works out the cheapest way, by typical time, from what is known to what is wanted. It is pure.
//
// Extents are rounded outward to the smallest erase; what that adds comes out blank. Extents that then
// overlap are an error. Nothing outside is touched. An erase never takes non-blank content that needs none; it may sweep over blank
// bytes where one large erase is cheaper than several small ones; likewise a die that is wanted whole. What is right is not programmed, nor are FF pages, and no
// program asks for a 0 to become 1. known may be nil: nothing is known.
func NewPlan(part *Part, want []Extent, known func(sector int) Knowledge) (*Plan, error) {
	if known == nil {
		known = func(int) Knowledge { return Knowledge{} }
	}
	unit := part.Erases[0].Size
	plan := &Plan{Part: part, Erases: map[int64]int{}}
	want = slices.Clone(want)
	slices.SortStableFunc(want, func(a, b Extent) int { return int(max(-1, min(1, a.Addr-b.Addr))) })
	for i, e := range want {
		if err := e.check(part); err != nil {
			return nil, err
		}
		lo := e.Addr / unit * unit
		hi := (e.Addr + e.Size + unit - 1) / unit * unit
		if i > 0 {
			if last := plan.Ranges[i-1]; lo < last.Addr+last.Size {
				return nil, fmt.Errorf("extents at 0x%06X and 0x%06X share the %d-byte erase unit at 0x%06X", want[i-1].Addr, e.Addr, unit, lo)
			}
		}
		plan.Ranges = append(plan.Ranges, Range{lo, hi - lo})
		if lo < e.Addr {
			plan.Rounded = append(plan.Rounded, Range{lo, e.Addr - lo})
		}
		if end := e.Addr + e.Size; end < hi {
			plan.Rounded = append(plan.Rounded, Range{end, hi - end})
		}
	}
	dies, err := swept(part, want, plan.Ranges, known)
	if err != nil {
		return nil, err
	}
	err = eachSector(part, want, known, func(s *sector) {
		if die := s.addr / part.dieSize(); dies[die] {
			if s.addr == die*part.dieSize() {
				plan.erase(Op{Addr: s.addr, Size: part.DieErase.Size})
			}
			s.blanked(0, part.Sector)
		}
		s.plan(plan)
	})
	if err != nil {
		return nil, err
	}
	return plan, nil
}

// eachSector calls do with every sector that extents, which are ascending, reach into.
func eachSector(part *Part, want []Extent, known func(sector int) Knowledge, do func(*sector)) error {
	want = slices.Clone(want)
	for len(want) > 0 {
		sector := want[0].Addr / part.Sector
		s, err := newSector(part, sector, known(int(sector)))
		if err != nil {
			return err
		}
		// Every extent that reaches into this sector; the last one may go on in the next.
		for len(want) > 0 && want[0].Addr < (sector+1)*part.Sector {
			e := want[0]
			s.cover(e)
			if rest := e.Addr + e.Size - (sector+1)*part.Sector; rest > 0 {
				cut := e.Size - rest
				want[0] = Extent{e.Addr + cut, rest, e.Data[min(cut, int64(len(e.Data))):]}
				break
			}
			want = want[1:]
		}
		do(s)
	}
	return nil
}

// sector is one sector at work: bytes as they are and as they are wanted.
type sector struct {
	part    *Part
	addr    int64
	known   bool
	present []byte // FF where not known
	want    []byte
	covered []bool // by smallest erase unit
}

func newSector(p *Part, number int64, k Knowledge) (*sector, error) {
	if k.Data != nil && int64(len(k.Data)) != p.Sector {
		return nil, fmt.Errorf("knowledge of sector %d has %d bytes", number, len(k.Data))
	}
	s := &sector{part: p, addr: number * p.Sector, known: k.Blank || k.Data != nil}
	s.present = bytes.Repeat([]byte{0xFF}, int(p.Sector))
	s.want = bytes.Clone(s.present)
	if k.Data != nil && !k.Blank {
		copy(s.present, k.Data)
	}
	s.covered = make([]bool, p.Sector/p.Erases[0].Size)
	return s, nil
}

// cover enters as much of e as lies in the sector; e begins in it.
func (s *sector) cover(e Extent) {
	lo := e.Addr - s.addr
	hi := min(lo+e.Size, s.part.Sector)
	e.fill(s.want[lo:hi], e.Addr)
	unit := s.part.Erases[0].Size
	for u := lo / unit; u < (hi+unit-1)/unit; u++ {
		s.covered[u] = true
	}
}

// need is what an erase means to one smallest erase unit.
type need int

const (
	forbidden need = iota // outside, or holds content that needs no erase
	harmless              // blank
	required
)

func (s *sector) need(u int) need {
	unit := s.part.Erases[0].Size
	present := s.present[int64(u)*unit : int64(u+1)*unit]
	want := s.want[int64(u)*unit : int64(u+1)*unit]
	switch {
	case !s.covered[u]:
		return forbidden
	case !s.known:
		return required
	case blank(present):
		return harmless
	}
	for i := range present {
		if present[i]&want[i] != want[i] {
			return required
		}
	}
	return forbidden
}

func (s *sector) needs() []need {
	needs := make([]need, len(s.covered))
	for u := range needs {
		needs[u] = s.need(u)
	}
	return needs
}

// blanked notes that size bytes from offset lo on were erased.
func (s *sector) blanked(lo, size int64) {
	s.known = true
	for i := range s.present[lo : lo+size] {
		s.present[lo+int64(i)] = 0xFF
	}
}

// erase appends an erase.
func (p *Plan) erase(op Op) {
	p.Ops = append(p.Ops, op)
	p.EraseBytes += op.Size
	p.Erases[op.Size]++
}

// plan appends the sector's erases and programs.
func (s *sector) plan(p *Plan) {
	_, erases := s.erase(s.needs(), 0, len(s.part.Erases)-1)
	for _, op := range erases {
		p.erase(op)
		s.blanked(op.Addr-s.addr, op.Size)
	}
	unit, page := s.part.Erases[0].Size, s.part.Page
	for lo := int64(0); lo < s.part.Sector; lo += page {
		if !s.covered[lo/unit] {
			continue
		}
		first, last := lo, lo+page
		for first < last && s.present[first] == s.want[first] {
			first++
		}
		for first < last && s.present[last-1] == s.want[last-1] {
			last--
		}
		if first == last {
			continue
		}
		p.Ops = append(p.Ops, Op{s.addr + first, last - first, s.want[first:last:last]})
		p.ProgramBytes += last - first
		p.Programs++
	}
}

// erase is the cheapest way to erase what needs it among the units of needs, which are one area of erase type level at offset lo.
func (s *sector) erase(needs []need, lo int64, level int) (time.Duration, []Op) {
	if !slices.Contains(needs, required) {
		return 0, nil
	}
	e := s.part.Erases[level]
	whole := []Op{{Addr: s.addr + lo, Size: e.Size}}
	if level == 0 {
		return e.Typ, whole
	}
	var cost time.Duration
	var parts []Op
	smaller := s.part.Erases[level-1].Size
	n := int(smaller / s.part.Erases[0].Size)
	for i := 0; i < len(needs); i += n {
		c, ops := s.erase(needs[i:i+n], lo+int64(i/n)*smaller, level-1)
		cost += c
		parts = append(parts, ops...)
	}
	if cost >= e.Typ && !slices.Contains(needs, forbidden) {
		return e.Typ, whole
	}
	return cost, parts
}

// Typical is how long the plan takes at the part's typical times, byteTime being that of eight clocks.
func (p *Plan) Typical(byteTime time.Duration) time.Duration {
	return p.duration(byteTime, func(e Erase) time.Duration { return e.Typ }, p.Part.Program.Typ)
}

// Max is how long the plan takes at the part's maximum times.
func (p *Plan) Max(byteTime time.Duration) time.Duration {
	return p.duration(byteTime, func(e Erase) time.Duration { return e.Max }, p.Part.Program.Max)
}

func (p *Plan) duration(byteTime time.Duration, erase func(Erase) time.Duration, program time.Duration) time.Duration {
	var total time.Duration
	operations := p.Programs
	erases := p.Part.Erases
	if p.Part.DieErase != nil {
		erases = append(slices.Clone(erases), *p.Part.DieErase)
	}
	for _, e := range erases {
		n := p.Erases[e.Size]
		operations += n
		total += time.Duration(n) * erase(e)
	}
	total += time.Duration(p.Programs) * program
	// Around its data an operation has a write enable, an opcode, an address and some status bytes.
	overhead := int64(operations) * int64(2+p.Part.AddressBytes+6)
	return total + time.Duration(p.ProgramBytes+overhead)*byteTime
}
