package provision

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// write puts an image or the unit's own fields into a region; the rest of the region is blank.
type write struct {
	content
	s recipes.Write
}

// observe reads all of what is not going to be read back, so that nothing is taken for granted.
func (w *write) observe(ctx context.Context) (err error) {
	if w.s.Verify != recipes.Measurement {
		return w.content.observe(ctx)
	}
	w.read = true
	w.known, err = w.r.chip.Compare(ctx, w.want, w.r.progress("reading"))
	return err
}

func (w *write) confirm(ctx context.Context) (proof, error) {
	confirm := w.content.confirm
	if w.s.Verify == recipes.Measurement && len(w.plan.Ops) > 0 {
		// What rounding adds to the region is not measured. The region itself is proven by the step that measures it.
		return proof{how: "not read back: it is measured", facts: []ledger.Fact{{Name: "done", Value: planText(w.plan)}}}, w.verifyRounding(ctx, w.plan)
	}
	if w.s.Verify == recipes.CRC && len(w.plan.Ops) > 0 {
		confirm = w.confirmCRC
	}
	p, err := confirm(ctx)
	if err != nil {
		return proof{}, err
	}
	w.r.prove(ledger.RegionProof{Region: w.s.Region.Name, SHA256: w.digest(), Proof: p.how})
	return p, nil
}

// confirmCRC has the chip compute the CRC of the region; what rounding to erase units adds to it is read. Where either is not as it should be, reading back says who is right, and what is wrong is done anew.
func (w *write) confirmCRC(ctx context.Context) (proof, error) {
	region := flash.Range{Addr: w.s.Region.At, Size: w.s.Region.Size}
	data := w.r.unit.Content(w.s)
	rest := bytes.Repeat([]byte{0xFF}, int(region.Size)-len(data))
	want := flash.CRC64(w.r.chip.Part().CRC.Reflected, data, rest)
	p := proof{facts: []ledger.Fact{{Name: "done", Value: planText(w.plan)}}}
	check := func() error {
		if err := w.r.chip.CheckCRC(ctx, region, want); err != nil {
			return err
		}
		return w.verifyRounding(ctx, w.plan)
	}
	err := check()
	_, differs := errors.AsType[*flash.CRCError](err)
	if _, besides := errors.AsType[*flash.MismatchError](err); differs || besides {
		var unread error
		if p, unread = w.content.confirm(ctx); unread != nil {
			return proof{}, unread
		}
		err = check()
	}
	if _, differs := errors.AsType[*flash.CRCError](err); differs {
		return proof{}, &stationError{"profile", fmt.Errorf("every byte reads back right, and yet: %w; the part profile's crc does not describe this chip", err)}
	}
	p.how, p.facts = "crc", append(p.facts, ledger.Fact{Name: "CRC-64 of the region", Value: fmt.Sprintf("%016X", want)})
	return p, err
}

// digest is the SHA-256, in hex, of what the region holds. That of an image which fills it is known.
func (w *write) digest() string {
	if i := w.s.Image; i != nil && int64(len(i.Data)) == w.s.Region.Size {
		return i.SHA256
	}
	return regionDigest(w.r.unit.Content(w.s), w.s.Region.Size)
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
