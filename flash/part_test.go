package flash

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEveryProfile(t *testing.T) {
	parts, err := shipped()
	must(t, err)
	var names []string
	ids := map[DeviceID]string{}
	for _, p := range parts {
		names = append(names, p.Name)
		must(t, p.Validate())
		if other, ok := ids[p.ID]; ok {
			t.Errorf("%s and %s have the same ID", other, p.Name)
		}
		ids[p.ID] = p.Name
		// The name tells density and voltage: MT25Q L|U, megabits.
		if want := 3.3; strings.HasPrefix(p.Name, "MT25QU") {
			want = 1.8
			if p.Volts != want || p.ID[1] != 0xBB {
				t.Errorf("%s: %v V, %s", p.Name, p.Volts, p.ID)
			}
		} else if p.Volts != want || p.ID[1] != 0xBA {
			t.Errorf("%s: %v V, %s", p.Name, p.Volts, p.ID)
		}
		if mega := map[string]int64{"128": 128, "256": 256, "512": 512, "01G": 1024, "02G": 2048}[p.Name[6:9]]; p.Size != mega<<17 {
			t.Errorf("%s has %d bytes", p.Name, p.Size)
		}
		// Dies are of 64 MiB (spec 1.1), and what nobody knows of stacked parts is not done on them.
		if dies := max(1, int(p.Size>>26)); p.Dies != dies || (p.DieErase != nil) != (dies > 1) || (dies > 1) != (p.CanProtect() != nil) ||
			dies > 1 && (p.OTP != nil || p.NVCR != nil || p.CRC != nil) {
			t.Errorf("%s: %d dies, die erase %v, protection %v", p.Name, p.Dies, p.DieErase, p.CanProtect())
		}
		for _, assumed := range []string{"vlb_4k_boundary_sectors", "program.max", "lock_set.max", "nvlb_mask", "password", "password_unlock", "sector_protection"} {
			if !slices.Contains(p.Assumed, assumed) {
				t.Errorf("%s does not say that %s is assumed", p.Name, assumed)
			}
		}
		// Authenta is told by the sixth byte of its ID, and has counters.
		if authenta := p.ID[5] == 0x8C; authenta != (p.RPMC != nil) || authenta != slices.Contains(p.Assumed, "rpmc.initial") {
			t.Errorf("%s: ID %s, %+v", p.Name, p.ID, p.RPMC)
		}
		again, err := partNamed(p.Name)
		must(t, err)
		if again.Digest() != p.Digest() || len(p.Digest()) != len("sha256:")+64 {
			t.Errorf("%s: digest %s, then %s", p.Name, p.Digest(), again.Digest())
		}
	}
	want := []string{"MT25QL01GBBB", "MT25QL02GCBB", "MT25QL128ABA", "MT25QL128ABB", "MT25QL256ABA", "MT25QL512ABB", "MT25QU128ABB", "MT25QU256ABA", "MT25QU512ABB"}
	if !slices.Equal(names, want) {
		t.Errorf("shipped: %v", names)
	}
}

// partNamed is the shipped profile of that name.
func partNamed(name string) (*Part, error) {
	for _, p := range Parts() {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no part is named %q", name)
}

func TestValidateRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*Part){
		"name is missing":    func(p *Part) { p.Name = "" },
		"no manufacturer":    func(p *Part) { p.ID = DeviceID{} },
		"volts":              func(p *Part) { p.Volts = 12 },
		"sector 32768":       func(p *Part) { p.Sector = 32768 },
		"page 100":           func(p *Part) { p.Page = 100 },
		"page 0":             func(p *Part) { p.Page = 0 },
		"to 256 MiB":         func(p *Part) { p.Size = 512 << 20 },
		"dies 3":             func(p *Part) { p.Dies = 3 },
		"up to 64 MiB each":  func(p *Part) { p.Size = 128 << 20 },
		"size 1000":          func(p *Part) { p.Size = 1000 },
		"address_bytes 5":    func(p *Part) { p.AddressBytes = 5 },
		"not reached":        func(p *Part) { p.Size, p.AddressBytes = 32<<20, 3 },
		"erases are missing": func(p *Part) { p.Erases = nil },
		"erases.1: size":     func(p *Part) { p.Erases[1].Size = 5000 },
		"erases.0: opcode":   func(p *Part) { p.Erases[0].Opcode = 0 },
		"erases.0: opcode 0xD8 is not 0x20, which erases 4096 bytes":  func(p *Part) { p.Erases[0].Opcode = 0xD8 },
		"erases.1: opcode 0x20 is not 0x52, which erases 32768 bytes": func(p *Part) { p.Erases[1].Opcode = 0x20 },
		"erases.2: opcode 0xDC is not 0xD8":                           func(p *Part) { p.Erases[2].Opcode = 0xDC },
		"erases.0: opcode4 0x20 is neither 0x00 for none nor 0x21":    func(p *Part) { p.Erases[0].Opcode4 = 0x20 },
		"erases.1: opcode4 0xDC is neither 0x00 for none nor 0x5C":    func(p *Part) { p.Erases[1].Opcode4 = 0xDC },
		"erases.0: size 8192 is none of":                              func(p *Part) { p.Erases[0].Size = 8192 },
		"die_erase: opcode 0xC4 is neither":                           func(p *Part) { p.DieErase = &Erase{Size: p.Size, Opcode: 0xC4, Typ: 1, Max: 1} },
		"65 assumed fields, at most 64":                               func(p *Part) { p.Assumed = slices.Repeat([]string{"name"}, 65) },
		"erases.2: times":                                             func(p *Part) { p.Erases[2].Max = time.Microsecond },
		"is not a sector":                                             func(p *Part) { p.Erases = p.Erases[:2] },
		"program: times":                                              func(p *Part) { p.Program.Typ = 0 },
		"register: times":                                             func(p *Part) { p.Register.Max = 0 },
		"lock_set: times":                                             func(p *Part) { p.LockSet = Timing{} },
		"lock_erase: times":                                           func(p *Part) { p.LockErase.Typ = -1 },
		"password: times":                                             func(p *Part) { p.Password.Max = 0 },
		"password_unlock: tim":                                        func(p *Part) { p.Unlock.Typ = 0 },
		"sector_protection: t":                                        func(p *Part) { p.Protection = Timing{} },
		"rpmc: counters 17":                                           func(p *Part) { p.RPMC.Counters = 17 },
		"rpmc: op1 0x96":                                              func(p *Part) { p.RPMC.Op1 = 0x96 },
		"rpmc: update_rate":                                           func(p *Part) { p.RPMC.UpdateRate = 0 },
		"rpmc: poll 2s":                                               func(p *Part) { p.RPMC.Poll = 2 * time.Second },
		"reset_recovery":                                              func(p *Part) { p.ResetRecovery = 0 },
		"limit_factor":                                                func(p *Part) { p.LimitFactor = 0 },
		"limit_floor":                                                 func(p *Part) { p.LimitFloor = 0 },
		"nvlb_mask":                                                   func(p *Part) { p.NVLBMask = 0 },
		"program_refused":                                             func(p *Part) { p.ProgramRefused = 0x10 },
		`no field "erase.max"`:                                        func(p *Part) { p.Assumed = []string{"erase.max"} },
		`"erases.9.max"`:                                              func(p *Part) { p.Assumed = []string{"erases.9.max"} },
	} {
		p, err := partNamed("MT25QL128ABB")
		must(t, err)
		spoil(p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// What is just not refused, and the whole-die opcodes of stacked parts.
func TestValidateAccepts(t *testing.T) {
	p, err := partNamed("MT25QL128ABB")
	must(t, err)
	p.Erases[1].Opcode4, p.Assumed = 0x5C, slices.Repeat([]string{"name"}, 64)
	must(t, p.Validate())
	for _, opcode := range []byte{0xC7, 0x60} {
		p.DieErase = &Erase{Size: p.Size, Opcode: opcode, Typ: 1, Max: 1}
		must(t, p.Validate())
	}
	if p, err = partNamed("MT25QL01GBBB"); err != nil || p.DieErase.Opcode != 0xC4 {
		t.Fatalf("%v, %+v", err, p.DieErase)
	}
	for _, opcode := range []byte{0xC7, 0x60, 0xD8} {
		p.DieErase.Opcode = opcode
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "is not 0xC4, which erases one of several dies") {
			t.Errorf("opcode %02X of a stacked part: %v", opcode, err)
		}
	}
}

func TestParsePart(t *testing.T) {
	text, err := profiles.ReadFile("parts/MT25QL256ABA.yaml")
	must(t, err)
	for from, to := range map[string]string{
		"limit_floor: ":  "limit_flor: ",
		`"20BA19104400"`: `"20BA191044"`,
		"typ: 120us":     "typ: soon",
		"page: 256":      "page: 257",
		"name: MT":       "name: [MT",
	} {
		if p, err := ParsePart([]byte(strings.Replace(string(text), from, to, 1))); err == nil || p != nil {
			t.Errorf("%s was accepted", to)
		}
	}
	for _, text := range []string{"", "[]", "name: x"} {
		if _, err := ParsePart([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// The vectors were made from the canonical JSON that another program wrote for the same profiles.
func TestDigestVectors(t *testing.T) {
	for part, want := range map[string]string{
		"MT25QL128ABA": "sha256:b443f4b43b52cc9aa24b418bbd643c475430a6a61297b588d27ace4200990306",
		"MT25QL128ABB": "sha256:4451838c223dcd11a176638c795d6febf5ba5cffef6ea7d8fff6b1ba88cdd87e",
		"MT25QL01GBBB": "sha256:e1f9ea28e77e8df79d94795b39c4e851f33ffc182ea4747571d80d60f876cff1",
	} {
		p, err := partNamed(part)
		must(t, err)
		if p.Digest() != want {
			t.Errorf("%s: digest %s, want %s", part, p.Digest(), want)
		}
	}
}

// Everything in a profile matters to its digest.
func TestDigestCoversTheProfile(t *testing.T) {
	seen := map[string]bool{}
	for _, change := range []func(*Part){
		func(*Part) {}, func(p *Part) { p.Volts++ }, func(p *Part) { p.Erases[1].Max++ }, func(p *Part) { p.Erases[0].Opcode4 = 1 },
		func(p *Part) { p.NVLBMask = 3 }, func(p *Part) { p.Assumed = p.Assumed[1:] }, func(p *Part) { p.LimitFloor++ },
		func(p *Part) { p.RPMC = nil }, func(p *Part) { p.RPMC.Initial++ }, func(p *Part) { p.Unlock.Max++ },
	} {
		p, err := partNamed("MT25QU128ABB")
		must(t, err)
		change(p)
		seen[p.Digest()] = true
	}
	if len(seen) != 10 {
		t.Errorf("%d digests of 10 profiles", len(seen))
	}
}

func TestLimit(t *testing.T) {
	p, err := partNamed("MT25QL256ABA")
	must(t, err)
	for max, want := range map[time.Duration]time.Duration{
		time.Microsecond:       100 * time.Millisecond,
		40 * time.Millisecond:  120 * time.Millisecond,
		400 * time.Millisecond: 1200 * time.Millisecond,
	} {
		if got := p.Limit(max); got != want {
			t.Errorf("limit of %v is %v, want %v", max, got, want)
		}
	}
}
