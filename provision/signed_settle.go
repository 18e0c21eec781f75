package provision

import (
	"context"
	"fmt"
	"strconv"

	"station/ledger"
)

// unanswered is the intent of a turn of which the account does not tell what became of it; nil where there is none.
func (r *run) unanswered() (intent *ledger.RelayIntent) {
	for _, b := range r.books {
		switch b := b.(type) {
		case ledger.RelayIntent:
			intent = &b
		case ledger.RelayAnswer:
			intent = nil
		}
	}
	return intent
}

// settleRelay tells by the command counter what became of a turn that was cut off before its answer was written down.
func (r *run) settleRelay(ctx context.Context) error {
	intent := r.unanswered()
	if intent == nil {
		return nil
	}
	table, err := r.chip.ACRTM()
	if err != nil {
		return err
	}
	names := map[string]int{}
	changing := uint64(0)
	for _, x := range intent.Blocks {
		names[x.Command]++
		if x.Class == ledger.StateChanging {
			changing++
		}
	}
	answer := ledger.RelayAnswer{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), N: intent.N, Turn: intent.Turn}
	was, err := strconv.ParseUint(intent.Blocks[0].Counter, 10, 64)
	known := err == nil && table.Counters != nil
	executed := uint64(0)
	switch {
	case known:
		if err := r.chip.Contact(ctx); err != nil {
			return err
		}
		powerOn, now, err := r.chip.ACRTMCounters(ctx)
		if err != nil {
			return err
		}
		if executed = now - was; now < was || executed > changing {
			return unknown(manyText(names), fmt.Sprintf("its command counter was %d before and is %d", was, now))
		}
		answer.PowerOn, answer.Counter = number(&powerOn), number(&now)
	case intent.OneWay():
		return unknown(manyText(names), "its counters are not known")
	}
	for _, x := range intent.Blocks {
		res := ledger.RelayResult{Seq: x.Seq}
		switch {
		case !known || x.Class != ledger.StateChanging:
		case executed > 0:
			executed--
			res.Counter = ledger.Executed
		default:
			res.Counter = ledger.NotExecuted
		}
		answer.Answers = append(answer.Answers, res)
	}
	return r.record(ctx, answer)
}
