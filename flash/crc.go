package flash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"math/bits"
	"time"

	"station/spi"
)

// Opcodes and selectors of the CRC check (spec 9). Both opcodes mean other things on parts with RPMC.
const (
	opInterface  = 0x9B // interface activation
	interfaceCRC = 0x27
	crcWhole     = 0xFF
	crcRange     = 0xFE
	opReadGPRR   = 0x96 // general purpose read register
)

// CRC describes the chip's own check of its content by CRC-64 (ECMA-182, initial value 0): how it takes the bits of a byte, and the
// layout of its frames.
type CRC struct {
	Reflected    bool          `yaml:"reflected" json:"reflected"`         // least significant bit of each byte first
	AddressBytes int           `yaml:"address_bytes" json:"address_bytes"` // of start and stop, most significant first: 4, or 0 for as many as the address mode wants
	StopIncluded bool          `yaml:"stop_included" json:"stop_included"` // stop is the address of the last byte, not the one behind it
	WriteEnable  bool          `yaml:"write_enable" json:"write_enable"`   // 9B 27 wants 06 before it
	ReadDummy    int           `yaml:"read_dummy" json:"read_dummy"`       // bytes between 96 and its answer
	Limit        time.Duration `yaml:"limit" json:"limit"`                 // of a check of the whole part
}

// ErrNoCRC: the part profile knows no check by CRC. Nothing was sent.
var ErrNoCRC = errors.New("the chip does not check its content by CRC")

// CRCError: the chip computed another CRC over Range.
type CRCError struct {
	Range     Range
	Want, Got uint64
}

func (e *CRCError) Error() string {
	return fmt.Sprintf("CRC of %s is 0x%016X, want 0x%016X", e.Range, e.Got, e.Want)
}

// ecma is made from the reflected polynomial C96C5795D7870F42.
var ecma = crc64.MakeTable(crc64.ECMA)

// CRC64 is the CRC-64 of ECMA-182 over data, one piece after the other: polynomial 42F0E1EBA9EA3693, initial value 0, no final xor.
// reflected: bytes are taken least significant bit first.
func CRC64(reflected bool, data ...[]byte) uint64 {
	crc := ^uint64(0) // the library inverts at both ends
	var turned [256]byte
	for _, d := range data {
		if reflected {
			crc = crc64.Update(crc, ecma, d)
			continue
		}
		// The same register, seen from the other end.
		for len(d) > 0 {
			n := min(len(d), len(turned))
			for i, b := range d[:n] {
				turned[i] = bits.Reverse8(b)
			}
			crc = crc64.Update(crc, ecma, turned[:n])
			d = d[n:]
		}
	}
	if reflected {
		return ^crc
	}
	return bits.Reverse64(^crc)
}

// CheckCRC has the chip compute the CRC over r and compares it with want (as CRC64 makes it, Reflected as the profile says).
//
// The chip is given the complement of want and must find it wrong (flag status bit 4): a match would be told by the absence of an
// error bit, which proves nothing. What it computed is read (96), twice between good ID reads. Errors: *CRCError where it is not want; ErrNoCRC;
// ErrNotExecuted where the chip found nothing wrong; *BusyError, contact and link errors. The flags are clean afterwards.
func (c *Chip) CheckCRC(ctx context.Context, r Range, want uint64) error {
	const op = "check CRC"
	layout := c.part.CRC
	if layout == nil {
		return fmt.Errorf("%s: %s: %w", op, c.part.Name, ErrNoCRC)
	}
	if err := (Extent{Addr: r.Addr, Size: r.Size}).check(c.part); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	var got uint64
	compute := func() (err error) {
		got, err = c.computeCRC(ctx, r, ^want)
		return err
	}
	var err error
	if layout.AddressBytes == 0 && c.part.AddressBytes == 4 && r != (Range{0, c.part.Size}) {
		err = c.inWideMode(ctx, compute)
	} else {
		err = compute()
	}
	if err == nil && got != want {
		err = &CRCError{r, want, got}
	}
	return err
}

// computeCRC has the chip compare its CRC over r with wrong, and returns what it computed. The flags are clean afterwards.
func (c *Chip) computeCRC(ctx context.Context, r Range, wrong uint64) (uint64, error) {
	const op = "check CRC"
	layout := c.part.CRC
	frames := []spi.Frame{{Out: c.frameCRC(r, wrong)}}
	if layout.WriteEnable {
		frames = append([]spi.Frame{{Out: []byte{opWriteEnable}}}, frames...)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	limit := c.part.Limit(layout.Limit)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit+linkLimit)
	defer cancel()
	start := time.Now()
	if err := c.conn.Do(ctx, frames...); err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	s, err := c.finished(ctx, command{op: op, addr: r.Addr}, start, limit)
	if err != nil {
		return 0, err
	}
	if s.fsr&fsrErrors != fsrProgramError {
		err := error(&OperationError{op, r.Addr, s.fsr})
		if s.fsr&fsrErrors == 0 {
			err = fmt.Errorf("%s: %w", at(op, r.Addr), ErrNotExecuted)
		}
		return 0, c.cleanAfter(ctx, err)
	}
	got, err := c.twice(ctx, "read CRC", 8, func(in []byte) []spi.Frame {
		return []spi.Frame{{Out: append([]byte{opReadGPRR}, make([]byte, layout.ReadDummy)...), In: in}}
	})
	if err != nil {
		return 0, c.cleanAfter(ctx, err)
	}
	return binary.LittleEndian.Uint64(got), c.clean(ctx)
}

// frameCRC is 9B 27, the selector, the CRC least significant byte first, and, unless r is the whole part, start and stop.
func (c *Chip) frameCRC(r Range, crc uint64) []byte {
	out := binary.LittleEndian.AppendUint64([]byte{opInterface, interfaceCRC, crcWhole}, crc)
	if r == (Range{0, c.part.Size}) {
		return out
	}
	out[2] = crcRange
	stop := r.Addr + r.Size
	if c.part.CRC.StopIncluded {
		stop--
	}
	for _, a := range []int64{r.Addr, stop} {
		if c.part.CRC.AddressBytes == 4 {
			out = append(out, address(0, a, 4)[1:]...)
		} else {
			out = append(out, c.moded(0, a)[1:]...)
		}
	}
	return out
}
