package recipes

import (
	"station/flash"
)

// unknownUnit stands for the content of a write to a unit that is not known yet: fields are 00, which takes as many programs
// as any content can.
func unknownUnit(w Write) []byte {
	if w.Image != nil {
		return w.Image.Data
	}
	return make([]byte, fieldsSize(w.Fields))
}

// wanted is what Unit.Wanted specifies. It serves the plan and the engine, so that they cannot differ but in content,
// which is what a write puts into its region.
func (r *Recipe) wanted(part *flash.Part, step Step, content func(Write) []byte) []flash.Extent {
	var want []flash.Extent
	switch s := step.(type) {
	case Write:
		want = append(want, flash.Extent{Addr: s.Region.At, Size: s.Region.Size, Data: content(s)})
	case Relay:
		if s.Image != nil {
			want = append(want, flash.Extent{Addr: s.Region.At, Size: s.Region.Size, Data: s.Image.Data})
		}
	case Erase:
		for _, region := range r.regions { // ascending, unlike the step's own list
			for _, erased := range s.Regions {
				if erased.Name == region.Name {
					want = append(want, flash.Extent{Addr: region.At, Size: region.Size})
				}
			}
		}
	case Blank:
		unit := part.Erases[0].Size
		free := int64(0)
		for _, region := range r.regions {
			whole := rounded(region, unit)
			if whole.At > free {
				want = append(want, flash.Extent{Addr: free, Size: whole.At - free})
			}
			free = whole.At + whole.Size
		}
		if free < part.Size {
			want = append(want, flash.Extent{Addr: free, Size: part.Size - free})
		}
	}
	return want
}
