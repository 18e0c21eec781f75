package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/conformance"
	"station/flash"
	"station/provision"
	"station/sim/nor"
	"station/spi"
)

// wrong turns a fact of a profile into what the simulated chip does not do.
var wrong = map[string]func(*flash.Part){
	"program.max":             func(p *flash.Part) { p.Program.Max = 1 },
	"erases.0.max":            func(p *flash.Part) { p.Erases[0].Max = 1 },
	"erases.1.max":            func(p *flash.Part) { p.Erases[1].Max = 1 },
	"erases.2.max":            func(p *flash.Part) { p.Erases[2].Max = 1 },
	"lock_set.max":            func(p *flash.Part) { p.LockSet.Max = 1 },
	"lock_erase.max":          func(p *flash.Part) { p.LockErase.Max = 1 },
	"status_write.max":        func(p *flash.Part) { p.StatusWrite.Max = 1 },
	"nvcr.write.max":          func(p *flash.Part) { p.NVCR.Write.Max = 1 },
	"crc.limit":               func(p *flash.Part) { p.CRC.Limit = 1 },
	"vlb_4k_boundary_sectors": func(p *flash.Part) { p.VLB4KBoundary = !p.VLB4KBoundary },
	"program_refused":         func(p *flash.Part) { p.ProgramRefused ^= 0x02 },
	"lock_refused":            func(p *flash.Part) { p.LockRefused = 0 },
	"lock_erase_refused":      func(p *flash.Part) { p.LockEraseRefused = 0 },
	"volatile_refused":        func(p *flash.Part) { p.VolatileRefused = 0x12 },
	"rescue":                  func(p *flash.Part) { p.Rescue = nil },
	"otp.size":                func(p *flash.Part) { p.OTP.Size = 32 },
	"crc.reflected":           func(p *flash.Part) { p.CRC.Reflected = false },
	"crc.address_bytes":       func(p *flash.Part) { p.CRC.AddressBytes = 0 },
	"crc.stop_included":       func(p *flash.Part) { p.CRC.StopIncluded = false },
	"crc.write_enable":        func(p *flash.Part) { p.CRC.WriteEnable = true },
	"crc.read_dummy":          func(p *flash.Part) { p.CRC.ReadDummy = 0 },
}

// unseen are assumed facts that no observation can tell wrong, and why.
var unseen = map[string]string{
	"id":                "another ID is another part: the first statement fails",
	"die_erase.typ":     "only the plan's estimate goes by typical times",
	"status_write.typ":  "the same",
	"nvcr.write.typ":    "the same",
	"erases.*.typ":      "the same",
	"erases.*.size":     "the statement about each erase fails",
	"erases.*.opcode":   "the same",
	"register.max":      "1 µs is over before any programmer looks",
	"reset_recovery":    "the suite waits as long after each reset",
	"nvlb_mask":         "where it is wrong free sectors seem locked, and what is skipped for that says so",
	"nvcr.change":       "other bits than bit 0 can make a chip silent; bit 0 is a statement",
	"otp.program":       "42 is permanent",
	"password":          "28 is permanent",
	"password_unlock":   "29 is sent in password mode, which is permanent",
	"sector_protection": "2C is permanent",
	"blank_password":    "27 is a secret",
	"rpmc.counters":     "9B is permanent; the SFDP decides",
	"rpmc.initial":      "9B is permanent",
	"rpmc.update_rate":  "9B is permanent",
	"rpmc.poll":         "9B is permanent",
	"rpmc.limit":        "9B is permanent",
	"acrtm":             "9B is permanent, and the map is invented",
}

// leaves are the facts below the assumed path of a whole.
var leaves = map[string][]string{
	"otp":          {"otp.size", "otp.program"},
	"nvcr":         {"nvcr.write.max", "nvcr.write.typ", "nvcr.change"},
	"crc":          {"crc.limit", "crc.reflected", "crc.address_bytes", "crc.stop_included", "crc.write_enable", "crc.read_dummy"},
	"status_write": {"status_write.max", "status_write.typ"},
	"erases":       {"erases.0.max", "erases.1.max", "erases.2.max", "erases.*.typ", "erases.*.size", "erases.*.opcode"},
}

// facts are those that a profile assumes, each by itself.
func facts(p *flash.Part) (all []string) {
	for _, path := range p.Assumed {
		if below, ok := leaves[path]; ok {
			all = append(all, below...)
		} else {
			all = append(all, path)
		}
	}
	return all
}

// TestWrongProfileShows: each fact that a shipped profile assumes is either turned over, and THE PROFILE SAYS OTHERWISE tells it, or said to be unseen.
func TestWrongProfileShows(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range flash.Parts() {
		for _, fact := range facts(p) {
			_, turned := wrong[fact]
			if _, why := unseen[fact]; turned == why {
				t.Errorf("%s assumes %s: turned over %v, unseen %v", p.Name, fact, turned, why)
			}
			// On a part of several dies no lock bit is tried; the others assume the same, and more.
			if again := seen[fact]; again || turned && p.CanProtect() != nil {
				continue
			}
			seen[fact] = true
			if !turned {
				continue
			}
			t.Run(fact, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := flash.Parts()[indexOf(p.Name)]
					r := flash.Range{Size: leastArea}
					if fact == "rescue" || fact == "crc.limit" { // in a full run only
						r.Size = p.Size
					}
					out, err := suiteOn(t, p, nil, r, wrong[fact])
					if err != nil || !strings.Contains(out, "(THE PROFILE SAYS OTHERWISE)") {
						t.Errorf("%s: %v\n%s", p.Name, err, out)
					}
				})
			})
		}
	}
	for fact := range wrong {
		if !seen[fact] {
			t.Errorf("no profile assumes %s", fact)
		}
	}
	for fact := range unseen {
		if !seen[fact] {
			t.Errorf("no profile assumes %s", fact)
		}
	}
	// And the profiles as they are differ in nothing.
	for _, p := range flash.Parts() {
		synctest.Test(t, func(t *testing.T) {
			if out, err := suiteOn(t, p, nil, flash.Range{Size: leastArea}, nil); err != nil || !strings.Contains(out, "(0 not as the profile says)") {
				t.Errorf("%s: %v\n%s", p.Name, err, out)
			}
		})
	}
}

func indexOf(part string) int {
	for i, p := range flash.Parts() {
		if p.Name == part {
			return i
		}
	}
	return -1
}

// suiteOn runs the suite on a new chip of p with data in its OTP and a supply that can be switched, and by a profile with one fact turned. forge sees each frame.
func suiteOn(t *testing.T, p *flash.Part, forge func(out, in []byte), r flash.Range, turn func(*flash.Part)) (string, error) {
	t.Helper()
	chip, err := nor.New(p.Name, [14]byte{1}, nor.Options{Pace: nor.Real, FirstDieProtection: true})
	if err != nil {
		t.Fatal(err)
	}
	pins := &poweredPins{pinsConn: pinsConn{chip: chip, forge: forge}}
	if err := pins.Do(t.Context(), spi.Frame{Out: []byte{0x06}}, spi.Frame{Out: []byte{0x42, 0, 0, 0x30, 0x55}, Idle: time.Second}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := &seated{seat: seat{slot: "1"}, app: &app{stdout: &out, stderr: &out}, bench: &bench{}, conn: pins, parts: []*flash.Part{p}, watch: func(provision.Event) {}}
	if err := s.identify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if turn != nil {
		turn(p)
	}
	err = s.suite(t.Context(), r)
	return out.String(), err
}

// TestStackedPart: on a part of several dies that no profile says stacked_protection of, no lock bit and no NVCR is written, not even where a profile has one; with it both are.
func TestStackedPart(t *testing.T) {
	t.Parallel()
	for _, confirmed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sent := map[byte]int{}
			p := flash.Parts()[indexOf("MT25QL01GBBB")]
			out, err := suiteOn(t, p, func(out, _ []byte) { sent[out[0]]++ }, flash.Range{Size: leastArea}, func(p *flash.Part) {
				p.NVCR = &flash.NVCR{Write: flash.Timing{Typ: 200 * time.Millisecond, Max: time.Second}, Change: 0x01D3}
				p.StackedProtection = confirmed
			})
			if !confirmed && err != nil {
				t.Error(err)
			}
			for _, op := range []byte{0xE3, 0xE4, 0xA6, 0xB1} {
				if (sent[op] > 0) != confirmed {
					t.Errorf("confirmed %v: %02X was sent %d times", confirmed, op, sent[op])
				}
			}
			if strings.Contains(out, "what E2 answers: whether E4 reaches all dies of the part is not known") == confirmed {
				t.Errorf("confirmed %v:\n%s", confirmed, out)
			}
		})
	}
	// Bit 0 is written where the profile lets it be changed.
	for _, change := range []uint16{0x01D2, 0x01D3} {
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			p := flash.Parts()[indexOf("MT25QL256ABA")]
			_, err := suiteOn(t, p, func(out, _ []byte) {
				if out[0] == 0xB1 {
					sent++
				}
			}, flash.Range{Size: leastArea}, func(p *flash.Part) { p.NVCR.Change = change })
			if err != nil || (sent > 0) != (change&1 != 0) {
				t.Errorf("change %04X: %v, B1 was sent %d times", change, err, sent)
			}
		})
	}
}

// TestSuitePart: the profile's maxima go by the opcodes that the suite asks for.
func TestSuitePart(t *testing.T) {
	for _, p := range flash.Parts() {
		got := suitePart(p).Longest
		for _, op := range []byte{0x02, 0x01, 0xE3, 0xE4, 0x20, 0x52, 0xD8} {
			if got[op] == 0 {
				t.Errorf("%s: no maximum for %02X", p.Name, op)
			}
		}
		if p.DieErase != nil && got[map[bool]byte{false: 0xC7, true: 0xC4}[p.Dies > 1]] != p.DieErase.Max {
			t.Errorf("%s: %v for the erase of a die", p.Name, got)
		}
		if (p.NVCR != nil) != (got[0xB1] != 0) || (p.CRC != nil) != (got[0x9B] != 0) {
			t.Errorf("%s: B1 %v, 9B %v", p.Name, got[0xB1], got[0x9B])
		}
	}
	if conformance.PowerCycles(suitePart(flash.Parts()[0]), conformance.Options{}) != 0 {
		t.Error("reseats are told where nobody can")
	}
}
