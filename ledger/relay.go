package ledger

const (
	KindRelayIntent = "relay.intent"
	KindRelayAnswer = "relay.answer"
)

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
	Class   string `json:"class"`   // "read-only" or "state-changing"
	OneWay  bool   `json:"one_way,omitempty"`
	SHA256  string `json:"sha256"`            // 64 hex digits
	Counter string `json:"counter,omitempty"` // decimal: the command counter before it; absent where it is not known
}

// RelayAnswer says what became of the blocks of a turn.
type RelayAnswer struct {
	Run     string        `json:"run"`
	Serial  string        `json:"serial"`
	UID     string        `json:"uid"`
	N       int           `json:"n"`
	Turn    int           `json:"turn"`
	Blocks  []RelayBlock  `json:"blocks,omitempty"` // of a turn of read-only blocks, which had no intent
	Answers []RelayResult `json:"answers"`
	Counter string        `json:"counter,omitempty"` // decimal: the command counter afterwards
}

// RelayResult is what became of one block.
type RelayResult struct {
	Seq    int    `json:"seq"`
	Status string `json:"status,omitempty"` // two hex digits; absent where the answer was lost
	SHA256 string `json:"sha256,omitempty"` // of the reply
	// Counter tells by the command counter what became of a block whose answer was lost: "executed" or "not executed".
	Counter string `json:"by_counter,omitempty"`
}

func (RelayIntent) Kind() string { return KindRelayIntent }
func (RelayAnswer) Kind() string { return KindRelayAnswer }
