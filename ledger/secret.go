package ledger

import "strings"

// Entries about secrets and one-way steps. None of them holds or tells a secret: what is durable about one is the
// digest of its escrow ciphertext, which store keeps beside the ledger.

const (
	KindPasswordIntent  = "password.intent"
	KindPasswordVoid    = "password.void"
	KindPasswordProven  = "password.proven"
	KindModeIntent      = "mode.intent"
	KindModeProven      = "mode.proven"
	KindRootKeyIntent   = "root_key.intent"
	KindRootKeyVoid     = "root_key.void"
	KindRootKeyProven   = "root_key.proven"
	KindPermanentIntent = "permanent.intent"
	KindRunStuck        = "run.stuck"
	KindUnitClose       = "unit.close"
)

// The modes of the sector protection register. At most one of them can ever be on (MT25Q datasheet, sector protection register, bits 2 and 1).
const (
	PasswordMode   = "password"
	PersistentMode = "persistent"
)

// What a person may close an open run as.
const (
	Scrapped = "scrapped"
	Lost     = "lost"
)

// Recipient is one key that a secret is sealed to.
type Recipient struct {
	Group       string `json:"group"`       // name in the configuration and the recipe: "audit"
	Fingerprint string `json:"fingerprint"` // "sha256:" and hex of the recipient's text
}

// Sealed names an escrow: a ciphertext that store keeps.
type Sealed struct {
	ID         string      `json:"id"`     // 16 hex digits, random
	SHA256     string      `json:"sha256"` // of the ciphertext, 64 hex digits
	Recipients []Recipient `json:"recipients"`
}

// PasswordIntent says that a password, sealed and durable, is about to be sent once (command 28).
type PasswordIntent struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Escrow Sealed `json:"escrow"`
}

// PasswordVoid says that the chip never learned the password of an intent; its escrow is kept.
type PasswordVoid struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	Escrow string `json:"escrow"` // id
}

// PasswordProven says that the chip told the very password of the escrow (command 27), while it still tells.
type PasswordProven struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Escrow string `json:"escrow"`
}

// ModeIntent says that a one-time bit of the sector protection register is about to be cleared (command 2C).
type ModeIntent struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Mode   string `json:"mode"` // PasswordMode or PersistentMode
}

// ModeProven says that the mode is on.
type ModeProven struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Mode   string `json:"mode"`
	Grade  string `json:"grade"` // "unlock exercised", or "read back before the mode"
}

// RootKeyIntent says that a root key, sealed and durable, is about to be sent once (RPMC command 00). The two packets
// and the reply that only the right key can give were made before; Reply is its digest.
type RootKeyIntent struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	Index  int    `json:"index"` // of the counter
	Key    string `json:"key"`   // "derive:line/root-2026" or "random"
	Escrow Sealed `json:"escrow"`
	Reply  string `json:"reply"`            // SHA-256 of the expected reply, 64 hex digits
	Master string `json:"master,omitempty"` // fingerprint of the master key that Key names, 16 hex digits; "" for a random key, and in entries of earlier versions
}

// MasterKey is the name of the master key that the root key is derived from, "" for a random one.
func (b RootKeyIntent) MasterKey() string {
	name, derived := strings.CutPrefix(b.Key, "derive:")
	if !derived {
		return ""
	}
	return name
}

// RootKeyVoid says that the chip never learned the key of an intent; its escrow is kept.
type RootKeyVoid struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	Index  int    `json:"index"`
	Escrow string `json:"escrow"`
}

// RootKeyProven says that the chip gave the reply that the intent committed to.
type RootKeyProven struct {
	Run     string `json:"run"`
	Serial  string `json:"serial"`
	UID     string `json:"uid"`
	Index   int    `json:"index"`
	Key     string `json:"key"`
	Counter uint32 `json:"counter"` // as the chip signed it
	Escrow  string `json:"escrow"`
}

// PermanentIntent comes before every other command that cannot be undone.
type PermanentIntent struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	UID    string `json:"uid"`
	What   string `json:"what"` // "counter 0: 4 to 5"
}

// RunStuck says that only a person can decide how this run goes on. It stays open: INTERRUPTED.
type RunStuck struct {
	Run     string `json:"run"`
	Serial  string `json:"serial"`
	Cause   string `json:"cause"`
	Message string `json:"message"`
	Next    string `json:"next"`
}

// UnitClose is a person's decision over an open run. It settles the run; the unit never passed.
type UnitClose struct {
	Run    string `json:"run"`
	Serial string `json:"serial"`
	As     string `json:"as"` // Scrapped or Lost
	Reason string `json:"reason"`
	By     string `json:"by"` // pseudonymous id
	// Authenticated says that somebody checked that it was that person. Left out where not: as before there was anybody who could.
	Authenticated bool `json:"authenticated,omitempty"`
}

// Permanent tells whether an entry says that something permanent is about to happen to the chip.
func Permanent(b Body) bool {
	switch b := b.(type) {
	case PasswordIntent, ModeIntent, RootKeyIntent, PermanentIntent:
		return true
	case RelayIntent:
		return b.OneWay()
	}
	return false
}

func (PasswordIntent) Kind() string  { return KindPasswordIntent }
func (PasswordVoid) Kind() string    { return KindPasswordVoid }
func (PasswordProven) Kind() string  { return KindPasswordProven }
func (ModeIntent) Kind() string      { return KindModeIntent }
func (ModeProven) Kind() string      { return KindModeProven }
func (RootKeyIntent) Kind() string   { return KindRootKeyIntent }
func (RootKeyVoid) Kind() string     { return KindRootKeyVoid }
func (RootKeyProven) Kind() string   { return KindRootKeyProven }
func (PermanentIntent) Kind() string { return KindPermanentIntent }
func (RunStuck) Kind() string        { return KindRunStuck }
func (UnitClose) Kind() string       { return KindUnitClose }
