package provision

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"station/flash"
	"station/ledger"
	"station/spi"
)

// carry checks a turn, makes it durable where it changes the chip, and sends it.
func (c *signed) carry(ctx context.Context, turn Turn) error {
	r := c.r
	orders, err := c.check(turn)
	if err != nil {
		return err
	}
	again := c.doubt != nil && c.sameCommand(*c.doubt, orders[0]) && len(c.took[c.doubt.command.Name]) == 0
	if c.doubt = nil; again {
		return unknown(orders[0].command.Name, "by its command counter it did, and the key server makes it once more")
	}
	if o := orders[0]; o.command.OneWay && len(c.took[o.command.Name]) > 0 {
		// The chip did it before the station died, and a second time is never asked for. The answer names the block that did it: of this one the counter tells nothing.
		earlier := c.took[o.command.Name][0]
		c.took[o.command.Name] = c.took[o.command.Name][1:]
		c.doubts(o)
		c.seq++
		c.answered = append(c.answered, Answered{turn.Number, []Answer{{Seq: o.Seq, SHA256: earlier, Lost: true, Executed: true}}})
		return nil
	}
	notes := make([]ledger.RelayBlock, len(orders))
	names := map[string]int{}
	for i, o := range orders {
		notes[i] = o.note
		names[o.command.Name]++
	}
	changes := slices.ContainsFunc(orders, func(o order) bool { return o.command.Class != flash.ReadOnly })
	c.turn++
	entry := ledger.RelayAnswer{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), N: r.n, Turn: c.turn, Answers: []ledger.RelayResult{}}
	if changes {
		if err := r.record(ctx, ledger.RelayIntent{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), N: r.n, Turn: c.turn, Blocks: notes}); err != nil {
			return err
		}
	} else {
		entry.Blocks = notes
	}
	r.emit(Event{Kind: Planned, Title: fmt.Sprintf("turn %d of the key server: %s", turn.Number, manyText(names))})
	answers, err := c.send(ctx, orders)
	if errors.As(err, new(*unanswered)) {
		return err
	}
	for _, a := range answers {
		res := ledger.RelayResult{Seq: a.Seq}
		switch {
		case !a.Lost:
			sum := sha256.Sum256(a.Reply)
			res.Status, res.SHA256 = hexByte(a.Status), hex.EncodeToString(sum[:])
		case c.job.Counter != nil && a.Executed:
			res.Counter = ledger.Executed
		case c.job.Counter != nil:
			res.Counter = ledger.NotExecuted
		}
		entry.Answers = append(entry.Answers, res)
	}
	if err == nil {
		err = c.recount(ctx, changes)
	}
	if errors.As(err, new(*unanswered)) || err != nil && !changes {
		return err
	}
	entry.PowerOn, entry.Counter = number(c.job.PowerOn), number(c.job.Counter)
	if again := r.record(ctx, entry); again != nil {
		return again
	}
	c.seq += len(orders)
	c.answered = append(c.answered, Answered{turn.Number, answers})
	switch {
	case err != nil:
		return err
	case c.lost > mostLost:
		return &stationError{"fixture", fmt.Errorf("%d answers of the chip were lost in one step", c.lost)}
	case c.refused > 1:
		return c.refuses()
	}
	return nil
}

// unanswered is the failure of a turn of which nobody knows yet what became of it. Its intent stays without an answer, and the run open.
type unanswered struct{ err error }

func (e *unanswered) Error() string { return e.err.Error() }
func (e *unanswered) Unwrap() error { return e.err }

// send sends the blocks of a turn, each once, up to the first that is not a success. Answers without an error are of all that were sent.
func (c *signed) send(ctx context.Context, orders []order) (answers []Answer, err error) {
	for _, o := range orders {
		if err := ctx.Err(); err != nil {
			return answers, err
		}
		relay := c.r.chip.RelayReadOnly
		if o.command.Class != flash.ReadOnly {
			relay = func(ctx context.Context, b flash.Block) (flash.ACRTMReply, error) {
				return c.r.chip.RelayStateChanging(ctx, b, c.allow)
			}
		}
		block := o.Block.Block
		if c.job.Counter != nil {
			block.Counter = nil // check has held it against the chip's, which is read at the end of every turn
		}
		reply, err := relay(ctx, block)
		a := Answer{Seq: o.Seq, SHA256: o.note.SHA256, Status: reply.Status, Reply: reply.Reply}
		if err == nil && reply.Status == c.table.OK {
			c.success(o)
			answers = append(answers, a)
			continue
		}
		var sent *flash.SentError
		switch {
		case errors.Is(err, flash.ErrBlock):
			return answers, keyServer("%w", err)
		case errors.As(err, &sent) && sent.Sent == spi.No:
			return answers, err
		}
		a, err = c.unsuccessful(ctx, o, a, err)
		if err != nil {
			return answers, err
		}
		return append(answers, a), nil
	}
	return answers, nil
}

// success counts a command that the chip carried out.
func (c *signed) success(o order) {
	c.sent[o.command.Name]++
	c.successes++
	if c.table.Trailer > 0 && o.command.Min > c.table.Trailer {
		c.proofs++
	}
	if o.command.OneWay {
		c.oneWay++
	}
	if o.command.Class != flash.ReadOnly {
		c.executed++
		c.made[o.note.SHA256] = true
		if c.job.Counter != nil {
			up := *c.job.Counter + 1
			c.job.Counter = &up
		}
	}
}

// unsuccessful finds out what became of a block to which the chip gave an answer that is no success, or, where failed is set, none that anybody saw. It is
// never sent again: over a contact that was tested, the command counter tells.
func (c *signed) unsuccessful(ctx context.Context, o order, a Answer, failed error) (Answer, error) {
	if busy := (*flash.BusyError)(nil); errors.As(failed, &busy) {
		return a, &unanswered{failed}
	}
	ctx = context.WithoutCancel(ctx) // what was sent is settled, also for a run that was stopped
	if err := c.r.chip.Contact(ctx); err != nil {
		return a, &unanswered{err}
	}
	changes := o.command.Class != flash.ReadOnly
	lost := Answer{Seq: o.Seq, SHA256: o.note.SHA256, Lost: true}
	told := failed == nil && a.Status != 0x00 && a.Status != 0xFF // what a chip says that was reset, and a bus without one
	if c.table.Counters == nil {
		switch {
		case told:
			return c.refusal(o, a)
		case !changes:
			c.lost++
			return lost, nil
		case o.command.OneWay:
			return a, &unanswered{unknown(o.command.Name, "its table does not tell how counters are read")}
		case failed == nil:
			failed = &stationError{"fixture", fmt.Errorf("the chip lost its answer to %s", o.command.Name)}
		}
		return a, &unanswered{failed}
	}
	powerOn, now := *c.job.PowerOn, *c.job.Counter
	if err := c.count(ctx); err != nil {
		return a, &unanswered{err}
	}
	if *c.job.PowerOn != powerOn {
		told = false
	}
	switch {
	case changes && *c.job.Counter == now+1 && !told:
		if o.command.OneWay {
			c.oneWay++
			c.unseen[o.command.Name] = true
			c.doubts(o)
		}
		c.lost++
		c.executed++
		c.sent[o.command.Name+", told by the counter"]++
		c.made[o.note.SHA256] = true
		lost.Executed = true
		return lost, nil
	case changes && *c.job.Counter != now:
		return a, &unanswered{unknown(o.command.Name, fmt.Sprintf("its command counter was %d before and is %d", now, *c.job.Counter))}
	case !told:
		c.lost++
		return lost, nil
	}
	return c.refusal(o, a)
}

// doubts remembers that the server has to agree: by the command counter alone a one-way command took effect, and another one, of somebody else's, moves it as well.
func (c *signed) doubts(o order) {
	if c.unseen[o.command.Name] {
		c.doubt = &o
	}
}

// sameCommand tells whether two blocks differ in the command counter that they are for and in their trailer, and in nothing else. In a block the counter is as in the reply that tells it: 8 bytes,
// big-endian; where is not known. Without counters all of one name are the same.
func (c *signed) sameCommand(a, b order) bool {
	if a.command.Name != b.command.Name || len(a.Bytes) != len(b.Bytes) {
		return false
	}
	was, err := strconv.ParseUint(a.note.Counter, 10, 64)
	now, err2 := strconv.ParseUint(b.note.Counter, 10, 64)
	if err != nil || err2 != nil {
		return true
	}
	trailer := min(c.table.Trailer, len(a.Bytes))
	x, y := a.Bytes[:len(a.Bytes)-trailer], b.Bytes[:len(b.Bytes)-trailer]
	for at := range max(len(x)-7, 0) {
		if binary.BigEndian.Uint64(x[at:]) == was && binary.BigEndian.Uint64(y[at:]) == now && bytes.Equal(x[:at], y[:at]) && bytes.Equal(x[at+8:], y[at+8:]) {
			return true
		}
	}
	return bytes.Equal(x, y)
}

// refusal is an answer that the chip gave and that is no success. The server is told once.
func (c *signed) refusal(o order, a Answer) (Answer, error) {
	c.sent[o.command.Name+", refused"]++
	c.refused++
	return a, nil
}

func (c *signed) refuses() error {
	return &verdict{ledger.Fail, "relay-refused", "The chip refuses what the key server signed for it: " + manyText(c.sent) + ".", "Put the board into the reject bin; it needs disposition."}
}

// unknown is a command of which nobody can tell whether the chip carried it out.
func unknown(command, why string) error {
	return stuck("relay-unknown", fmt.Sprintf("Nobody knows whether the chip carried out %s: %s.", command, why),
		"Ask the person who looks after the key server what it knows of this chip. Close the unit as scrapped, unless that settles it.")
}

// recount reads the counters at the end of a turn and, where it changed the chip, wants the command counter to be where the answers say.
func (c *signed) recount(ctx context.Context, changes bool) error {
	was := c.job.Counter
	if err := c.count(context.WithoutCancel(ctx)); err != nil {
		return &unanswered{err}
	}
	if changes && was != nil && *c.job.Counter != *was {
		return &unanswered{unknown("what it said it did", fmt.Sprintf("its command counter should be %d and is %d", *was, *c.job.Counter))}
	}
	return nil
}
