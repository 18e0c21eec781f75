package kiosk

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"station/kiosk/kiosktest"
	"station/ledger"
)

// A page of before the station's last start is loaded anew where something was scanned or pressed, and the new one says that this was not taken, as past.
func TestStalePage(t *testing.T) {
	t.Parallel()
	start := func() *http.Handler {
		x := newSite(t, Options{People: nobodyYet(t, func(context.Context, ledger.Body) error { return nil }), Open: true})
		x.Server.o.Wall.Shift(&Shift{By: "op-1", Checks: []ledger.Check{{Name: "mirror", OK: true}}})
		return &x.handler
	}
	var now atomic.Pointer[http.Handler]
	now.Store(start())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*now.Load()).ServeHTTP(w, r) }))
	t.Cleanup(server.CloseClientConnections)
	page := kiosktest.Start(t).Open(t, server.URL+"/shift", 1280, 800)
	page.Expect("403")
	for _, do := range []func(){func() { page.Scan("RESUME") }, func() { page.Click(`[data-api="POST /api/v1/shift/end"]`) }} {
		page.Wait(`(window.before = true) && document.getElementById("link").classList.contains("up")`)
		now.Store(start())
		do()
		page.WaitText("#echo-said", "This page is of before the station's last start")
		page.Wait(`!window.before && document.readyState === "complete"`)
		page.WaitText("#echo-said", "Not taken: the page was of before the station's last start")
		if got := page.Text("#echo-next"); got != "It was loaded again: do it once more." {
			t.Errorf("and then %q", got)
		}
	}
}

// Sentences that could not be fetched when the page was loaded are fetched when one is needed.
func TestSentencesAreFetchedAgain(t *testing.T) {
	t.Parallel()
	x := newSite(t, Options{People: nobodyYet(t, func(context.Context, ledger.Body) error { return nil }), Open: true})
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".json") && strings.Contains(r.URL.Path, "en") && asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		x.handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.CloseClientConnections)
	page := kiosktest.Start(t).Open(t, server.URL+"/shift", 1280, 800)
	page.Expect("the server responded with a status of") // 503, and 401 for the badge
	page.Wait(`document.getElementById("link").classList.contains("up")`)
	page.Scan("BADGE:" + strings.Repeat("A", 26))
	page.WaitText("#echo-code", "Badge")
	if asked.Load() != 2 {
		t.Errorf("sentences were asked for %d times", asked.Load())
	}
}
