package kiosktest

import (
	"context"
	"fmt"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

type commandOf[P, R any] = cdp.Command[P, R]

// Times between two keys. They are those of the events, whatever the machine makes of them.
const (
	scanned = 4 * time.Millisecond
	typed   = 150 * time.Millisecond
)

// seen is how long a page is there before anybody does anything on it.
const seen = time.Second / 2

// Scan types a code and Enter as a wedge scanner does, whatever has the focus.
func (p *Page) Scan(code string) {
	p.t.Helper()
	p.see()
	p.press(scanned, 0, code+"\r")
}

// Keys types parts of a code as a scanner does whose keys are so far apart, and who pauses between the parts. "\r" is Enter.
func (p *Page) Keys(apart, pause time.Duration, parts ...string) {
	p.t.Helper()
	p.see()
	p.press(apart, pause, parts...)
}

// Tail types the end of a code that began with the last keys, on the page before.
func (p *Page) Tail(code string) {
	p.t.Helper()
	p.send(scanned, 0, code+"\r")
}

// Type types as fingers do.
func (p *Page) Type(text string) {
	p.t.Helper()
	p.see()
	p.press(typed, 0, text)
}

// see gives a page that was just loaded the time that it takes to see it.
func (p *Page) see() {
	p.t.Helper()
	p.Wait(fmt.Sprintf(`(loaded => loaded && performance.now() > loaded + %d)(performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd)`, seen.Milliseconds()))
}

// press sends keys whose times are so far apart, and those of two parts further. A pause lies between two bursts.
func (p *Page) press(apart, pause time.Duration, parts ...string) {
	p.t.Helper()
	p.keys = p.keys.Add(time.Second / 2)
	if now := time.Now(); p.keys.Before(now) { // the browser does not take events from before others
		p.keys = now
	}
	p.send(apart, pause, parts...)
}

func (p *Page) send(apart, pause time.Duration, parts ...string) {
	p.t.Helper()
	var keys []chromedp.Action[chromedp.Void]
	for i, part := range parts {
		if i > 0 {
			p.keys = p.keys.Add(pause)
		}
		for _, r := range part {
			p.keys = p.keys.Add(apart)
			events := kb.Encode(r)
			if len(events) == 3 { // the character goes with the key: sent by itself it would be typed even where the page has prevented that
				events[0].Text, events[0].UnmodifiedText = events[1].Text, events[1].UnmodifiedText
				events = []*input.DispatchKeyEventParams{events[0], events[2]}
			}
			for _, k := range events {
				k.Timestamp = input.TimeSinceEpoch(float64(p.keys.UnixNano()) / 1e9)
				keys = append(keys, call(input.DispatchKeyEvent, *k))
			}
		}
	}
	p.do(keys...)
}

// Heap is what the page's scripts have in use, in bytes, and how many nodes its document has, after the rubbish is taken away.
func (p *Page) Heap() (bytes float64, nodes int) {
	p.t.Helper()
	bytes = p.collected()
	return bytes, Value[int](p, `document.getElementsByTagName("*").length`)
}

func (p *Page) collected() (bytes float64) {
	p.t.Helper()
	p.do(func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		if err := t.Call(ctx, "HeapProfiler.collectGarbage", nil, nil); err != nil {
			return v, err
		}
		var usage struct {
			UsedSize float64 `json:"usedSize"`
		}
		err = t.Call(ctx, "Runtime.getHeapUsage", nil, &usage)
		bytes = usage.UsedSize
		return v, err
	})
	return bytes
}
