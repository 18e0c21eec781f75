package flash

import "fmt"

// Variants of one density and voltage, by the sixth byte of READ ID. The first three bytes are common to all.
var variants = map[byte]struct{ name, means string }{
	0x00: {"standard", "it has neither counters nor the secure option's protection"},
	0x73: {"secure", "its extra protection is described in the Security Addendum, which Micron gives out under NDA only: " +
		"blocks may be locked from power-up on, and none of the shipped profiles fits. A profile of your own, made with the addendum at hand, is needed"},
	0x8C: {"Authenta", "opcodes 9B and 96 mean other things there (RPMC and signed writes, instead of CRC), and its profile is another one"},
}

// Variant is "standard", "secure" or "Authenta", or "" where the sixth byte of id is none of 00, 73 and 8C.
func Variant(id DeviceID) string { return variants[id[5]].name }

// variant says in words how got differs from a wanted part of the same density and voltage; "" where no wanted part is one.
func (e *WrongPartError) variant() string {
	for _, p := range e.Want {
		if [3]byte(p.ID[:3]) != [3]byte(e.Got[:3]) {
			continue
		}
		if v, ok := variants[e.Got[5]]; ok && Variant(e.Got) != Variant(p.ID) {
			return fmt.Sprintf("it is the %s variant of the %s: %s", v.name, p.Name, v.means)
		}
	}
	for _, p := range e.Want {
		if [3]byte(p.ID[:3]) == [3]byte(e.Got[:3]) {
			return fmt.Sprintf("it has the density and voltage of %s, but is another variant or revision, perhaps of the older N25Q family", p.Name)
		}
	}
	return ""
}
