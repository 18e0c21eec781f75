package flash

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

//go:embed parts/*.yaml
var profiles embed.FS

// DeviceID is the first six bytes of READ ID: manufacturer, type, capacity, length, two bytes of extended ID.
// All six tell parts apart: three are common to N25Q, MT25Q and its secure and Authenta variants. As text: 12 hex digits.
type DeviceID [6]byte

func (d DeviceID) String() string { return strings.ToUpper(hex.EncodeToString(d[:])) }

// MarshalText writes 12 upper-case hexadecimal digits.
func (d DeviceID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads exactly 12 hexadecimal digits.
func (d *DeviceID) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(d) {
		return fmt.Errorf("device ID %q is not 12 hexadecimal digits", text)
	}
	copy(d[:], b)
	return nil
}

// Timing of a self-timed operation.
type Timing struct {
	Typ time.Duration `yaml:"typ" json:"typ"`
	Max time.Duration `yaml:"max" json:"max"`
}

// Erase is one kind of erase: Size bytes, aligned to Size.
type Erase struct {
	Size    int64         `yaml:"size" json:"size"`
	Opcode  byte          `yaml:"opcode" json:"opcode"`   // address width follows the address mode
	Opcode4 byte          `yaml:"opcode4" json:"opcode4"` // always 4 address bytes; 0 = there is none
	Typ     time.Duration `yaml:"typ" json:"typ"`
	Max     time.Duration `yaml:"max" json:"max"`
}

// Part is a kind of chip as its data sheet describes it. Sizes in bytes; in JSON times are nanoseconds.
type Part struct {
	Name         string   `yaml:"name" json:"name"`
	ID           DeviceID `yaml:"id" json:"id"`
	Volts        float64  `yaml:"volts" json:"volts"` // nominal supply
	Size         int64    `yaml:"size" json:"size"`
	Sector       int64    `yaml:"sector" json:"sector"` // 64 KiB: unit of the nonvolatile lock bits
	Page         int64    `yaml:"page" json:"page"`
	AddressBytes int      `yaml:"address_bytes" json:"address_bytes"` // that reach all of Size: 3, or 4 by dedicated opcodes
	Erases       []Erase  `yaml:"erases" json:"erases"`               // ascending, each size a multiple of the one before; the last is Sector

	Dies     int    `yaml:"dies" json:"dies"`                     // stacked dies of Size/Dies bytes; 1 = a single die, and so is 0 or nothing in YAML
	DieErase *Erase `yaml:"die_erase" json:"die_erase,omitempty"` // C4 on stacked parts, C7 without an address on single-die ones; Size is Size/Dies; nil: not used
	// Lock bits, freeze, password, sector protection register and block protection were seen to act on all dies at once, on silicon.
	StackedProtection bool `yaml:"stacked_protection" json:"stacked_protection,omitempty"`

	Program       Timing        `yaml:"program" json:"program"`                     // one page
	StatusWrite   Timing        `yaml:"status_write" json:"status_write"`           // 01
	Register      Timing        `yaml:"register" json:"register"`                   // volatile lock bit (E1, E5), freeze (A6), mode (B7, E9)
	LockSet       Timing        `yaml:"lock_set" json:"lock_set"`                   // E3
	LockErase     Timing        `yaml:"lock_erase" json:"lock_erase"`               // E4
	Password      Timing        `yaml:"password" json:"password"`                   // 28
	Unlock        Timing        `yaml:"password_unlock" json:"password_unlock"`     // 29
	Protection    Timing        `yaml:"sector_protection" json:"sector_protection"` // 2C
	ResetRecovery time.Duration `yaml:"reset_recovery" json:"reset_recovery"`
	WakeUp        time.Duration `yaml:"wake_up" json:"wake_up"` // from deep power-down, behind AB
	Rescue        []int         `yaml:"rescue" json:"rescue"`   // lengths, in bytes, of the frames of FF that end dual, quad and XIP protocols
	LimitFactor   int           `yaml:"limit_factor" json:"limit_factor"`
	LimitFloor    time.Duration `yaml:"limit_floor" json:"limit_floor"`

	VLB4KBoundary bool `yaml:"vlb_4k_boundary_sectors" json:"vlb_4k_boundary_sectors"` // one volatile lock bit per smallest erase in first and last sector
	NVLBMask      byte `yaml:"nvlb_mask" json:"nvlb_mask"`                             // bits of the E2 byte that tell; all 0 = locked
	BlankPassword byte `yaml:"blank_password" json:"blank_password"`                   // every byte of a password that never was programmed

	// Flag status bits of a command that was refused; 0: it is ignored without a word.
	ProgramRefused   byte `yaml:"program_refused" json:"program_refused"`       // a program that met a lock
	EraseRefused     byte `yaml:"erase_refused" json:"erase_refused"`           // an erase that met a lock
	LockRefused      byte `yaml:"lock_refused" json:"lock_refused"`             // E3 to a frozen chip
	LockEraseRefused byte `yaml:"lock_erase_refused" json:"lock_erase_refused"` // E4 to a frozen chip
	VolatileRefused  byte `yaml:"volatile_refused" json:"volatile_refused"`     // E1, E5 to a cell that is locked down

	RPMC  *RPMC  `yaml:"rpmc" json:"rpmc,omitempty"`   // nil: the part has no replay-protected monotonic counters
	OTP   *OTP   `yaml:"otp" json:"otp,omitempty"`     // nil: the one-time programmable area is not used
	NVCR  *NVCR  `yaml:"nvcr" json:"nvcr,omitempty"`   // nil: the nonvolatile configuration register is not written
	CRC   *CRC   `yaml:"crc" json:"crc,omitempty"`     // nil: the part does not check its content by CRC
	ACRTM *ACRTM `yaml:"acrtm" json:"acrtm,omitempty"` // nil: the part has no authenticated commands, or nobody told which

	User bool `yaml:"-" json:"-"` // read from a file beside the recipes, not shipped

	Assumed []string `yaml:"assumed" json:"assumed"` // fields that no source confirms, by dotted path ("erases.1.max")
}

// Sectors is the number of 64 KiB sectors.
func (p *Part) Sectors() int { return int(p.Size / p.Sector) }

// Limit is how long an operation is waited for: LimitFactor times its maximum, and at least LimitFloor.
func (p *Part) Limit(longest time.Duration) time.Duration {
	return max(time.Duration(p.LimitFactor)*longest, p.LimitFloor)
}

// Longest is the limit of the longest operation that a crash can have left running.
func (p *Part) Longest() time.Duration {
	most := max(p.LockErase.Max, p.Program.Max, p.StatusWrite.Max, p.Password.Max, p.Unlock.Max, p.Protection.Max, p.NVCR.max())
	if p.DieErase != nil {
		most = max(most, p.DieErase.Max)
	}
	for _, e := range p.Erases {
		most = max(most, e.Max)
	}
	longest := p.Limit(most)
	if p.RPMC != nil {
		longest = max(longest, p.RPMC.Limit)
	}
	if p.ACRTM != nil {
		longest = max(longest, p.ACRTM.Limit)
	}
	return longest
}

// CanProtect is nil, or ErrStacked, wrapped: whether lock bits, freeze, password and registers act on all dies of a stacked part at once is told by no source (spec 8).
func (p *Part) CanProtect() error {
	if p.Dies > 1 && !p.StackedProtection {
		return fmt.Errorf("%s has %d dies: %w", p.Name, p.Dies, ErrStacked)
	}
	return nil
}

// Digest is "sha256:" and the hexadecimal SHA-256 of the profile as canonical JSON (RFC 8785);
// "" for a profile that JSON cannot express, which Validate refuses.
func (p *Part) Digest() string {
	text, err := json.Marshal(p)
	if err != nil {
		return ""
	}
	canonical, err := jcs.Transform(text)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(canonical)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Bounds of a profile's YAML, so that nobody's file costs the station more than a moment.
const (
	maxProfile      = 64 << 10 // bytes
	maxProfileDepth = 8        // collections inside each other
	maxProfileItems = 1000     // lines and commas, which part keys and items: the library compares every key with every other
	maxComplaint    = 2000     // bytes of what is wrong with the YAML
)

// ParsePart reads one profile from YAML and validates it. Unknown keys, aliases, and what is longer or deeper than any profile are errors.
func ParsePart(text []byte) (*Part, error) {
	if len(text) > maxProfile {
		return nil, fmt.Errorf("part profile: it is longer than %d bytes", maxProfile)
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, errors.New("part profile: it is empty")
	}
	items := 0
	for _, b := range text {
		switch b {
		case ',', '\n', '\r', 0x85, 0xA8, 0xA9: // the last bytes of all that YAML takes for the end of a line
			items++
		}
	}
	if items > maxProfileItems {
		return nil, fmt.Errorf("part profile: it has more than %d lines and commas", maxProfileItems)
	}
	limits := yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxProfileDepth), loaderlimits.AliasFunc(func(aliases, _ int) error {
		if aliases > 0 {
			return errors.New("aliases are not allowed")
		}
		return nil
	})))
	p := new(Part)
	if err := yaml.Load(text, p, yaml.WithKnownFields(), limits); err != nil {
		if text := err.Error(); len(text) > maxComplaint {
			err = errors.New(text[:maxComplaint] + " ...")
		}
		return nil, fmt.Errorf("part profile: %w", err)
	}
	p.Dies = max(p.Dies, 1)
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p, nil
}

// Parts are the shipped profiles by ascending name. Every call makes new ones.
func Parts() []*Part {
	parts, _ := shipped() // a test reads every shipped profile
	return parts
}

func shipped() ([]*Part, error) {
	files, err := profiles.ReadDir("parts")
	if err != nil {
		return nil, err
	}
	var parts []*Part
	for _, f := range files {
		text, err := profiles.ReadFile("parts/" + f.Name())
		if err != nil {
			return nil, err
		}
		p, err := ParsePart(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		parts = append(parts, p)
	}
	return parts, nil
}
