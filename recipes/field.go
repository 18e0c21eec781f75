package recipes

import (
	"encoding/binary"
	"hash/crc32"
)

// FieldKind is how a field makes its bytes.
type FieldKind string

const (
	TextField  FieldKind = "text"  // the serial in UTF-8, padded behind
	BytesField FieldKind = "bytes" // a value, byte for byte
	CRC32Field FieldKind = "crc32" // a checksum over other fields
)

// Field is one piece of a region that differs from unit to unit. Fields follow each other without gaps.
type Field struct {
	Kind   FieldKind
	Value  string   // the value's name, which is the field's name too; "" for a checksum
	Size   int64    // in bytes; 4 for a checksum
	Pad    byte     // fills a TextField up to Size
	Over   []string // CRC32Field: the fields that it covers, in this order, as they are written (with their padding)
	Endian Endian   // CRC32Field: which byte of the checksum comes first
}

// Endian is a byte order.
type Endian string

const (
	Little Endian = "little" // least significant byte first
	Big    Endian = "big"
)

// fieldsSize is how many bytes the fields take.
func fieldsSize(fields []Field) int64 {
	var n int64
	for _, f := range fields {
		n += f.Size
	}
	return n
}

// layOut makes the bytes of fields from the values by name, each of which fits its field.
// The checksum is CRC-32/ISO-HDLC, the one of zlib and Ethernet: CBF43926 for "123456789".
func layOut(fields []Field, values map[string][]byte) []byte {
	written := map[string][]byte{}
	for _, f := range fields {
		if f.Kind == CRC32Field {
			continue
		}
		b := make([]byte, f.Size)
		for i := copy(b, values[f.Value]); i < len(b); i++ {
			b[i] = f.Pad
		}
		written[f.Value] = b
	}
	var out []byte
	for _, f := range fields {
		if f.Kind != CRC32Field {
			out = append(out, written[f.Value]...)
			continue
		}
		sum := uint32(0)
		for _, name := range f.Over {
			sum = crc32.Update(sum, crc32.IEEETable, written[name])
		}
		if f.Endian == Big {
			out = binary.BigEndian.AppendUint32(out, sum)
		} else {
			out = binary.LittleEndian.AppendUint32(out, sum)
		}
	}
	return out
}
