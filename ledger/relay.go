package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

const (
	KindRelayIntent = "relay.intent"
	KindRelayAnswer = "relay.answer"
)

// InventedMap is the Part.Map of a table of authenticated commands that no real part has.
const InventedMap = "invented"

// Classes of authenticated commands.
const (
	ReadOnly      = "read-only"
	StateChanging = "state-changing"
)

// What the command counter tells of a block whose answer was lost.
const (
	Executed    = "executed"
	NotExecuted = "not executed"
)

// MaxRelayBlocks is how many blocks a turn has at the most.
const MaxRelayBlocks = 64

// RelayIntent says that authenticated commands which change the chip are about to be sent, each once. Blocks are opaque: their digests stand for them.
type RelayIntent struct {
	Run    string       `json:"run"`
	Serial string       `json:"serial"`
	UID    string       `json:"uid"`
	N      int          `json:"n"`    // of the step
	Turn   int          `json:"turn"` // from 1 in each step, counted on where a run goes on
	Blocks []RelayBlock `json:"blocks"`
}

// RelayBlock is one block.
type RelayBlock struct {
	Seq     int    `json:"seq"`
	Command string `json:"command"` // the table's name for it
	Class   string `json:"class"`   // ReadOnly or StateChanging
	OneWay  bool   `json:"one_way,omitempty"`
	SHA256  string `json:"sha256"`            // 64 hex digits
	Counter string `json:"counter,omitempty"` // decimal: the command counter before it; absent where it is not known
}

// RelayAnswer says what became of the blocks of a turn, in their order, as far as they were sent.
type RelayAnswer struct {
	Run     string        `json:"run"`
	Serial  string        `json:"serial"`
	UID     string        `json:"uid"`
	N       int           `json:"n"`
	Turn    int           `json:"turn"`
	Blocks  []RelayBlock  `json:"blocks,omitempty"` // of a turn of read-only blocks, which had no intent
	Answers []RelayResult `json:"answers"`
	PowerOn string        `json:"power_on,omitempty"` // decimal: the power-on counter afterwards
	Counter string        `json:"counter,omitempty"`  // decimal: the command counter afterwards
}

// RelayResult is what became of one block.
type RelayResult struct {
	Seq    int    `json:"seq"`
	Status string `json:"status,omitempty"` // two hex digits; absent where the answer was lost
	SHA256 string `json:"sha256,omitempty"` // of the reply
	// Counter tells by the command counter what became of a block whose answer was lost, Executed or NotExecuted; absent where that cannot be told.
	Counter string `json:"by_counter,omitempty"`
}

func (RelayIntent) Kind() string { return KindRelayIntent }
func (RelayAnswer) Kind() string { return KindRelayAnswer }

// OneWay tells whether one of the blocks does what is never undone.
func (b RelayIntent) OneWay() bool {
	return slices.ContainsFunc(b.Blocks, func(x RelayBlock) bool { return x.OneWay })
}

// Relayed is how far the authenticated commands of a run have come.
type Relayed struct {
	N      int  `json:"n,omitempty"`    // step of the newest turn
	Turn   int  `json:"turn,omitempty"` // that turn
	First  int  `json:"first,omitempty"`
	Open   int  `json:"open,omitempty"`    // blocks of an intent without its answer, the first of them with the number First
	OneWay bool `json:"one_way,omitempty"` // one of them, or of an earlier turn, does what is never undone
}

func (r Relayed) intend(b RelayIntent) (Relayed, error) {
	next, err := r.turn(b.N, b.Turn, b.Blocks)
	switch changes := func(x RelayBlock) bool { return x.Class == StateChanging }; {
	case err != nil:
		return r, err
	case !slices.ContainsFunc(b.Blocks, changes):
		return r, errors.New("an intent to change nothing")
	case b.OneWay() && len(b.Blocks) > 1:
		return r, errors.New("a one-way command is not alone in its turn")
	}
	next.First, next.Open, next.OneWay = b.Blocks[0].Seq, len(b.Blocks), r.OneWay || b.OneWay()
	return next, nil
}

func (r Relayed) answer(b RelayAnswer) (Relayed, error) {
	next, first, blocks := r, r.First, r.Open
	if r.Open > 0 {
		if b.N != r.N || b.Turn != r.Turn || len(b.Blocks) > 0 {
			return r, fmt.Errorf("of turn %d of step %d, and turn %d of step %d is not answered", b.Turn, b.N, r.Turn, r.N)
		}
	} else {
		var err error
		if next, err = r.turn(b.N, b.Turn, b.Blocks); err != nil {
			return r, err
		}
		if slices.ContainsFunc(b.Blocks, func(x RelayBlock) bool { return x.Class != ReadOnly }) {
			return r, errors.New("without an intent, of a command that changes the chip")
		}
		first, blocks = b.Blocks[0].Seq, len(b.Blocks)
	}
	if len(b.Answers) > blocks {
		return r, fmt.Errorf("%d answers to %d blocks", len(b.Answers), blocks)
	}
	for i, a := range b.Answers {
		lost := a.Status == ""
		switch {
		case a.Seq != first+i:
			return r, fmt.Errorf("block %d is answered in the place of block %d", a.Seq, first+i)
		case lost && a.SHA256 != "", !lost && (a.Counter != "" || !lowerHex(a.Status, 2)), a.SHA256 != "" && !lowerHex(a.SHA256, 64),
			a.Counter != "" && a.Counter != Executed && a.Counter != NotExecuted:
			return r, fmt.Errorf("block %d has the answer %+v", a.Seq, a)
		}
	}
	if !decimal(b.PowerOn) || !decimal(b.Counter) {
		return r, fmt.Errorf("the counters are %q and %q", b.PowerOn, b.Counter)
	}
	next.First, next.Open = 0, 0
	return next, nil
}

// turn is the progress with a turn of these blocks.
func (r Relayed) turn(n, turn int, blocks []RelayBlock) (Relayed, error) {
	switch {
	case r.Open > 0:
		return r, fmt.Errorf("turn %d of step %d is not answered", r.Turn, r.N)
	case n < 1 || turn < 1 || n == r.N && turn <= r.Turn:
		return r, fmt.Errorf("turn %d of step %d behind turn %d of step %d", turn, n, r.Turn, r.N)
	case len(blocks) < 1 || len(blocks) > MaxRelayBlocks:
		return r, fmt.Errorf("a turn of %d blocks", len(blocks))
	}
	for i, x := range blocks {
		switch {
		case x.Seq < 1 || x.Seq != blocks[0].Seq+i:
			return r, fmt.Errorf("block %d stands in the place of block %d", x.Seq, blocks[0].Seq+i)
		case x.Class != ReadOnly && x.Class != StateChanging || x.OneWay && x.Class != StateChanging:
			return r, fmt.Errorf("block %d has the class %q", x.Seq, x.Class)
		case x.Command == "" || !lowerHex(x.SHA256, 64) || !decimal(x.Counter):
			return r, fmt.Errorf("block %d is %+v", x.Seq, x)
		}
	}
	r.N, r.Turn = n, turn
	return r, nil
}

// decimal tells whether s is a 64-bit number as Go prints it, or "".
func decimal(s string) bool {
	n, err := strconv.ParseUint(s, 10, 64)
	return s == "" || err == nil && strconv.FormatUint(n, 10) == s
}
