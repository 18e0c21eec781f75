package provision

import (
	"bytes"
	"context"
	"fmt"

	"station/ledger"
	"station/recipes"
)

// raw sends a command of the recipe author's own. What it does to the chip is not known here, so it is sent in every run that comes to it,
// and only the answer can be proven.
type raw struct {
	r   *run
	s   recipes.Raw
	got []byte
}

func (w *raw) observe(context.Context) error { return nil }

func (w *raw) decide() (bool, error) { return true, nil }

func (w *raw) act(ctx context.Context) (err error) {
	w.got, err = w.r.chip.Raw(ctx, w.s.WriteEnable, w.s.Send, w.s.Read)
	return err
}

func (w *raw) confirm(context.Context) (proof, error) {
	p := proof{how: "not proven", facts: []ledger.Fact{{Name: "sent", Value: fmt.Sprintf("%X", w.s.Send)}}}
	if w.s.Read > 0 {
		p.facts = append(p.facts, ledger.Fact{Name: "answered", Value: fmt.Sprintf("%X", w.got)})
	}
	if w.s.Expect == nil {
		return p, nil
	}
	if !bytes.Equal(w.got, w.s.Expect) {
		return p, &verdict{ledger.Fail, "raw-answer", fmt.Sprintf("The chip answers %X with %X, and the recipe wants %X.", w.s.Send, w.got, w.s.Expect),
			"Put the board into the reject bin; it needs disposition."}
	}
	p.how = "answer as expected"
	return p, nil
}
