package flash

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// longestTime is more than any operation of any part takes, and so little that limits do not overflow.
const longestTime = time.Hour

// What more is no profile, but somebody's attempt at the station's time and memory.
const (
	maxName    = 64 // bytes
	maxAssumed = 64 // fields
)

// erasing are the opcodes that erase, by size, each with its twin of four address bytes: no profile makes the driver send another one for it.
var erasing = map[int64][2]byte{4 << 10: {0x20, 0x21}, 32 << 10: {0x52, 0x5C}, 64 << 10: {0xD8, 0xDC}}

// Validate says everything that is wrong with the profile, joined.
func (p *Part) Validate() error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("part %q: "+format, append([]any{p.Name}, args...)...))
		}
	}
	timing := func(name string, t Timing) {
		must(t.Typ > 0 && t.Max >= t.Typ && t.Max <= longestTime, "%s: times %v, %v are not 0 < typ <= max <= %v", name, t.Typ, t.Max, longestTime)
	}
	duration := func(name string, d time.Duration) {
		must(d > 0 && d <= longestTime, "%s %v is missing, or not within 0 to %v", name, d, longestTime)
	}
	if len(p.Name) > maxName || len(p.Assumed) > maxAssumed {
		return fmt.Errorf("a name of %d characters, at most %d, and %d assumed fields, at most %d", len(p.Name), maxName, len(p.Assumed), maxAssumed)
	}
	must(p.Name != "", "name is missing")
	must(p.ID[0] != 0 && p.ID[0] != 0xFF, "id %s has no manufacturer", p.ID)
	must(p.Volts >= 1 && p.Volts <= 5, "volts %v is not within 1 to 5", p.Volts)
	must(p.Sector == 64<<10, "sector %d is not 64 KiB", p.Sector)
	must(p.Page > 0 && p.Page <= 256 && p.Page&(p.Page-1) == 0, "page %d is not a power of two up to 256", p.Page)
	must(p.Size > 0 && p.Size <= 256<<20 && p.Size&(p.Size-1) == 0 && p.Size >= 64<<10, "size %d is not a power of two from 64 KiB to 256 MiB", p.Size)
	must(p.AddressBytes == 3 || p.AddressBytes == 4, "address_bytes %d is neither 3 nor 4", p.AddressBytes)
	must(p.AddressBytes == 4 || p.Size <= 16<<20, "size %d is not reached by 3 address bytes", p.Size)
	dies := p.Dies == 1 || p.Dies == 2 || p.Dies == 4
	must(dies, "dies %d is none of 1, 2 and 4", p.Dies)
	must(!dies || p.Size/int64(p.Dies) >= p.Sector && p.Size/int64(p.Dies) <= 64<<20, "dies: %d dies of %d bytes in all are not up to 64 MiB each", p.Dies, p.Size)
	must(len(p.Erases) > 0, "erases are missing")
	last := p.Page
	for i, e := range p.Erases {
		name := fmt.Sprintf("erases.%d", i)
		must(e.Size > last && last > 0 && e.Size%last == 0, "%s: size %d is not a larger multiple of %d", name, e.Size, last)
		known, ok := erasing[e.Size]
		must(ok, "%s: size %d is none of 4096, 32768 and 65536", name, e.Size)
		must(!ok || e.Opcode == known[0], "%s: opcode 0x%02X is not 0x%02X, which erases %d bytes", name, e.Opcode, known[0], e.Size)
		must(!ok || e.Opcode4 == 0 || e.Opcode4 == known[1], "%s: opcode4 0x%02X is neither 0x00 for none nor 0x%02X", name, e.Opcode4, known[1])
		timing(name, Timing{e.Typ, e.Max})
		last = e.Size
	}
	must(last == p.Sector, "the largest erase %d is not a sector", last)
	if e := p.DieErase; e != nil {
		must(dies && e.Size == p.Size/int64(p.Dies) && e.Size > p.Sector, "die_erase: size %d is not a die of more than a sector", e.Size)
		must(e.Opcode4 == 0, "die_erase: there is no opcode4")
		if p.Dies == 1 {
			must(e.Opcode == 0xC7 || e.Opcode == 0x60, "die_erase: opcode 0x%02X is neither 0xC7 nor 0x60, which erase a single die", e.Opcode)
		} else {
			must(e.Opcode == 0xC4, "die_erase: opcode 0x%02X is not 0xC4, which erases one of several dies", e.Opcode)
		}
		timing("die_erase", Timing{e.Typ, e.Max})
	}
	timing("program", p.Program)
	timing("status_write", p.StatusWrite)
	timing("register", p.Register)
	timing("lock_set", p.LockSet)
	timing("lock_erase", p.LockErase)
	timing("password", p.Password)
	timing("password_unlock", p.Unlock)
	timing("sector_protection", p.Protection)
	duration("reset_recovery", p.ResetRecovery)
	duration("wake_up", p.WakeUp)
	must(len(p.Rescue) > 0 && len(p.Rescue) <= 8 && slices.Min(p.Rescue) >= 1 && slices.Max(p.Rescue) <= 32, "rescue %v is not up to 8 lengths of 1 to 32 bytes", p.Rescue)
	must(p.LimitFactor >= 1 && p.LimitFactor <= 100, "limit_factor %d is not within 1 to 100", p.LimitFactor)
	duration("limit_floor", p.LimitFloor)
	must(p.NVLBMask != 0, "nvlb_mask is missing")
	must(p.BlankPassword == 0 || p.BlankPassword == 0xFF, "blank_password 0x%02X is neither 0x00 nor 0xFF", p.BlankPassword)
	must(p.ProgramRefused&fsrProtection != 0, "program_refused 0x%02X lacks the protection bit", p.ProgramRefused)
	must(p.EraseRefused&fsrProtection != 0, "erase_refused 0x%02X lacks the protection bit", p.EraseRefused)
	must((p.ProgramRefused|p.EraseRefused|p.LockRefused|p.LockEraseRefused|p.VolatileRefused)&^fsrErrors == 0, "a refusal has other bits than the errors 0x%02X", fsrErrors)
	if r := p.RPMC; r != nil {
		must(r.Counters >= 1 && r.Counters <= 16, "rpmc: counters %d is not within 1 to 16", r.Counters)
		must(r.Op1 != 0 && r.Op2 != 0 && r.Op1 != r.Op2, "rpmc: op1 0x%02X and op2 0x%02X are not two opcodes", r.Op1, r.Op2)
		must(r.UpdateRate > 0, "rpmc: update_rate is missing")
		must(r.Poll > 0 && r.Limit >= r.Poll && r.Limit <= longestTime, "rpmc: poll %v, limit %v are not 0 < poll <= limit <= %v", r.Poll, r.Limit, longestTime)
		must(p.CRC == nil, "rpmc and crc have the same opcodes")
	}
	if t := p.ACRTM; t != nil {
		must(p.RPMC != nil && p.RPMC.Op1 == t.Op1 && p.RPMC.Op2 == t.Op2, "acrtm: op1 and op2 are not those of rpmc, whose transport it shares")
		t.validate(func(ok bool, format string, args ...any) { must(ok, "acrtm: "+format, args...) })
	}
	if o := p.OTP; o != nil {
		must(o.Size >= 1 && o.Size <= 255, "otp: size %d is not within 1 to 255", o.Size)
		timing("otp.program", o.Program)
	}
	if n := p.NVCR; n != nil {
		timing("nvcr.write", n.Write)
		must(n.Change != 0, "nvcr: change has no bits")
	}
	if c := p.CRC; c != nil {
		must(c.AddressBytes == 0 || c.AddressBytes == 4, "crc: address_bytes %d is neither 4 nor 0, for the address mode's", c.AddressBytes)
		must(c.ReadDummy >= 0 && c.ReadDummy <= 8, "crc: read_dummy %d is not within 0 to 8", c.ReadDummy)
		duration("crc.limit", c.Limit)
	}
	fields := p.fields()
	for _, path := range p.Assumed {
		must(has(fields, path), "assumed: there is no field %.100q", path)
	}
	return errors.Join(errs...)
}

// fields are the fields of the profile, as JSON names them; nil where JSON cannot express it.
func (p *Part) fields() (v any) {
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		return nil
	}
	return v
}

// has tells whether the dotted path names a field.
func has(v any, path string) bool {
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
