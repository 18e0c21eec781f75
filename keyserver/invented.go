package keyserver

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Invented makes the commands of docs/acrtm-invented.md, which no real part has.
type Invented struct{}

// The commands by name, with their first two bytes.
var inventedNames = map[string][2]byte{"counters": {0xF0, 0x00}, "measure": {0xF0, 0x01}, "write": {0xF1, 0x00}, "erase": {0xF1, 0x01}, "protect": {0xF2, 0x00}}

const (
	inventedPage   = 256
	inventedErase  = 4096
	inventedSector = 64 << 10
)

// Master of the chips' secrets.
func (Invented) Master() string { return "acrtm/factory" }

// Stale statuses: wrong HMAC, which one of another power-on has, or a wrong counter.
func (Invented) Stale(status byte) bool { return status == 0x04 || status == 0x10 }

// Ops are, as far as the step lists their commands: erase and write of the region, 4 KiB after 4 KiB; the counters; a measurement of the region; and its protection, last.
func (Invented) Ops(s Step, content []byte) ([]Op, error) {
	has := func(name string) bool { return slices.Contains(s.Commands, name) }
	for _, name := range s.Commands {
		if _, ok := inventedNames[name]; !ok {
			return nil, fmt.Errorf("the invented map has no command %q", name)
		}
	}
	needs := func(unit int64) error {
		if s.Size == 0 {
			return errors.New("it has no region, and its commands need one")
		}
		if s.At%unit != 0 || s.Size%unit != 0 {
			return fmt.Errorf("the region has to be whole units of %d bytes", unit)
		}
		return nil
	}
	var ops []Op
	if has("erase") {
		if err := needs(inventedErase); err != nil {
			return nil, err
		}
	}
	if has("write") {
		if err := needs(inventedPage); err != nil {
			return nil, err
		}
		if s.Image == "" || s.Unknown {
			return nil, errors.New("write needs an image")
		}
	}
	const unit = inventedErase
	for at := s.At; (has("erase") || has("write")) && at < s.At+s.Size; at += unit {
		from := len(ops)
		if has("erase") {
			ops = append(ops, Op{Command: "erase", At: at, Size: unit, Changes: true, From: from})
		}
		for page := at; has("write") && page < min(at+unit, s.At+s.Size); page += inventedPage {
			data := content[page-s.At:][:inventedPage]
			if bytes.Count(data, []byte{0xFF}) == len(data) {
				continue
			}
			back := from
			if !has("erase") {
				back = len(ops)
			}
			ops = append(ops, Op{Command: "write", At: page, Size: inventedPage, Data: data, Changes: true, From: back})
		}
	}
	if has("counters") {
		ops = append(ops, Op{Command: "counters", From: len(ops)})
	}
	if has("measure") {
		if err := needs(1); err != nil {
			return nil, err
		}
		if s.Unknown {
			return nil, fmt.Errorf("what region %s holds differs from unit to unit, or is not known: it cannot be measured", s.Region)
		}
		ops = append(ops, Op{Command: "measure", At: s.At, Size: s.Size, From: len(ops)})
	}
	if has("protect") {
		if err := needs(inventedSector); err != nil {
			return nil, err
		}
		ops = append(ops, Op{Command: "protect", At: s.At, Size: s.Size, Changes: true, OneWay: true, From: len(ops)})
	}
	if s.At < 0 || s.At+s.Size > 1<<32 {
		return nil, errors.New("the region is out of range")
	}
	return ops, nil
}

// Block is name, length of the payload, counter, payload, HMAC; of counters its name and two zeros.
func (Invented) Block(secret []byte, op Op, at Point) []byte {
	name := inventedNames[op.Command]
	if op.Command == "counters" {
		return []byte{name[0], name[1], 0, 0}
	}
	payload := binary.BigEndian.AppendUint32(nil, uint32(op.At))
	switch op.Command {
	case "measure":
		payload = binary.BigEndian.AppendUint32(payload, uint32(op.Size))
		payload = append(payload, at.Nonce[:]...)
	case "write":
		payload = append(payload, op.Data...)
	case "protect":
		payload = binary.BigEndian.AppendUint32(payload, uint32(op.Size))
	}
	block := binary.BigEndian.AppendUint16(name[:], uint16(len(payload)))
	block = binary.BigEndian.AppendUint64(block, at.Counter)
	block = append(block, payload...)
	session := inventedSession(secret, at.PowerOn)
	defer clear(session)
	return append(block, macOf(session, block)...)
}

// Check of counters looks at the length alone: nobody signs them.
func (Invented) Check(secret []byte, op Op, at Point, block, reply []byte) ([]byte, error) {
	name := inventedNames[op.Command]
	counter, size := at.Counter+1, 40
	switch op.Command {
	case "counters":
		size = 16
	case "measure":
		counter, size = at.Counter, 72
	}
	if len(reply) != size {
		return nil, fmt.Errorf("an answer of %d bytes, not %d", len(reply), size)
	}
	if op.Command == "counters" {
		return nil, nil
	}
	text := name[:]
	var digest []byte
	if op.Command == "measure" {
		digest = reply[8:40]
		text = append(text, at.Nonce[:]...)
		text = binary.BigEndian.AppendUint64(text, counter)
		text = binary.BigEndian.AppendUint32(text, uint32(op.At))
		text = binary.BigEndian.AppendUint32(text, uint32(op.Size))
		text = append(text, digest...)
	} else {
		sum := sha256.Sum256(block)
		text = binary.BigEndian.AppendUint64(text, counter)
		text = append(text, sum[:]...)
	}
	session := inventedSession(secret, at.PowerOn)
	defer clear(session)
	if !hmac.Equal(macOf(session, text), reply[size-32:]) || binary.BigEndian.Uint64(reply) != counter {
		return nil, errors.New("the answer is not signed by this chip for this block")
	}
	return bytes.Clone(digest), nil
}

func inventedSession(secret []byte, powerOn uint64) []byte {
	return macOf(secret, binary.BigEndian.AppendUint64(nil, powerOn))
}

func macOf(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return mac.Sum(nil)
}
