package recipes

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"station/flash"
	"station/yamltext"
)

// Value is something besides the serial that a recipe writes to a unit.
type Value struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"` // how long it is
	Hex   string `json:"hex"`   // its bytes where the recipe fixes them, lower-case; "" where each unit brings its own
}

// ValueError says what is wrong with the serial or with one value of a unit.
type ValueError struct {
	Name    string // "serial", or a value's name
	Problem string // the end of a sentence that begins with the name
}

func (e *ValueError) Error() string {
	if e.Name == serialValue {
		return "the serial " + e.Problem
	}
	return fmt.Sprintf("value %s %s", yamltext.Quote(e.Name), e.Problem)
}

// serialValue is the value that every unit has.
const serialValue = "serial"

// Unit is a recipe together with the serial and the values of one unit. Only Bind makes one.
type Unit struct {
	recipe   *Recipe
	serial   string
	values   map[string][]byte
	contents map[string][]byte // region -> the bytes of its fields
	otp      []byte            // the bytes of the OTP step's fields
}

// Bind settles what the recipe writes to the unit of that serial. values has, by name, what the unit brings: an even
// number of hex digits, upper or lower case, with or without one ":" or "-" between every two bytes. The error joins a *ValueError
// for each mistake: a serial that does not match the pattern or does not fit its field, and values that are
// missing, unknown, fixed by the recipe, not hex digits or of another length.
func (r *Recipe) Bind(serial string, values map[string]string) (*Unit, error) {
	u := &Unit{recipe: r, serial: serial, values: map[string][]byte{}, contents: map[string][]byte{}}
	var problems []error
	wrong := func(name, format string, args ...any) {
		problems = append(problems, &ValueError{name, fmt.Sprintf(format, args...)})
	}
	if !r.MatchSerial(serial) {
		wrong(serialValue, "%s does not match %s", yamltext.Quote(serial), r.SerialPattern())
	}
	for _, v := range r.values {
		given, is := values[v.Name]
		switch {
		case v.Hex != "" && is:
			wrong(v.Name, "is fixed by the recipe and cannot be given")
		case v.Hex != "":
			given = v.Hex
		case !is:
			wrong(v.Name, "is missing: the recipe wants %s", count(int(v.Bytes), "byte"))
			continue
		}
		data, ok := parseHex(given)
		switch {
		case !ok:
			wrong(v.Name, "is %s, which is not bytes as hex digits, such as 02AB10 or 02:AB:10", yamltext.Quote(given))
		case int64(len(data)) != v.Bytes:
			wrong(v.Name, "has %s, and the recipe wants %d", count(len(data), "byte"), v.Bytes)
		default:
			u.values[v.Name] = data
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if name == serialValue {
			wrong(name, "names the unit and cannot be given as a value")
		} else if !slices.ContainsFunc(r.values, func(v Value) bool { return v.Name == name }) {
			wrong(name, "is not of this recipe")
		}
	}
	all := maps.Clone(u.values)
	all[serialValue] = []byte(serial)
	lay := func(fields []Field, where string) []byte {
		for _, f := range fields {
			if f.Kind == TextField && int64(len(serial)) > f.Size {
				wrong(serialValue, "has %s, and its field in %s only %d", count(len(serial), "byte"), where, f.Size)
			}
		}
		return layOut(fields, all)
	}
	for _, step := range r.steps {
		switch s := step.(type) {
		case Write:
			if s.Image == nil {
				u.contents[s.Region.Name] = lay(s.Fields, "region "+s.Region.Name)
			}
		case OTP:
			u.otp = lay(s.Fields, "the OTP area")
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return u, nil
}

// Recipe is the recipe that was bound.
func (u *Unit) Recipe() *Recipe { return u.recipe }

// Serial names the unit.
func (u *Unit) Serial() string { return u.serial }

// Values are the bytes of every value by name, as lower-case hex digits, those that the recipe fixes included.
func (u *Unit) Values() map[string]string {
	out := map[string]string{}
	for name, data := range u.values {
		out[name] = hex.EncodeToString(data)
	}
	return out
}

// Content is what a Write of the recipe puts at the start of its region; FF follows to the region's end. Callers do not
// change it.
func (u *Unit) Content(w Write) []byte {
	if w.Image != nil {
		return w.Image.Data
	}
	return u.contents[w.Region.Name]
}

// OTP is what the recipe's OTP step wants the area to hold from byte 0 on; nil where there is none. Callers do not change it.
func (u *Unit) OTP() []byte { return u.otp }

// Wanted is what a step of the recipe wants this unit's chip to hold, by ascending address; nil for steps that write
// nothing.
//
//   - Write: the image or the fields, then FF to the end of the region.
//   - Relay with an image: the image, then FF to the end of the region. Signed commands put it there, no plan of the station.
//   - Erase: the regions, FF.
//   - Blank: everything outside the regions, FF. The regions count as rounded outward to the smallest erase, since
//     writing them makes the bytes in between FF.
func (u *Unit) Wanted(part *flash.Part, step Step) []flash.Extent {
	return u.recipe.wanted(part, step, u.Content)
}

// parseHex reads bytes as hex digits, with or without one kind of separator between all of them.
func parseHex(text string) ([]byte, bool) {
	for _, separator := range []string{":", "-"} {
		pairs := strings.Split(text, separator)
		if len(pairs) > 1 && !slices.ContainsFunc(pairs, func(pair string) bool { return len(pair) != 2 }) {
			text = strings.Join(pairs, "")
			break
		}
	}
	data, err := hex.DecodeString(text)
	return data, err == nil && len(data) > 0
}
