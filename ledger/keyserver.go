package ledger

import (
	"errors"
	"fmt"
)

// The kinds of a key server's ledger, besides station.init, station.key and master.retired. A key server is a station without slots: its ledger has the form of any other.
const (
	KindClientEnrolled      = "client.enrolled"
	KindClientRevoked       = "client.revoked"
	KindClientKey           = "client.key"
	KindClientKeysDestroyed = "client.keys_destroyed"
	KindKeyCreated          = "key.created"
	KindKeyAllowance        = "key.allowance"
	KindAllowanceWithdrawn  = "allowance.withdrawn"
	KindKeyRefused          = "key.refused"
	KindRootKeyServed       = "root_key.served"
	KindUnlockServed        = "unlock.served"
	KindCheckpointWitnessed = "checkpoint.witnessed"
	KindCheckpointRewound   = "checkpoint.rewound"
	KindRelayMade           = "relay.made"
	KindRelayJudged         = "relay.judged"
)

// KeyServerEntry is the body of an entry that a key server writes. It belongs to no run of its ledger: where it names one, that is in the ledger of the client.
type KeyServerEntry interface {
	Body
	// Check says whether the entry may stand in a ledger. Errors wrap ErrGrammar.
	Check() error
	keyServer()
}

// ClientEnrolled says that a certificate was made for a station. Only certificates that are named so, and not revoked since, are let in.
type ClientEnrolled struct {
	Client      string `json:"client"`      // the station's id
	Certificate string `json:"certificate"` // SHA-256 of it in DER, "sha256:" and 64 hex digits
	NotAfter    string `json:"not_after"`   // time of entry format
	By          string `json:"by"`          // who did it on the key server's PC
}

// ClientRevoked says that all certificates of a station that were made before count no more.
type ClientRevoked struct {
	Client string `json:"client"`
	Reason string `json:"reason"`
	By     string `json:"by"`
}

// ClientKey says that a checkpoint key was made for a station.
type ClientKey struct {
	Client string `json:"client"`
	Key    string `json:"key"` // verifier key, as sumdb/note prints it
}

// ClientKeysDestroyed says that all checkpoint keys of a station but one are destroyed now.
type ClientKeysDestroyed struct {
	Client string `json:"client"`
	Kept   string `json:"kept"` // verifier key of the one that stays
}

// KeyCreated says that there is a new master key.
type KeyCreated struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"` // 16 hex digits
	Imported    bool   `json:"imported"`    // brought along, not drawn here
	By          string `json:"by"`
}

// KeyAllowance lets a station have keys and blocks of a recipe for so many more chips. The masters of the newest one of station and recipe count.
type KeyAllowance struct {
	Client  string   `json:"client"`
	Recipe  Recipe   `json:"recipe"`
	Job     string   `json:"job"` // SHA-256 of the job file, "sha256:" and 64 hex digits
	Units   int      `json:"units"`
	Masters []string `json:"masters"`
	By      string   `json:"by"`
}

// AllowanceWithdrawn takes back so many chips that were allowed and not done.
type AllowanceWithdrawn struct {
	Client string `json:"client"`
	Digest string `json:"digest"` // of the recipe
	Units  int    `json:"units"`
	By     string `json:"by"`
}

// KeyRefused says that a request was turned down. Of the same one again and again there need not be an entry each.
type KeyRefused struct {
	Client string `json:"client"` // as its certificate names it
	Route  string `json:"route"`
	Cause  string `json:"cause"` // stable word for machines
	Digest string `json:"digest,omitempty"`
	UID    string `json:"uid,omitempty"`
	Master string `json:"master,omitempty"`
}

// RootKeyServed says that a station was given a root key.
type RootKeyServed struct {
	Client      string `json:"client"`
	Recipe      string `json:"recipe"` // id
	Digest      string `json:"digest"` // of the recipe
	Part        string `json:"part"`
	UID         string `json:"uid"`
	Index       int    `json:"index"` // of the counter
	Master      string `json:"master"`
	Fingerprint string `json:"fingerprint"` // of the master
}

// UnlockServed says that a password which an auditor had re-sealed to a station was opened for it.
type UnlockServed struct {
	Client string `json:"client"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Escrow string `json:"escrow"`
	Permit int64  `json:"permit"` // index of the rework.permit in the station's ledger
}

// CheckpointWitnessed says that a checkpoint of a station's ledger was signed. It is durable before the signature leaves. Sizes never fall, and one size has one
// root, but behind a CheckpointRewound.
type CheckpointWitnessed struct {
	Client string `json:"client"`
	Size   int64  `json:"size"`
	Root   string `json:"root"` // 64 hex digits
	Key    string `json:"key"`  // verifier key that it was signed for
}

// CheckpointRewound says that a person knows of a station's ledger being restored from a copy: the next checkpoint may be of a smaller size, or another root, or much larger.
type CheckpointRewound struct {
	Client string `json:"client"`
	Size   int64  `json:"size"` // of the last one that was signed
	Root   string `json:"root"`
	Reason string `json:"reason"`
	By     string `json:"by"`
}

// RelayMade says which blocks were made for a step of a station's run, before they leave. With the job file and the keys they can be made again.
type RelayMade struct {
	Client  string `json:"client"`
	Session string `json:"session"` // 16 hex digits, random
	Run     string `json:"run"`
	Serial  string `json:"serial"`
	UID     string `json:"uid"`
	Digest  string `json:"digest"` // of the recipe
	Step    int    `json:"step"`
	Job     string `json:"job"`
	Turn    int    `json:"turn"`
	PowerOn string `json:"power_on"`        // decimal: the power-on counter that the blocks are for
	Nonce   string `json:"nonce,omitempty"` // hex: of measurements
	// Answers are those to the turn before. A signature that did not fit ends a session. A one-way block that was "executed" by the counter may not have been sent: an earlier one did it then.
	Answers []RelayResult `json:"answers,omitempty"`
	Blocks  []MadeBlock   `json:"blocks"`
}

// MadeBlock is one block.
type MadeBlock struct {
	Seq     int    `json:"seq"`
	Command string `json:"command"`
	At      int64  `json:"at"`                // address, 0 where the command has none
	Counter string `json:"counter"`           // decimal: the command counter that it is for
	Changes bool   `json:"changes,omitempty"` // the chip, and with it the command counter
	SHA256  string `json:"sha256"`            // 64 hex digits
}

// RelayJudged ends a session.
type RelayJudged struct {
	Client  string `json:"client"`
	Session string `json:"session"`
	Run     string `json:"run"`
	Serial  string `json:"serial"`
	UID     string `json:"uid"`
	Digest  string `json:"digest"`
	Step    int    `json:"step"`
	Turn    int    `json:"turn"` // of the last blocks
	// Answers are those to that turn.
	Answers []RelayResult `json:"answers,omitempty"`
	OK      bool          `json:"ok"`
	Verdict string        `json:"verdict"`            // the sentence for people
	Measure string        `json:"measured,omitempty"` // SHA-256 of the region as the chip told it, 64 hex digits
}

func (ClientEnrolled) Kind() string      { return KindClientEnrolled }
func (ClientRevoked) Kind() string       { return KindClientRevoked }
func (ClientKey) Kind() string           { return KindClientKey }
func (ClientKeysDestroyed) Kind() string { return KindClientKeysDestroyed }
func (KeyCreated) Kind() string          { return KindKeyCreated }
func (KeyAllowance) Kind() string        { return KindKeyAllowance }
func (AllowanceWithdrawn) Kind() string  { return KindAllowanceWithdrawn }
func (KeyRefused) Kind() string          { return KindKeyRefused }
func (RootKeyServed) Kind() string       { return KindRootKeyServed }
func (UnlockServed) Kind() string        { return KindUnlockServed }
func (CheckpointWitnessed) Kind() string { return KindCheckpointWitnessed }
func (CheckpointRewound) Kind() string   { return KindCheckpointRewound }
func (RelayMade) Kind() string           { return KindRelayMade }
func (RelayJudged) Kind() string         { return KindRelayJudged }

func (ClientEnrolled) keyServer()      {}
func (ClientRevoked) keyServer()       {}
func (ClientKey) keyServer()           {}
func (ClientKeysDestroyed) keyServer() {}
func (KeyCreated) keyServer()          {}
func (KeyAllowance) keyServer()        {}
func (AllowanceWithdrawn) keyServer()  {}
func (KeyRefused) keyServer()          {}
func (RootKeyServed) keyServer()       {}
func (UnlockServed) keyServer()        {}
func (CheckpointWitnessed) keyServer() {}
func (CheckpointRewound) keyServer()   {}
func (RelayMade) keyServer()           {}
func (RelayJudged) keyServer()         {}

func (e ClientEnrolled) Check() error {
	return named(e, e.Client != "" && isDigest(e.Certificate) && e.By != "")
}
func (e ClientRevoked) Check() error       { return named(e, e.Client != "" && e.Reason != "" && e.By != "") }
func (e ClientKey) Check() error           { return named(e, e.Client != "" && e.Key != "") }
func (e ClientKeysDestroyed) Check() error { return named(e, e.Client != "" && e.Kept != "") }
func (e KeyCreated) Check() error {
	return named(e, e.Name != "" && lowerHex(e.Fingerprint, 16) && e.By != "")
}
func (e KeyAllowance) Check() error {
	return named(e, e.Client != "" && isDigest(e.Recipe.Digest) && isDigest(e.Job) && e.Units > 0 && e.By != "")
}
func (e AllowanceWithdrawn) Check() error {
	return named(e, e.Client != "" && isDigest(e.Digest) && e.Units > 0 && e.By != "")
}
func (e KeyRefused) Check() error { return named(e, e.Route != "" && e.Cause != "") }
func (e RootKeyServed) Check() error {
	return named(e, e.Client != "" && isDigest(e.Digest) && e.UID != "" && e.Index >= 0 && e.Master != "" && lowerHex(e.Fingerprint, 16))
}
func (e UnlockServed) Check() error { return named(e, e.Client != "" && e.UID != "" && e.Escrow != "") }
func (e CheckpointWitnessed) Check() error {
	return named(e, e.Client != "" && e.Size >= 0 && lowerHex(e.Root, 64) && e.Key != "")
}
func (e CheckpointRewound) Check() error {
	return named(e, e.Client != "" && e.Size >= 0 && lowerHex(e.Root, 64) && e.Reason != "" && e.By != "")
}
func (e RelayMade) Check() error {
	whole := len(e.Blocks) > 0
	for _, b := range e.Blocks {
		whole = whole && b.Seq > 0 && b.Command != "" && b.At >= 0 && b.Counter != "" && lowerHex(b.SHA256, 64)
	}
	return named(e, whole && e.Client != "" && validRun(e.Session) && validRun(e.Run) && e.UID != "" && isDigest(e.Digest) && e.Step > 0 && e.Turn > 0 && e.PowerOn != "")
}
func (e RelayJudged) Check() error {
	return named(e, e.Client != "" && validRun(e.Session) && validRun(e.Run) && e.UID != "" && isDigest(e.Digest) && e.Step > 0 && e.Turn >= 0 && e.Verdict != "" &&
		(e.Measure == "" || lowerHex(e.Measure, 64)))
}

// decodeKeyServer is decodeBody for these kinds; nil for others.
func decodeKeyServer(kind string, b []byte) (Body, error) {
	switch kind {
	case KindClientEnrolled:
		return unmarshal[ClientEnrolled](b)
	case KindClientRevoked:
		return unmarshal[ClientRevoked](b)
	case KindClientKey:
		return unmarshal[ClientKey](b)
	case KindClientKeysDestroyed:
		return unmarshal[ClientKeysDestroyed](b)
	case KindKeyCreated:
		return unmarshal[KeyCreated](b)
	case KindKeyAllowance:
		return unmarshal[KeyAllowance](b)
	case KindAllowanceWithdrawn:
		return unmarshal[AllowanceWithdrawn](b)
	case KindKeyRefused:
		return unmarshal[KeyRefused](b)
	case KindRootKeyServed:
		return unmarshal[RootKeyServed](b)
	case KindUnlockServed:
		return unmarshal[UnlockServed](b)
	case KindCheckpointWitnessed:
		return unmarshal[CheckpointWitnessed](b)
	case KindCheckpointRewound:
		return unmarshal[CheckpointRewound](b)
	case KindRelayMade:
		return unmarshal[RelayMade](b)
	case KindRelayJudged:
		return unmarshal[RelayJudged](b)
	}
	return nil, nil
}

func named(b Body, whole bool) error {
	if whole {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrGrammar, b.Kind(), errors.New("a field is missing or out of range"))
}

func isDigest(s string) bool { return len(s) == 71 && s[:7] == "sha256:" && lowerHex(s[7:], 64) }
