package flash

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// small is a part of four sectors, so that a model of all of it is cheap.
func small(t testing.TB) *Part {
	p, err := partNamed("MT25QL128ABA")
	if err != nil {
		t.Fatal(err)
	}
	p.Size = 4 * p.Sector
	return p
}

// stacked is small with two dies; with one, C7 erases all of it. Either costs less than three sectors' erases.
func stacked(t testing.TB, dies int) *Part {
	p := small(t)
	p.Dies = dies
	p.DieErase = &Erase{Size: p.Size / int64(dies), Opcode: 0xC4, Typ: 300 * time.Millisecond, Max: time.Second}
	if dies == 1 {
		p.DieErase.Opcode = 0xC7
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

// drawBytes draws n bytes as images are: long stretches of FF, of one value, of noise, and single bytes.
func drawBytes(t *rapid.T, n int, name string) []byte {
	b := bytes.Repeat([]byte{0xFF}, n)
	for range rapid.IntRange(0, 6).Draw(t, name+" pieces") {
		at := rapid.IntRange(0, n-1).Draw(t, "at")
		size := min(n-at, rapid.SampledFrom([]int{1, 2, 255, 256, 257, 4096, 5000, 40000, 1 << 16, 1 << 18}).Draw(t, "size"))
		v := rapid.Byte().Draw(t, "value")
		step := rapid.SampledFrom([]byte{0, 0, 1, 37}).Draw(t, "step")
		for i := range size {
			b[at+i] = v
			v += step
		}
	}
	return b
}

func drawExtents(t *rapid.T, p *Part) []Extent {
	var want []Extent
	var end int64
	for range rapid.IntRange(1, 4).Draw(t, "extents") {
		lo := end + rapid.SampledFrom([]int64{0, 1, 4096, 10000, 65536}).Draw(t, "gap")
		if lo >= p.Size {
			break
		}
		size := min(p.Size-lo, rapid.SampledFrom([]int64{1, 300, 4096, 8192, 32768, 65536, 70000, 1 << 18}).Draw(t, "extent size"))
		data := drawBytes(t, int(size), "data")[:rapid.Int64Range(0, size).Draw(t, "data size")]
		want = append(want, Extent{lo, size, data})
		end = (lo + size + 4095) / 4096 * 4096
	}
	return want
}

// wanted is the image after want on present, rounded as the plan's Ranges say.
func wanted(present []byte, want []Extent, plan *Plan) []byte {
	image := bytes.Clone(present)
	for _, r := range plan.Ranges {
		copy(image[r.Addr:r.Addr+r.Size], bytes.Repeat([]byte{0xFF}, int(r.Size)))
	}
	for _, e := range want {
		copy(image[e.Addr:], e.Data)
	}
	return image
}

func knowledge(p *Part, image []byte, sector int) Knowledge {
	data := image[int64(sector)*p.Sector : int64(sector+1)*p.Sector]
	if bytes.Count(data, []byte{0xFF}) == len(data) {
		return Knowledge{Blank: true}
	}
	return Knowledge{Data: data}
}

func inside(ranges []Range, addr, size int64) bool {
	return slices.ContainsFunc(ranges, func(r Range) bool { return r.Addr <= addr && addr+size <= r.Addr+r.Size })
}

func TestPlanMakesTheImage(t *testing.T) {
	parts := []*Part{small(t), stacked(t, 1), stacked(t, 2)}
	whole := 0
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SampledFrom(parts).Draw(t, "part")
		present := drawBytes(t, int(part.Size), "present")
		want := drawExtents(t, part)
		if rapid.IntRange(0, 2).Draw(t, "all") == 0 {
			want = []Extent{{0, part.Size, drawBytes(t, int(part.Size), "data")}}
		}
		unknown := rapid.SliceOfN(rapid.Bool(), 4, 4).Draw(t, "unknown")
		plan, err := NewPlan(part, want, func(s int) Knowledge {
			if unknown[s] {
				return Knowledge{}
			}
			return knowledge(part, present, s)
		})
		if err != nil {
			t.Fatal(err)
		}
		target := wanted(present, want, plan)
		// Told that a sector is right, the plan leaves it alone, whatever it holds.
		right := rapid.IntRange(0, 3).Draw(t, "right")
		leaves, err := NewPlan(part, want, func(s int) Knowledge {
			if s == right {
				return Knowledge{Right: true}
			}
			return knowledge(part, present, s)
		})
		if err != nil {
			t.Fatal(err)
		}
		does := func(op Op) bool { return op.Data != nil || op.Size <= part.Sector } // the erase of a die may sweep over what is blank
		if leaves.sectors(does)[int64(right)] {
			t.Fatalf("the plan does something in sector %d, which is right", right)
		}
		array := bytes.Clone(present)
		var erased, programmed, sector int64
		var programs int
		erasing := true
		erases := map[int64]int{}
		for i, op := range plan.Ops {
			if !inside(join(plan.Ranges), op.Addr, op.Size) {
				t.Fatalf("op %+v is outside %v", op, plan.Ranges)
			}
			if s := op.Addr / part.Sector; s != sector {
				if s < sector {
					t.Fatalf("op %d goes back to sector %d", i, s)
				}
				sector, erasing = s, true
			} else if i > 0 && (plan.Ops[i-1].Data == nil) == (op.Data == nil) && op.Addr <= plan.Ops[i-1].Addr {
				t.Fatalf("op %d does not ascend", i)
			}
			old := array[op.Addr : op.Addr+op.Size]
			if op.Data == nil {
				if !erasing {
					t.Fatalf("op %d erases after a program of the same sector", i)
				}
				kinds := part.Erases
				if part.DieErase != nil {
					kinds = append(slices.Clone(kinds), *part.DieErase)
				}
				if op.Addr%op.Size != 0 || !slices.ContainsFunc(kinds, func(e Erase) bool { return e.Size == op.Size }) {
					t.Fatalf("illegal erase %+v", op)
				}
				if op.Size > part.Sector {
					whole++
				}
				for u := op.Addr; u < op.Addr+op.Size; u += 4096 {
					if unknown[u/part.Sector] {
						continue
					}
					now, goal := array[u:u+4096], target[u:u+4096]
					if bytes.Equal(now, goal) && !blank(now) {
						t.Fatalf("right content at 0x%X is erased", u)
					}
				}
				copy(old, bytes.Repeat([]byte{0xFF}, len(old)))
				erased += op.Size
				erases[op.Size]++
				continue
			}
			erasing = false
			sector = (op.Addr + op.Size - 1) / part.Sector
			if int64(len(op.Data)) != op.Size {
				t.Fatalf("program of 0x%X bytes at 0x%X has data of 0x%X", op.Size, op.Addr, len(op.Data))
			}
			for each := (pages{ops: []Op{op}, size: part.Page, most: 1 << 20}); ; programs++ {
				p, ok := each.next()
				if !ok {
					break
				}
				old := array[p.addr : p.addr+int64(len(p.data))]
				if bytes.Equal(old, p.data) {
					t.Fatalf("0x%X is programmed with what it holds", p.addr)
				}
				if p.addr/part.Page != (p.addr+int64(len(p.data))-1)/part.Page {
					t.Fatalf("program of 0x%X bytes at 0x%X leaves its page", len(p.data), p.addr)
				}
				for j, v := range p.data {
					if old[j]&v != v {
						t.Fatalf("0 to 1 at 0x%X", p.addr+int64(j))
					}
					old[j] &= v
				}
			}
			programmed += op.Size
		}
		if !bytes.Equal(array, target) {
			t.Fatal("the plan does not make the wanted image")
		}
		if erased != plan.EraseBytes || programmed != plan.ProgramBytes || programs != plan.Programs || len(erases) != len(plan.Erases) {
			t.Fatalf("totals: %+v", plan)
		}
		for size, n := range erases {
			if plan.Erases[size] != n {
				t.Fatalf("%d erases of %d bytes, said %d", n, size, plan.Erases[size])
			}
		}
		// Again, now that all is right: nothing to do.
		plan, err = NewPlan(part, want, func(s int) Knowledge { return knowledge(part, array, s) })
		if err != nil || len(plan.Ops) != 0 || plan.EraseBytes+plan.ProgramBytes != 0 || plan.Max(time.Microsecond) != 0 {
			t.Fatalf("when all is right the plan still has %d ops (%v)", len(plan.Ops), err)
		}
	})
	t.Logf("%d dies were erased whole", whole)
	if whole == 0 && !testing.Short() {
		t.Error("no die was erased whole")
	}
}

// No other choice of erases that may be made costs less. The model tries every one of them: 4 KiB units that need an erase, by every
// combination of the two halves and the whole.
func TestPlanIsCheapest(t *testing.T) {
	part := small(t)
	rapid.Check(t, func(t *rapid.T) {
		kinds := rapid.SliceOfN(rapid.SampledFrom([]need{forbidden, harmless, required}), 16, 16).Draw(t, "units")
		if rapid.Bool().Draw(t, "no right ones") {
			for i := range kinds {
				kinds[i] = max(kinds[i], harmless)
			}
		}
		present := bytes.Repeat([]byte{0xFF}, int(part.Size))
		image := bytes.Clone(present[:part.Sector])
		for u, k := range kinds {
			switch k {
			case forbidden:
				present[u*4096], image[u*4096] = 5, 5
			case required:
				present[u*4096] = 5
			}
		}
		plan, err := NewPlan(part, []Extent{{0, part.Sector, image}}, func(s int) Knowledge { return knowledge(part, present, s) })
		if err != nil {
			t.Fatal(err)
		}
		small := func(k []need) (cost time.Duration, may bool) {
			may = true
			for _, n := range k {
				if n == required {
					cost += part.Erases[0].Typ
				}
				may = may && n != forbidden
			}
			return cost, may
		}
		var best time.Duration
		for _, half := range [][]need{kinds[:8], kinds[8:]} {
			cost, may := small(half)
			if may && part.Erases[1].Typ < cost {
				cost = part.Erases[1].Typ
			}
			best += cost
		}
		if _, may := small(kinds); may && part.Erases[2].Typ < best {
			best = part.Erases[2].Typ
		}
		if got := plan.Typical(0); got != best {
			t.Fatalf("%v: costs %v, could cost %v", kinds, got, best)
		}
	})
}

func TestPlanChoices(t *testing.T) {
	part := small(t)
	full := bytes.Repeat([]byte{0x55}, int(part.Sector))
	old := func(int) Knowledge { return Knowledge{Data: bytes.Repeat([]byte{0x0A}, int(part.Sector))} }
	for name, c := range map[string]struct {
		want     Extent
		known    func(int) Knowledge
		erases   map[int64]int
		programs int
	}{
		"unknown sector":         {Extent{0, 65536, full}, nil, map[int64]int{65536: 1}, 256},
		"unknown, FF wanted":     {Extent{0, 65536, nil}, nil, map[int64]int{65536: 1}, 0},
		"blank sector":           {Extent{0, 65536, full}, func(int) Knowledge { return Knowledge{Blank: true} }, nil, 256},
		"blank stays blank":      {Extent{0, 65536, nil}, func(int) Knowledge { return Knowledge{Blank: true} }, nil, 0},
		"one unit":               {Extent{0x1000, 0x1000, full[:300]}, old, map[int64]int{4096: 1}, 2},
		"two units":              {Extent{0x1000, 0x2000, nil}, old, map[int64]int{4096: 2}, 0},
		"three units, no half":   {Extent{0x1000, 0x3000, nil}, old, map[int64]int{4096: 3}, 0},
		"a half":                 {Extent{0x8000, 0x8000, nil}, old, map[int64]int{32768: 1}, 0},
		"a half and one":         {Extent{0, 0x9000, nil}, old, map[int64]int{32768: 1, 4096: 1}, 0},
		"program only":           {Extent{0, 65536, bytes.Repeat([]byte{0x02}, 65536)}, old, nil, 256},
		"over the sector border": {Extent{0xF000, 0x2000, full[:0x2000]}, old, map[int64]int{4096: 2}, 32},
		"whole part":             {Extent{0, 4 << 16, nil}, nil, map[int64]int{65536: 4}, 0},
	} {
		plan, err := NewPlan(part, []Extent{c.want}, c.known)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if plan.Programs != c.programs || len(plan.Erases) != len(c.erases) {
			t.Errorf("%s: %v erases, %d programs", name, plan.Erases, plan.Programs)
		}
		for size, n := range c.erases {
			if plan.Erases[size] != n {
				t.Errorf("%s: %v erases", name, plan.Erases)
			}
		}
	}
}

// The erase of a die, or of a single-die chip whole: where it is cheaper by typical time, all of it is wanted, and nothing is lost by it.
func TestPlanErasesDies(t *testing.T) {
	old := func(int) Knowledge { return Knowledge{Data: bytes.Repeat([]byte{0x0A}, 1<<16)} }
	blankIn := func(blank ...int) func(int) Knowledge {
		return func(s int) Knowledge {
			if slices.Contains(blank, s) {
				return Knowledge{Blank: true}
			}
			return old(s)
		}
	}
	data := bytes.Repeat([]byte{0xF0}, 1<<18)
	for name, c := range map[string]struct {
		dies   int
		typ    time.Duration
		want   []Extent
		known  func(int) Knowledge
		erases map[int64]int
	}{
		"both dies":            {2, 300 * time.Millisecond, []Extent{{0, 1 << 18, data}}, old, map[int64]int{1 << 17: 2}},
		"nothing known":        {2, 300 * time.Millisecond, []Extent{{0, 1 << 18, nil}}, nil, map[int64]int{1 << 17: 2}},
		"all of it at once":    {1, 300 * time.Millisecond, []Extent{{0, 1 << 18, data}}, old, map[int64]int{1 << 18: 1}},
		"the upper only":       {2, 300 * time.Millisecond, []Extent{{1 << 16, 3 << 16, nil}}, old, map[int64]int{1 << 17: 1, 1 << 16: 1}},
		"two extents":          {2, 300 * time.Millisecond, []Extent{{0, 1 << 16, nil}, {1 << 16, 1 << 16, data[:1<<16]}}, old, map[int64]int{1 << 17: 1}},
		"two with a gap":       {2, 300 * time.Millisecond, []Extent{{0, 1 << 16, nil}, {1<<16 + 4096, 1<<16 - 4096, nil}}, old, map[int64]int{1 << 16: 1, 32768: 1, 4096: 7}},
		"rounded to all of it": {2, 300 * time.Millisecond, []Extent{{1, 1<<17 - 2, nil}}, old, map[int64]int{1 << 17: 1}},
		"as dear":              {2, 320 * time.Millisecond, []Extent{{0, 1 << 18, data}}, old, map[int64]int{1 << 16: 4}},
		"one sector is blank":  {2, 300 * time.Millisecond, []Extent{{0, 1 << 18, data}}, blankIn(1), map[int64]int{1 << 17: 1, 1 << 16: 1}},
		"blank and cheaper":    {2, 150 * time.Millisecond, []Extent{{0, 1 << 17, data[:1<<17]}}, blankIn(0), map[int64]int{1 << 17: 1}},
		"blank all":            {2, time.Millisecond, []Extent{{0, 1 << 18, nil}}, blankIn(0, 1, 2, 3), nil},
		"one unit is right": {2, time.Millisecond, []Extent{{0, 1 << 17, nil}}, func(s int) Knowledge {
			k := Knowledge{Data: bytes.Repeat([]byte{0xFF}, 1<<16)}
			if k.Data[0] = 0; s == 1 {
				k.Data[0] = 0xFF // and blank
			}
			return k
		}, map[int64]int{1 << 17: 1}},
		"one unit would be lost": {2, time.Millisecond, []Extent{{0, 1 << 17, data[:1<<17]}}, func(s int) Knowledge {
			if s == 1 {
				return Knowledge{Data: append(bytes.Repeat([]byte{0xF0}, 4096), bytes.Repeat([]byte{0x0A}, 1<<16-4096)...)}
			}
			return old(s)
		}, map[int64]int{1 << 16: 1, 32768: 1, 4096: 7}},
	} {
		part := stacked(t, c.dies)
		part.DieErase.Typ = c.typ
		plan, err := NewPlan(part, c.want, c.known)
		must(t, err)
		if !maps.Equal(plan.Erases, c.erases) && len(plan.Erases)+len(c.erases) > 0 {
			t.Errorf("%s: erases %v, want %v", name, plan.Erases, c.erases)
		}
		var typ, most time.Duration
		for _, op := range plan.Ops {
			for _, e := range append(slices.Clone(part.Erases), *part.DieErase) {
				if op.Data == nil && op.Size == e.Size {
					typ, most = typ+e.Typ, most+e.Max
				}
			}
		}
		n := time.Duration(plan.Programs)
		if plan.Typical(0) != typ+n*part.Program.Typ || plan.Max(0) != most+n*part.Program.Max {
			t.Errorf("%s: takes %v, at most %v", name, plan.Typical(0), plan.Max(0))
		}
	}
}

func TestPlanRounds(t *testing.T) {
	part := small(t)
	plan, err := NewPlan(part, []Extent{{0x3010, 0x10, []byte{1}}, {0x0800, 0x1800, nil}}, nil)
	must(t, err)
	if want := []Range{{0, 0x2000}, {0x3000, 0x1000}}; !slices.Equal(plan.Ranges, want) {
		t.Errorf("ranges %v", plan.Ranges)
	}
	if want := []Range{{0, 0x800}, {0x3000, 0x10}, {0x3020, 0xFE0}}; !slices.Equal(plan.Rounded, want) {
		t.Errorf("rounded %v", plan.Rounded)
	}
	if plan.Programs != 1 || plan.ProgramBytes != 1 || plan.EraseBytes != 0x3000 {
		t.Errorf("%+v", plan)
	}
}

func TestPlanRefuses(t *testing.T) {
	part := small(t)
	for want, extents := range map[string][]Extent{
		"0x10000 bytes at 0x040000 is not within": {{part.Size, 65536, nil}},
		"not within the 0x40000":                  {{part.Size - 1, 2, nil}},
		"at 0x-00001":                             {{-1, 2, nil}},
		"extent of 0x0 bytes":                     {{0, 0, nil}},
		"extent of 0x7FFFFFFFFFFFFFFF bytes":      {{1, 1<<63 - 1, nil}},
		"2 bytes of data in 1 bytes":              {{0, 1, []byte{1, 2}}},
		"share the 4096-byte erase unit":          {{0, 100, nil}, {0x200, 100, nil}},
		"share":                                   {{0x5000, 0x1000, nil}, {0x4000, 0x1001, nil}},
	} {
		if plan, err := NewPlan(part, extents, nil); err == nil || plan != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	_, err := NewPlan(part, []Extent{{0, 1, nil}}, func(int) Knowledge { return Knowledge{Data: make([]byte, 5)} })
	if err == nil {
		t.Error("half a sector of knowledge was accepted")
	}
}

func TestPlanDurations(t *testing.T) {
	part := small(t)
	plan, err := NewPlan(part, []Extent{{0, 65536, bytes.Repeat([]byte{0}, 512)}}, nil)
	must(t, err)
	if got := plan.Typical(0); got != 160*time.Millisecond+240*time.Microsecond {
		t.Errorf("typical %v", got)
	}
	if got := plan.Max(0); got != time.Second+3600*time.Microsecond {
		t.Errorf("max %v", got)
	}
	if d := plan.Typical(time.Microsecond) - plan.Typical(0); d < 512*time.Microsecond || d > 600*time.Microsecond {
		t.Errorf("512 bytes on the wire take %v", d)
	}
}
