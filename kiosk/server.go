package kiosk

import (
	"context"
	"log/slog"
	"regexp"
)

// Options of a Server.
type Options struct {
	Station  Station
	Records  Records
	Wall     *Wall
	People   *People
	Language string         // of pages that chose none: a catalogue's name
	Scanner  Scanner        //
	Badge    *regexp.Regexp // what the code of a badge looks like
	Log      *slog.Logger
	// Open says that whoever asks may do everything while there are no people: a simulated station that answers on loopback only.
	Open bool
	// TLS says that the pages are served over it.
	TLS bool
	// Direct carries out units without a job, for who asks over the socket, and tells what happens; nil where the socket has no such route.
	Direct func(ctx context.Context, who Who, order DirectOrder, tell func(any)) error
}

// Scanner is what a wedge scanner types around each code.
type Scanner struct {
	Prefix string // "" for nothing
	Suffix string // the name of a key: "Enter" or "Tab"
}

// DirectOrder is what `station run RECIPE --slot ...` asks for.
type DirectOrder struct {
	Recipe string                       `json:"recipe"` // absolute path
	Slots  []DirectSlot                 `json:"slots"`
	Values map[string]map[string]string `json:"values,omitempty"` // by slot, then by name
	Boards []DirectSlot                 `json:"boards,omitempty"` // of a simulated station: Serial is the file
	Unlock map[string][]byte            `json:"unlock,omitempty"` // by slot, sealed
	Trial  bool                         `json:"trial"`
}

// DirectSlot is a unit in a slot.
type DirectSlot struct {
	Slot   string `json:"slot"`
	Serial string `json:"serial"`
}
