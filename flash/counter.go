package flash

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"station/spi"
)

// RPMC is what the part profile and the chip's SFDP table FF03 agree on; the slower of both update rates holds. Any disagreement is
// ErrNoRPMC, wrapped with what it is about. Nothing is sent.
func (c *Chip) RPMC() (*RPMC, error) {
	if c.part.RPMC == nil {
		return nil, fmt.Errorf("%w: %s has none", ErrNoRPMC, c.part.Name)
	}
	r, s := *c.part.RPMC, c.sfdp.RPMC
	switch {
	case s == nil:
		return nil, fmt.Errorf("%w: the chip's SFDP declares none", ErrNoRPMC)
	case s.Counters != r.Counters:
		return nil, fmt.Errorf("%w: %w", ErrNoRPMC, &WrongSFDPError{"number of counters", fmt.Sprint(s.Counters), fmt.Sprint(r.Counters)})
	case s.Op1 != r.Op1 || s.Op2 != r.Op2:
		return nil, fmt.Errorf("%w: %w", ErrNoRPMC, &WrongSFDPError{"RPMC opcodes", fmt.Sprintf("%02X/%02X", s.Op1, s.Op2), fmt.Sprintf("%02X/%02X", r.Op1, r.Op2)})
	}
	r.UpdateRate = max(r.UpdateRate, s.UpdateRate)
	return &r, nil
}

// SendRPMC waits until the chip is idle, sends packet once, and polls until the chip is idle again. It returns the extended status, read twice between
// good ID reads of the chip, whatever it says: only RPMCSuccess is one. Command 00 is secret, others where secret says so; a secret packet is wiped before
// SendRPMC returns.
//
// A packet that the chip has no command or counter for, and a root key of all 00 or all FF, are refused before anything is sent. The end of
// ctx acts before the packet, never during it. Every error is a *SentError, value-free: ErrNoRPMC, ErrRootKey, *BusyError, contact and link errors.
func (c *Chip) SendRPMC(ctx context.Context, packet []byte, secret bool) (status byte, err error) {
	op := "RPMC command"
	secret = secret || len(packet) > 1 && packet[1] == rpmcRootKey
	if secret {
		defer clear(packet)
	}
	r, err := c.RPMC()
	if err == nil {
		err = r.check(packet)
	}
	if err == nil {
		op = fmt.Sprintf("RPMC command %02X of counter %d", packet[1], packet[2])
		status, err = c.packet(ctx, r.port(), op, packet, secret)
	} else {
		err = &SentError{op, spi.No, err}
	}
	return status, err
}

// packet waits until the chip is idle, sends a packet once, and polls until it is idle again: extended status. The end of ctx acts before the packet, never
// during it. Every error is a *SentError.
func (c *Chip) packet(ctx context.Context, p port, op string, packet []byte, secret bool) (status byte, err error) {
	if _, err = c.ready(ctx, c.part.Longest()); err == nil {
		_, err = c.idle(ctx, p, op, time.Now())
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, &SentError{op, spi.No, err}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.limit+linkLimit)
	defer cancel()
	start := time.Now()
	if err := c.conn.Do(ctx, spi.Frame{Out: packet, Secret: secret}); err != nil {
		return 0, whetherSent(op, err)
	}
	if status, err = c.idle(ctx, p, op, start); err != nil {
		return 0, &SentError{op, spi.Yes, err}
	}
	return status, nil
}

// ReadRPMC reads extended status and reply, raw, twice between good ID reads; ParseReply takes them apart. Bytes behind the status mean
// something only after a request that succeeded. Errors: ErrNoRPMC, *BusyError, contact and link errors.
func (c *Chip) ReadRPMC(ctx context.Context) (reply [ReplySize]byte, err error) {
	const op = "read RPMC reply"
	r, err := c.RPMC()
	if err == nil {
		_, err = c.ready(ctx, c.part.Longest())
	}
	if err == nil {
		_, err = c.idle(ctx, r.port(), op, time.Now())
	}
	if err != nil {
		return reply, fmt.Errorf("%s: %w", op, err)
	}
	got, err := c.twice(ctx, op, ReplySize, func(in []byte) []spi.Frame { return []spi.Frame{r.port().read(in)} })
	if err != nil {
		return reply, err
	}
	return [ReplySize]byte(got), nil
}

// port is how the end of a packet is awaited, and its reply read.
type port struct {
	op2, busy   byte // busy are bits of the extended status
	poll, limit time.Duration
}

func (r *RPMC) port() port { return port{r.Op2, RPMCBusy, r.Poll, r.Limit} }

// read is OP2: opcode, one dummy byte, then extended status and reply.
func (p port) read(in []byte) spi.Frame { return spi.Frame{Out: []byte{p.op2, 0}, In: in} }

// idle polls until the chip is not busy with a packet, for at most the port's limit from start on, and returns an extended status that was read
// twice alike between two good ID reads. Busy is told where SFDP says so: by bit 0 of the extended or of the status register.
func (c *Chip) idle(ctx context.Context, p port, op string, start time.Time) (byte, error) {
	for {
		late := time.Since(start) >= p.limit
		extended := make([]byte, 1)
		var frames []spi.Frame
		sr := make([][1]byte, c.dies)
		for i := range sr {
			frames = append(frames, spi.Frame{Out: []byte{opReadStatus}, In: sr[i][:]})
		}
		if err := c.conn.Do(ctx, append(frames, p.read(extended))...); err != nil {
			return 0, err
		}
		busy := extended[0]&p.busy != 0
		if c.sfdp.RPMC.StatusPolled {
			busy = slices.ContainsFunc(sr, func(b [1]byte) bool { return b[0]&statusWIP != 0 })
		}
		if !busy {
			got, err := c.twice(ctx, "read extended status", 1, func(in []byte) []spi.Frame { return []spi.Frame{p.read(in)} })
			if err != nil {
				return 0, err
			}
			if bytes.Equal(got, extended) {
				return got[0], nil
			}
			if late {
				return 0, &UnstableError{"read extended status", -1, extended, got}
			}
		} else if late {
			return 0, c.stuckRPMC(ctx, p, op)
		}
		if err := c.sleep(ctx, min(p.poll, max(0, p.limit-time.Since(start)))); err != nil {
			return 0, err
		}
	}
}

// stuckRPMC is the verdict on a chip that was busy beyond the limit. A floating bus reads busy too, and a board that was out for a while is not
// busy any more.
func (c *Chip) stuckRPMC(ctx context.Context, p port, op string) error {
	e := &BusyError{Op: op, Addr: -1, Limit: p.limit}
	err := c.Contact(ctx)
	if err == nil {
		var s status
		s, _, err = c.poll(ctx)
		e.SR, e.FSR = s.sr, s.fsr
		switch {
		case err != nil:
		case s.floating():
			err = ErrAbsent
		case s.ready(): // then the chip tells its ID, and the extended status between two of them
			err = c.stillBusy(ctx, p)
		}
	}
	e.contact, e.StuckBusy = err, err == nil
	return e
}

// stillBusy is nil where the extended status says busy.
func (c *Chip) stillBusy(ctx context.Context, p port) error {
	got, err := c.twice(ctx, "read extended status", 1, func(in []byte) []spi.Frame { return []spi.Frame{p.read(in)} })
	if err == nil && (got[0]&p.busy == 0 || c.sfdp.RPMC.StatusPolled) {
		err = &UnstableError{"read extended status", -1, []byte{p.busy}, got}
	}
	return err
}
