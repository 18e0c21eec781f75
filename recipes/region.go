package recipes

import (
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"station/yamltext"
)

// draftRegion is a region with its places in the file.
type draftRegion struct {
	Region
	key  *yaml.Node
	size *yaml.Node
	ok   bool // at and size are known and fit every part
	used bool
}

func (p *parser) readRegions(n *yaml.Node) {
	list, _ := p.Fields(n, "regions")
	for _, f := range list {
		d := &draftRegion{Region: Region{Name: f.Key.Value}, key: f.Key}
		p.regions = append(p.regions, d)
		p.name(f.Key, "a region")
		what := "region " + d.Name
		keys, _ := p.Group(f.Value, f.Key, what, []string{"at", "size"}, nil, nil)
		at, okAt := p.bytes(keys["at"].Value, what+": at")
		size, okSize := p.bytes(keys["size"].Value, what+": size")
		if okSize && size == 0 {
			p.At(keys["size"].Value, what+" is empty", "")
			okSize = false
		}
		if okAt && okSize {
			d.At, d.Size, d.size, d.ok = at, size, keys["size"].Value, true
		}
	}
}

// bytes reads an address or size; n may be nil where the key was missing and has been reported.
func (p *parser) bytes(n *yaml.Node, what string) (int64, bool) {
	if n == nil {
		return 0, false
	}
	text, ok := p.Text(n, what)
	if !ok {
		return 0, false
	}
	v, suggestion, err := parseSize(text)
	if err != nil {
		p.At(n, fmt.Sprintf("%s %s %v", what, yamltext.Quote(text), err), suggestion)
		return 0, false
	}
	return v, true
}

func (p *parser) name(n *yaml.Node, what string) {
	if !nameForm.MatchString(n.Value) {
		p.At(n, fmt.Sprintf("the name %s of %s is not 1 to 64 letters, digits, _, . and -, a letter or digit first", yamltext.Quote(n.Value), what), "")
	}
}

// geometry proves that regions fit every part and do not overlap, seen in the smallest unit that the part erases.
func (p *parser) geometry() {
	for _, part := range p.r.parts {
		unit := part.Erases[0].Size
		var placed []*draftRegion
		for _, d := range p.regions {
			if !d.ok {
				continue
			}
			if d.At+d.Size > part.Size {
				p.At(d.size, fmt.Sprintf("region %s ends at 0x%X, past the end of %s (%s, 0x%X)", d.Name, d.At+d.Size-1, part.Name, sizeText(part.Size), part.Size-1), "")
				d.ok = false
				continue
			}
			if p.r.elsewhere == ElsewhereKeep && (d.At%unit != 0 || d.Size%unit != 0) {
				whole := rounded(d.Region, unit)
				p.At(d.size, fmt.Sprintf("region %s shares its first or last %s erase unit with bytes that `elsewhere: keep` promises to keep", d.Name, sizeText(unit)),
					fmt.Sprintf("make it whole units: at 0x%X, size 0x%X", whole.At, whole.Size))
				d.ok = false
				continue
			}
			placed = append(placed, d)
		}
		slices.SortStableFunc(placed, func(a, b *draftRegion) int { return cmp.Compare(a.At, b.At) })
		var reach *draftRegion // of those so far the one that reaches highest
		for _, b := range placed {
			a := reach
			if a == nil || b.At+b.Size > a.At+a.Size {
				reach = b
			}
			if a == nil {
				continue
			}
			low, high := rounded(a.Region, unit), rounded(b.Region, unit)
			if low.At+low.Size <= high.At {
				continue
			}
			if b.key.Line < a.key.Line || b.key.Line == a.key.Line && b.key.Column < a.key.Column {
				a, b = b, a // the later one in the file gets the caret
			}
			sentence := fmt.Sprintf("region %s (%s) overlaps region %s (%s, line %d)", b.Name, rangeText(b.At, b.Size), a.Name, rangeText(a.At, a.Size), a.key.Line)
			if a.At+a.Size <= b.At || b.At+b.Size <= a.At {
				sentence = fmt.Sprintf("region %s (%s) shares a %s erase unit with region %s (%s, line %d)", b.Name, rangeText(b.At, b.Size), sizeText(unit), a.Name, rangeText(a.At, a.Size), a.key.Line)
			}
			p.At(b.key, sentence, "")
			b.ok = false
		}
	}
}

// rounded grows a region outward to whole units.
func rounded(r Region, unit int64) Region {
	at := r.At / unit * unit
	end := (r.At + r.Size + unit - 1) / unit * unit
	return Region{Name: r.Name, At: at, Size: end - at}
}
