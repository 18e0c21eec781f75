package ledger

// Body is the part of an entry that belongs to its kind.
type Body interface {
	Kind() string
}

// The kinds of entries. A name never changes its meaning.
const (
	KindStationInit = "station.init"
	KindRunStart    = "run.start"
	KindRunResume   = "run.resume"
	KindRunStep     = "run.step"
	KindRunStop     = "run.stop"
	KindRunEnd      = "run.end"
)

// Outcome of a run (DESIGN: PASS, FAIL the unit, ERROR the station, and so on).
type Outcome string

const (
	Pass        Outcome = "PASS"        // every step's effect was read back from the chip
	Fail        Outcome = "FAIL"        // the unit is bad; it needs disposition
	Error       Outcome = "ERROR"       // the station is bad
	Refused     Outcome = "REFUSED"     // nothing was touched
	Aborted     Outcome = "ABORTED"     // someone stopped it
	Interrupted Outcome = "INTERRUPTED" // nobody knows yet
	Trial       Outcome = "TRIAL"       // stopped before the first permanent step
)

// StationInit is the first entry of every ledger.
type StationInit struct {
	Software      string `json:"software"`       // name and version of the program
	CheckpointKey string `json:"checkpoint_key"` // verifier key of the checkpoints, as sumdb/note prints it
}

// RunStart says that a run is about to touch a unit. It is durable before the first command that changes the chip.
// Together with its steps and its end it holds all that a report prints.
type RunStart struct {
	Run       string   `json:"run"` // 16 hex digits, random
	Serial    string   `json:"serial"`
	Slot      string   `json:"slot"`
	Operator  string   `json:"operator"` // pseudonymous id
	Fixture   string   `json:"fixture"`  // "FT2232H channel A at 1-2"
	Software  string   `json:"software"`
	Recipe    Recipe   `json:"recipe"`
	Part      Part     `json:"part"`
	Chip      Chip     `json:"chip"`
	Images    []Image  `json:"images"`
	Regions   []Region `json:"regions"`
	Elsewhere string   `json:"elsewhere"`        // "blank" or "keep"
	Values    []Fact   `json:"values"`           // what the recipe writes of this unit besides its serial, as hex
	Before    Locks    `json:"before"`           // what the chip's protection was when the run began
	Mirror    string   `json:"mirror,omitempty"` // where a second copy of this entry is, one of the Mirror constants; absent before it was recorded
	// KeyServer is whom the station asks for keys or signed commands: "station key server keys1 at https://keys.line:8443"; "" for nobody.
	KeyServer string `json:"key_server,omitempty"`
	// Of a rework: the index of the rework.permit that the run uses, and the UID of the chip whose place this one takes.
	Permit  int64  `json:"permit,omitempty"`
	Retires string `json:"retires,omitempty"`
	// Authenticated says that somebody checked, by badge or PIN, that the operator was that person. Left out where not: as before there was anybody who could.
	Authenticated bool `json:"authenticated,omitempty"`
}

// RunResume says that a run which was open after a crash or power loss goes on, on the same chip.
type RunResume struct {
	Run      string `json:"run"`
	Serial   string `json:"serial"`
	Slot     string `json:"slot"`
	Operator string `json:"operator"`
	Fixture  string `json:"fixture"`
	Software string `json:"software"`
	Chip     Chip   `json:"chip"`
	Before   Locks  `json:"before"`
	// As in RunStart.
	Mirror        string `json:"mirror,omitempty"`
	KeyServer     string `json:"key_server,omitempty"`
	Authenticated bool   `json:"authenticated,omitempty"`
}

// RunStep says that a step is over and what the chip showed afterwards.
type RunStep struct {
	Run       string `json:"run"`
	Serial    string `json:"serial"`
	N         int    `json:"n"`  // 1 is the first
	Of        int    `json:"of"` // number of steps
	Step      string `json:"step"`
	Title     string `json:"title"`     // one line for people: "write boot (4 MiB)"
	Result    Result `json:"result"`    // what had to be done
	Proof     string `json:"proof"`     // how the effect was confirmed: "read back", "refusal seen", ...; of a failed step "", but for signed commands that the key server judged before what was read behind them failed
	Started   string `json:"started"`   // time of entry format
	Duration  int64  `json:"ms"`        // milliseconds
	Facts     []Fact `json:"facts"`     // what was counted or seen, for people, in order
	Permanent bool   `json:"permanent"` // cannot be undone on this chip
}

// Result of a step.
type Result string

const (
	Done      Result = "done"      // something was changed, and confirmed
	Already   Result = "already"   // the chip already was as wanted, and this was confirmed
	Confirmed Result = "confirmed" // a step that only looks, and found what it wanted
	Failed    Result = "failed"
)

// Fact is a named observation in words.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// RunStop says that a person had a run stopped, and that it did stop: ABORTED, whether its run.end follows or it stays open.
type RunStop struct {
	Run           string `json:"run"`
	Serial        string `json:"serial"`
	By            string `json:"by"` // pseudonymous id
	Authenticated bool   `json:"authenticated"`
}

// RunEnd settles a run. It is the only place where an outcome is written, and PASS is this entry, committed.
// A run that was refused, or failed before anything was touched, has no RunStart; then Touched is false.
type RunEnd struct {
	Run      string        `json:"run"`
	Serial   string        `json:"serial"`
	Slot     string        `json:"slot"`
	Operator string        `json:"operator"`
	Software string        `json:"software"`
	Recipe   Recipe        `json:"recipe"`
	Chip     *Chip         `json:"chip"` // null when no chip was identified
	Outcome  Outcome       `json:"outcome"`
	Cause    string        `json:"cause"`   // stable word for machines, "" for PASS: "verify-mismatch", "serial-known", ...
	Message  string        `json:"message"` // the sentence for people
	Next     string        `json:"next"`    // what the person should do, "" for PASS
	Touched  bool          `json:"touched"` // a command that changes the chip may have been sent
	Duration int64         `json:"ms"`      // milliseconds since this program began with the unit
	Proven   []RegionProof `json:"proven"`  // how each region was proven; empty unless PASS
	After    *Locks        `json:"after"`   // protection read at the end; null when it could not be read
	Freeze   string        `json:"freeze"`  // how long the freeze lasts: "none", "until power-off", "until the password is given"
	// As in RunStart.
	Authenticated bool `json:"authenticated,omitempty"`
}

// Recipe names what was carried out.
type Recipe struct {
	ID       string `json:"id"`
	Version  int    `json:"version"`
	Title    string `json:"title"`
	Digest   string `json:"digest"`
	Released bool   `json:"released"` // approved by two people
}

// Part names the profile that the chip was driven by.
type Part struct {
	Name    string   `json:"name"`
	Digest  string   `json:"digest"`
	Size    int64    `json:"size"`           // bytes
	Sector  int64    `json:"sector"`         // bytes that one nonvolatile lock bit protects
	Assumed []string `json:"assumed"`        // facts of the profile that no source confirms
	User    bool     `json:"user,omitempty"` // read from the user's own file, not shipped with the program
	Map     string   `json:"map,omitempty"`  // of a run that relays authenticated commands: which map of them the profile has
}

// Chip names one physical flash.
type Chip struct {
	ID   string `json:"id"`   // first six bytes of READ ID, hex
	UID  string `json:"uid"`  // the 14 factory bytes after them, hex
	SFDP string `json:"sfdp"` // digest of the SFDP area
}

// Image is a file that a recipe writes.
type Image struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	SHA256 string `json:"sha256"` // 64 hex digits
	Size   int64  `json:"size"`
}

// Region is a named address range; Image is "" when the recipe writes none there.
type Region struct {
	Name  string `json:"name"`
	At    int64  `json:"at"`
	Size  int64  `json:"size"`
	Image string `json:"image"`
}

// RegionProof says how a region's content was proven and what locks it.
type RegionProof struct {
	Region string `json:"region"`
	SHA256 string `json:"sha256"` // of the whole region as it stands on the chip, 64 hex digits
	Proof  string `json:"proof"`  // "readback", "crc" computed by the chip, "measurement" signed by the chip; of two, joined by ", "
	Lock   string `json:"lock"`   // "nonvolatile", "volatile", "block" or "none"
}

// Range of addresses on the chip, in bytes.
type Range struct {
	At   int64 `json:"at"`
	Size int64 `json:"size"`
}

// Locks is the protection of a chip as it was read back.
type Locks struct {
	Nonvolatile  []Range `json:"nonvolatile"`   // ranges locked by nonvolatile lock bits, merged, ascending
	Volatile     []Range `json:"volatile"`      // likewise by volatile lock bits
	BlockProtect []Range `json:"block_protect"` // likewise by the status register
	Frozen       bool    `json:"frozen"`        // global freeze bit is 0
	SPR          string  `json:"spr"`           // sector protection register, four hex digits, FFFF from the factory
}

func (StationInit) Kind() string { return KindStationInit }
func (RunStart) Kind() string    { return KindRunStart }
func (RunResume) Kind() string   { return KindRunResume }
func (RunStep) Kind() string     { return KindRunStep }
func (RunStop) Kind() string     { return KindRunStop }
func (RunEnd) Kind() string      { return KindRunEnd }
