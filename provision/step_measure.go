package provision

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// measure has the chip hash a region and sign what it found, under a key that only the key server has. The server verifies; this program relays, and holds
// the digest that the server tells against the one that the recipe has.
type measure struct {
	r    *run
	s    recipes.Measure
	talk *signed
	last Turn
}

func (m *measure) observe(ctx context.Context) (err error) {
	m.talk, err = m.r.converse(ctx)
	return err
}

func (m *measure) decide() (bool, error) { return true, nil }

func (m *measure) act(ctx context.Context) (err error) {
	m.last, err = m.talk.run(ctx)
	return err
}

func (m *measure) confirm(ctx context.Context) (proof, error) {
	want := m.r.expected(m.s.Region)
	digest, err := hex.DecodeString(m.last.Digest)
	whole := err == nil && len(digest) == 32 && hex.EncodeToString(digest) == m.last.Digest
	switch t := m.talk; {
	case t.proofs == 0 && t.refused == 0:
		return proof{}, keyServer("it judges a measurement of %s, and none was made", m.s.Region.Name)
	case !m.last.OK && t.refused > 0:
		return proof{}, &verdict{ledger.Fail, "measurement", fmt.Sprintf("The chip does not measure %s: %s.", m.s.Region.Name, or(m.last.Verdict)), "Put the board into the reject bin; it needs disposition."}
	case t.proofs == 0:
		return proof{}, keyServer("it accepts a measurement of %s that the chip refused", m.s.Region.Name)
	case m.last.OK && !whole:
		return proof{}, keyServer("it accepts a measurement of %s and does not tell its digest", m.s.Region.Name)
	case m.last.OK && want != "" && want != m.last.Digest:
		return proof{}, keyServer("it accepts the measurement %s of %s, and the recipe has %s", m.last.Digest, m.s.Region.Name, want)
	case !m.last.OK && whole && want == m.last.Digest:
		return proof{}, keyServer("it rejects the measurement of %s, which is the one that the recipe has", m.s.Region.Name)
	case !m.last.OK:
		return proof{}, m.mismatch(ctx)
	}
	how := byMeasurement
	for _, p := range m.r.proven { // in this run of the program: the chip was read since it had its power
		if p.Region == m.s.Region.Name && p.Proof != byMeasurement {
			how = p.Proof + ", " + byMeasurement
		}
	}
	m.r.prove(ledger.RegionProof{Region: m.s.Region.Name, SHA256: m.last.Digest, Proof: how})
	return proof{how: byMeasurement + ", signed by the chip and verified by the key server", looked: true,
		facts: append([]ledger.Fact{{Name: "SHA-256 of the region, measured", Value: m.last.Digest}}, m.talk.facts(m.last)...)}, nil
}

// mismatch says who is right about a measurement that the chip made and the server rejects: what the station reads decides.
func (m *measure) mismatch(ctx context.Context) error {
	var want []flash.Extent
	for _, s := range m.r.o.Recipe.Steps()[:m.r.n-1] {
		for _, e := range m.r.wanted(s) {
			if e.Addr == m.s.Region.At && e.Size == m.s.Region.Size {
				want = []flash.Extent{e}
			}
		}
	}
	err := m.r.chip.Verify(ctx, want, m.r.progress("reading"))
	if wrong, is := errors.AsType[*flash.MismatchError](err); is {
		return &verdict{ledger.Fail, "measurement-mismatch", fmt.Sprintf("The chip measures %s, and the key server does not accept it: %s. At 0x%06X the chip holds %02X, wanted %02X.",
			m.s.Region.Name, or(m.last.Verdict), wrong.Addr, wrong.Got, wrong.Want), "Put the board into the reject bin; it needs disposition."}
	} else if err != nil {
		return err
	}
	return keyServer("it rejects the measurement of %s, and every byte there reads right: %s", m.s.Region.Name, or(m.last.Verdict))
}

// byMeasurement is the grade of a region that the chip measured.
const byMeasurement = "measurement"

// expected is the SHA-256, in hex, of what the steps before this one leave in a region; "" where none of them fills it.
func (r *run) expected(g recipes.Region) (digest string) {
	for _, s := range r.o.Recipe.Steps()[:r.n-1] {
		switch s := s.(type) {
		case recipes.Write:
			if s.Region.Name == g.Name {
				digest = regionDigest(r.unit.Content(s), g.Size)
			}
		case recipes.Relay:
			if s.Region.Name == g.Name && s.Image != nil {
				digest = regionDigest(s.Image.Data, g.Size)
			}
		case recipes.Erase:
			for _, e := range s.Regions {
				if e.Name == g.Name {
					digest = regionDigest(nil, g.Size)
				}
			}
		}
	}
	return digest
}

func or(s string) string {
	if s == "" {
		return "it does not say why"
	}
	return s
}
