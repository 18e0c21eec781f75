package flash

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
	"go.yaml.in/yaml/v4"
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

	Program       Timing        `yaml:"program" json:"program"`                     // one page
	Register      Timing        `yaml:"register" json:"register"`                   // volatile lock bit (E1, E5), freeze (A6), mode (B7, E9)
	LockSet       Timing        `yaml:"lock_set" json:"lock_set"`                   // E3
	LockErase     Timing        `yaml:"lock_erase" json:"lock_erase"`               // E4
	Password      Timing        `yaml:"password" json:"password"`                   // 28
	Unlock        Timing        `yaml:"password_unlock" json:"password_unlock"`     // 29
	Protection    Timing        `yaml:"sector_protection" json:"sector_protection"` // 2C
	ResetRecovery time.Duration `yaml:"reset_recovery" json:"reset_recovery"`
	LimitFactor   int           `yaml:"limit_factor" json:"limit_factor"`
	LimitFloor    time.Duration `yaml:"limit_floor" json:"limit_floor"`

	VLB4KBoundary  bool `yaml:"vlb_4k_boundary_sectors" json:"vlb_4k_boundary_sectors"` // one volatile lock bit per smallest erase in first and last sector
	NVLBMask       byte `yaml:"nvlb_mask" json:"nvlb_mask"`                             // bits of the E2 byte that tell; all 0 = locked
	ProgramRefused byte `yaml:"program_refused" json:"program_refused"`                 // flag status bits of a program that met a lock

	RPMC *RPMC `yaml:"rpmc" json:"rpmc,omitempty"` // nil: the part has no replay-protected monotonic counters

	Assumed []string `yaml:"assumed" json:"assumed"` // fields that no source confirms, by dotted path ("erases.1.max")
}

// Sectors is the number of 64 KiB sectors.
func (p *Part) Sectors() int { return int(p.Size / p.Sector) }

// Limit is how long an operation is waited for: LimitFactor times its maximum, and at least LimitFloor.
func (p *Part) Limit(longest time.Duration) time.Duration {
	return max(time.Duration(p.LimitFactor)*longest, p.LimitFloor)
}

// longest is the limit of the longest operation that a crash can have left running.
func (p *Part) longest() time.Duration {
	most := max(p.LockErase.Max, p.Program.Max, p.Password.Max, p.Unlock.Max, p.Protection.Max)
	for _, e := range p.Erases {
		most = max(most, e.Max)
	}
	if p.RPMC != nil {
		return max(p.Limit(most), p.RPMC.Limit)
	}
	return p.Limit(most)
}

// Validate says everything that is wrong with the profile, joined.
func (p *Part) Validate() error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("part %q: "+format, append([]any{p.Name}, args...)...))
		}
	}
	must(p.Name != "", "name is missing")
	must(p.ID[0] != 0 && p.ID[0] != 0xFF, "id %s has no manufacturer", p.ID)
	must(p.Volts >= 1 && p.Volts <= 5, "volts %v is not within 1 to 5", p.Volts)
	must(p.Sector == 64<<10, "sector %d is not 64 KiB", p.Sector)
	must(p.Page > 0 && p.Page <= 256 && p.Page&(p.Page-1) == 0, "page %d is not a power of two up to 256", p.Page)
	must(p.Size > 0 && p.Size <= 64<<20 && p.Size&(p.Size-1) == 0 && p.Size >= 64<<10,
		"size %d is not a power of two from 64 KiB to 64 MiB (stacked dies are not supported)", p.Size)
	must(p.AddressBytes == 3 || p.AddressBytes == 4, "address_bytes %d is neither 3 nor 4", p.AddressBytes)
	must(p.AddressBytes == 4 || p.Size <= 16<<20, "size %d is not reached by 3 address bytes", p.Size)
	must(len(p.Erases) > 0, "erases are missing")
	last := p.Page
	for i, e := range p.Erases {
		must(e.Size > last && last > 0 && e.Size%last == 0, "erases.%d: size %d is not a larger multiple of %d", i, e.Size, last)
		must(e.Opcode != 0, "erases.%d: opcode is missing", i)
		must(e.Typ > 0 && e.Max >= e.Typ, "erases.%d: times %v, %v are not 0 < typ <= max", i, e.Typ, e.Max)
		last = e.Size
	}
	must(last == p.Sector, "the largest erase %d is not a sector", last)
	timing := func(name string, t Timing) {
		must(t.Typ > 0 && t.Max >= t.Typ, "%s: times %v, %v are not 0 < typ <= max", name, t.Typ, t.Max)
	}
	timing("program", p.Program)
	timing("register", p.Register)
	timing("lock_set", p.LockSet)
	timing("lock_erase", p.LockErase)
	timing("password", p.Password)
	timing("password_unlock", p.Unlock)
	timing("sector_protection", p.Protection)
	must(p.ResetRecovery > 0, "reset_recovery is missing")
	must(p.LimitFactor >= 1 && p.LimitFactor <= 100, "limit_factor %d is not within 1 to 100", p.LimitFactor)
	must(p.LimitFloor > 0, "limit_floor is missing")
	must(p.NVLBMask != 0, "nvlb_mask is missing")
	must(p.ProgramRefused&fsrProtection != 0, "program_refused 0x%02X lacks the protection bit", p.ProgramRefused)
	if r := p.RPMC; r != nil {
		must(r.Counters >= 1 && r.Counters <= 16, "rpmc: counters %d is not within 1 to 16", r.Counters)
		must(r.Op1 != 0 && r.Op2 != 0 && r.Op1 != r.Op2, "rpmc: op1 0x%02X and op2 0x%02X are not two opcodes", r.Op1, r.Op2)
		must(r.UpdateRate > 0, "rpmc: update_rate is missing")
		must(r.Poll > 0 && r.Limit >= r.Poll, "rpmc: poll %v, limit %v are not 0 < poll <= limit", r.Poll, r.Limit)
	}
	for _, path := range p.Assumed {
		must(p.has(path), "assumed: there is no field %q", path)
	}
	return errors.Join(errs...)
}

// has tells whether the dotted path names a field of the profile.
func (p *Part) has(path string) bool {
	text, err := json.Marshal(p)
	if err != nil {
		return false
	}
	var v any
	if json.Unmarshal(text, &v) != nil {
		return false
	}
	for _, name := range strings.Split(path, ".") {
		switch w := v.(type) {
		case map[string]any:
			next, ok := w[name]
			if !ok {
				return false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(w) {
				return false
			}
			v = w[i]
		default:
			return false
		}
	}
	return true
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

// ParsePart reads one profile from YAML and validates it. Unknown keys are errors.
func ParsePart(text []byte) (*Part, error) {
	p := new(Part)
	if err := yaml.Load(bytes.TrimSpace(text), p, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("part profile: %w", err)
	}
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
