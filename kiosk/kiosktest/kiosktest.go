// Package kiosktest is a person at the station's pages, for tests: a headless Chromium that scans as a wedge scanner types, presses buttons, and reads what it sees.
// It knows browsers and nothing of the station.
package kiosktest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// limit is how long a page may take for any one thing.
const limit = time.Minute

// Browser is a Chromium of a test, with a profile of its own.
type Browser struct{ ctx context.Context }

// Start starts a Chromium, which ends with the test. Where there is none the test is not run, which CI does not allow.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no browser: %v; `make setup-test` installs it", err)
		}
		t.Skipf("NOT RUN: no browser: %v; `make setup-test` installs it", err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("mute-audio", true))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(ctx, chromedp.WithLogf(t.Logf))
	if err := chromedp.Do(ctx); err != nil {
		stop()
		t.Fatalf("Chromium does not start: %v", err)
	}
	t.Cleanup(func() { end(); stop() })
	return &Browser{ctx}
}

// Page is a tab of a Browser with cookies of its own. When the test ends, a page that asked another host for anything, or that complained of anything, fails it.
type Page struct {
	t    testing.TB
	ctx  context.Context
	keys time.Time // of the last key
	host string

	mu       sync.Mutex
	foreign  []string // requests to other hosts
	problems []string // what the console says
	allowed  []string // of problems: parts of those that a test expects
}

// Open opens a page for a test, which may be part of the browser's own, and waits until it is loaded.
func (b *Browser) Open(t testing.TB, address string, width, height int64) *Page {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p := &Page{t: t, host: u.Host}
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.heard))
	p.ctx = ctx
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, f := range p.foreign {
			t.Errorf("the page asked another host: %s", f)
		}
		for _, line := range p.problems {
			if !slices.ContainsFunc(p.allowed, func(part string) bool { return strings.Contains(line, part) }) {
				t.Errorf("the page complains: %s", line)
			}
		}
		end()
	})
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context of its first action
		t.Fatal(err)
	}
	p.do(call(log.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{}), chromedp.EmulateViewport(width, height), chromedp.Navigate(address))
	return p
}

func call[P, R any](command commandOf[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		var answer R
		return chromedp.Void{}, t.Call(ctx, command.Method, params, &answer)
	}
}

// heard is told everything that happens in the tab.
func (p *Page) heard(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Host != p.host && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "ws" || u.Scheme == "wss") {
			p.foreign = append(p.foreign, e.Request.URL)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			p.problems = append(p.problems, e.Entry.Text+" "+e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, fmt.Sprintf("%s %s:%d", e.ExceptionDetails.Text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber))
		if thrown := e.ExceptionDetails.Exception; thrown != nil {
			p.problems[len(p.problems)-1] += " " + thrown.Description
		}
	}
}

// Expect has the console say lines with this part.
func (p *Page) Expect(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, part)
}

func (p *Page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("%v\nthe page shows:\n%s", err, p.visible())
	}
}

// visible is the text of the page, for messages; "" where it cannot be had.
func (p *Page) visible() string {
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	return text
}

// Go opens another address in the page, and waits until it is loaded.
func (p *Page) Go(address string) {
	p.t.Helper()
	p.do(chromedp.Navigate(address))
}

// Value is that of a JavaScript expression.
func Value[T any](p *Page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v\nthe page shows:\n%s", expression, err, p.visible())
	}
	return v
}

// Wait waits until a JavaScript expression is true. While the page is being loaded anew it is not.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	const pause = 20 * time.Millisecond
	for {
		is, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		switch {
		case ctx.Err() != nil:
			p.t.Fatalf("after %s it is still not so that %s (%v)\nthe page shows:\n%s", limit, expression, errors.Join(err), p.visible())
		case err == nil && is:
			return
		}
		time.Sleep(pause)
	}
}

// WaitText waits until the elements of a CSS selector have this text among what they show.
func (p *Page) WaitText(selector, text string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.innerText.includes(%q))`, selector, text))
}

// Text is what the first element of a CSS selector shows.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	return Value[string](p, fmt.Sprintf(`document.querySelector(%q).innerText`, selector))
}

// Click presses the first element of a CSS selector, once it is there.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// Prefer sets what the person's system prefers.
func (p *Page) Prefer(feature, value string) {
	p.t.Helper()
	p.do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}}))
}
