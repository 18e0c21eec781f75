package keyserver

import (
	"context"
	"time"

	"station/ledger"
	"station/provision"
)

var _ provision.Signer = (*Client)(nil)

// Next asks for the turn behind the answered ones. The server remembers the earlier answers, so the last ones go alone.
func (c *Client) Next(ctx context.Context, job provision.Job, answered []provision.Answered) (provision.Turn, error) {
	q := RelayRequest{Job: jobOf(job)}
	if n := len(answered); n > 0 {
		q.Answered = answeredOf(answered[n-1])
	}
	var t RelayTurn
	if err := c.ask(ctx, RouteRelay, nil, q, &t); err != nil {
		return provision.Turn{}, err
	}
	if t.Done == (len(t.Blocks) > 0) || len(t.Blocks) > maxBlocks || t.Number < 1 || t.Session == "" || !t.Done && t.OK || t.Digest != "" && !lowerHex(t.Digest, 64) {
		return provision.Turn{}, wrong(RouteRelay, "its turn is neither blocks nor a verdict")
	}
	return t.turn(), nil
}

// Ready asks what the station may still do by a recipe. It counts nothing. Where there is no allowance at all, the error is an *Error with CauseNoAllowance.
func (c *Client) Ready(ctx context.Context, digest string, uids []string) (ReadyAnswer, error) {
	var a ReadyAnswer
	if err := c.ask(ctx, RouteReady, nil, ReadyRequest{digest, uids[:min(len(uids), MaxReadyUIDs)]}, &a); err != nil {
		return ReadyAnswer{}, err
	}
	if _, err := time.Parse(ledger.TimeFormat, a.NotAfter); err != nil || a.Left < 0 {
		return ReadyAnswer{}, wrong(RouteReady, "it does not say what is left")
	}
	return a, nil
}
