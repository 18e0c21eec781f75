package recipes

import (
	"regexp"
	"slices"
	"unicode"

	"station/flash"
)

// Elsewhere says what happens to the bytes outside all regions.
type Elsewhere string

const (
	ElsewhereBlank Elsewhere = "blank" // erased, and verified to be FF, before the first lock or permanent step
	ElsewhereKeep  Elsewhere = "keep"  // neither written nor looked at
)

// Region is a named address range, in bytes.
type Region struct {
	Name string `json:"name"`
	At   int64  `json:"at"`
	Size int64  `json:"size"`
}

// Image is a file that a recipe writes. Callers read Data and never change it.
type Image struct {
	Name   string // in the recipe
	File   string // as written in the recipe, relative to it
	SHA256 string // of Data, 64 lower-case hex digits, as pinned in the recipe
	Data   []byte // shared, because images are large
}

// Recipe is what is to be done to a unit: validated and immutable. Only Load and Parse make one.
type Recipe struct {
	id, title, digest string
	version           int
	parts             []*flash.Part
	serial            *regexp.Regexp
	regions           []Region
	elsewhere         Elsewhere
	images            []*Image
	values            []Value // by name
	steps             []Step
	warnings          []string
}

// ID is the recipe's name, ^[a-z0-9][a-z0-9-]{0,63}$.
func (r *Recipe) ID() string { return r.id }

// Version is 1 or more.
func (r *Recipe) Version() int { return r.version }

// Title is one line of printable characters up to U+FFFF, at most 120.
func (r *Recipe) Title() string { return r.title }

// Digest is "sha256:" and 64 hex digits; the package comment specifies it.
func (r *Recipe) Digest() string { return r.digest }

// Parts are the profiles that the recipe was proven for, in the order of the file. Callers do not change them.
func (r *Recipe) Parts() []*flash.Part { return slices.Clone(r.parts) }

// SerialPattern is the regular expression as written.
func (r *Recipe) SerialPattern() string { return r.serial.String() }

// longestSerial is in characters.
const longestSerial = 64

// MatchSerial tells whether a scan, from its first to its last character, is a serial for this recipe.
// Serials have at most 64 characters, all printable and none above U+FFFF.
func (r *Recipe) MatchSerial(serial string) bool {
	if serial == "" || len([]rune(serial)) > longestSerial || !drawable(serial) {
		return false
	}
	// The pattern was made leftmost-longest: if the whole scan can match, it is the match that is found.
	at := r.serial.FindStringIndex(serial)
	return at != nil && at[0] == 0 && at[1] == len(serial)
}

// Regions are the named ranges by ascending address. They do not overlap, even after rounding to the smallest erase.
func (r *Recipe) Regions() []Region { return slices.Clone(r.regions) }

// Elsewhere says what happens to the bytes outside the regions.
func (r *Recipe) Elsewhere() Elsewhere { return r.elsewhere }

// Images are the files that the recipe writes, by name.
func (r *Recipe) Images() []*Image {
	images := make([]*Image, len(r.images))
	for i, m := range r.images {
		c := *m
		images[i] = &c
	}
	return images
}

// Steps are what is carried out, in order. For ElsewhereBlank a Blank step stands before the first Lock or
// permanent step, or at the end where there is none.
func (r *Recipe) Steps() []Step {
	steps := make([]Step, len(r.steps))
	for i, s := range r.steps {
		steps[i] = s.clone()
	}
	return steps
}

// Values are what the recipe writes besides the serial, by name. Those without Hex have to be given to Bind.
func (r *Recipe) Values() []Value { return slices.Clone(r.values) }

// Permanent are the kinds of step that cannot be undone on the chip, each once, in the order of the steps.
func (r *Recipe) Permanent() []string { return permanentOf(r.steps) }

// EscrowGroups are the names of everybody to whom the recipe seals secrets, each once, in the order of the steps. Who
// they are is a fact of the station.
func (r *Recipe) EscrowGroups() []string {
	var groups []string
	for _, step := range r.steps {
		var escrow []string
		switch s := step.(type) {
		case Password:
			escrow = s.Escrow
		case RootKey:
			escrow = s.Escrow
		}
		for _, group := range escrow {
			if !slices.Contains(groups, group) {
				groups = append(groups, group)
			}
		}
	}
	return groups
}

// Warnings are sentences that the author and the report should see, though the recipe is valid.
func (r *Recipe) Warnings() []string { return slices.Clone(r.warnings) }

// drawable tells whether the report can draw the text: printable characters of the Basic Multilingual Plane.
func drawable(text string) bool {
	for _, c := range text {
		if c > 0xFFFF || c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}
