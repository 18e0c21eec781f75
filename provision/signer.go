package provision

import (
	"context"

	"station/flash"
)

// Signer is the key server as the engine sees it: it makes the blocks of a step for one chip, and judges what the chip answered. Whatever it says is checked.
type Signer interface {
	// Next returns the turn behind the ones that have been answered, which are all those of the conversation in their order; none at first. Where the last of them is Done, nobody asks.
	// That a one-way command took effect is told by the chip's counter alone where its answer was lost (Lost and Executed), and somebody else's command moves it as well: it is believed once the
	// signer goes on, or is done. An error with a method RelayUnknown() bool that says true contradicts: nobody knows which command the counter counted. The run is INTERRUPTED then, relay-unknown.
	// A run that goes on after a death of the station begins a new conversation about the step that was cut off; the job tells what the chip's counters are by then.
	Next(ctx context.Context, job Job, answered []Answered) (Turn, error)
}

// Job names a step of a run to the signer.
type Job struct {
	Run, Serial string
	Recipe      string // id
	Digest      string // of the recipe
	Step        int    // number in the recipe, from 1
	ID          flash.DeviceID
	UID         string  // hex as in the ledger
	PowerOn     *uint64 // the chip's counters as they are now; nil where its table does not tell how they are read
	Counter     *uint64
}

// Turn is what the signer wants next: blocks to be sent in their order, or, when Done, its verdict over the step.
type Turn struct {
	Session string  // the signer's name for the conversation; the same in all turns
	Number  int     // from 1
	Blocks  []Block // at least one, unless Done; one alone where it is one-way
	Done    bool
	OK      bool   // with Done: the step did what it is for
	Verdict string // with Done: a sentence for people
	Digest  string // with Done, of a measurement: SHA-256 of the region as the chip told it, 64 hex digits
}

// Block is a flash.Block with its place in the turn.
type Block struct {
	Seq int // from 1, counted through all turns
	flash.Block
}

// Answered is a turn with what came of it.
type Answered struct {
	Turn    int
	Answers []Answer // as many as blocks were sent
}

// Answer is what the chip answered to one block.
type Answer struct {
	Seq    int
	SHA256 string // of the block, 64 hex digits; of the earlier one where this one was not sent
	// Lost: nobody saw an answer, since power or link failed. Executed then tells whether the command counter says that it took effect; what it did to the array may
	// be torn all the same. A one-way command that the account of the unit says took effect before is answered so too, and not sent:
	// SHA256 is then that of the block which did it.
	Lost     bool
	Executed bool
	Status   byte
	Reply    []byte
}
