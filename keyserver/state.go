package keyserver

import (
	"slices"

	"station/ledger"
)

// state is what the ledger says: it follows from the entries and from nothing else.
type state struct {
	clients    map[string]*client
	masters    map[string]string  // name -> fingerprint of the only key that it may be
	retired    map[string]bool    // names of masters
	served     map[[2]string]bool // chip and master: it has a root key from it
	allowances map[allowed]*allowance
	sessions   map[sessionOf]*session
	ended      []sessionOf       // sessions that were judged, oldest first
	spans      map[string][]span // by UID
	lone       map[string]lone   // by SHA-256: blocks that change a chip and were made alone in their turn, as all one-way ones
	begun      int               // sessions
	restored   int               // sessions that were begun when the ledger last went on from a copy, which may lack what was made for others
}

// span is the command counters that a session has blocks of a chip for which move it, in one power-on of the chip.
type span struct {
	session        string
	client, run    string
	powerOn        uint64
	first, through uint64
}

// lone is a block that changes a chip and was made alone in its turn.
type lone struct {
	client, session, run string
	uid, digest          string
	step                 int
	begun                int // of its session
	powerOn, counter     uint64
	command              string
	at                   int64
	signed               bool // the chip signed that it took effect
}

// client is a station.
type client struct {
	enrolled     bool               // once, whatever became of it
	certificates map[string]string  // digest of each that counts -> its end
	revoked      map[string]bool    // digests of those that counted once
	open         map[sessionOf]bool // sessions that were not judged
	keys         []string           // verifier keys of its checkpoints that were made here
	signed       map[string]bool    // verifier keys that a checkpoint was signed for
	kept         string             // verifier key of the only one that is left, "" where there may be others
	seen         *ledger.CheckpointWitnessed
	rewound      bool // the next checkpoint may go back
}

type allowed struct{ client, digest string }

type allowance struct {
	recipe  ledger.Recipe
	job     string
	units   int
	masters []string
	used    map[string]string // UID of a chip -> the part that its root keys are for, "" before the first
}

type sessionOf struct {
	client, run string
	step        int
}

// session is the conversation about a step of a run.
type session struct {
	begun   int              // how many were before it
	last    ledger.RelayMade // its last turn
	refused int              // blocks that a chip did not take
	judged  *ledger.RelayJudged
}

const (
	keptSessions = 10_000 // that are over and can still be asked again
	openSessions = 1000   // of one station, that are not: the oldest end, but for those that lastAlone tells of
)

func newState() *state {
	return &state{clients: map[string]*client{}, masters: map[string]string{}, retired: map[string]bool{}, served: map[[2]string]bool{}, allowances: map[allowed]*allowance{}, sessions: map[sessionOf]*session{}, spans: map[string][]span{}, lone: map[string]lone{}}
}

func (s *state) client(name string) *client {
	c, ok := s.clients[name]
	if !ok {
		c = &client{certificates: map[string]string{}, revoked: map[string]bool{}, open: map[sessionOf]bool{}, signed: map[string]bool{}}
		s.clients[name] = c
	}
	return c
}

// after takes one more entry into account.
func (s *state) after(b ledger.Body) {
	switch b := b.(type) {
	case ledger.StationEpoch:
		// The ledger goes on from a copy, and what it lacks may be chips: what was allowed before is taken for used.
		for _, a := range s.allowances {
			a.units = len(a.used)
		}
		s.restored = s.begun
	case ledger.ClientEnrolled:
		c := s.client(b.Client)
		c.enrolled, c.certificates[b.Certificate] = true, b.NotAfter
	case ledger.ClientRevoked:
		c := s.client(b.Client)
		for digest := range c.certificates {
			c.revoked[digest] = true
		}
		clear(c.certificates)
	case ledger.ClientKey:
		c := s.client(b.Client)
		c.keys, c.kept = append(c.keys, b.Key), ""
	case ledger.ClientKeysDestroyed:
		s.client(b.Client).kept = b.Kept
	case ledger.KeyCreated:
		s.masters[b.Name] = b.Fingerprint
	case ledger.MasterRetired:
		s.retired[b.Name] = true
	case ledger.KeyAllowance:
		key := allowed{b.Client, b.Recipe.Digest}
		a, ok := s.allowances[key]
		if !ok {
			a = &allowance{used: map[string]string{}}
			s.allowances[key] = a
		}
		a.recipe, a.job, a.masters = b.Recipe, b.Job, slices.Clone(b.Masters)
		a.units += b.Units
	case ledger.AllowanceWithdrawn:
		if a, ok := s.allowances[allowed{b.Client, b.Digest}]; ok {
			a.units -= b.Units
		}
	case ledger.CheckpointWitnessed:
		c := s.client(b.Client)
		c.seen, c.rewound, c.signed[b.Key] = &b, false, true
	case ledger.CheckpointRewound:
		s.client(b.Client).rewound = true
	case ledger.RootKeyServed:
		s.count(b.Client, b.Digest, b.UID, b.Part)
		s.served[[2]string{b.UID, b.Master}] = true
	case ledger.RelayMade:
		s.count(b.Client, b.Digest, b.UID, "")
		s.made(b)
	case ledger.RelayJudged:
		s.judge(b)
	}
}

// count takes a chip off an allowance, once.
func (s *state) count(client, digest, uid, part string) {
	if a, ok := s.allowances[allowed{client, digest}]; ok && a.used[uid] == "" {
		a.used[uid] = part
	}
}

func (s *state) made(b ledger.RelayMade) {
	key := sessionOf{b.Client, b.Run, b.Step}
	c, ok := s.sessions[key]
	if !ok || c.last.Session != b.Session {
		c = &session{begun: s.begun}
		s.sessions[key] = c
		s.begun++
	}
	s.signed(c.last, b.Answers)
	c.refused += refusedIn(b.Answers)
	c.last, c.judged = b, nil
	s.opened(key)
	s.span(b)
	if x := b.Blocks[0]; lastAlone(b) {
		s.lone[x.SHA256] = lone{b.Client, b.Session, b.Run, b.UID, b.Digest, b.Step, c.begun, number(b.PowerOn), number(x.Counter), x.Command, x.At, s.lone[x.SHA256].signed}
	}
}

// lastAlone tells whether a turn is one block that changes the chip. The ledger does not say which commands are one-way; what is, is made so. Nobody but its session knows, as long as it is
// not judged, whether the chip did it.
func lastAlone(b ledger.RelayMade) bool { return len(b.Blocks) == 1 && b.Blocks[0].Changes }

// signed takes in the answers to a turn that were not found wanting.
func (s *state) signed(last ledger.RelayMade, answers []ledger.RelayResult) {
	if lastAlone(last) && len(answers) == 1 && answers[0].Status == statusOK {
		x := s.lone[last.Blocks[0].SHA256]
		x.signed = true
		s.lone[last.Blocks[0].SHA256] = x
	}
}

// full tells whether a session can not be begun, since none of the station's can be ended for it.
func (s *state) full(key sessionOf) bool {
	open := s.client(key.client).open
	if open[key] || len(open) < openSessions {
		return false
	}
	for other := range open {
		if !lastAlone(s.sessions[other].last) {
			return false
		}
	}
	return true
}

// opened ends the oldest session of a station that has too many, of those that can be ended.
func (s *state) opened(key sessionOf) {
	open := s.client(key.client).open
	if open[key] = true; len(open) <= openSessions {
		return
	}
	var oldest *session
	var end sessionOf
	for other := range open {
		if c := s.sessions[other]; other != key && !lastAlone(c.last) && (oldest == nil || c.begun < oldest.begun) {
			oldest, end = c, other
		}
	}
	if oldest != nil {
		delete(open, end)
		delete(s.sessions, end)
	}
}

// span notes for which counters a turn has blocks that move them.
func (s *state) span(b ledger.RelayMade) {
	powerOn := number(b.PowerOn)
	for _, block := range b.Blocks {
		if !block.Changes {
			continue
		}
		n, list := number(block.Counter), s.spans[b.UID]
		i := slices.IndexFunc(list, func(p span) bool { return p.session == b.Session && p.powerOn == powerOn })
		if i < 0 {
			s.spans[b.UID] = append(list, span{b.Session, b.Client, b.Run, powerOn, n, n})
			continue
		}
		list[i].first, list[i].through = min(list[i].first, n), max(list[i].through, n)
	}
}

// rival is another session that has a block for the same counter of a chip, "" for none: where the counter has moved on, either may have moved it. One for an earlier
// power-on is dead by then. One for a later counter cannot be it: its chip had left this one behind.
func (s *state) rival(uid, session string, powerOn, counter uint64) (client, run string) {
	for _, p := range s.spans[uid] {
		if p.session != session && p.powerOn >= powerOn && p.first <= counter && counter <= p.through {
			return p.client, p.run
		}
	}
	return "", ""
}

func (s *state) judge(b ledger.RelayJudged) {
	key := sessionOf{b.Client, b.Run, b.Step}
	c, ok := s.sessions[key]
	if !ok || c.last.Session != b.Session {
		c = &session{last: ledger.RelayMade{Session: b.Session, UID: b.UID, Digest: b.Digest, Turn: b.Turn}}
		s.sessions[key] = c
	}
	if b.OK {
		s.signed(c.last, b.Answers)
	}
	c.judged = &b
	c.last.Blocks = nil
	delete(s.client(b.Client).open, key)
	if s.ended = append(s.ended, key); len(s.ended) > keptSessions {
		if old, ok := s.sessions[s.ended[0]]; ok && old.judged != nil {
			delete(s.sessions, s.ended[0])
		}
		s.ended = s.ended[1:]
	}
}

func refusedIn(answers []ledger.RelayResult) (n int) {
	for _, a := range answers {
		if a.Status != "" && a.Status != statusOK {
			n++
		}
	}
	return n
}
