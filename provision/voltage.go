package provision

import (
	"fmt"
	"math"
	"strings"

	"station/flash"
)

// voltageTolerance is how far a slot may be from a part's nominal supply, of that supply.
const voltageTolerance = 0.1

// Feeds tells whether a slot that gives volts feeds a part; 0, what a slot gives is not known, feeds any.
func Feeds(volts float64, p *flash.Part) bool {
	return volts == 0 || math.Abs(volts-p.Volts) <= voltageTolerance*p.Volts+1e-9 // the addend is for binary fractions
}

// checkVoltage refuses a slot that gives what none of the parts takes, and one that does not say what it gives.
func (r *run) checkVoltage(parts ...*flash.Part) error {
	volts := r.e.bench.Volts(r.o.Slot)
	if volts == 0 {
		return refuse("volts-unknown", fmt.Sprintf("slot %s does not say which voltage its fixture gives, so no part can be held against it", r.o.Slot),
			"Set `volts` of this slot in config.yaml to what a meter shows there (`station slot bind "+r.o.Slot+" --volts V` writes it), or call the person who looks after the station; then scan the unit again.")
	}
	var takes []string
	for _, p := range parts {
		if Feeds(volts, p) {
			return nil
		}
		takes = append(takes, fmt.Sprintf("%s takes %v V", p.Name, p.Volts))
	}
	return refuse("wrong-voltage", fmt.Sprintf("slot %s gives %v V, and %s", r.o.Slot, volts, strings.Join(takes, ", ")),
		"Put the board into a slot that gives what the part takes; if this one does, correct its volts in the configuration.")
}
