package flash

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers branch on. Of a block that is refused nothing was sent.
var (
	// ErrNoACRTM: the part profile has no table of authenticated commands, or the chip is not one that has them. 9B and 96 mean other things there.
	ErrNoACRTM = errors.New("no authenticated commands")
	// ErrBlock: the table does not list the block, or not for this use, or it is for another chip or another counter.
	ErrBlock = errors.New("block is refused")
)

// ACRTM is a part's table of authenticated commands: blocks that somebody else signs and this program relays, without a look at what they mean. Each goes out
// behind Op1; Op2 with one dummy byte reads status byte and reply (public: Linux Authenta patches of 2021). What no entry lists is never sent.
type ACRTM struct {
	Map      string         `yaml:"map" json:"map"` // what map it is: "invented" says that no real part has it
	Op1      byte           `yaml:"op1" json:"op1"`
	Op2      byte           `yaml:"op2" json:"op2"`
	MaxWrite int            `yaml:"max_write" json:"max_write"` // longest block, in bytes
	MaxRead  int            `yaml:"max_read" json:"max_read"`   // longest reply with its status byte
	Trailer  int            `yaml:"trailer" json:"trailer"`     // bytes of the HMAC that ends a signed block; never looked at
	Busy     byte           `yaml:"busy" json:"busy"`           // bits of the status byte
	OK       byte           `yaml:"ok" json:"ok"`               // the status byte of success
	Poll     time.Duration  `yaml:"poll" json:"poll"`           // between two looks at a busy chip
	Limit    time.Duration  `yaml:"limit" json:"limit"`         // of one command
	Counters *ACRTMCounters `yaml:"counters" json:"counters,omitempty"`
	Commands []ACRTMCommand `yaml:"commands" json:"commands"`
}

// Invented is the Map of a table that no real part has.
const Invented = "invented"

// ACRTMCounters is an unsigned read-only block that asks for the chip's counters, and where they are in the reply: big-endian, 8 bytes, Reply counted without the
// status byte. nil: the counters cannot be read, and what became of a block whose answer was lost cannot be told.
type ACRTMCounters struct {
	Block   string `yaml:"block" json:"block"` // hex
	Reply   int    `yaml:"reply" json:"reply"`
	PowerOn int    `yaml:"power_on" json:"power_on"` // offset of the power-on counter
	Command int    `yaml:"command" json:"command"`   // offset of the command counter
}

// ACRTMCommand is one entry of the table.
type ACRTMCommand struct {
	Name   string      `yaml:"name" json:"name"`
	Match  []ByteMatch `yaml:"match" json:"match"` // all of them; no block matches two entries
	Class  Class       `yaml:"class" json:"class"`
	OneWay bool        `yaml:"one_way" json:"one_way,omitempty"` // what it does is never undone
	Min    int         `yaml:"min" json:"min"`                   // length of the block, in bytes, the HMAC included
	Max    int         `yaml:"max" json:"max"`
	Reply  int         `yaml:"reply" json:"reply"` // bytes behind the status byte
}

// ByteMatch wants one byte of a block to have a value.
type ByteMatch struct {
	At    int  `yaml:"at" json:"at"`
	Value byte `yaml:"value" json:"value"`
}

// Class says whether a command may change the chip.
type Class string

const (
	ReadOnly      Class = "read-only"
	StateChanging Class = "state-changing"
)

// Block is what a signer made for one chip.
type Block struct {
	ID      DeviceID
	UID     string  // hex as the ledger has it
	Bytes   []byte  // behind the opcode, the HMAC included
	Counter *uint64 // the command counter that it was made for; nil where the signer does not say
}

// Authorisation is what lets a state-changing block pass.
type Authorisation struct {
	Commands []string // names of the entries that the recipe's step allows
	OneWay   bool     // the recipe names the step permanent, and an intent is durable
}

// ACRTMReply is what the chip answered.
type ACRTMReply struct {
	Command *ACRTMCommand
	Status  byte
	Reply   []byte // Command.Reply bytes; nothing is known of it where Status is not OK
}

// rpmcCommands are the sub-commands of Op1 that RPMC has (JESD260): 00 to 03. SendRPMC alone sends them.
const rpmcCommands = 4

// Check is the entry that lists the block, its length included. It is pure, and sees nothing of the block but the bytes that entries want and its
// length. Errors wrap ErrBlock. The sub-commands of RPMC are refused whatever the table says.
func (t *ACRTM) Check(block []byte) (*ACRTMCommand, error) {
	switch {
	case len(block) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrBlock)
	case block[0] < rpmcCommands:
		return nil, fmt.Errorf("%w: sub-command %02X is RPMC's", ErrBlock, block[0])
	case len(block) > t.MaxWrite:
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d go out at once", ErrBlock, len(block), t.MaxWrite)
	}
	var found *ACRTMCommand
	for i := range t.Commands {
		if c := &t.Commands[i]; c.matches(block) {
			if found != nil {
				return nil, fmt.Errorf("%w: it is %s and %s at once", ErrBlock, found.Name, c.Name)
			}
			found = c
		}
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("%w: no entry of the part's table lists sub-command %X", ErrBlock, block[:min(2, len(block))])
	case len(block) < found.Min || len(block) > found.Max:
		return nil, fmt.Errorf("%w: %s has %d to %d bytes, not %d", ErrBlock, found.Name, found.Min, found.Max, len(block))
	}
	return found, nil
}

// Command is the entry of that name, nil where there is none.
func (t *ACRTM) Command(name string) *ACRTMCommand {
	for i := range t.Commands {
		if t.Commands[i].Name == name {
			return &t.Commands[i]
		}
	}
	return nil
}

func (c *ACRTMCommand) matches(block []byte) bool {
	for _, m := range c.Match {
		if m.At < 0 || m.At >= len(block) || block[m.At] != m.Value {
			return false
		}
	}
	return len(c.Match) > 0
}
