package flash

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"station/spi"
)

// counterSize is the bytes of a counter in a reply.
const counterSize = 8

// ACRTM is the table of the part profile, of a chip whose SFDP declares the transport. Errors: ErrNoACRTM, wrapped. Nothing is sent.
func (c *Chip) ACRTM() (*ACRTM, error) {
	if c.part.ACRTM == nil {
		return nil, fmt.Errorf("%w: the profile of %s has no table of them", ErrNoACRTM, c.part.Name)
	}
	if r, err := c.RPMC(); err != nil {
		return nil, fmt.Errorf("%w: they share the transport of RPMC: %w", ErrNoACRTM, err)
	} else if t := c.part.ACRTM; r.Op1 != t.Op1 || r.Op2 != t.Op2 {
		return nil, fmt.Errorf("%w: they share the transport of RPMC, and the opcodes differ", ErrNoACRTM)
	}
	return c.part.ACRTM, nil
}

// ACRTMCounters are the power-on counter and the command counter as they are now. Every error is a *SentError; ErrNoACRTM, too, where the table does not
// tell how they are read. It is safe to ask again.
func (c *Chip) ACRTMCounters(ctx context.Context) (powerOn, command uint64, err error) {
	const op = "read the counters"
	t, err := c.ACRTM()
	if err == nil && t.Counters == nil {
		err = fmt.Errorf("%w: the table does not tell how counters are read", ErrNoACRTM)
	}
	if err != nil {
		return 0, 0, &SentError{op, spi.No, err}
	}
	return c.counters(ctx, t)
}

func (c *Chip) counters(ctx context.Context, t *ACRTM) (powerOn, command uint64, err error) {
	const op = "read the counters"
	block, err := hex.DecodeString(t.Counters.Block)
	var cmd *ACRTMCommand
	if err == nil {
		cmd, err = t.Check(block)
	}
	if err != nil {
		return 0, 0, &SentError{op, spi.No, err}
	}
	r, err := c.relay(ctx, t, op, cmd, block)
	if err != nil {
		return 0, 0, err
	}
	if r.Status != t.OK {
		return 0, 0, &SentError{op, spi.Yes, fmt.Errorf("status 0x%02X: %w", r.Status, ErrNotExecuted)}
	}
	at := func(n int) uint64 { return binary.BigEndian.Uint64(r.Reply[n:]) }
	return at(t.Counters.PowerOn), at(t.Counters.Command), nil
}

// RelayReadOnly sends one block of a read-only command, once, and returns what the chip answered, whatever its status says: only the table's OK is a success.
//
// Refused with ErrBlock, before anything is sent: what the table does not list, what may change the chip, and what was made for another chip. A block that names a
// counter has the chip's counters read first where the table tells how, and is refused where it is another one. The end of ctx acts before the block, never during it.
// Every error is a *SentError, and tells nothing of the block: ErrNoACRTM, ErrBlock, *BusyError, contact and link errors.
func (c *Chip) RelayReadOnly(ctx context.Context, b Block) (ACRTMReply, error) {
	return c.relayed(ctx, b, func(cmd *ACRTMCommand) error {
		if cmd.Class != ReadOnly {
			return fmt.Errorf("%w: %s may change the chip, and the step is %s", ErrBlock, cmd.Name, ReadOnly)
		}
		return nil
	})
}

// RelayStateChanging is RelayReadOnly for blocks of either class, as far as the authorisation goes. An error whose Sent is not No leaves open whether the block took
// effect: it is never sent again; ACRTMCounters may tell.
func (c *Chip) RelayStateChanging(ctx context.Context, b Block, a Authorisation) (ACRTMReply, error) {
	return c.relayed(ctx, b, func(cmd *ACRTMCommand) error {
		switch {
		case !slices.Contains(a.Commands, cmd.Name):
			return fmt.Errorf("%w: the step does not allow %s", ErrBlock, cmd.Name)
		case cmd.OneWay && !a.OneWay:
			return fmt.Errorf("%w: %s is never undone, and that is not authorised", ErrBlock, cmd.Name)
		}
		return nil
	})
}

// relayed checks the block against table, use, chip and counter, in this order, and sends it.
func (c *Chip) relayed(ctx context.Context, b Block, use func(*ACRTMCommand) error) (ACRTMReply, error) {
	op := "authenticated command"
	var cmd *ACRTMCommand
	t, err := c.ACRTM()
	if err == nil {
		cmd, err = t.Check(b.Bytes)
	}
	if err == nil {
		op += " " + cmd.Name
		err = use(cmd)
	}
	if err == nil && (b.ID != DeviceID(c.id[:6]) || b.UID != c.UID()) {
		err = fmt.Errorf("%w: it was made for another chip", ErrBlock)
	}
	if err == nil && b.Counter != nil && t.Counters != nil {
		_, now, failed := c.counters(ctx, t)
		if err = failed; err == nil && now != *b.Counter {
			err = fmt.Errorf("%w: it was made for command counter %d, and that is %d", ErrBlock, *b.Counter, now)
		}
	}
	if err != nil {
		return ACRTMReply{}, &SentError{op, spi.No, err}
	}
	return c.relay(ctx, t, op, cmd, b.Bytes)
}

// relay sends a block that was checked, and reads status and reply twice between good ID reads of the chip.
func (c *Chip) relay(ctx context.Context, t *ACRTM, op string, cmd *ACRTMCommand, block []byte) (ACRTMReply, error) {
	packet := append(append(make([]byte, 0, 1+len(block)), t.Op1), block...)
	defer clear(packet)
	p := port{t.Op2, t.Busy, t.Poll, t.Limit}
	status, err := c.packet(ctx, p, op, packet, true)
	if err != nil {
		return ACRTMReply{}, err
	}
	reply := ACRTMReply{Command: cmd, Status: status, Reply: make([]byte, cmd.Reply)}
	if status != t.OK || cmd.Reply == 0 {
		return reply, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), linkLimit)
	defer cancel()
	got, err := c.twice(ctx, op, 1+cmd.Reply, func(in []byte) []spi.Frame { return []spi.Frame{p.read(in)} })
	if err == nil && got[0] != status {
		err = &UnstableError{op, -1, []byte{status}, got[:1]}
	}
	if err != nil {
		return ACRTMReply{}, &SentError{op, spi.Yes, err}
	}
	reply.Reply = got[1:]
	return reply, nil
}
