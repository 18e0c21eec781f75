package usbip

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The second phase: messages with a header of 48 bytes, big-endian but for the setup packet.
const (
	headerSize = 48

	cmdSubmit uint32 = 1
	cmdUnlink uint32 = 2
	retSubmit uint32 = 3
	retUnlink uint32 = 4

	shortNotOK uint32 = 1 // transfer flag: a short read is an error

	maxTransfer = 16 << 20 // usbfs lends no more
	maxControl  = 0xFFFF   // of a data stage
)

// Status values: Linux's error numbers, negative.
const (
	statusOK       int32 = 0
	statusStall    int32 = -32  // EPIPE
	statusBabble   int32 = -75  // EOVERFLOW
	statusUnlinked int32 = -104 // ECONNRESET
	statusShort    int32 = -121 // EREMOTEIO
)

var errHeader = errors.New("malformed USB/IP header")

// command is the header of a CMD_SUBMIT or a CMD_UNLINK.
type command struct {
	code   uint32
	seqnum uint32
	device uint32
	target uint32 // of an unlink: the seqnum of the URB

	// Of a submit.
	in       bool
	endpoint byte // number, without the direction
	flags    uint32
	length   int // bytes of the buffer, which follow the header of an OUT
	packets  uint32
	setup    [8]byte
}

// address is the endpoint's.
func (c *command) address() byte {
	if c.in {
		return 0x80 | c.endpoint
	}
	return c.endpoint
}

// parse reads a header and refuses what no kernel sends. The error is errHeader.
func parse(p *[headerSize]byte) (command, error) {
	field := func(at int) uint32 { return binary.BigEndian.Uint32(p[at:]) }
	c := command{code: field(0), seqnum: field(4), device: field(8)}
	switch c.code {
	case cmdUnlink:
		c.target = field(20)
		return c, nil
	case cmdSubmit:
	default:
		return command{}, fmt.Errorf("%w: command 0x%08x", errHeader, c.code)
	}
	direction, endpoint, length := field(12), field(16), field(24)
	c.flags, c.packets = field(20), field(32)
	copy(c.setup[:], p[40:])
	switch {
	case direction > 1 || endpoint > 15:
		return command{}, fmt.Errorf("%w: direction %d of endpoint %d", errHeader, direction, endpoint)
	case length > maxTransfer || endpoint == 0 && length > maxControl:
		return command{}, fmt.Errorf("%w: %d bytes for endpoint %d", errHeader, length, endpoint)
	case c.packets != 0 && c.packets != 0xFFFFFFFF:
		return command{}, fmt.Errorf("%w: %d isochronous packets", errHeader, c.packets)
	case endpoint == 0 && length > 0 && (direction == 1) != (c.setup[0]&0x80 != 0):
		return command{}, fmt.Errorf("%w: direction %d of request type 0x%02x", errHeader, direction, c.setup[0])
	}
	c.in, c.endpoint, c.length = direction == 1, byte(endpoint), int(length)
	return c, nil
}

// reply is a RET_SUBMIT or a RET_UNLINK.
type reply struct {
	code    uint32
	seqnum  uint32
	status  int32
	actual  int    // of a submit: bytes that moved
	packets uint32 // of a submit: as it was asked
	data    []byte // of an IN: these bytes
	owed    int    // what the client has queued until it is written
}

// header is the reply's 48 bytes, which data follows.
func (r *reply) header() (p [headerSize]byte) {
	binary.BigEndian.PutUint32(p[0:], r.code)
	binary.BigEndian.PutUint32(p[4:], r.seqnum)
	binary.BigEndian.PutUint32(p[20:], uint32(r.status))
	if r.code == retSubmit {
		binary.BigEndian.PutUint32(p[24:], uint32(r.actual))
		binary.BigEndian.PutUint32(p[32:], r.packets)
	}
	return p
}
