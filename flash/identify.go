package flash

import (
	"context"
	"errors"
	"fmt"
	"time"

	"station/spi"
)

// readID is one READ ID frame.
func readID(in *[20]byte) spi.Frame { return spi.Frame{Out: outReadID, In: in[:]} }

var outReadID = []byte{opReadID}

func floatingID(id [20]byte) bool {
	return id == [20]byte{} || blank(id[:])
}

// steadyID is the ID that all reads tell. Errors: ErrAbsent where all are FF or all are 00, *UnstableError where two differ.
func steadyID(reads ...[20]byte) ([20]byte, error) {
	for _, r := range reads[1:] {
		if r != reads[0] {
			return r, &UnstableError{"read ID", -1, reads[0][:], r[:]}
		}
	}
	if floatingID(reads[0]) {
		return reads[0], fmt.Errorf("read ID: every bit is %d: %w", reads[0][0]&1, ErrAbsent)
	}
	return reads[0], nil
}

// first waits until the chip is ready, and reads ID and SFDP area, each several times.
func (c *Chip) first(ctx context.Context, longest time.Duration) (first, second []byte, err error) {
	if _, err := c.ready(ctx, longest); err != nil {
		return nil, nil, err
	}
	var reads [3][20]byte
	first, second = make([]byte, 256), make([]byte, 256)
	err = c.conn.Do(ctx, readID(&reads[0]), readSFDP(first), readID(&reads[1]), readSFDP(second), readID(&reads[2]))
	if err == nil {
		c.id, err = steadyID(reads[:]...)
	}
	return first, second, err
}

// Identify reads ID and SFDP, each twice, and finds the one of parts (none given: the shipped ones) that agrees with both.
//
// A chip that looks absent is first recovered from deep power-down and from dual and quad protocols; the frames that do it are all that is sent to it. Once ID and
// SFDP agree with a part, what is suspended is resumed and awaited, wrapped reads are ended, and 4-byte mode is left where the chip does not come up in it: Recovered tells.
// A chip that is refused is left as it was found, apart from the former. It never resets, and changes no lock and no freeze. A chip that is busy, because a crash left it so, is awaited first, within the limit of the
// longest operation of any of parts. Errors: ErrAbsent, *UnstableError, *WrongPartError, *WrongSFDPError, ErrSFDP, *BusyError, and those
// of spi, wrapped.
func Identify(ctx context.Context, conn spi.Conn, parts ...*Part) (*Chip, error) {
	if len(parts) == 0 {
		var err error
		if parts, err = shipped(); err != nil {
			return nil, err
		}
	}
	var longest time.Duration
	for _, p := range parts {
		longest = max(longest, p.Longest())
	}
	c := &Chip{conn: conn}
	for _, p := range parts {
		c.dies = max(c.dies, p.Dies)
	}
	first, second, err := c.first(ctx, longest)
	if errors.Is(err, ErrAbsent) {
		// Nothing is sent to what did answer, once or in part: that is a bad contact.
		if absent, looking := c.absent(ctx); looking != nil {
			err = looking
		} else if absent {
			if err = c.wake(ctx, parts); err == nil {
				first, second, err = c.first(ctx, longest)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("identify: %w", err)
	}
	var candidates []*Part
	for _, p := range parts {
		if [6]byte(p.ID) == [6]byte(c.id[:6]) {
			candidates = append(candidates, p)
		}
	}
	if len(candidates) == 0 {
		return nil, &WrongPartError{DeviceID(c.id[:6]), parts}
	}
	if c.sfdp, err = c.decodeSFDP(ctx, first, second); err != nil {
		return nil, fmt.Errorf("identify: %w", err)
	}
	var errs []error
	for _, p := range candidates {
		if err := p.agrees(c.sfdp); err != nil {
			errs = append(errs, err)
			continue
		}
		c.part, c.dies = p, p.Dies
		if err := c.settle(ctx); err != nil {
			return nil, fmt.Errorf("identify: %w", err)
		}
		return c, nil
	}
	return nil, fmt.Errorf("identify %s: %w", candidates[0].Name, errors.Join(errs...))
}

func readSFDP(in []byte) spi.Frame {
	return spi.Frame{Out: []byte{opReadSFDP, 0, 0, 0, 0}, In: in}
}

// decodeSFDP decodes two readings of the first bytes, and reads again where the tables go on behind them.
func (c *Chip) decodeSFDP(ctx context.Context, first, second []byte) (*SFDP, error) {
	if err := alike("read SFDP", 0, first, second); err != nil {
		return nil, err
	}
	_, length, err := sfdpHeaders(first)
	if err != nil {
		return nil, err
	}
	if length > len(first) {
		first, second = make([]byte, length), make([]byte, length)
		if err := c.proven(ctx, "read SFDP", 0, readSFDP(first), readSFDP(second)); err != nil {
			return nil, err
		}
		if err := alike("read SFDP", 0, first, second); err != nil {
			return nil, err
		}
	}
	return ParseSFDP(first)
}

// alike is an *UnstableError at the first byte where two readings from addr on differ.
func alike(op string, addr int64, first, second []byte) error {
	for i := range first {
		if first[i] != second[i] {
			return &UnstableError{op, addr + int64(i), first[i : i+1 : i+1], second[i : i+1 : i+1]}
		}
	}
	return nil
}

// proven carries out frames that read, between two ID reads in one batch, and takes their answers only from the chip that was
// identified. Errors: ErrAbsent, *UnstableError, *OtherChipError, and those of spi.
func (c *Chip) proven(ctx context.Context, op string, addr int64, frames ...spi.Frame) error {
	c.frames = append(append(append(c.frames[:0], readID(&c.before)), frames...), readID(&c.after))
	if err := c.conn.Do(ctx, c.frames...); err != nil {
		return fmt.Errorf("%s: %w", at(op, addr), err)
	}
	if c.before == c.id && c.after == c.id {
		return nil
	}
	return fmt.Errorf("%s: %w", at(op, addr), c.same(c.before, c.after))
}

// same tells whether all reads are the ID of the identified chip.
func (c *Chip) same(reads ...[20]byte) error {
	id, err := steadyID(reads...)
	if err == nil && id != c.id {
		err = &OtherChipError{id, c.id}
	}
	return err
}

// Contact reads status and ID several times. nil: the same chip answers, steadily. A busy chip does not decode READ ID; of such a one
// steady status registers are the proof. Errors: ErrAbsent, *UnstableError, *OtherChipError, and those of spi, wrapped.
func (c *Chip) Contact(ctx context.Context) error {
	err := c.contact(ctx)
	if errors.Is(err, errTurned) {
		err = c.contact(ctx)
	}
	if err != nil {
		return fmt.Errorf("contact: %w", err)
	}
	return nil
}

// errTurned: a chip that was busy at first was not at last. That is no fault, unless it happens again.
var errTurned = errors.New("status changed from busy")

func (c *Chip) contact(ctx context.Context) error {
	const rounds = 4
	var reads [rounds][20]byte
	var looks [rounds]look
	var frames []spi.Frame
	for i := range rounds {
		l, status := looking(c.dies, 1, 1)
		looks[i] = l
		frames = append(append(frames, status...), readID(&reads[i]))
	}
	if err := c.conn.Do(ctx, frames...); err != nil {
		return err
	}
	first, _ := looks[0].status()
	busy := !first.floating() && !first.ready()
	for _, l := range looks {
		if now, _ := l.status(); now != first {
			err := error(&UnstableError{"read status", -1, []byte{first.sr, first.fsr}, []byte{now.sr, now.fsr}})
			if busy {
				err = errors.Join(errTurned, err)
			}
			return err
		}
	}
	if busy {
		return nil
	}
	return c.same(reads[:]...)
}

// twice reads n bytes by frames, two times in one proven batch. A difference is an *UnstableError.
func (c *Chip) twice(ctx context.Context, op string, n int, frames func(in []byte) []spi.Frame) ([]byte, error) {
	first, second := make([]byte, n), make([]byte, n)
	if err := c.proven(ctx, op, -1, append(frames(first), frames(second)...)...); err != nil {
		return nil, err
	}
	for i := range first {
		if first[i] != second[i] {
			return nil, &UnstableError{op, -1, first[i : i+1 : i+1], second[i : i+1 : i+1]}
		}
	}
	return first, nil
}

// Present tells whether any chip answers on conn, which may be of any of parts (none given: the shipped ones): its ID is neither all FF nor all 00, or
// a die says that it is busy.
func Present(ctx context.Context, conn spi.Conn, parts ...*Part) (bool, error) {
	if len(parts) == 0 {
		parts = Parts()
	}
	dies := 1
	for _, p := range parts {
		dies = max(dies, p.Dies)
	}
	var id [20]byte
	l, frames := looking(dies, 1, 1)
	if err := conn.Do(ctx, append(frames, readID(&id))...); err != nil {
		return false, fmt.Errorf("present: %w", err)
	}
	s, _ := l.status()
	busy := s.sr&statusWIP != 0 && s.fsr&fsrReady == 0
	return busy || !floatingID(id), nil
}

// Glance is a look that sends READ ID and status reads and nothing else, so that it changes no chip, of whatever part; what is asleep or in another protocol looks absent.
// uid is that of the chip, where two readings of an ID agree; "" where none is there, where the chip is busy, and where the readings differ. parts as in Present.
func Glance(ctx context.Context, conn spi.Conn, parts ...*Part) (present bool, uid string, err error) {
	if len(parts) == 0 {
		parts = Parts()
	}
	dies := 1
	for _, p := range parts {
		dies = max(dies, p.Dies)
	}
	var first, second [20]byte
	l, frames := looking(dies, 1, 1)
	if err := conn.Do(ctx, append(frames, readID(&first), readID(&second))...); err != nil {
		return false, "", fmt.Errorf("glance: %w", err)
	}
	s, _ := l.status()
	busy := s.sr&statusWIP != 0 && s.fsr&fsrReady == 0
	present = busy || !floatingID(first) || !floatingID(second)
	if present && !busy && first == second {
		uid = (&Chip{id: first}).UID()
	}
	return present, uid, nil
}
