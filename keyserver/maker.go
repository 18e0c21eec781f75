package keyserver

// Maker makes the blocks of one command map and reads the answers to them. It holds no keys: the chip's secret is lent to it.
type Maker interface {
	// Master is the master key whose MAC of a chip's UID is the chip's secret.
	Master() string
	// Ops are what a step comes to, in their order, no two of one command and address; or why the map cannot do it. content is what the region is to hold.
	Ops(s Step, content []byte) ([]Op, error)
	// Block is the block of an op, its HMAC included.
	Block(secret []byte, op Op, at Point) []byte
	// Check holds the answer of a chip that says of the block that it succeeded against the chip's own signature. measured is what a measurement came to.
	Check(secret []byte, op Op, at Point, block, reply []byte) (measured []byte, err error)
	// Stale says that a chip's status may be that of a block for another counter or power-on, so that one made anew can succeed.
	Stale(status byte) bool
}

// makers are those that there are, by the map's name.
var makers = map[string]Maker{"invented": Invented{}}

// Op is one command to a chip.
type Op struct {
	Command  string
	At, Size int64
	Data     []byte
	Changes  bool // the chip, and with it the command counter
	OneWay   bool
	From     int // index of the op to go on from where nobody knows whether this one took effect
}

// Point is what a block is made for.
type Point struct {
	PowerOn, Counter uint64
	Nonce            [16]byte
}
