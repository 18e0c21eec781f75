package provision

import (
	"fmt"

	"station/recipes"
)

// checkAbility refuses a recipe with a step whose frames are longer than the ones that the leased programmer carries.
func (r *run) checkAbility() error {
	most := r.conn.Limits().MaxAnswer
	if most == 0 {
		return nil
	}
	for _, s := range r.o.Recipe.Steps() {
		if r.longest(s) > most {
			return refuse("programmer-cannot", fmt.Sprintf("the programmer of slot %s carries commands of %d bytes, and this step has longer ones: %s", r.o.Slot, most, s.Title()),
				"Use a slot with a programmer of another kind.")
		}
	}
	return nil
}

// longest is how many bytes the longest command of a step sends, or its answer has, reads and programs of the array excepted; 0 where all are short.
func (r *run) longest(s recipes.Step) int {
	const otp, counter, rangeCRC = 1 + 4 + 64, 64, 2 + 1 + 8 + 2*3
	switch s := s.(type) {
	case recipes.OTP:
		return otp
	case recipes.RootKey, recipes.Counter:
		return counter
	case recipes.Write:
		if s.Verify == recipes.CRC {
			return rangeCRC
		}
	case recipes.Raw:
		return max(len(s.Send), s.Read)
	case recipes.Measure, recipes.Relay:
		n := 0
		for _, p := range r.o.Recipe.Parts() {
			if p.ACRTM != nil {
				n = max(n, 1+p.ACRTM.MaxWrite, p.ACRTM.MaxRead)
			}
		}
		return n
	}
	return 0
}
