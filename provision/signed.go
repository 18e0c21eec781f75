package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"station/flash"
	"station/ledger"
)

const (
	signerLimit = time.Minute // of one answer of the key server
	mostTurns   = 4096        // of one step
	mostLost    = 3           // answers that one step may lose
	mostWords   = 400         // bytes of what the key server says for people
)

// signed is what a step and the key server have to say to each other: turns of blocks, each checked, written down where it changes the chip, sent
// once, and answered. Nothing that the server says is believed.
type signed struct {
	r        *run
	job      Job
	table    *flash.ACRTM
	allow    flash.Authorisation // of a step that may change the chip; without commands otherwise
	changes  bool                // the step may change the chip
	answered []Answered
	session  string
	turn     int                 // newest of the step in the ledger
	seq      int                 // last block of the conversation
	made     map[string]bool     // digests of blocks that changed the chip, or perhaps did, in this conversation or before
	took     map[string][]string // one-way commands by name which took effect before the station died: SHA-256 of the blocks that are still to be expected
	before   int                 // how many took effect before
	unseen   map[string]bool     // one-way commands by name of which the counter alone told it
	doubt    *order              // the one of these that the server was told of last; it has not said yet that it believes it
	oneWay   int                 // one-way commands that took effect, those before included
	intent   []ledger.RelayBlock // of the newest turn that changed the chip, while the account is read

	sent      map[string]int // by command
	successes int
	proofs    int // those of signed commands
	executed  int // that changed the chip
	refused   int // statuses that were none
	lost      int
}

// converse begins a conversation for the step under way.
func (r *run) converse(ctx context.Context) (*signed, error) {
	c, err := r.recall()
	if err != nil {
		return nil, err
	}
	return c, c.count(ctx)
}

// recall is what the account tells of earlier conversations about the step under way, before the station died or in the run that is reworked.
func (r *run) recall() (*signed, error) {
	table, err := r.chip.ACRTM()
	if err != nil {
		return nil, err
	}
	id := r.chip.ID()
	c := &signed{r: r, table: table, made: map[string]bool{}, took: map[string][]string{}, unseen: map[string]bool{}, sent: map[string]int{}, job: Job{Run: r.id, Serial: r.o.Serial, Recipe: r.o.Recipe.ID(),
		Digest: r.o.Recipe.Digest(), Step: r.n, ID: flash.DeviceID(id[:6]), UID: r.chip.UID()}}
	r.rework.each(func(past *ledger.Run, b ledger.Body) {
		if past.Recipe().Digest == c.job.Digest {
			c.remember(b)
		}
	})
	c.turn = 0 // each run counts its own
	for _, b := range r.books {
		c.remember(b)
	}
	return c, nil
}

// remember takes in an entry about an earlier conversation of the same step on the same chip.
func (c *signed) remember(b ledger.Body) {
	switch b := b.(type) {
	case ledger.RelayIntent:
		if b.N == c.job.Step {
			c.turn, c.intent = b.Turn, b.Blocks
		}
	case ledger.RelayAnswer:
		if b.N != c.job.Step {
			return
		}
		c.turn = b.Turn
		if len(b.Blocks) > 0 {
			return
		}
		for i, a := range b.Answers {
			x, success := c.intent[i], a.Counter == ledger.Executed || a.Status == hexByte(c.table.OK)
			if success || a.Counter == "" && a.Status == "" {
				c.made[x.SHA256] = x.Class == ledger.StateChanging
			}
			if success && x.OneWay {
				c.took[x.Command] = append(c.took[x.Command], x.SHA256)
				c.unseen[x.Command] = c.unseen[x.Command] || a.Status == ""
				c.before++
				c.oneWay++
			}
		}
	}
}

// count reads the chip's counters, where its table tells how.
func (c *signed) count(ctx context.Context) error {
	if c.table.Counters == nil {
		return nil
	}
	powerOn, command, err := c.r.chip.ACRTMCounters(ctx)
	if err == nil {
		c.job.PowerOn, c.job.Counter = &powerOn, &command
	}
	return err
}

// run carries the conversation to its end, and returns the server's last word.
func (c *signed) run(ctx context.Context) (Turn, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Turn{}, err
		}
		turn, err := c.next(ctx)
		if err != nil || turn.Done {
			return turn, err
		}
		if err := c.carry(ctx, turn); err != nil {
			return turn, err
		}
	}
}

// next asks the server for a turn, and checks how it stands behind the ones before.
func (c *signed) next(ctx context.Context) (Turn, error) {
	limited, cancel := context.WithTimeout(ctx, signerLimit)
	defer cancel()
	turn, err := c.r.e.o.Signer.Next(limited, c.job, slices.Clone(c.answered))
	if ctx.Err() != nil {
		return turn, ctx.Err()
	}
	if err == nil {
		err = limited.Err() // it answered when nobody waited any more
	}
	var nobody interface{ RelayUnknown() bool }
	if errors.As(err, &nobody) && nobody.RelayUnknown() {
		return turn, unknown("what it was sent", err.Error())
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			err = errors.New(err.Error()) // it was not this run that somebody stopped
		}
		return turn, keyServer("it makes no block: %w", err)
	}
	if c.session == "" {
		c.session = turn.Session
	}
	turn.Verdict = sentence(turn.Verdict)
	switch {
	case turn.Session == "" || len(turn.Session) > 128 || turn.Session != c.session:
		return turn, keyServer("turn %d is of another conversation", len(c.answered)+1)
	case turn.Number != len(c.answered)+1:
		return turn, keyServer("turn %d comes where turn %d is due", turn.Number, len(c.answered)+1)
	case turn.Done && len(turn.Blocks) > 0:
		return turn, keyServer("turn %d is the last and has blocks", turn.Number)
	case turn.Done:
		return turn, nil
	case turn.Number > mostTurns:
		return turn, keyServer("it comes to no end: %d turns", mostTurns)
	case len(turn.Blocks) < 1 || len(turn.Blocks) > ledger.MaxRelayBlocks:
		return turn, keyServer("turn %d has %d blocks", turn.Number, len(turn.Blocks))
	}
	return turn, nil
}

// keyServer is a failure of the key server.
func keyServer(format string, args ...any) error {
	return &stationError{"key-server", fmt.Errorf(format, args...)}
}

// sentence is what the server says for people, cut to a length that an entry may have.
func sentence(s string) string {
	if s = strings.ToValidUTF8(s, "�"); len(s) > mostWords {
		s = strings.ToValidUTF8(s[:mostWords], "") + "…"
	}
	return s
}

// order is a block with what the table and the account say of it.
type order struct {
	Block
	command *flash.ACRTMCommand
	note    ledger.RelayBlock
}

// check looks at every block of a turn before anything of it is sent.
func (c *signed) check(turn Turn) ([]order, error) {
	var out []order
	counter, here := c.job.Counter, map[string]bool{}
	for i, b := range turn.Blocks {
		wrong := func(format string, args ...any) ([]order, error) {
			return nil, keyServer("block %d of turn %d: %w", i+1, turn.Number, fmt.Errorf(format, args...))
		}
		cmd, err := c.table.Check(b.Bytes)
		if err != nil {
			return wrong("%w", err)
		}
		sum := sha256.Sum256(b.Bytes)
		o := order{b, cmd, ledger.RelayBlock{Seq: b.Seq, Command: cmd.Name, Class: string(cmd.Class), OneWay: cmd.OneWay, SHA256: hex.EncodeToString(sum[:]), Counter: number(counter)}}
		changes := cmd.Class != flash.ReadOnly
		switch {
		case b.Seq != c.seq+1+i:
			return wrong("it has the number %d", b.Seq)
		case b.ID != c.job.ID || b.UID != c.job.UID:
			return wrong("it is made for the chip %s %.40q", b.ID, b.UID)
		case changes && !c.changes:
			return wrong("%s may change the chip, and the step is read-only", cmd.Name)
		case c.allow.Commands != nil && !slices.Contains(c.allow.Commands, cmd.Name):
			return wrong("the recipe does not allow %s here", cmd.Name)
		case cmd.OneWay && !c.allow.OneWay:
			return wrong("%s is never undone, and the recipe does not name it permanent", cmd.Name)
		case cmd.OneWay && len(turn.Blocks) > 1:
			return wrong("%s is never undone, and is not alone in its turn", cmd.Name)
		case changes && (c.made[o.note.SHA256] || here[o.note.SHA256]):
			return wrong("it was sent before")
		case b.Counter != nil && counter != nil && *b.Counter != *counter:
			return wrong("it is made for the command counter %d, and that will be %d", *b.Counter, *counter)
		}
		if changes {
			here[o.note.SHA256] = true
			if counter != nil {
				up := *counter + 1
				counter = &up
			}
		}
		out = append(out, o)
	}
	return out, nil
}

// facts of the conversation, for the step's entry.
func (c *signed) facts(last Turn) []ledger.Fact {
	out := []ledger.Fact{{Name: "key server", Value: last.Verdict}, {Name: "commands", Value: manyText(c.sent)}, {Name: "turns", Value: fmt.Sprint(len(c.answered))}}
	if c.before > 0 {
		out = append(out, ledger.Fact{Name: "one-way commands that took effect before the station died, not sent again", Value: fmt.Sprint(c.before)})
	}
	if c.lost > 0 {
		out = append(out, ledger.Fact{Name: "answers that were lost", Value: fmt.Sprint(c.lost)})
	}
	if c.job.Counter != nil {
		out = append(out, ledger.Fact{Name: "counters afterwards", Value: fmt.Sprintf("power-on %d, command %d", *c.job.PowerOn, *c.job.Counter)})
	}
	return append(out, ledger.Fact{Name: "map", Value: c.table.Map})
}

// manyText says how many of each there are: "erase, 64 x write".
func manyText(many map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(many)) {
		part := name
		if n := many[name]; n > 1 {
			part = fmt.Sprintf("%d x %s", n, name)
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func hexByte(b byte) string { return hex.EncodeToString([]byte{b}) }

// number is a counter as the ledger has it, "" where it is not known.
func number(n *uint64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatUint(*n, 10)
}
