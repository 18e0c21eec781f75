package flash

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"station/sim/nor"
)

// dump is the SFDP area of a real MT25QU256A, as posted to linux-mtd.
func dump(t testing.TB) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(`
		53 46 44 50 06 01 01 ff 00 06 01 10 30 00 00 ff 84 00 01 02 80 00 00 ff ff ff ff ff ff ff ff ff
		ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff e5 20 fb ff ff ff ff 0f 29 eb 27 6b 27 3b 27 bb
		ff ff ff ff ff ff 27 bb ff ff 29 eb 0c 20 10 d8 0f 52 00 00 24 4a 99 00 8b 8e 03 d4 ac 01 27 38
		7a 75 7a 75 fb bd d5 5c 4a 0f 82 ff 81 bd 3d 36 ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff
		ff e7 ff ff 21 dc ff ff`), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSFDPOfRealChips(t *testing.T) {
	b := dump(t)
	for _, c := range []struct {
		part      string
		density   byte
		chipErase byte
		md5       string
	}{
		{"MT25QU256ABA", 0x0F, 0xD4, "5ea738216f68c9f98987bb3725699a32"},
		{"MT25QU512ABB", 0x1F, 0xE1, "610efba1647e00ac6db18beb11e84c04"},
	} {
		b[0x37], b[0x5B] = c.density, c.chipErase
		if sum := md5.Sum(b); hex.EncodeToString(sum[:]) != c.md5 {
			t.Fatalf("%s: this is not the posted dump", c.part)
		}
		s, err := ParseSFDP(append(bytes.Clone(b), 0xAA, 0xBB))
		must(t, err)
		p, err := partNamed(c.part)
		must(t, err)
		must(t, p.agrees(s))
		if s.Major != 1 || s.Minor != 6 || len(s.Parameters) != 2 || s.AddressBytes != 4 || !s.FourByte || s.Instructions != 0xFFFFE7FF {
			t.Errorf("%+v", s)
		}
		want := []SFDPErase{{4096, 0x20, 0x21}, {65536, 0xD8, 0xDC}, {32768, 0x52, 0}}
		if len(s.Erases) != 3 || s.Erases[0] != want[0] || s.Erases[1] != want[1] || s.Erases[2] != want[2] {
			t.Errorf("%s: erases %+v", c.part, s.Erases)
		}
		if s.Parameters[1] != (Parameter{0xFF84, 1, 0, 0x80, 8}) {
			t.Errorf("%+v", s.Parameters[1])
		}
	}
	b[0x37], b[0x5B] = 0x0F, 0xD4
	s, err := ParseSFDP(b)
	must(t, err)
	// sha256sum of the 136 bytes.
	if got := s.Digest(); got != "sha256:f045dbd63ca75f26cb6b3b948db77f4b0af428014e4bb7b32826d2d15ac70820" {
		t.Errorf("digest %s", got)
	}
}

// Revision B dies have 5C, and no SFDP says so: a profile may declare it. Of 21 and DC the SFDP has to tell.
func TestUndeclared5C(t *testing.T) {
	for _, part := range []string{"MT25QL512ABB", "MT25QL01GBBB", "MT25QL256ABA"} {
		p, err := partNamed(part)
		must(t, err)
		p.Erases[1].Opcode4 = 0x5C
		must(t, p.Validate())
		c, w := identified(t, part, nor.Options{}, p)
		at := p.Size - 96<<10
		w.raw([]byte{0x06}, append(address(opProgram4, at, 4), 0))
		err = c.erase(t.Context(), Op{Addr: at, Size: 32 << 10})
		if part == "MT25QL256ABA" { // of revision A
			is(t, err, ErrNotExecuted)
			continue
		}
		must(t, err)
		if w.count(0x5C) != 1 || w.chip.Bytes(uint32(at), 1)[0] != 0xFF {
			t.Errorf("%s: %d times 5C, and %02X", part, w.count(0x5C), w.chip.Bytes(uint32(at), 1))
		}
	}
	for name, spoil := range map[string]func(p *Part, s *SFDP){
		"5C where another is declared": func(p *Part, s *SFDP) { p.Erases[1].Opcode4, s.Erases[2].Opcode4 = 0x5C, 0x5D },
		"21 not declared":              func(p *Part, s *SFDP) { s.Erases[0].Opcode4 = 0 },
		"DC not declared":              func(p *Part, s *SFDP) { s.Erases[1].Opcode4 = 0 },
	} {
		p, err := partNamed("MT25QU256ABA")
		must(t, err)
		s, err := ParseSFDP(dump(t))
		must(t, err)
		spoil(p, s)
		if _, ok := errors.AsType[*WrongSFDPError](p.agrees(s)); !ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSFDPRefuses(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"empty":             func([]byte) []byte { return nil },
		"signature":         func(b []byte) []byte { b[3] = 'X'; return b },
		"major":             func(b []byte) []byte { b[5] = 2; return b },
		"headers too many":  func(b []byte) []byte { b[6] = 0xFE; return b },
		"pointer far":       func(b []byte) []byte { b[0x0E] = 0xFF; return b },
		"pointer past end":  func(b []byte) []byte { b[0x0C] = 0x60; return b },
		"basic not first":   func(b []byte) []byte { b[0x08] = 1; return b },
		"basic too short":   func(b []byte) []byte { b[0x0B] = 10; return b },
		"4-byte too short":  func(b []byte) []byte { b[0x13] = 1; return b },
		"density":           func(b []byte) []byte { b[0x37] = 0x8F; return b },
		"erase of 2^40":     func(b []byte) []byte { b[0x4C] = 40; return b },
		"cut":               func(b []byte) []byte { return b[:0x87] },
		"cut in the header": func(b []byte) []byte { return b[:0x17] },
	} {
		if s, err := ParseSFDP(spoil(dump(t))); s != nil || !errors.Is(err, ErrSFDP) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	// Densities beyond 2 Gbit are written as a power of two.
	b := dump(t)
	copy(b[0x34:], []byte{34, 0, 0, 0x80})
	s, err := ParseSFDP(b)
	must(t, err)
	if s.Size != 1<<31 {
		t.Errorf("2^34 bits are %d bytes", s.Size)
	}
}

func FuzzParseSFDP(f *testing.F) {
	f.Add(dump(f))
	f.Add(dump(f)[:24])
	f.Add([]byte("SFDP"))
	double := dump(f)
	copy(double[0x10:], double[8:16]) // the basic table twice
	f.Add(double)
	f.Add(withCounters(f, 0x38, 0x9B, 0x96, 0xF0, 5, 10, 5, 0xFF))
	parts := Parts()
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSFDP(b)
		if err != nil {
			if s != nil || !errors.Is(err, ErrSFDP) {
				t.Fatalf("%v, %v", s, err)
			}
			return
		}
		if s.Size < 0 || s.Page < 1 || len(s.raw) > len(b) || len(s.Parameters) < 1 || len(s.Erases) > 4 {
			t.Fatalf("%+v", s)
		}
		again, err := ParseSFDP(s.raw)
		if err != nil || again.Digest() != s.Digest() {
			t.Fatalf("its own bytes: %v", err)
		}
		for _, p := range parts {
			if p.agrees(s) == nil && (s.Size != p.Size || s.Page != p.Page) {
				t.Fatalf("%s agrees with %+v", p.Name, s)
			}
		}
	})
}
