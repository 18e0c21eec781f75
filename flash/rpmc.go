package flash

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Sizes of RPMC packets, from the opcode to the end of the signature, and of the reply behind opcode and dummy byte (JESD260), in bytes.
const (
	rootKeyPacketSize   = 64
	updatePacketSize    = 40
	incrementPacketSize = 40
	requestPacketSize   = 48
	ReplySize           = 49
)

// Commands of OP1.
const (
	rpmcRootKey   = 0x00
	rpmcUpdate    = 0x01
	rpmcIncrement = 0x02
	rpmcRequest   = 0x03
)

// Extended status (JESD260). Success is this value exactly; the others are bits. ExplainRPMC says what they mean.
const (
	RPMCPowerOn        = 0x00
	RPMCSuccess        = 0x80
	RPMCBusy           = 1 << 0
	RPMCRootKey        = 1 << 1
	RPMCSignature      = 1 << 2
	RPMCNoHMACKey      = 1 << 3
	RPMCCounter        = 1 << 4
	RPMCFatal          = 1 << 5
	rpmcReserved  byte = 1<<6 | 1<<7
)

// Errors that callers branch on.
var (
	// ErrNoRPMC: part profile and SFDP do not agree that the chip has replay-protected monotonic counters. Opcodes 9B and 96 mean
	// other things there, and nothing was sent.
	ErrNoRPMC = errors.New("no replay-protected monotonic counters")
	// ErrRootKey: a root key of all 00 or all FF.
	ErrRootKey = errors.New("a root key of all 00 or all FF is none")
	// ErrReply: the reply is not the one that the key must give to the tag.
	ErrReply = errors.New("the reply is not authentic")
)

// RPMC describes replay-protected monotonic counters: 32 bits, with a root key each.
type RPMC struct {
	Counters   int           `yaml:"counters" json:"counters"`
	Op1        byte          `yaml:"op1" json:"op1"`                 // takes packets
	Op2        byte          `yaml:"op2" json:"op2"`                 // gives extended status and reply
	Initial    uint32        `yaml:"initial" json:"initial"`         // value of a counter whose root key was just written
	UpdateRate time.Duration `yaml:"update_rate" json:"update_rate"` // least time between two increments, sustained
	Poll       time.Duration `yaml:"poll" json:"poll"`               // between two looks at a busy chip
	Limit      time.Duration `yaml:"limit" json:"limit"`             // of one command
}

// ExplainRPMC says what an extended status means, for people.
func ExplainRPMC(status byte) string {
	switch status {
	case RPMCSuccess:
		return "success"
	case RPMCPowerOn:
		return "no command since power-up"
	case 0xFF:
		return "no answer"
	}
	if status&RPMCBusy != 0 {
		return "busy"
	}
	var all []string
	for _, s := range []struct {
		bit  byte
		text string
	}{
		{RPMCRootKey, "the root key is written already (when writing it) or not yet (when updating the HMAC key)"},
		{RPMCSignature, "the signature does not fit, or counter, command or length is out of range"},
		{RPMCNoHMACKey, "the HMAC key is not set since power-up"},
		{RPMCCounter, "the counter has another value"},
		{RPMCFatal, "the device has a fatal error"},
		{rpmcReserved, "reserved bits are set"},
	} {
		if status&s.bit != 0 {
			all = append(all, s.text)
		}
	}
	return strings.Join(all, "; ")
}

// HMACKey is the key of a power-up: HMAC-SHA-256 of the key data under the root key. A secret, the caller's to wipe.
func HMACKey(rootKey *[32]byte, keyData [4]byte) [32]byte { return sign(rootKey, keyData[:]) }

func sign(key *[32]byte, message []byte) [32]byte {
	h := hmac.New(sha256.New, key[:])
	h.Write(message)
	return [32]byte(h.Sum(nil))
}

// header is the first four bytes of every packet, with room for size.
func header(op1, command, index byte, size int) []byte {
	return append(make([]byte, 0, size), op1, command, index, 0)
}

// sealed is a packet with its signature.
func sealed(packet []byte, hmacKey *[32]byte) []byte {
	signature := sign(hmacKey, packet)
	return append(packet, signature[:]...)
}

// RootKeyPacket is command 00, 64 bytes: header, root key in clear, and the last 28 bytes of HMAC-SHA-256(root key, header). The packet is as secret as the
// key, and the caller's to wipe. Keys of all 00 or all FF are refused with ErrRootKey.
func RootKeyPacket(op1, index byte, rootKey *[32]byte) ([]byte, error) {
	if uniform(rootKey[:]) {
		return nil, ErrRootKey
	}
	p := header(op1, rpmcRootKey, index, rootKeyPacketSize)
	signature := sign(rootKey, p)
	p = append(p, rootKey[:]...)
	return append(p, signature[4:]...), nil
}

// UpdatePacket is command 01, 40 bytes: header, key data, and HMAC-SHA-256 of both under HMACKey(rootKey, keyData). It does not tell the key.
func UpdatePacket(op1, index byte, rootKey *[32]byte, keyData [4]byte) []byte {
	key := HMACKey(rootKey, keyData)
	defer clear(key[:])
	return sealed(append(header(op1, rpmcUpdate, index, updatePacketSize), keyData[:]...), &key)
}

// IncrementPacket is command 02, 40 bytes: header, the present counter value, big-endian, and HMAC-SHA-256 of both.
func IncrementPacket(op1, index byte, hmacKey *[32]byte, value uint32) []byte {
	return sealed(binary.BigEndian.AppendUint32(header(op1, rpmcIncrement, index, incrementPacketSize), value), hmacKey)
}

// RequestPacket is command 03, 48 bytes: header, tag, and HMAC-SHA-256 of both.
func RequestPacket(op1, index byte, hmacKey *[32]byte, tag [12]byte) []byte {
	return sealed(append(header(op1, rpmcRequest, index, requestPacketSize), tag[:]...), hmacKey)
}

// Reply is what the chip answers to a request.
type Reply struct {
	Status    byte // extended status
	Tag       [12]byte
	Counter   uint32
	Signature [32]byte // HMAC-SHA-256 of tag and counter, big-endian
}

// ReplyFor is the reply that hmacKey must give to tag while the counter is value: status 80, tag, counter, signature.
func ReplyFor(hmacKey *[32]byte, tag [12]byte, value uint32) [ReplySize]byte {
	reply := append(make([]byte, 0, ReplySize), RPMCSuccess)
	reply = binary.BigEndian.AppendUint32(append(reply, tag[:]...), value)
	signature := sign(hmacKey, reply[1:])
	return [ReplySize]byte(append(reply, signature[:]...))
}

// ParseReply takes a reply apart.
func ParseReply(b [ReplySize]byte) Reply {
	return Reply{b[0], [12]byte(b[1:]), binary.BigEndian.Uint32(b[13:]), [32]byte(b[17:])}
}

// Verify tells whether the reply is a success, for tag, and signed with hmacKey. Errors wrap ErrReply.
func (r Reply) Verify(hmacKey *[32]byte, tag [12]byte) error {
	want := ReplyFor(hmacKey, tag, r.Counter)
	switch {
	case r.Status != RPMCSuccess:
		return fmt.Errorf("%w: status 0x%02X: %s", ErrReply, r.Status, ExplainRPMC(r.Status))
	case !bytes.Equal(r.Tag[:], tag[:]):
		return fmt.Errorf("%w: it has another tag", ErrReply)
	case !hmac.Equal(r.Signature[:], want[17:]):
		return fmt.Errorf("%w: its signature is another key's", ErrReply)
	}
	return nil
}

// check refuses packets that the chip has no counter or command for, before anything is sent. It never tells what is in them.
func (r *RPMC) check(packet []byte) error {
	if len(packet) < 4 {
		return fmt.Errorf("a packet of %d bytes", len(packet))
	}
	sizes := [...]int{rpmcRootKey: rootKeyPacketSize, rpmcUpdate: updatePacketSize, rpmcIncrement: incrementPacketSize, rpmcRequest: requestPacketSize}
	switch command := int(packet[1]); {
	case packet[0] != r.Op1:
		return fmt.Errorf("opcode 0x%02X is not 0x%02X", packet[0], r.Op1)
	case command >= len(sizes):
		return fmt.Errorf("there is no command 0x%02X", command)
	case len(packet) != sizes[command]:
		return fmt.Errorf("command 0x%02X has %d bytes, not %d", command, sizes[command], len(packet))
	case int(packet[2]) >= r.Counters:
		return fmt.Errorf("there is no counter %d of %d", packet[2], r.Counters)
	case packet[3] != 0:
		return errors.New("the reserved byte is not 00")
	case command == rpmcRootKey && uniform(packet[4:36]):
		return ErrRootKey
	}
	return nil
}
