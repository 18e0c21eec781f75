package provision

import (
	"context"

	"station/ledger"
	"station/recipes"
)

// erase makes regions blank.
type erase struct {
	content
	s recipes.Erase
}

func (e *erase) confirm(ctx context.Context) (proof, error) {
	p, err := e.content.confirm(ctx)
	if err != nil {
		return proof{}, err
	}
	for _, g := range e.s.Regions {
		e.r.prove(ledger.RegionProof{Region: g.Name, SHA256: regionDigest(nil, g.Size), Proof: p.how})
	}
	return p, nil
}

// blank makes blank all that no region names.
type blank struct{ content }
