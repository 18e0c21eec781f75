package flash

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
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

var allFF = bytes.Repeat([]byte{0xFF}, 4<<10)

// blank tells whether b is FF throughout.
func blank(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(allFF))
		if !bytes.Equal(b[:n], allFF[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

func fillFF(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, allFF):]
	}
}

// fill copies to p what the extent wants from addr on, addr and all of p being inside it.
func (e Extent) fill(p []byte, addr int64) {
	n := 0
	if from := addr - e.Addr; from < int64(len(e.Data)) {
		n = copy(p, e.Data[from:])
	}
	fillFF(p[n:])
}

// check refuses an extent that the part cannot hold.
func (e Extent) check(p *Part) error {
	if e.Addr < 0 || e.Size <= 0 || e.Addr > p.Size-e.Size {
		return fmt.Errorf("extent of 0x%X bytes at 0x%06X is not within the 0x%X bytes of %s", e.Size, e.Addr, p.Size, p.Name)
	}
	if int64(len(e.Data)) > e.Size {
		return fmt.Errorf("extent at 0x%06X: %d bytes of data in %d bytes", e.Addr, len(e.Data), e.Size)
	}
	return nil
}

// Knowledge is what is known of one sector, or taken for granted by a sample of it. The zero value: nothing.
type Knowledge struct {
	Right bool   // what is wanted of it is there
	Blank bool   // all FF
	Data  []byte // the sector's present bytes, all of them; nil: not known
}

// Known is knowledge by sector number, as Sample, Compare and Survey return it.
type Known map[int]Knowledge

// Sector is what is known of a sector; the argument that NewPlan wants.
func (k Known) Sector(sector int) Knowledge { return k[sector] }

// Op is one operation of a plan: a program of Data at Addr, or, where Data is nil, an erase of Size bytes.
// A program may go over many pages; Data is part of an extent's own.
type Op struct {
	Addr, Size int64
	Data       []byte
}

// Plan is the ordered erases and programs that make a part hold what is wanted. By ascending sector,
// in each sector first the erases and then the programs, ascending; the erase of a die comes first of all in it. A program goes on over a sector's
// end where the next sector begins with it. Empty Ops: all is right already.
type Plan struct {
	Part    *Part
	Ops     []Op
	Ranges  []Range // what the plan is responsible for: each extent, rounded outward to the smallest erase; ascending
	Rounded []Range // what rounding added to the extents; comes out blank

	EraseBytes, ProgramBytes int64
	Erases                   map[int64]int // erases by their size
	Programs                 int           // pages
}

// NewPlan works out the cheapest way, by typical time, from what is known to what is wanted. It is pure.
//
// Extents are rounded outward to the smallest erase; what that adds comes out blank. Extents that then
// overlap are an error. Nothing outside is touched. An erase never takes non-blank content that needs none; it may sweep over blank
// bytes where one large erase is cheaper than several small ones; likewise a die that is wanted whole. What is right is not programmed, nor are FF pages, and no
// program asks for a 0 to become 1. known may be nil: nothing is known.
func NewPlan(part *Part, want []Extent, known func(sector int) Knowledge) (*Plan, error) {
	if known == nil {
		known = unknown
	}
	want = sorted(want)
	plan, err := round(part, want)
	if err != nil {
		return nil, err
	}
	dies, err := swept(part, want, plan.Ranges, known)
	if err != nil {
		return nil, err
	}
	for s, err := range sectors(part, want, known) {
		if err != nil {
			return nil, err
		}
		if die := s.addr / part.dieSize(); dies[die] {
			if s.addr == die*part.dieSize() {
				plan.erase(Op{Addr: s.addr, Size: part.DieErase.Size})
			}
			s.blanked(0, part.Sector)
		}
		s.plan(plan)
	}
	return plan, nil
}

// round is a plan for want, which is ascending, without operations.
func round(part *Part, want []Extent) (*Plan, error) {
	unit := part.Erases[0].Size
	plan := &Plan{Part: part, Erases: map[int64]int{}}
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
	return plan, nil
}

// sorted are extents by ascending address.
func sorted(want []Extent) []Extent {
	return slices.SortedStableFunc(slices.Values(want), func(a, b Extent) int { return cmp.Compare(a.Addr, b.Addr) })
}

func unknown(int) Knowledge { return Knowledge{} }

// sectors are the sectors that extents, which are ascending, reach into. The sector is good until the next one; an error is the last.
func sectors(part *Part, want []Extent, known func(sector int) Knowledge) iter.Seq2[*sector, error] {
	return func(yield func(*sector, error) bool) {
		s := newSector(part)
		var rest Extent // of the last extent, in the next sector
		for i := 0; i < len(want) || rest.Size > 0; {
			if rest.Size == 0 {
				rest, i = want[i], i+1
			}
			number := rest.Addr / part.Sector
			end := (number + 1) * part.Sector
			k := known(int(number))
			if err := s.begin(number, k); err != nil {
				yield(nil, err)
				return
			}
			for rest.Size > 0 && rest.Addr < end {
				s.cover(rest)
				cut := min(rest.Size, end-rest.Addr)
				rest = Extent{rest.Addr + cut, rest.Size - cut, rest.Data[min(cut, int64(len(rest.Data))):]}
				if rest.Size == 0 && i < len(want) && want[i].Addr < end {
					rest, i = want[i], i+1
				}
			}
			if k.Right {
				copy(s.present, s.want)
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// sector is one sector at work, one after the other: bytes as they are and as they are wanted.
type sector struct {
	part    *Part
	addr    int64
	known   bool
	present []byte // FF where not known
	want    []byte
	extents []Extent // what want is made of; they begin in the sector
	covered []bool   // by smallest erase unit
	needed  []need   // likewise, as needs returned it last
}

func newSector(p *Part) *sector {
	return &sector{part: p, present: make([]byte, p.Sector), want: make([]byte, p.Sector), covered: make([]bool, p.Sector/p.Erases[0].Size)}
}

// begin makes s the sector of that number, of which nothing is wanted yet.
func (s *sector) begin(number int64, k Knowledge) error {
	if k.Data != nil && int64(len(k.Data)) != s.part.Sector {
		return fmt.Errorf("knowledge of sector %d has %d bytes", number, len(k.Data))
	}
	s.addr, s.known, s.extents = number*s.part.Sector, k.Right || k.Blank || k.Data != nil, s.extents[:0]
	clear(s.covered)
	fillFF(s.present)
	fillFF(s.want)
	if k.Data != nil && !k.Blank {
		copy(s.present, k.Data)
	}
	return nil
}

// cover enters as much of e as lies in the sector; e begins in it.
func (s *sector) cover(e Extent) {
	s.extents = append(s.extents, e)
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
	case bytes.Equal(present, want):
		return forbidden
	}
	for i := range present {
		if present[i]&want[i] != want[i] {
			return required
		}
	}
	return forbidden
}

func (s *sector) needs() []need {
	s.needed = s.needed[:0]
	for u := range s.covered {
		s.needed = append(s.needed, s.need(u))
	}
	return s.needed
}

// blanked notes that size bytes from offset lo on were erased.
func (s *sector) blanked(lo, size int64) {
	s.known = true
	fillFF(s.present[lo : lo+size])
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
		if bytes.Equal(s.present[first:last], s.want[first:last]) {
			continue
		}
		for s.present[first] == s.want[first] {
			first++
		}
		for s.present[last-1] == s.want[last-1] {
			last--
		}
		p.program(s.addr+first, s.data(first, last))
	}
}

// data is what is wanted at the offsets first to last, out of an extent's own data: the bytes at both ends are not FF, which programs nothing,
// and no page is shared by two extents.
func (s *sector) data(first, last int64) []byte {
	i := slices.IndexFunc(s.extents, func(e Extent) bool { return s.addr+first < e.Addr+e.Size })
	e := s.extents[i]
	return e.Data[s.addr+first-e.Addr : s.addr+last-e.Addr]
}

// program appends the program of a page, to the one before where that ends where it begins and their data is one piece.
func (p *Plan) program(addr int64, data []byte) {
	p.Programs++
	p.ProgramBytes += int64(len(data))
	if len(p.Ops) > 0 {
		last := &p.Ops[len(p.Ops)-1]
		if n := len(last.Data); n > 0 && last.Addr+last.Size == addr && cap(last.Data) > n && &last.Data[:n+1][n] == &data[0] {
			last.Data = last.Data[:n+len(data)]
			last.Size += int64(len(data))
			return
		}
	}
	p.Ops = append(p.Ops, Op{addr, int64(len(data)), data})
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

// sectors are the numbers of those that the operations which are of the kind reach into.
func (p *Plan) sectors(kind func(Op) bool) map[int64]bool {
	numbers := map[int64]bool{}
	for _, op := range p.Ops {
		for s := op.Addr / p.Part.Sector; kind(op) && s*p.Part.Sector < op.Addr+op.Size; s++ {
			numbers[s] = true
		}
	}
	return numbers
}

// Touched is the part of want, of which p was made, that lies in sectors in which p erases or programs.
func (p *Plan) Touched(want []Extent) []Extent {
	touched := p.sectors(func(Op) bool { return true })
	var parts []Extent
	for s := range sectors(p.Part, sorted(want), unknown) {
		if touched[s.addr/p.Part.Sector] {
			for _, e := range s.extents {
				parts = append(parts, e.within(s.addr+p.Part.Sector))
			}
		}
	}
	return parts
}

// within is e as far as end, which is behind its beginning.
func (e Extent) within(end int64) Extent {
	e.Size = min(e.Size, end-e.Addr)
	e.Data = e.Data[:min(e.Size, int64(len(e.Data)))]
	return e
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
