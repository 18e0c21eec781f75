package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// Version of the entry format that this package writes.
const Version = 1

// TimeFormat is the layout of every time in an entry.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

// ErrEncoding means that bytes are not the canonical form of an entry of a known version.
var ErrEncoding = errors.New("not a ledger entry in canonical form")

// Entry is one line of the ledger.
type Entry struct {
	Station   string
	Simulated bool
	Time      time.Time     // kept to the microsecond, UTC
	Boot      time.Duration // since the station's PC booted
	Body      Body          // one of the body types, by value; Other for a kind that this version does not know
}

// Other is the body of an entry whose kind a later version wrote. Fields holds the whole entry.
type Other struct {
	Name   string
	Fields json.RawMessage
}

func (o Other) Kind() string { return o.Name }

type header struct {
	V         int    `json:"v"`
	Kind      string `json:"kind"`
	Station   string `json:"station"`
	Simulated bool   `json:"simulated,omitempty"`
	Time      string `json:"time"`
	BootNS    string `json:"boot_ns"`
}

// Encode returns the canonical bytes of e. Integers beyond 2^53 lose digits, as in every RFC 8785 text. Errors wrap ErrEncoding.
func (e Entry) Encode() ([]byte, error) {
	if o, ok := e.Body.(Other); ok {
		return o.Fields, nil
	}
	if e.Body == nil {
		return nil, fmt.Errorf("%w: no body", ErrEncoding)
	}
	// encoding/json would quietly replace what is not UTF-8, and then the unit could not be found by its serial.
	if _, serial, _ := RunOf(e.Body); !utf8.ValidString(serial) {
		return nil, fmt.Errorf("%w: serial %q is not UTF-8", ErrEncoding, serial)
	}
	body, err := json.Marshal(e.Body)
	if err != nil {
		return nil, err
	}
	return e.join(body)
}

// join returns the canonical bytes of e's own fields and those of the JSON object body. Their names are disjoint, so
// joining the objects is joining their members.
func (e Entry) join(body []byte) ([]byte, error) {
	head, err := json.Marshal(header{
		V: Version, Kind: e.Body.Kind(), Station: e.Station, Simulated: e.Simulated,
		Time: e.Time.UTC().Format(TimeFormat), BootNS: strconv.FormatInt(int64(e.Boot), 10),
	})
	if err != nil {
		return nil, err
	}
	if string(body) != "{}" {
		head = append(append(head[:len(head)-1], ','), body[1:]...)
	}
	return jcs.Transform(head)
}

// Decode reads canonical bytes back. Anything that Encode would not have written is an error wrapping
// ErrEncoding, except that kinds of later versions come back as Other.
func Decode(b []byte) (Entry, error) {
	// jcs does not limit how deep values nest, encoding/json does.
	if !json.Valid(b) {
		return Entry{}, fmt.Errorf("%w: bytes are not JSON", ErrEncoding)
	}
	canonical, err := jcs.Transform(b)
	if err != nil {
		return Entry{}, fmt.Errorf("%w: %v", ErrEncoding, err)
	}
	if !bytes.Equal(canonical, b) {
		return Entry{}, fmt.Errorf("%w: bytes are not in RFC 8785 form", ErrEncoding)
	}
	var h header
	if err := json.Unmarshal(b, &h); err != nil {
		return Entry{}, fmt.Errorf("%w: %v", ErrEncoding, err)
	}
	if h.V != Version {
		return Entry{}, fmt.Errorf("%w: version %d", ErrEncoding, h.V)
	}
	t, err := time.Parse(TimeFormat, h.Time)
	if err != nil {
		return Entry{}, fmt.Errorf("%w: time: %v", ErrEncoding, err)
	}
	boot, err := strconv.ParseInt(h.BootNS, 10, 64)
	if err != nil {
		return Entry{}, fmt.Errorf("%w: boot_ns: %v", ErrEncoding, err)
	}
	e := Entry{Station: h.Station, Simulated: h.Simulated, Time: t, Boot: time.Duration(boot)}
	if e.Body, err = decodeBody(h.Kind, b); err != nil {
		return Entry{}, fmt.Errorf("%w: %s: %v", ErrEncoding, h.Kind, err)
	}
	// A field too many, too few or of another shape would change the bytes on the way back.
	again, err := e.again(b)
	if err != nil || !bytes.Equal(again, b) {
		return Entry{}, fmt.Errorf("%w: fields do not fit kind %s", ErrEncoding, h.Kind)
	}
	return e, nil
}

// again encodes a decoded entry from its parts. Of a kind that this version does not know, only the fields that every entry
// has have a spelling that can be checked.
func (e Entry) again(b []byte) ([]byte, error) {
	if _, ok := e.Body.(Other); !ok {
		return e.Encode()
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	for _, name := range []string{"v", "kind", "station", "simulated", "time", "boot_ns"} {
		delete(fields, name)
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	return e.join(rest)
}

func decodeBody(kind string, b []byte) (Body, error) {
	switch kind {
	case KindStationInit:
		return unmarshal[StationInit](b)
	case KindRunStart:
		return unmarshal[RunStart](b)
	case KindRunResume:
		return unmarshal[RunResume](b)
	case KindRunStep:
		return unmarshal[RunStep](b)
	case KindRunStop:
		return unmarshal[RunStop](b)
	case KindRunEnd:
		return unmarshal[RunEnd](b)
	case KindPasswordIntent:
		return unmarshal[PasswordIntent](b)
	case KindPasswordVoid:
		return unmarshal[PasswordVoid](b)
	case KindPasswordProven:
		return unmarshal[PasswordProven](b)
	case KindModeIntent:
		return unmarshal[ModeIntent](b)
	case KindModeProven:
		return unmarshal[ModeProven](b)
	case KindRootKeyIntent:
		return unmarshal[RootKeyIntent](b)
	case KindRootKeyVoid:
		return unmarshal[RootKeyVoid](b)
	case KindRootKeyProven:
		return unmarshal[RootKeyProven](b)
	case KindPermanentIntent:
		return unmarshal[PermanentIntent](b)
	case KindRunStuck:
		return unmarshal[RunStuck](b)
	case KindUnitClose:
		return unmarshal[UnitClose](b)
	case KindReworkPermit:
		return unmarshal[ReworkPermit](b)
	case KindReworkWithdrawn:
		return unmarshal[ReworkWithdrawn](b)
	case KindPasswordOpened:
		return unmarshal[PasswordOpened](b)
	case KindLocksErased:
		return unmarshal[LocksErased](b)
	case KindStationEpoch:
		return unmarshal[StationEpoch](b)
	case KindStationKey:
		return unmarshal[StationKey](b)
	case KindMasterRetired:
		return unmarshal[MasterRetired](b)
	case KindRelayIntent:
		return unmarshal[RelayIntent](b)
	case KindRelayAnswer:
		return unmarshal[RelayAnswer](b)
	case "":
		return nil, errors.New("no kind")
	}
	if body, err := decodeKeyServer(kind, b); body != nil || err != nil {
		return body, err
	}
	if body, err := decodeFloor(kind, b); body != nil || err != nil {
		return body, err
	}
	return Other{kind, bytes.Clone(b)}, nil
}

func unmarshal[B Body](b []byte) (Body, error) {
	var body B
	err := json.Unmarshal(b, &body)
	return body, err
}
