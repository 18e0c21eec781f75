package keyserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"station/flash"
	"station/ledger"
	"station/provision"
)

var factory = sha256.Sum256([]byte("station simulated factory key"))

// board is a chip of docs/acrtm-invented.md, in a few lines of its own.
type board struct {
	id               flash.DeviceID
	uid              []byte
	powerOn, counter uint64
	array            []byte
	protected        bool
	sent             int
}

func newBoard(n byte) *board {
	b := &board{id: flash.DeviceID{0x20, 0xBA, 0x18, 0x12, 0x00, 0x8C}, uid: bytes.Repeat([]byte{n}, 14), powerOn: 3, counter: 5, array: bytes.Repeat([]byte{0xA5}, 256<<10)}
	return b
}

func (b *board) send(block []byte) (status byte, reply []byte) {
	b.sent++
	if bytes.Equal(block, []byte{0xF0, 0, 0, 0}) {
		return 0x80, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, b.powerOn), b.counter)
	}
	session := macOf(macOf(factory[:], b.uid), binary.BigEndian.AppendUint64(nil, b.powerOn))
	body := block[:len(block)-32]
	if !bytes.Equal(macOf(session, body), block[len(block)-32:]) {
		return 0x04, nil
	}
	if binary.BigEndian.Uint64(block[4:]) != b.counter {
		return 0x10, nil
	}
	p := body[12:]
	at := int(binary.BigEndian.Uint32(p))
	switch [2]byte(block) {
	case [2]byte{0xF0, 1}:
		size := int(binary.BigEndian.Uint32(p[4:]))
		sum := sha256.Sum256(b.array[at : at+size])
		text := append([]byte{0xF0, 1}, p[8:24]...)
		text = binary.BigEndian.AppendUint64(text, b.counter)
		text = append(append(text, p[:8]...), sum[:]...)
		return 0x80, append(append(binary.BigEndian.AppendUint64(nil, b.counter), sum[:]...), macOf(session, text)...)
	case [2]byte{0xF1, 0}:
		for i, x := range p[4:] {
			b.array[at+i] &= x
		}
	case [2]byte{0xF1, 1}:
		copy(b.array[at:], bytes.Repeat([]byte{0xFF}, 4096))
	case [2]byte{0xF2, 0}:
		if b.protected {
			return 0x02, nil
		}
		b.protected = true
	}
	b.counter++
	sum := sha256.Sum256(block)
	text := append(binary.BigEndian.AppendUint64(slices.Clone(block[:2]), b.counter), sum[:]...)
	return 0x80, append(binary.BigEndian.AppendUint64(nil, b.counter), macOf(session, text)...)
}

// bench is a station that carries a step out: the part of the engine that a key server sees.
type bench struct {
	h           *hall
	c           *Client
	b           *board
	job         provision.Job
	each        func(turn provision.Turn, answers []provision.Answer) []provision.Answer // may change what is told
	between     func(turn int)                                                           // after a turn was carried out, before it is told
	turns       []provision.Turn
	lastAnswers []provision.Answer // to turn 1
}

func (s *bench) facts() provision.Job {
	j := s.job
	powerOn, counter := s.b.powerOn, s.b.counter
	j.ID, j.UID, j.PowerOn, j.Counter = s.b.id, strings.ToUpper(hex.EncodeToString(s.b.uid)), &powerOn, &counter
	return j
}

func (s *bench) run() (provision.Turn, error) {
	var answered []provision.Answered
	seq := 0
	for range 200 {
		s.c.base = s.h.url
		turn, err := s.c.Next(s.h.t.Context(), s.facts(), answered)
		if err != nil {
			return turn, err
		}
		s.turns = append(s.turns, turn)
		if turn.Number != len(answered)+1 {
			s.h.t.Errorf("turn %d behind %d", turn.Number, len(answered))
		}
		if turn.Done {
			return turn, nil
		}
		var answers []provision.Answer
		for _, b := range turn.Blocks {
			if seq++; b.Seq != seq || b.UID != strings.ToUpper(hex.EncodeToString(s.b.uid)) || b.ID != s.b.id {
				s.h.t.Errorf("block %d is numbered %d and for %s %s", seq, b.Seq, b.ID, b.UID)
			}
			sum := sha256.Sum256(b.Bytes)
			status, reply := s.b.send(b.Bytes)
			answers = append(answers, provision.Answer{Seq: b.Seq, SHA256: hex.EncodeToString(sum[:]), Status: status, Reply: reply})
			if status != 0x80 {
				break
			}
		}
		seq = turn.Blocks[len(turn.Blocks)-1].Seq
		if s.each != nil {
			answers = s.each(turn, answers)
		}
		if s.between != nil {
			s.between(turn.Number)
		}
		answered = append(answered, provision.Answered{Turn: turn.Number, Answers: answers})
	}
	return provision.Turn{}, fmt.Errorf("no end")
}

const recipeDigest = "sha256:" + "ab00000000000000000000000000000000000000000000000000000000000000"

// settings is a job of three signed steps over a region of 24 KiB, and of a root key.
func settings() *Job {
	image := bytes.Repeat([]byte("settings"), 2500)
	return &Job{
		Recipe: "signed-boot", Version: 1, Title: "Signed boot", Digest: recipeDigest,
		Parts: []Part{{Name: "MT25QL128ABB", ID: flash.DeviceID{0x20, 0xBA, 0x18, 0x12, 0x00, 0x8C}, Map: "invented"}},
		Keys:  []Key{{"line/root-2026", 0}},
		Steps: []Step{
			{N: 1, Job: "settings", Commands: []string{"erase", "write"}, Region: "settings", At: 0x20000, Size: 24 << 10, Image: "settings"},
			{N: 3, Job: "measure settings", Commands: []string{"measure"}, Region: "settings", At: 0x20000, Size: 24 << 10, Image: "settings"},
			{N: 4, Job: "protect", Commands: []string{"protect"}, Region: "wall", At: 0x20000, Size: 64 << 10, Unknown: true},
			{N: 5, Job: "look", Commands: []string{"counters"}},
		},
		Images: []Image{{"settings", image}},
	}
}

func (h *hall) masters() {
	h.t.Helper()
	h.admin(RouteKeyCreate, KeyRequest{Name: "acrtm/factory", Value: slices.Clone(factory[:]), By: "op-1"}, &Master{})
	h.admin(RouteKeyCreate, KeyRequest{Name: "line/root-2026", By: "op-1"}, &Master{})
}

// signing is a hall whose station line1 may do units of the job.
func signing(t testing.TB, units int) (*hall, *bench) {
	t.Helper()
	h := newHall(t)
	h.masters()
	c := h.client(h.enrol("line1", 24))
	h.admin(RouteAllow, AllowRequest{Station: "line1", Job: settings(), Units: units, By: "op-1"}, &Allowance{})
	return h, &bench{h: h, c: c, b: newBoard(1), job: provision.Job{Run: "00000000000000a1", Serial: "GW-000001", Recipe: "signed-boot", Digest: recipeDigest, Step: 1}}
}

func (s *bench) holds() {
	s.h.t.Helper()
	want := bytes.Repeat([]byte{0xFF}, 24<<10)
	copy(want, settings().Images[0].Data)
	if !bytes.Equal(s.b.array[0x20000:][:24<<10], want) {
		s.h.t.Error("the region does not hold the image")
	}
	if n := bytes.Count(s.b.array, []byte{0xA5}); n != len(s.b.array)-24<<10 {
		s.h.t.Errorf("%d bytes are as they were", n)
	}
}

// passes wants the verdict OK.
func (s *bench) passes() provision.Turn {
	s.h.t.Helper()
	turn, err := s.run()
	if err != nil || !turn.OK {
		s.h.t.Fatalf("step %d: %+v, %v", s.job.Step, turn, err)
	}
	return turn
}

// TestRelay: a signed write in turns, its measurement, its protection and a look at the counters.
func TestRelay(t *testing.T) {
	h, s := signing(t, 1)
	s.passes()
	s.holds()
	// 6 erases and 79 pages that are not blank: 85 blocks in two turns, each once.
	if s.b.sent != 85 || s.b.counter != 5+85 || len(s.turns) != 3 {
		t.Errorf("%d blocks in %d turns, counter %d", s.b.sent, len(s.turns), s.b.counter)
	}
	s.job.Step = 3
	turn := s.passes()
	if sum := sha256.Sum256(s.b.array[0x20000:][:24<<10]); turn.Digest != hex.EncodeToString(sum[:]) {
		t.Errorf("%+v", turn)
	}
	s.job.Step, s.job.Run = 3, "00000000000000a2"
	s.b.array[0x20001] ^= 1
	if turn, err := s.run(); err != nil || turn.OK || turn.Digest == "" || !strings.Contains(turn.Verdict, "measures") {
		t.Errorf("one bit differs: %+v, %v", turn, err)
	}
	s.job.Step = 4
	if s.passes(); !s.b.protected {
		t.Error("not protected")
	}
	s.job.Run = "00000000000000a3"
	if turn, err := s.run(); err != nil || turn.OK || !strings.Contains(turn.Verdict, "answered 02 to protect") {
		t.Errorf("protected twice: %+v, %v", turn, err)
	}
	s.job.Step = 5
	s.passes()
	made, judged := entries[ledger.RelayMade](h), entries[ledger.RelayJudged](h)
	if len(made) != 7 || len(judged) != 6 || len(made[0].Blocks)+len(made[1].Blocks) != 85 || len(made[1].Answers)+len(judged[0].Answers) != 85 {
		t.Errorf("%d turns, %d verdicts", len(made), len(judged))
	}
	h.verified()
}

// TestRelayThroughTrouble: after each turn the server dies and comes back, its telling is lost, an answer is lost, or the chip loses its power; and the region holds the image.
func TestRelayThroughTrouble(t *testing.T) {
	lose := func(executed bool, s *bench) func(provision.Turn, []provision.Answer) []provision.Answer {
		done := false
		return func(turn provision.Turn, answers []provision.Answer) []provision.Answer {
			if done || turn.Number != 1 {
				return answers
			}
			done = true
			const k = 20 // a write in the second 4 KiB
			// The chip got 21 blocks. Where the last one was not executed it is torn.
			s.b.counter -= uint64(len(answers) - k - 1)
			if !executed {
				s.b.counter--
				copy(s.b.array[0x21000:], bytes.Repeat([]byte{0}, 100))
			}
			copy(s.b.array[0x22000:], bytes.Repeat([]byte{0x33}, 4096)) // as before the blocks that were never sent
			answers = answers[:k+1]
			answers[k] = provision.Answer{Seq: answers[k].Seq, SHA256: answers[k].SHA256, Lost: true, Executed: executed}
			return answers
		}
	}
	for name, prepare := range map[string]func(s *bench){
		"restart":           func(s *bench) { s.between = func(int) { s.h.restart() } },
		"lost, executed":    func(s *bench) { s.each = lose(true, s) },
		"lost and torn":     func(s *bench) { s.each = lose(false, s) },
		"lost, and restart": func(s *bench) { s.each = lose(false, s); s.between = func(int) { s.h.restart() } },
		"power cycle":       func(s *bench) { s.between = func(int) { s.b.powerOn++ } },
		"told twice": func(s *bench) {
			s.between = func(turn int) { // the last telling is asked for again
				var a *RelayAnswered
				if turn > 1 {
					a = &RelayAnswered{Turn: turn - 1, Answers: nil}
					for _, x := range s.lastAnswers {
						a.Answers = append(a.Answers, RelayAnswer(x))
					}
				}
				var again RelayTurn
				j := jobOf(s.facts())
				if turn == 1 {
					powerOn, counter := uint64(3), uint64(5)
					j.PowerOn, j.Counter = &powerOn, &counter
				}
				if err := s.c.ask(s.h.t.Context(), RouteRelay, nil, RelayRequest{j, a}, &again); err != nil {
					s.h.t.Error(err)
				}
				if was := s.turns[len(s.turns)-1]; again.Session != was.Session || again.Number != was.Number || len(again.Blocks) != len(was.Blocks) || !bytes.Equal(again.Blocks[0].Bytes, was.Blocks[0].Bytes) {
					s.h.t.Errorf("turn %d is told as %d of %s with %d blocks", turn, again.Number, again.Session, len(again.Blocks))
				}
			}
			s.each = func(turn provision.Turn, answers []provision.Answer) []provision.Answer {
				if turn.Number > 1 {
					return answers
				}
				s.lastAnswers = answers
				return answers
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := signing(t, 1)
			prepare(s)
			s.passes()
			s.holds()
			s.each, s.between, s.job.Step = nil, nil, 3
			s.passes()
			h.verified()
		})
	}
}

// TestRelayStopped: a station dies in mid-step and begins the step anew, with a server that died too. What is one-way is not made again.
func TestRelayStopped(t *testing.T) {
	h, s := signing(t, 1)
	first, err := s.c.Next(t.Context(), s.facts(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range first.Blocks[:30] {
		s.b.send(b.Bytes)
	}
	h.restart()
	s.passes()
	s.holds()
	if s.turns[0].Session == first.Session {
		t.Error("blocks of another counter in one session")
	}
	s.job.Step = 4
	if first, err = s.c.Next(t.Context(), s.facts(), nil); err != nil || len(first.Blocks) != 1 {
		t.Fatal(first, err)
	}
	again, err := s.c.Next(t.Context(), s.facts(), nil)
	if err != nil || !bytes.Equal(again.Blocks[0].Bytes, first.Blocks[0].Bytes) {
		t.Errorf("asked again before it was sent: %v, %v", again, err)
	}
	s.b.send(first.Blocks[0].Bytes)
	h.restart()
	sent := s.b.sent
	if turn := s.passes(); turn.Number != 1 || s.b.sent != sent || !strings.Contains(turn.Verdict, "by the chip's command counter") {
		t.Errorf("%+v after %d more blocks", turn, s.b.sent-sent)
	}
	h.verified()
}

// TestRelayBadAnswers: what does not fit what was made ends the step, or is not taken.
func TestRelayBadAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a []provision.Answer) []provision.Answer
		cause  Cause  // or
		says   string // of a verdict that is not OK
	}{
		"another signature": {func(a []provision.Answer) []provision.Answer { a[3].Reply[20] ^= 1; return a }, "", "not signed by this chip"},
		"a short reply":     {func(a []provision.Answer) []provision.Answer { a[3].Reply = a[3].Reply[:39]; return a }, "", "an answer of 39 bytes"},
		"swapped": {func(a []provision.Answer) []provision.Answer {
			a[1].Reply, a[2].Reply = a[2].Reply, a[1].Reply
			return a
		}, "", "not signed by this chip"},
		"a status":        {func(a []provision.Answer) []provision.Answer { a[3].Status = 0x20; return a[:4] }, "", "the chip answered 20 to write at 0x20200"},
		"behind a status": {func(a []provision.Answer) []provision.Answer { a[3].Status = 0x20; return a }, CauseContent, ""},
		"behind a loss":   {func(a []provision.Answer) []provision.Answer { a[3].Lost = true; return a }, CauseContent, ""},
		"another block":   {func(a []provision.Answer) []provision.Answer { a[3].SHA256 = a[2].SHA256; return a }, CauseContent, ""},
		"another number":  {func(a []provision.Answer) []provision.Answer { a[3].Seq++; return a }, CauseContent, ""},
		"too many":        {func(a []provision.Answer) []provision.Answer { return append(a, a[0]) }, CauseContent, ""},
		"none":            {func(a []provision.Answer) []provision.Answer { return nil }, CauseContent, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := signing(t, 1)
			s.each = func(_ provision.Turn, a []provision.Answer) []provision.Answer { return c.change(a) }
			turn, err := s.run()
			if c.cause != "" {
				refused(t, name, err, c.cause)
			} else if err != nil || turn.OK || !strings.Contains(turn.Verdict, c.says) {
				t.Errorf("%+v, %v", turn, err)
			}
			h.verified()
		})
	}
	// Of a chip that takes nothing, each is made anew a few times and no more.
	_, s := signing(t, 1)
	s.each = func(_ provision.Turn, a []provision.Answer) []provision.Answer {
		return []provision.Answer{{Seq: a[0].Seq, SHA256: a[0].SHA256, Status: 0x04}}
	}
	if turn, err := s.run(); err != nil || turn.OK || len(s.turns) != maxRefused+2 || !strings.Contains(turn.Verdict, "did not take 4 commands") {
		t.Errorf("%d turns, %+v, %v", len(s.turns), turn, err)
	}
}

// TestRelayRefused: nothing is made for what the recipe does not say.
func TestRelayRefused(t *testing.T) {
	h, s := signing(t, 1)
	for name, c := range map[string]struct {
		change func(j *provision.Job)
		cause  Cause
	}{
		"no such step":         {func(j *provision.Job) { j.Step = 2 }, CauseNotInRecipe},
		"step 0":               {func(j *provision.Job) { j.Step = 0 }, CauseContent},
		"another recipe":       {func(j *provision.Job) { j.Recipe = "other" }, CauseNotInRecipe},
		"an unknown one":       {func(j *provision.Job) { j.Digest = "sha256:" + strings.Repeat("cd", 32) }, CauseNoAllowance},
		"another chip":         {func(j *provision.Job) { j.ID[5] = 0x44 }, CauseNotInRecipe},
		"no counters":          {func(j *provision.Job) { j.Counter = nil }, CauseNotInRecipe},
		"no UID":               {func(j *provision.Job) { j.UID = "" }, CauseContent},
		"UID in small letters": {func(j *provision.Job) { j.UID = "ab" }, CauseContent},
		"a long serial":        {func(j *provision.Job) { j.Serial = strings.Repeat("x", maxText+1) }, CauseContent},
		"no run":               {func(j *provision.Job) { j.Run = "x" }, CauseContent},
		"turn out of turn":     {nil, CauseOutOfTurn},
	} {
		j := s.facts()
		var answered []provision.Answered
		if c.change == nil {
			answered = []provision.Answered{{Turn: 7, Answers: []provision.Answer{{}}}}
		} else {
			c.change(&j)
		}
		_, err := s.c.Next(t.Context(), j, answered)
		refused(t, name, err, c.cause)
	}
	if n := len(entries[ledger.RelayMade](h)); n != 0 {
		t.Errorf("%d turns were made", n)
	}
	first, err := s.c.Next(t.Context(), s.facts(), nil)
	if err != nil {
		t.Fatal(err)
	}
	j := s.facts()
	j.UID = strings.Repeat("02", 14)
	_, err = s.c.Next(t.Context(), j, []provision.Answered{{Turn: first.Number, Answers: []provision.Answer{{}}}})
	refused(t, "a second chip", err, CauseUsedUp)
	h.verified()
}

// TestRelayOneWayLost: a one-way command whose answer was lost and which the counter tells of is done, and not made again; where the counter tells that it was not, it is.
func TestRelayOneWayLost(t *testing.T) {
	for _, executed := range []bool{true, false} {
		h, s := signing(t, 1)
		s.job.Step = 4
		lost := 0
		s.each = func(_ provision.Turn, a []provision.Answer) []provision.Answer {
			if lost++; lost > 1 {
				return a
			}
			if !executed {
				s.b.protected, s.b.counter = false, s.b.counter-1
			}
			return []provision.Answer{{Seq: a[0].Seq, SHA256: a[0].SHA256, Lost: true, Executed: executed}}
		}
		s.passes()
		if want := map[bool]int{true: 1, false: 2}[executed]; s.b.sent != want || !s.b.protected {
			t.Errorf("executed %t: %d blocks, protected %t", executed, s.b.sent, s.b.protected)
		}
		h.verified()
	}
}

// TestRelayOtherChipOrKey: a run stays on its chip, and with the key that its blocks were made with: another one is the server's fault and not the chip's.
func TestRelayOtherChipOrKey(t *testing.T) {
	h, s := signing(t, 2)
	first, err := s.c.Next(t.Context(), s.facts(), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := *s.b
	other.uid = bytes.Repeat([]byte{2}, 14)
	mine := s.b
	s.b = &other
	_, err = s.c.Next(t.Context(), s.facts(), nil)
	refused(t, "a run on a second chip", err, CauseOutOfTurn)
	s.b = mine
	h.keys.mu.Lock()
	h.keys.masters["acrtm/factory"] = bytes.Repeat([]byte{7}, 32)
	h.keys.mu.Unlock()
	_, err = s.c.Next(t.Context(), s.facts(), nil)
	refused(t, "another key than the ledger names", err, CauseKeyOther)
	h.server.state.masters["acrtm/factory"], _ = h.keys.Fingerprint("acrtm/factory") // and if that did not tell
	_, err = s.c.Next(t.Context(), s.facts(), nil)
	refused(t, "told again with another key", err, CauseServer)
	status, reply := s.b.send(first.Blocks[0].Bytes)
	sum := sha256.Sum256(first.Blocks[0].Bytes)
	_, err = s.c.Next(t.Context(), s.facts(), []provision.Answered{{Turn: 1, Answers: []provision.Answer{{Seq: 1, SHA256: hex.EncodeToString(sum[:]), Status: status, Reply: reply}}}})
	refused(t, "judged with another key", err, CauseServer)
	if n := len(entries[ledger.RelayJudged](h)); n != 0 {
		t.Errorf("%d verdicts", n)
	}
	h.verified()
}

// TestRelayOtherRecipe: a step that was begun by one recipe goes on by no other: neither with its blocks, nor with its verdict.
func TestRelayOtherRecipe(t *testing.T) {
	h, s := signing(t, 1)
	other := settings()
	other.Recipe, other.Digest = "other-boot", "sha256:"+strings.Repeat("cd", 32)
	other.Images[0].Data = bytes.Repeat([]byte("OTHER   "), 2500)
	h.admin(RouteAllow, AllowRequest{Station: "line1", Job: other, Units: 1, By: "op-1"}, &Allowance{})
	for _, step := range []int{1, 3} {
		s.job.Step, s.job.Recipe, s.job.Digest = step, "signed-boot", recipeDigest
		first, err := s.c.Next(t.Context(), s.facts(), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer := provision.Answer{Seq: 1, SHA256: hashOf(first.Blocks[0].Bytes), Lost: true}
		if step == 3 {
			answer.Lost = false
			answer.Status, answer.Reply = s.b.send(first.Blocks[0].Bytes)
		}
		s.job.Recipe, s.job.Digest = other.Recipe, other.Digest
		_, err = s.c.Next(t.Context(), s.facts(), []provision.Answered{{Turn: 1, Answers: []provision.Answer{answer}}})
		refused(t, "answered by another recipe", err, CauseOutOfTurn)
		_, err = s.c.Next(t.Context(), s.facts(), nil)
		refused(t, "begun anew by another recipe", err, CauseOutOfTurn)
	}
	if n := len(entries[ledger.RelayJudged](h)); n != 0 || len(h.server.state.allowances[allowed{"line1", other.Digest}].used) != 0 {
		t.Errorf("%d verdicts, or a chip that counts on the other recipe", n)
	}
	h.verified()
}

// TestRelayRival: of a one-way command whose answer is lost the counter tells nothing where another command was made for the same count, whoever it was made for. There is
// no verdict then, and no other command. One that was made for a power-on that is over, or for a later count, does not matter.
func TestRelayRival(t *testing.T) {
	for name, c := range map[string]struct {
		rival   func(s, other *bench) // between the making of protect and the next word of line1
		answers bool                  // line1 says that it was executed, or begins anew
		unclear bool
	}{
		"another station's took effect":           {func(s, other *bench) { other.passes() }, false, true},
		"another station's, and line1 says lost":  {func(s, other *bench) { other.passes() }, true, true},
		"another station's was made and not sent": {func(s, other *bench) { second(other.c.Next(s.h.t.Context(), other.facts(), nil)); s.protect() }, false, true},
		"made for a later count":                  {func(s, other *bench) { s.protect(); other.passes() }, false, false},
		"a measurement":                           {func(s, other *bench) { other.job.Step = 5; other.passes(); s.protect() }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := signing(t, 2)
			cert := h.enrol("line2", 24)
			h.admin(RouteAllow, AllowRequest{Station: "line2", Job: settings(), Units: 2, By: "op-1"}, &Allowance{})
			s.passes() // blocks for earlier counts do not matter
			s.job.Step = 4
			first, err := s.c.Next(t.Context(), s.facts(), nil)
			if err != nil {
				t.Fatal(err)
			}
			s.turns = []provision.Turn{first}
			other := &bench{h: h, c: h.client(cert), b: s.b, job: s.job}
			other.job.Run, other.job.Step = "00000000000000b1", 1
			c.rival(s, other)
			h.restart()
			s.c.base = h.url
			var answered []provision.Answered
			if c.answers {
				answered = []provision.Answered{{Turn: 1, Answers: []provision.Answer{{Seq: 1, SHA256: hashOf(first.Blocks[0].Bytes), Lost: true, Executed: true}}}}
			}
			turn, err := s.c.Next(t.Context(), s.facts(), answered)
			if c.unclear {
				refused(t, name, err, CauseUnclear)
			} else if err != nil || !turn.OK || !s.b.protected {
				t.Errorf("%+v, %v, protected %t", turn, err, s.b.protected)
			}
			for _, j := range entries[ledger.RelayJudged](h) {
				if j.Client == "line1" && j.Step == 4 && c.unclear {
					t.Errorf("a verdict: %.200v", j)
				}
			}
			h.verified()
		})
	}
	// A block for a power-on that is over is dead.
	h, s := signing(t, 1)
	if _, err := s.c.Next(t.Context(), s.facts(), nil); err != nil {
		t.Fatal(err)
	}
	s.b.powerOn++
	s.job.Step, s.job.Run = 4, "00000000000000a2"
	first, err := s.c.Next(t.Context(), s.facts(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.turns = []provision.Turn{first}
	s.protect()
	// A server that was restored in between knows of no rival, and may have forgotten one.
	now := h.server.state.restored
	h.server.state.after(ledger.StationEpoch{})
	refused(t, "behind a restore", second(s.c.Next(t.Context(), s.facts(), nil)), CauseUnclear)
	h.server.state.restored = now
	if turn, err := s.c.Next(t.Context(), s.facts(), nil); err != nil || !turn.OK {
		t.Errorf("%+v, %v", turn, err)
	}
	h.verified()
}

// protect sends the block that was made first.
func (s *bench) protect() { s.b.send(s.turns[0].Blocks[0].Bytes) }

// TestRelayEarlierBlock: a station that does not send a one-way command, since by its account the chip did it before, names the block that did it. It is believed where that block was made here for
// the same command of this chip, and, unless the chip signed for it, where nothing else was made for its count.
func TestRelayEarlierBlock(t *testing.T) {
	const rework = "00000000000000a2"
	forget := func(s *bench) { // as a server that was restored from a copy of before
		h := s.h
		h.server.state.sessions, h.server.state.spans, h.server.state.lone = map[sessionOf]*session{}, map[string][]span{}, map[string]lone{}
		h.server.state.after(ledger.StationEpoch{})
		for _, a := range h.server.state.allowances {
			a.units = 5
		}
	}
	for name, c := range map[string]struct {
		then func(s, other *bench) // behind the making of protect, before the station asks in another run
		by   func(earlier, now string) string
		says string // of the verdict that is OK, "" where what took effect is unclear
	}{
		"it was sent, and nobody saw the answer":    {func(s, _ *bench) { s.protect() }, nil, "took effect before, by a block that was made for run 00000000000000a1"},
		"another station's took effect":             {func(_, other *bench) { other.passes() }, nil, ""},
		"nothing is known of it any more":           {func(s, other *bench) { other.passes(); forget(s) }, nil, ""},
		"this turn's block, which was not sent":     {func(s, other *bench) { other.passes(); forget(s) }, func(_, now string) string { return now }, ""},
		"no block":                                  {func(s, _ *bench) { s.protect() }, func(_, _ string) string { return "" }, ""},
		"known, and the server was restored since":  {func(s, _ *bench) { s.protect(); s.h.server.state.after(ledger.StationEpoch{}); s.more() }, nil, ""},
		"signed, and the server was restored since": {func(s, _ *bench) { s.passes(); s.h.server.state.after(ledger.StationEpoch{}); s.more() }, nil, "took effect before"},
		"signed, and another was made for its count": {func(s, other *bench) {
			second(other.c.Next(s.h.t.Context(), other.facts(), nil))
			s.passes()
		}, nil, "took effect before"},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := signing(t, 2)
			cert := h.enrol("line2", 24)
			h.admin(RouteAllow, AllowRequest{Station: "line2", Job: settings(), Units: 2, By: "op-1"}, &Allowance{})
			s.job.Step = 4
			first, err := s.c.Next(t.Context(), s.facts(), nil)
			if err != nil {
				t.Fatal(err)
			}
			s.turns = []provision.Turn{first}
			other := &bench{h: h, c: h.client(cert), b: s.b, job: s.job}
			other.job.Run, other.job.Step = "00000000000000b1", 1
			c.then(s, other)
			s.job.Run = rework
			turn, err := s.c.Next(t.Context(), s.facts(), nil)
			if err != nil || len(turn.Blocks) != 1 {
				t.Fatalf("%+v, %v", turn, err)
			}
			by := hashOf(first.Blocks[0].Bytes)
			if c.by != nil {
				by = c.by(by, hashOf(turn.Blocks[0].Bytes))
			}
			turn, err = s.c.Next(t.Context(), s.facts(), []provision.Answered{{Turn: 1, Answers: []provision.Answer{{Seq: 1, SHA256: by, Lost: true, Executed: true}}}})
			if c.says == "" {
				refused(t, name, err, CauseUnclear)
			} else if err != nil || !turn.OK || !strings.Contains(turn.Verdict, c.says) {
				t.Errorf("%+v, %v", turn, err)
			}
			for _, j := range entries[ledger.RelayJudged](h) {
				if j.Run == rework && c.says == "" {
					t.Errorf("a verdict: %.200v", j)
				}
			}
		})
	}
}

// more allows what a restore took away.
func (s *bench) more() {
	s.h.admin(RouteAllow, AllowRequest{Station: "line1", Job: settings(), Units: 2, By: "op-1"}, &Allowance{})
}

// TestRelayNeverForgetsOneWay: a step whose one-way command nobody told the end of is not ended for others; where there is no other to end, none is begun.
func TestRelayNeverForgetsOneWay(t *testing.T) {
	h, s := signing(t, 1)
	s.job.Step = 4
	if _, err := s.c.Next(t.Context(), s.facts(), nil); err != nil {
		t.Fatal(err)
	}
	key := sessionOf{"line1", s.job.Run, 4}
	first := h.server.state.sessions[key].last
	more := func(n int, blocks ...ledger.MadeBlock) {
		b := first
		b.Session, b.Run, b.Blocks = fmt.Sprintf("%016x", n), fmt.Sprintf("%016x", n), blocks
		h.server.state.after(b)
	}
	for n := range openSessions + 1 {
		more(0x1000+n, ledger.MadeBlock{Seq: 1, Command: "measure", Counter: "5"})
	}
	state := h.server.state
	if state.sessions[key] == nil || len(state.clients["line1"].open) != openSessions {
		t.Errorf("of %d the first is %v", len(state.clients["line1"].open), state.sessions[key])
	}
	s.job.Run = "00000000000000a2"
	if _, err := s.c.Next(t.Context(), s.facts(), nil); err != nil {
		t.Error(err)
	}
	for n := range openSessions {
		more(0x9000+n, first.Blocks...)
	}
	s.job.Run = "00000000000000a3"
	refused(t, "one more", second(s.c.Next(t.Context(), s.facts(), nil)), CauseRefused)
	s.job.Run = "00000000000000a1"
	if _, err := s.c.Next(t.Context(), s.facts(), nil); err != nil || state.sessions[key] == nil {
		t.Errorf("the first goes on: %v", err)
	}
}
