package recipes

import (
	"station/flash"
)

// Wanted is what a step of this recipe wants the chip to hold, by ascending address; nil for steps that write nothing.
//
//   - Write: the image, then FF to the end of the region.
//   - Erase: the regions, FF.
//   - Blank: everything outside the regions, FF. The regions count as rounded outward to the smallest erase, since
//     writing them makes the bytes in between FF.
//
// The plan and the engine both use it, so they cannot differ.
func (r *Recipe) Wanted(part *flash.Part, step Step) []flash.Extent {
	var want []flash.Extent
	switch s := step.(type) {
	case Write:
		want = append(want, flash.Extent{Addr: s.Region.At, Size: s.Region.Size, Data: s.Image.Data})
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
