package keyserver

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"station/flash"
	"station/provision"
)

// The routes of a station, with what they are given and what they answer.
const (
	RouteKeys          = "GET /v1/keys"                    // ?checkpoint=VKEY, the newest without -> KeysAnswer
	RouteInit          = "POST /v1/init"                   // {} -> KeysAnswer; 409 where there are keys
	RouteCheckpointKey = "POST /v1/checkpoint-key"         // CheckpointKey -> CheckpointKey: the next one after it
	RouteDestroyOld    = "POST /v1/checkpoint-key/destroy" // CheckpointKey -> {}: all but that one
	RouteSign          = "POST /v1/sign"                   // SignRequest -> SignAnswer
	RouteTagKey        = "POST /v1/tag-key"                // TagKeyRequest -> KeyAnswer
	RouteUnlock        = "POST /v1/unlock"                 // UnlockRequest -> UnlockAnswer
	RouteRootKey       = "POST /v1/root-key"               // RootKeyRequest -> KeyAnswer
	RouteRelay         = "POST /v1/relay"                  // RelayRequest -> RelayTurn
	RouteReady         = "POST /v1/ready"                  // ReadyRequest -> ReadyAnswer
)

var stationRoutes = []string{RouteKeys, RouteInit, RouteCheckpointKey, RouteDestroyOld, RouteSign, RouteTagKey, RouteUnlock, RouteRootKey, RouteRelay, RouteReady}

const (
	maxRequest = 256 << 10 // bytes of a body
	maxAnswer  = 256 << 10
	maxText    = 1024 // bytes of any text in a request
	maxBlocks  = 64   // in a turn
)

// Master is a master key by its name and fingerprint.
type Master struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Retired     bool   `json:"retired,omitempty"`
	Fault       string `json:"fault,omitempty"` // in a List alone: why it cannot be used
}

// KeysAnswer are the keys of a station.
type KeysAnswer struct {
	Station    string   `json:"station"`
	Checkpoint string   `json:"checkpoint"` // verifier key
	Recipient  string   `json:"recipient"`
	Masters    []Master `json:"masters"`
}

// CheckpointKey names a checkpoint key by its verifier key.
type CheckpointKey struct {
	Checkpoint string `json:"checkpoint"`
}

// SignRequest wants the text of a checkpoint signed, SignAnswer has the Ed25519 signature, 64 bytes.
type SignRequest struct {
	Key  string `json:"key"` // verifier key
	Text string `json:"text"`
}
type SignAnswer struct {
	Signature []byte `json:"signature"`
}

// TagKeyRequest wants the key of one tag.
type TagKeyRequest struct {
	UID    string `json:"uid"`
	Escrow string `json:"escrow"`
}

// KeyAnswer is a key of 32 bytes.
type KeyAnswer struct {
	Key []byte `json:"key"`
}

func (a KeyAnswer) wipe() { clear(a.Key) }

// UnlockRequest brings a password that was re-sealed to the station, UnlockAnswer lends it.
type UnlockRequest struct {
	Sealed []byte `json:"sealed"`
}
type UnlockAnswer struct {
	Serial   string `json:"serial"`
	UID      string `json:"uid"`
	Escrow   string `json:"escrow"`
	Permit   int64  `json:"permit,string"`
	Password []byte `json:"password"`
}

func (a UnlockAnswer) wipe() { clear(a.Password) }

// RootKeyRequest wants the root key of one counter of one chip.
type RootKeyRequest struct {
	Master string `json:"master"`
	Part   string `json:"part"`
	UID    string `json:"uid"`
	Recipe string `json:"recipe"`
	Digest string `json:"digest"`
	Index  int    `json:"index"`
}

// RelayRequest wants the turn behind the one that is answered; without one, the first.
type RelayRequest struct {
	Job      RelayJob       `json:"job"`
	Answered *RelayAnswered `json:"answered,omitempty"`
}

// RelayJob is provision.Job.
type RelayJob struct {
	Run     string         `json:"run"`
	Serial  string         `json:"serial"`
	Recipe  string         `json:"recipe"`
	Digest  string         `json:"digest"`
	Step    int            `json:"step"`
	ID      flash.DeviceID `json:"id"`
	UID     string         `json:"uid"`
	PowerOn *uint64        `json:"power_on,string,omitempty"`
	Counter *uint64        `json:"counter,string,omitempty"`
}

// RelayAnswered is provision.Answered.
type RelayAnswered struct {
	Turn    int           `json:"turn"`
	Answers []RelayAnswer `json:"answers"`
}

// RelayAnswer is provision.Answer.
type RelayAnswer struct {
	Seq      int    `json:"seq"`
	SHA256   string `json:"sha256"`
	Lost     bool   `json:"lost,omitempty"`
	Executed bool   `json:"executed,omitempty"`
	Status   byte   `json:"status"`
	Reply    []byte `json:"reply,omitempty"`
}

// RelayTurn is provision.Turn.
type RelayTurn struct {
	Session string       `json:"session"`
	Number  int          `json:"number"`
	Blocks  []RelayBlock `json:"blocks,omitempty"`
	Done    bool         `json:"done"`
	OK      bool         `json:"ok"`
	Verdict string       `json:"verdict,omitempty"`
	Digest  string       `json:"digest,omitempty"`
}

// RelayBlock is provision.Block.
type RelayBlock struct {
	Seq     int            `json:"seq"`
	ID      flash.DeviceID `json:"id"`
	UID     string         `json:"uid"`
	Bytes   []byte         `json:"bytes"`
	Counter *uint64        `json:"counter,string,omitempty"`
}

// MaxReadyUIDs is more chips than any station has open.
const MaxReadyUIDs = 1024

// ReadyRequest asks what a station may still do by a recipe, before it touches a chip.
type ReadyRequest struct {
	Digest string   `json:"digest"`
	UIDs   []string `json:"uids"` // chips of which the station wants to know whether they were counted; at most MaxReadyUIDs
}

// ReadyAnswer is that. Left are chips that were not there yet: one that was goes on when it is 0.
type ReadyAnswer struct {
	Left     int      `json:"left"`
	Counted  []string `json:"counted"`   // those of the chips that were asked for which use up nothing more
	Retired  []string `json:"retired"`   // masters of the allowance from which no new chip gets anything
	Missing  []string `json:"missing"`   // and those that cannot be used at all
	NotAfter string   `json:"not_after"` // end of the certificate that asks; time of entry format
}

func jobOf(j provision.Job) RelayJob {
	return RelayJob{Run: j.Run, Serial: j.Serial, Recipe: j.Recipe, Digest: j.Digest, Step: j.Step, ID: j.ID, UID: j.UID, PowerOn: j.PowerOn, Counter: j.Counter}
}

func answeredOf(a provision.Answered) *RelayAnswered {
	out := &RelayAnswered{Turn: a.Turn}
	for _, x := range a.Answers {
		out.Answers = append(out.Answers, RelayAnswer(x))
	}
	return out
}

func (t RelayTurn) turn() provision.Turn {
	out := provision.Turn{Session: t.Session, Number: t.Number, Done: t.Done, OK: t.OK, Verdict: t.Verdict, Digest: t.Digest}
	for _, b := range t.Blocks {
		out.Blocks = append(out.Blocks, provision.Block{Seq: b.Seq, Block: flash.Block{ID: b.ID, UID: b.UID, Bytes: b.Bytes, Counter: b.Counter}})
	}
	return out
}

// errContent means that a body is not what its route has. It quotes nothing of it: there may be a secret in it.
var errContent = errors.New("it is not what this route has")

// decode reads one JSON object and nothing behind it.
func decode(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return fmt.Errorf("%w: field %q", errContent, kind.Field)
		}
		return errContent
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errContent
	}
	return nil
}

// check refuses texts that no station sends.
func (j RelayJob) check() error {
	switch {
	case !lowerHex(j.Run, 16):
		return fmt.Errorf("%w: field %q", errContent, "run")
	case j.Step < 1:
		return fmt.Errorf("%w: field %q", errContent, "step")
	}
	if err := checkUID(j.UID); err != nil {
		return err
	}
	return short(j.Serial, j.Recipe, j.Digest)
}

// checkUID wants a UID as a station's ledger has it, in capitals: a chip in two spellings would count twice.
func checkUID(text string) error {
	uid, err := hex.DecodeString(text)
	if err != nil || len(uid) == 0 || len(uid) > 64 || strings.ToUpper(hex.EncodeToString(uid)) != text {
		return fmt.Errorf("%w: field %q", errContent, "uid")
	}
	return nil
}

// short refuses texts that are too long for an entry.
func short(texts ...string) error {
	for _, t := range texts {
		if len(t) > maxText {
			return fmt.Errorf("%w: a text of %d bytes", errContent, len(t))
		}
	}
	return nil
}

func lowerHex(s string, digits int) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(s) == digits && hex.EncodeToString(raw) == s
}
