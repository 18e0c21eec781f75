package provision

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"

	"station/ledger"
	"station/recipes"
)

// write puts an image or the unit's own fields into a region; the rest of the region is blank.
type write struct {
	content
	s recipes.Write
}

func (w *write) confirm(ctx context.Context) (proof, error) {
	p, err := w.content.confirm(ctx)
	if err != nil {
		return proof{}, err
	}
	w.r.prove(ledger.RegionProof{Region: w.s.Region.Name, SHA256: regionDigest(w.r.unit.Content(w.s), w.s.Region.Size), Proof: p.how})
	return p, nil
}

// regionDigest is the SHA-256, in hex, of size bytes which are data and then FF.
func regionDigest(data []byte, size int64) string {
	h := sha256.New()
	h.Write(data)
	ff := bytes.Repeat([]byte{0xFF}, 64<<10)
	for rest := size - int64(len(data)); rest > 0; rest -= int64(len(ff)) {
		h.Write(ff[:min(rest, int64(len(ff)))])
	}
	return hex.EncodeToString(h.Sum(nil))
}
