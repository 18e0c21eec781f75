package flash

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// ErrSFDP: the bytes are not a well-formed SFDP area.
var ErrSFDP = errors.New("malformed SFDP")

// Parameter IDs (JESD216B 6.3).
const (
	parameterBasic     = 0xFF00
	parameterFourBytes = 0xFF84
	parameterRPMC      = 0xFF03 // JESD260
)

// maxSFDP is the largest area that is read: more than any header of 24-bit pointers needs in practice.
const maxSFDP = 4096

// SFDP is what a Serial Flash Discoverable Parameters area tells (JESD216B), as far as part profiles can be compared with it.
type SFDP struct {
	Major, Minor byte
	Parameters   []Parameter
	Size         int64 // bytes
	Page         int64 // bytes
	AddressBytes int   // most that are possible: 3 or 4
	Erases       []SFDPErase
	FourByte     bool      // the 4-byte address instruction table is there
	Instructions uint32    // its first dword: a set bit is a supported instruction
	RPMC         *SFDPRPMC // nil: no table of counters that a station can use
	raw          []byte    // from byte 0 to the end of the last table
}

// SFDPRPMC is the table of replay-protected monotonic counters (JESD260), of 32 bits each.
type SFDPRPMC struct {
	Counters     int
	Op1, Op2     byte
	StatusPolled bool          // busy is bit 0 of the status register (05), not of the extended status
	UpdateRate   time.Duration // least time between two increments, sustained
	ReadDelay    time.Duration // before the first poll behind a request
	WriteShort   time.Duration // likewise behind commands that write
	WriteLong    time.Duration // likewise, in the worst case
}

// Parameter is one parameter header: a table of Length bytes at Pointer.
type Parameter struct {
	ID           uint16
	Major, Minor byte
	Pointer      int
	Length       int
}

// SFDPErase is one erase type. Opcode4 is 0 where no 4-byte twin is declared.
type SFDPErase struct {
	Size            int64
	Opcode, Opcode4 byte
}

// Bits of the first dword of the 4-byte address instruction table (JESD216B 6.7).
const (
	fourByteRead             = 1 << 0  // 13
	fourByteProgram          = 1 << 6  // 12
	fourByteErase            = 1 << 9  // erase type 1; the next three bits are types 2 to 4
	fourByteVolatileRead     = 1 << 16 // E0
	fourByteVolatileWrite    = 1 << 17 // E1
	fourByteNonvolatileRead  = 1 << 18 // E2
	fourByteNonvolatileWrite = 1 << 19 // E3
)

// sfdpHeaders reads the header and the parameter headers, and returns how long the area is.
func sfdpHeaders(b []byte) (s *SFDP, length int, err error) {
	if len(b) < 8 || string(b[:4]) != "SFDP" {
		return nil, 0, fmt.Errorf("%w: no signature", ErrSFDP)
	}
	s = &SFDP{Minor: b[4], Major: b[5]}
	if s.Major != 1 {
		return nil, 0, fmt.Errorf("%w: major revision %d", ErrSFDP, s.Major)
	}
	headers := 8 + 8*(int(b[6])+1)
	if headers > len(b) {
		return nil, 0, fmt.Errorf("%w: %d parameter headers in %d bytes", ErrSFDP, int(b[6])+1, len(b))
	}
	length = headers
	for h := b[8:headers]; len(h) > 0; h = h[8:] {
		p := Parameter{
			ID:    uint16(h[7])<<8 | uint16(h[0]),
			Minor: h[1], Major: h[2],
			Length:  4 * int(h[3]),
			Pointer: int(h[4]) | int(h[5])<<8 | int(h[6])<<16,
		}
		if end := p.Pointer + p.Length; end > maxSFDP {
			return nil, 0, fmt.Errorf("%w: table %04X ends at 0x%06X", ErrSFDP, p.ID, end)
		} else if end > length {
			length = end
		}
		s.Parameters = append(s.Parameters, p)
	}
	return s, length, nil
}

// ParseSFDP decodes an SFDP area from its byte 0. What follows the last table is ignored. Errors wrap ErrSFDP.
func ParseSFDP(b []byte) (*SFDP, error) {
	s, length, err := sfdpHeaders(b)
	if err != nil {
		return nil, err
	}
	if length > len(b) {
		return nil, fmt.Errorf("%w: tables need %d bytes of %d", ErrSFDP, length, len(b))
	}
	s.raw = append([]byte(nil), b[:length]...)
	if first := s.Parameters[0]; first.ID != parameterBasic {
		return nil, fmt.Errorf("%w: the first table is %04X, not %04X", ErrSFDP, first.ID, parameterBasic)
	}
	// A later table with the same ID replaces the former (JESD216B 6.2); both are long enough or it is an error.
	var basic, four []byte
	for _, p := range s.Parameters {
		table := s.raw[p.Pointer : p.Pointer+p.Length]
		switch p.ID {
		case parameterBasic:
			basic = table
		case parameterFourBytes:
			four = table
			s.FourByte = true
		case parameterRPMC:
			if len(table) < 8 {
				return nil, fmt.Errorf("%w: RPMC table of %d bytes", ErrSFDP, len(table))
			}
			s.RPMC = rpmcTable(table)
		}
	}
	var opcodes4 [4]byte
	if s.FourByte {
		if len(four) < 8 {
			return nil, fmt.Errorf("%w: 4-byte address table of %d bytes", ErrSFDP, len(four))
		}
		s.Instructions = binary.LittleEndian.Uint32(four)
		for i := range opcodes4 {
			if s.Instructions&(fourByteErase<<i) != 0 {
				opcodes4[i] = four[4+i]
			}
		}
	}
	if err := s.basic(basic, opcodes4); err != nil {
		return nil, err
	}
	return s, nil
}

// rpmcTable decodes two dwords, JESD260. nil: unsupported (bit 0), counters not of 32 bits (bit 1), or a reserved 1 that is 0 (bit 3).
func rpmcTable(b []byte) *SFDPRPMC {
	if b[0]&0b1011 != 0b1000 {
		return nil
	}
	// Delays are five bits of count and two of unit.
	delay := func(b byte, units [4]time.Duration) time.Duration { return time.Duration(b&31) * units[b>>5&3] }
	const us, ms = time.Microsecond, time.Millisecond
	fine := [4]time.Duration{us, 16 * us, 128 * us, ms}
	return &SFDPRPMC{
		Counters:     int(b[0]>>4) + 1,
		Op1:          b[1],
		Op2:          b[2],
		StatusPolled: b[0]&0b0100 != 0,
		UpdateRate:   5 * time.Second << (b[3] & 15),
		ReadDelay:    delay(b[4], fine),
		WriteShort:   delay(b[5], fine),
		WriteLong:    delay(b[6], [4]time.Duration{ms, 16 * ms, 128 * ms, time.Second}),
	}
}

// basic decodes the basic flash parameter table, JESD216B 6.4. Its eleventh dword, with the page size, came with revision B.
func (s *SFDP) basic(table []byte, opcodes4 [4]byte) error {
	if len(table) < 11*4 {
		return fmt.Errorf("%w: basic table of %d bytes", ErrSFDP, len(table))
	}
	dword := func(n int) uint32 { return binary.LittleEndian.Uint32(table[4*(n-1):]) }
	s.AddressBytes = 3
	if modes := dword(1) >> 17 & 3; modes == 1 || modes == 2 {
		s.AddressBytes = 4
	}
	if d := dword(2); d>>31 == 0 {
		s.Size = (int64(d) + 1) / 8
	} else if n := d &^ (1 << 31); n >= 32 && n <= 40 {
		s.Size = 1 << (n - 3)
	} else {
		return fmt.Errorf("%w: density 0x%08X", ErrSFDP, d)
	}
	for i := range 4 {
		exponent, opcode := table[28+2*i], table[29+2*i]
		if exponent == 0 {
			continue
		}
		if exponent > 32 {
			return fmt.Errorf("%w: erase type %d of 2^%d bytes", ErrSFDP, i+1, exponent)
		}
		s.Erases = append(s.Erases, SFDPErase{1 << exponent, opcode, opcodes4[i]})
	}
	s.Page = 1 << (dword(11) >> 4 & 15)
	return nil
}

// Digest is "sha256:" and the hexadecimal SHA-256 from byte 0 to the end of the last table.
func (s *SFDP) Digest() string {
	sum := sha256.Sum256(s.raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// agrees compares the profile with the chip's SFDP. The profile may leave out what the chip can do, never the other way round, but for 5C.
func (p *Part) agrees(s *SFDP) error {
	number := func(field string, got, want int64) error {
		if got != want {
			return &WrongSFDPError{field, fmt.Sprint(got), fmt.Sprint(want)}
		}
		return nil
	}
	if err := number("size", s.Size, p.Size); err != nil {
		return err
	}
	if err := number("page", s.Page, p.Page); err != nil {
		return err
	}
	if s.AddressBytes < p.AddressBytes {
		return number("address bytes", int64(s.AddressBytes), int64(p.AddressBytes))
	}
	for _, want := range p.Erases {
		got := "none"
		for _, e := range s.Erases {
			if e.Size == want.Size {
				got = fmt.Sprintf("%02X/%02X", e.Opcode, e.Opcode4)
				// Revision B dies have 5C, and the SFDP, that of revision A, does not tell (spec 1.4): there the profile decides.
				undeclared := want.Opcode4 == 0x5C && e.Opcode4 == 0
				if e.Opcode == want.Opcode && (want.Opcode4 == 0 || e.Opcode4 == want.Opcode4 || undeclared) {
					got = ""
				}
			}
		}
		if got != "" {
			return &WrongSFDPError{fmt.Sprintf("opcodes of the %d-byte erase", want.Size), got, fmt.Sprintf("%02X/%02X", want.Opcode, want.Opcode4)}
		}
	}
	const need = fourByteRead | fourByteProgram |
		fourByteVolatileRead | fourByteVolatileWrite | fourByteNonvolatileRead | fourByteNonvolatileWrite
	if p.AddressBytes == 4 && s.Instructions&need != need {
		return &WrongSFDPError{"4-byte instruction table", fmt.Sprintf("0x%08X", s.Instructions), fmt.Sprintf("all of 0x%08X", uint32(need))}
	}
	return nil
}
