package provision

import (
	"context"
	"fmt"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// relay sends the blocks that the key server makes for a job. Where the job is to fill a region, what the region holds says whether it is done; otherwise
// the chip's answers, which the server judges, and the account of this run. A job with one-way commands is not done before one of them took effect.
type relay struct {
	content
	s    recipes.Relay
	talk *signed
	last Turn
	done *ledger.RunStep // the step, where it was over before the station died
}

func newRelay(r *run, s recipes.Relay) *relay {
	w := &relay{s: s, content: content{r: r}}
	if s.Image != nil {
		w.want = []flash.Extent{{Addr: s.Region.At, Size: s.Region.Size, Data: s.Image.Data}}
	}
	return w
}

func (w *relay) observe(ctx context.Context) (err error) {
	if w.s.Image != nil {
		return w.content.observe(ctx)
	}
	account, err := w.r.recall()
	if err != nil {
		return err
	}
	for _, b := range w.r.books {
		if b, is := b.(ledger.RunStep); is && b.N == w.r.n && b.Result != ledger.Failed && (!w.s.OneWay || account.oneWay > 0) {
			w.done = &b
		}
	}
	return nil
}

func (w *relay) decide() (bool, error) {
	if w.s.Image != nil {
		return w.content.decide()
	}
	return w.done == nil, nil
}

func (w *relay) act(ctx context.Context) (err error) {
	if w.talk, err = w.r.converse(ctx); err != nil {
		return err
	}
	w.talk.changes = w.s.Access == flash.StateChanging
	w.r.relayed = w.r.relayed || w.talk.changes
	w.talk.allow = flash.Authorisation{Commands: w.s.Commands, OneWay: w.s.OneWay}
	if w.last, err = w.talk.run(ctx); err != nil {
		return err
	}
	t := w.talk
	effect := t.executed + t.before
	if !t.changes {
		effect = t.successes
	}
	switch {
	case !w.last.OK && effect+t.refused+t.lost == 0:
		return keyServer("it gives the job %s up before anything was sent", w.s.Job)
	case !w.last.OK && t.refused+t.lost == 0: // no fault of the chip's
		return keyServer("it gives the job %s up, and the chip did all that it was asked: %s", w.s.Job, or(w.last.Verdict))
	case !w.last.OK:
		return &verdict{ledger.Fail, "relay-refused", "The key server gives the job " + w.s.Job + " up: " + or(w.last.Verdict) + ".", "Put the board into the reject bin; it needs disposition."}
	case effect == 0:
		return keyServer("it says that the job %s is done, and nothing of it was", w.s.Job)
	case w.s.OneWay && t.oneWay == 0:
		return keyServer("it says that the job %s is done, and nothing that is never undone took effect", w.s.Job)
	}
	return nil
}

// confirm reads back what the job and earlier steps were to leave. A failure of that has the proof of the commands with it: the key server agreed.
func (w *relay) confirm(ctx context.Context) (proof, error) {
	p := proof{how: "answers signed by the chip and verified by the key server", stands: true, looked: w.s.Access == flash.ReadOnly}
	if w.talk != nil {
		p.facts = w.talk.facts(w.last)
	}
	if w.s.Image == nil {
		if w.done != nil {
			p.how, p.facts = w.done.Proof, append(p.facts, ledger.Fact{Name: "done", Value: "before the station died"})
		}
		return w.reread(ctx, p)
	}
	left := w.want
	if w.talk == nil { // observe has read all of it
		left = nil
	}
	if len(left) > 0 {
		if err := w.r.chip.Verify(ctx, left, w.r.progress("verifying")); err != nil {
			return p, err
		}
	}
	p.how = "readback"
	w.r.prove(ledger.RegionProof{Region: w.s.Region.Name, SHA256: regionDigest(w.s.Image.Data, w.s.Region.Size), Proof: p.how})
	return w.reread(ctx, p)
}

// reread reads once more what earlier steps left, behind the last relay that may change the chip: nobody but the key server knows what its commands touched. Where this run
// of the program relayed none of them, the steps have looked at it since.
func (w *relay) reread(ctx context.Context, p proof) (proof, error) {
	if !w.r.relayed {
		return p, nil
	}
	var left []flash.Extent
	size := int64(0)
	for _, s := range w.r.o.Recipe.Reread(w.r.n) {
		for _, e := range w.r.wanted(s) {
			left, size = append(left, e), size+e.Size
		}
	}
	if size == 0 {
		return p, nil
	}
	p.facts = append(p.facts, ledger.Fact{Name: "what earlier steps left, read again behind all signed commands", Value: fmt.Sprintf("%d KiB, as it was", size>>10)})
	return p, w.r.chip.Verify(ctx, left, w.r.progress("verifying"))
}
