package keyserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"station/ledger"
)

const (
	statusOK   = "80" // of every map so far: RPMC's extended status
	maxRefused = 3    // blocks that a chip may not take in one session, each made anew for what its counters are then
)

// conversation is a request about a step, with all that is needed to go on with it.
type conversation struct {
	client string
	job    RelayJob
	*plan
	secret []byte // of the chip; wiped by whoever made the conversation
}

// relay answers RouteRelay.
func (s *Server) relay(ctx context.Context, client string, q RelayRequest) (RelayTurn, error) {
	if err := q.Job.check(); err != nil {
		return RelayTurn{}, err
	}
	c, err := s.converse(client, q.Job)
	if err != nil {
		return RelayTurn{}, err
	}
	uid, err := hex.DecodeString(q.Job.UID)
	if err != nil {
		return RelayTurn{}, errContent
	}
	if _, err := s.master(c.maker.Master()); err != nil {
		return RelayTurn{}, err
	}
	if c.secret, err = s.o.Keys.MAC(c.maker.Master(), uid); err != nil {
		return RelayTurn{}, s.missing(c.maker.Master(), err)
	}
	defer clear(c.secret)

	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.allowed(client, q.Job.Digest, q.Job.UID); err != nil {
		return RelayTurn{}, err
	}
	had := s.state.sessions[sessionOf{client, q.Job.Run, q.Job.Step}]
	what := about{digest: q.Job.Digest, uid: q.Job.UID}
	switch {
	case had == nil:
	case had.last.UID != q.Job.UID:
		return RelayTurn{}, refuse(CauseOutOfTurn, what, "run %s went on with chip %s, not with %s", q.Job.Run, had.last.UID, q.Job.UID)
	case had.last.Digest != q.Job.Digest: // another recipe's blocks would count on this one's allowance
		return RelayTurn{}, refuse(CauseOutOfTurn, what, "run %s went on by the recipe with the digest %s, not by %s", q.Job.Run, had.last.Digest, q.Job.Digest)
	}
	if q.Answered == nil {
		return s.begin(ctx, c, had)
	}
	return s.goOn(ctx, c, had, *q.Answered)
}

// converse finds what a request is about. The server makes nothing for a chip that is not of the recipe.
func (s *Server) converse(client string, q RelayJob) (*conversation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := about{digest: q.Digest, uid: q.UID}
	a, err := s.allowed(client, q.Digest, q.UID)
	if err != nil {
		return nil, err
	}
	j, err := s.job(a)
	if err != nil {
		return nil, err
	}
	step, ok := j.step(q.Step)
	if !ok || q.Recipe != j.Recipe {
		return nil, refuse(CauseNotInRecipe, what, "recipe %s has no measure or relay at step %d", j.Recipe, q.Step)
	}
	if !slices.ContainsFunc(j.Parts, func(p Part) bool { return p.ID == q.ID }) {
		return nil, refuse(CauseNotInRecipe, what, "recipe %s is not for a chip with the ID %s", j.Recipe, q.ID)
	}
	if q.PowerOn == nil || q.Counter == nil {
		return nil, refuse(CauseNotInRecipe, what, "blocks are made for a chip's counters, and the request has none")
	}
	p, err := j.plan(step)
	if err != nil {
		return nil, err
	}
	if err := s.usable(a, p.maker.Master(), what); err != nil {
		return nil, err
	}
	return &conversation{client: client, job: q, plan: p}, nil
}

// begin makes the first turn of a session; or tells it again, where nothing has changed since and nobody has answered it.
func (s *Server) begin(ctx context.Context, c *conversation, had *session) (RelayTurn, error) {
	p := progress{seq: 1}
	if had != nil && had.judged == nil {
		if had.last.Turn == 1 && had.last.PowerOn == decimal(*c.job.PowerOn) && had.last.Blocks[0].Counter == decimal(*c.job.Counter) {
			return c.tell(had.last)
		}
		// A one-way command that is the last one made for a counter which the chip has left behind took effect: only blocks made here move it.
		i, err := c.find(had.last.Blocks[0])
		if err != nil {
			return RelayTurn{}, err
		}
		if c.ops[i].OneWay && number(had.last.Blocks[0].Counter) < *c.job.Counter {
			if _, err := s.believe(c, had.last.Blocks[0], had.last.Blocks[0].SHA256); err != nil {
				return RelayTurn{}, err
			}
			p.next, p.unproven = i+1, 1
		}
	}
	if s.state.full(sessionOf{c.client, c.job.Run, c.job.Step}) {
		return RelayTurn{}, refuse(CauseRefused, about{digest: c.job.Digest, uid: c.job.UID}, "station %s has %d steps that nobody ended, each behind a command of its own: none is begun beside them", c.client, openSessions)
	}
	id := make([]byte, 8)
	rand.Read(id)
	last := ledger.RelayMade{Client: c.client, Session: hex.EncodeToString(id), Run: c.job.Run, Serial: c.job.Serial, UID: c.job.UID, Digest: c.job.Digest, Step: c.job.Step, Job: c.step.Job}
	return s.next(ctx, c, last, p)
}

// goOn takes the answers to the last turn, and makes the next; or tells that one again, where its telling was lost.
func (s *Server) goOn(ctx context.Context, c *conversation, had *session, q RelayAnswered) (RelayTurn, error) {
	what := about{digest: c.job.Digest, uid: c.job.UID}
	switch {
	case had == nil:
		return RelayTurn{}, refuse(CauseOutOfTurn, what, "turn %d of step %d of run %s was not made here", q.Turn, c.job.Step, c.job.Run)
	case had.judged != nil && q.Turn == had.judged.Turn && sameAnswers(had.judged.Answers, q.Answers):
		return verdict(*had.judged), nil
	case had.judged != nil:
		return RelayTurn{}, refuse(CauseOutOfTurn, what, "step %d of run %s was judged after turn %d", c.job.Step, c.job.Run, had.judged.Turn)
	case q.Turn == had.last.Turn-1 && sameAnswers(had.last.Answers, q.Answers):
		return c.tell(had.last)
	case q.Turn != had.last.Turn:
		return RelayTurn{}, refuse(CauseOutOfTurn, what, "turn %d was answered, and the last one made is %d", q.Turn, had.last.Turn)
	}
	p, err := c.read(had.last, q.Answers)
	if err != nil {
		return RelayTurn{}, err
	}
	if p.unproven > 0 {
		if p.before, err = s.believe(c, had.last.Blocks[0], p.by); err != nil {
			return RelayTurn{}, err
		}
	}
	if p.failed == "" && had.refused+p.refused > maxRefused {
		p.failed = fmt.Sprintf("the chip did not take %d commands that were made for what it said its counters were", had.refused+p.refused)
	}
	p.seq = had.last.Blocks[len(had.last.Blocks)-1].Seq + 1
	last := had.last
	last.Nonce, last.Answers, last.Blocks = "", results(q.Answers), nil
	return s.next(ctx, c, last, p)
}

// believe finds out whether a one-way command took effect where a station says so and no answer of the chip does: by the block with the SHA-256 by, which is made, or an earlier one for the
// same command of the same step. It has to be known here; the chip's counter has to have left it behind; and where the chip did not sign that it took effect, no other block may have been made for the
// same count. before is the run of an earlier one, "" for made itself. The caller holds mu.
func (s *Server) believe(c *conversation, made ledger.MadeBlock, by string) (before string, err error) {
	what := about{digest: c.job.Digest, uid: c.job.UID}
	x, ok := s.state.lone[by]
	if !ok || x.uid != c.job.UID || x.digest != c.job.Digest || x.step != c.job.Step || x.command != made.Command || x.at != made.At {
		return "", refuse(CauseUnclear, what, "%s is said to have taken effect before, and the key server knows of no such block for this chip: look at the chip", made.Command)
	}
	if *c.job.Counter <= x.counter {
		return "", refuse(CauseUnclear, what, "%s is said to have taken effect, and the chip's command counter, %d, has not left %d behind, for which it was made: look at the chip", x.command, *c.job.Counter, x.counter)
	}
	if by != made.SHA256 {
		before = x.run
	}
	if x.signed {
		return before, nil
	}
	if x.begun < s.state.restored {
		return "", refuse(CauseUnclear, what, "the chip's command counter has left %d behind, for which %s was made in run %s; but the key server was restored from a copy since, which may lack what else was made for it: look at the chip", x.counter, x.command, x.run)
	}
	client, run := s.state.rival(x.uid, x.session, x.powerOn, x.counter)
	if client == "" {
		return before, nil
	}
	return "", refuse(CauseUnclear, what, "the chip's command counter has left %d behind, and two commands were made for it: %s for run %s of station %s, and another for run %s of station %s. Which one took effect, the counter does not tell: look at the chip",
		x.counter, x.command, x.run, x.client, run, client)
}

// progress is what answers came to.
type progress struct {
	next     int    // op to go on with
	seq      int    // of the next block
	counter  uint64 // the least that the chip's command counter can be by what it signed
	refused  int
	unproven int    // blocks whose answer was lost, and whose effect the counter alone tells
	by       string // SHA-256 of the one that did it: the last one, or an earlier one in whose place the last one was not sent
	before   string // run of the earlier one
	failed   string // why the step ends here
	measured []byte
}

// read holds the answers to a turn against its blocks.
func (c *conversation) read(last ledger.RelayMade, answers []RelayAnswer) (p progress, err error) {
	if len(answers) < 1 || len(answers) > len(last.Blocks) {
		return p, fmt.Errorf("%w: %d answers to %d blocks", errContent, len(answers), len(last.Blocks))
	}
	for k, a := range answers {
		made := last.Blocks[k]
		i, err := c.find(made)
		if err != nil {
			return p, err
		}
		op, at := c.ops[i], point(last, made)
		block := c.maker.Block(c.secret, op, at)
		earlier := a.Lost && op.OneWay && a.Executed // perhaps; believe looks
		if a.Seq != made.Seq || a.SHA256 != made.SHA256 && !earlier {
			return p, fmt.Errorf("%w: answer %d is not to the block that was made", errContent, a.Seq)
		}
		if hashOf(block) != made.SHA256 { // or the chip would be to blame
			return p, c.otherKey(made)
		}
		bad := a.Lost || hexByte(a.Status) != statusOK
		switch {
		case bad && k != len(answers)-1:
			return p, fmt.Errorf("%w: answers behind one that ended the turn", errContent)
		case earlier:
			p.next, p.unproven, p.by = i+1, p.unproven+1, a.SHA256
		case a.Lost:
			p.next = op.From
		case bad && c.maker.Stale(a.Status):
			p.next, p.refused = i, p.refused+1
		case bad:
			p.failed = fmt.Sprintf("the chip answered %s to %s", hexByte(a.Status), op.title())
		default:
			if p.measured, err = c.maker.Check(c.secret, op, at, block, a.Reply); err != nil {
				p.failed = fmt.Sprintf("the answer to %s does not hold: %v", op.title(), err)
				return p, nil
			}
			p.next = i + 1
			if p.counter = at.Counter; op.Changes {
				p.counter++
			}
			if p.measured != nil {
				if !slices.Equal(c.want[:], p.measured) {
					p.failed = fmt.Sprintf("the chip measures %x, and the recipe has %x in region %s", p.measured, c.want, c.step.Region)
				}
			}
		}
	}
	return p, nil
}

// next makes the turn behind last, or ends the session.
func (s *Server) next(ctx context.Context, c *conversation, last ledger.RelayMade, p progress) (RelayTurn, error) {
	if p.failed != "" || p.next == len(c.ops) {
		j := ledger.RelayJudged{Client: last.Client, Session: last.Session, Run: last.Run, Serial: last.Serial, UID: last.UID, Digest: last.Digest, Step: last.Step, Turn: last.Turn,
			Answers: last.Answers, OK: p.failed == "", Verdict: p.failed, Measure: hex.EncodeToString(p.measured)}
		if j.OK {
			j.Verdict = c.praise(p)
		}
		if err := s.write(ctx, j); err != nil {
			return RelayTurn{}, err
		}
		return verdict(j), nil
	}
	made := last
	made.Turn++
	// A counter never goes back, whoever says so.
	counter := *c.job.Counter
	if made.PowerOn = decimal(*c.job.PowerOn); p.counter > counter {
		counter = p.counter
	}
	seq := p.seq
	at := Point{PowerOn: *c.job.PowerOn}
	rand.Read(at.Nonce[:])
	for _, op := range c.ops[p.next:] {
		alone := op.OneWay || !op.Changes
		if len(made.Blocks) == maxBlocks || alone && len(made.Blocks) > 0 {
			break
		}
		at.Counter = counter
		if op.Command == "measure" {
			made.Nonce = hex.EncodeToString(at.Nonce[:])
		}
		made.Blocks = append(made.Blocks, ledger.MadeBlock{Seq: seq, Command: op.Command, At: op.At, Counter: decimal(counter), Changes: op.Changes, SHA256: hashOf(c.maker.Block(c.secret, op, at))})
		seq++
		if alone {
			break
		}
		counter++
	}
	if err := s.write(ctx, made); err != nil {
		return RelayTurn{}, err
	}
	return c.tell(made)
}

// tell makes the blocks of a turn, the same ones each time.
func (c *conversation) tell(made ledger.RelayMade) (RelayTurn, error) {
	t := RelayTurn{Session: made.Session, Number: made.Turn}
	for _, b := range made.Blocks {
		i, err := c.find(b)
		if err != nil {
			return t, err
		}
		at := point(made, b)
		block := c.maker.Block(c.secret, c.ops[i], at)
		if hashOf(block) != b.SHA256 {
			return t, c.otherKey(b)
		}
		t.Blocks = append(t.Blocks, RelayBlock{Seq: b.Seq, ID: c.job.ID, UID: c.job.UID, Bytes: block, Counter: &at.Counter})
	}
	return t, nil
}

func (c *conversation) otherKey(b ledger.MadeBlock) error {
	return fmt.Errorf("the key %s is not the one that block %d of run %s was made with", c.maker.Master(), b.Seq, c.job.Run)
}

// find is the op that a block was made of.
func (c *conversation) find(b ledger.MadeBlock) (int, error) {
	i, ok := c.index[opName{b.Command, b.At}]
	if !ok {
		return 0, fmt.Errorf("step %d of run %s has no %s at 0x%X any more", c.job.Step, c.job.Run, b.Command, b.At)
	}
	return i, nil
}

func (c *conversation) praise(p progress) string {
	switch {
	case p.measured != nil:
		return fmt.Sprintf("region %s measures as the recipe has it, signed by the chip", c.step.Region)
	case len(c.ops) == 0:
		return "there was nothing to do"
	case p.before != "":
		return fmt.Sprintf("the last command took effect before, by a block that was made for run %s, and was not sent again", p.before)
	case p.unproven > 0:
		return "the last command took effect, by the chip's command counter: its answer was lost"
	}
	if len(c.ops) == 1 {
		return "1 command took effect, signed by the chip"
	}
	return fmt.Sprintf("%d commands took effect, each signed by the chip", len(c.ops))
}

func (op Op) title() string { return fmt.Sprintf("%s at 0x%X", op.Command, op.At) }

func point(made ledger.RelayMade, b ledger.MadeBlock) Point {
	p := Point{PowerOn: number(made.PowerOn), Counter: number(b.Counter)}
	if nonce, err := hex.DecodeString(made.Nonce); err == nil {
		copy(p.Nonce[:], nonce)
	}
	return p
}

func verdict(j ledger.RelayJudged) RelayTurn {
	return RelayTurn{Session: j.Session, Number: j.Turn + 1, Done: true, OK: j.OK, Verdict: j.Verdict, Digest: j.Measure}
}

// results are answers as the ledger has them.
func results(answers []RelayAnswer) []ledger.RelayResult {
	out := make([]ledger.RelayResult, len(answers))
	for i, a := range answers {
		out[i] = ledger.RelayResult{Seq: a.Seq, Status: hexByte(a.Status), SHA256: hashOf(a.Reply)}
		if a.Lost {
			out[i] = ledger.RelayResult{Seq: a.Seq, Counter: map[bool]string{true: "executed", false: "not executed"}[a.Executed]}
		}
	}
	return out
}

func sameAnswers(had []ledger.RelayResult, answers []RelayAnswer) bool {
	return slices.Equal(had, results(answers))
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func hexByte(b byte) string { return hex.EncodeToString([]byte{b}) }

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// number undoes decimal; what the ledger has is what decimal wrote.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}
