package kiosk

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"station/kiosk/kiosktest"
	"station/ledger"
	"station/provision"
)

// counter is a station behind a wire that can be cut.
type counter struct {
	*site
	url     string
	away    atomic.Bool  // requests are not answered
	deaf    atomic.Int32 // so many scans are taken, and the answer is lost
	handler atomic.Pointer[http.Handler]
	server  *httptest.Server
}

func newCounter(t *testing.T) *counter {
	c := &counter{site: openSite(t, time.Now())}
	c.handler.Store(&c.site.handler)
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.away.Load() {
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
			return
		}
		if r.URL.Path == "/api/v1/scan" && c.deaf.Add(-1) >= 0 {
			(*c.handler.Load()).ServeHTTP(httptest.NewRecorder(), r)
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
			return
		}
		(*c.handler.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		c.away.Store(true)
		c.server.CloseClientConnections()
		c.server.Close()
	})
	c.url = strings.Replace(c.server.URL, "127.0.0.1", "localhost", 1)
	return c
}

// cut takes the connection away, also what is under way.
func (c *counter) cut() {
	c.away.Store(true)
	c.server.CloseClientConnections()
}

func openSite(t *testing.T, started time.Time) *site {
	wall := NewWall(WallOptions{Station: "line-1", Simulated: true, Started: started, Rows: [][]string{{"1", "2"}}})
	wall.Slots([]provision.SlotStatus{{Slot: "1", State: provision.Free}, {Slot: "2", State: provision.Free}})
	return newSite(t, Options{Open: true, People: nobodyYet(t, func(context.Context, ledger.Body) error { return nil }), Wall: wall})
}

// A code that does not come whole is thrown away, and its tail is none; what comes whole is taken, slowly too where nobody can type.
func TestScansInPieces(t *testing.T) {
	c := newCounter(t)
	page := kiosktest.Start(t).Open(t, c.url+"/", 1280, 800)
	page.Wait(`document.getElementById("link").classList.contains("up")`)
	const quick, slow, rest = 4 * time.Millisecond, 60 * time.Millisecond, 60 * time.Millisecond
	away := `document.activeElement.blur() || true`
	field := `document.getElementById("hand-code").focus() || true`
	type try struct {
		what, focus  string
		apart, pause time.Duration
		parts        []string
		taken        string // "" for a rejected one
	}
	scan := func(x try) {
		page.Wait(x.focus)
		page.Wait(`station.heard.length = 0, document.getElementById("echo").dataset.tone = "", true`)
		page.Keys(x.apart, x.pause, x.parts...)
		want, tones := []string(nil), "reject"
		if x.taken != "" {
			for code := range strings.SplitSeq(x.taken, " ") {
				want = append(want, "scan "+code+" by unnamed")
			}
			tones = strings.TrimSuffix(strings.Repeat("accept,", len(want)), ",")
		}
		page.Wait(fmt.Sprintf(`station.heard.length >= %d && document.getElementById("echo").dataset.tone === %q`, max(1, len(want)), tones[:6]))
		if got := c.station.wanted(); !slices.Equal(got, want) {
			t.Errorf("%s: the station was asked for %q, want %q", x.what, got, want)
		}
		if got := kiosktest.Value[string](page, `station.heard.join()`); got != tones {
			t.Errorf("%s: heard %q, want %q", x.what, got, tones)
		}
		if got := kiosktest.Value[string](page, `document.getElementById("hand-code").value`); got != "" {
			t.Errorf("%s: the field has %q", x.what, got)
		}
	}
	for _, x := range []try{
		{"a slow scanner, nothing has the focus", away, slow, 0, []string{"GW-000309\r"}, "GW-000309"},
		{"a short pause, nothing has the focus", away, quick, rest, []string{"PCBA-", "20260001\r"}, "PCBA-20260001"},
		{"two at once", away, quick, quick, []string{"GW-000309\r", "GW-000310\r"}, "GW-000309 GW-000310"},
		{"a pause", away, quick, 400 * time.Millisecond, []string{"PCBA-", "20260001\r"}, ""},
		{"a tabulator inside", away, quick, quick, []string{"GW-000309\t020000000101\r"}, ""},
		{"a key that is no character", away, quick, quick, []string{"A", kb.F2, "GW-000309\r"}, ""},
		{"a dead key at first", away, quick, quick, []string{"\u2603", "GW-000309\r"}, ""},
		{"no end", away, quick, quick, []string{"GW-000309"}, ""},
		{"two, of which the first is cut", away, quick, quick, []string{"GW-", kb.F2, "000309\r", "GW-000310\r"}, ""},
		{"a pause in a field", field, quick, rest, []string{"PCBA-", "20260001\r"}, ""},
		{"a pause soon after the beginning, in a field", field, quick, rest, []string{"PC", "BA-20260001\r"}, ""},
		{"a tabulator inside, in a field", field, quick, quick, []string{"GW-000309\t020000000101\r"}, ""},
		{"a key that is no character, in a field", field, quick, quick, []string{"A", kb.F2, "GW-000309\r"}, ""},
		{"no end, in a field", field, quick, quick, []string{"GW-000309"}, ""},
	} {
		scan(x)
	}
	c.pages.o.Scanner.Prefix = "~"
	page.Go(c.url + "/")
	page.Wait(`document.getElementById("link").classList.contains("up")`)
	for _, x := range []try{
		{"a prefix", away, quick, 0, []string{"~GW-000309\r"}, "GW-000309"},
		{"a prefix that is missing", away, quick, 0, []string{"GW-000309\r"}, ""},
		{"a prefix that is missing, in a field, and what follows at once", field, quick, quick, []string{"GW-000309\r", "~GW-000310\r"}, ""},
	} {
		scan(x)
	}
}

// A page is left for another while a code comes: its beginning is no code of the one, and its end none of the other. A page that is loaded anew by itself waits for the end of a code.
func TestScanWhilePagesChange(t *testing.T) {
	c := newCounter(t)
	browser := kiosktest.Start(t)
	for _, focus := range []string{`document.activeElement.blur() || true`, `document.getElementById("hand-code").focus() || true`} {
		for _, tail := range []string{":small.yaml:8", "8"} {
			page := browser.Open(t, c.url+"/", 1280, 800)
			page.Wait(focus)
			page.Keys(4*time.Millisecond, 0, "JOB")
			page.Go(c.url + "/")
			page.Wait(focus)
			page.Tail(tail)
			page.Wait(`document.getElementById("echo").dataset.tone === "reject" && document.getElementById("echo-code").innerText === "••••••"`)
			page.Scan("GW-000001")
			page.Wait(`document.getElementById("echo").dataset.tone === "accept"`)
			if got, want := c.station.wanted(), []string{"scan GW-000001 by unnamed"}; !slices.Equal(got, want) {
				t.Errorf("after the end %q the station was asked for %q, want %q", tail, got, want)
			}
		}
	}

	page := browser.Open(t, c.url+"/", 1280, 800)
	page.Wait(`addEventListener("pagehide", () => sessionStorage.setItem("left", Date.now())), performance.now = () => 1e6, true`) // the last key came just now
	page.Keys(4*time.Millisecond, 0, "JOB")
	page.Wait(`sessionStorage.setItem("asked", Date.now()), document.querySelector("[data-language=zh-CN]").click(), true`)
	page.Wait(`document.documentElement.lang === "zh-CN"`)
	if waited := kiosktest.Value[float64](page, `sessionStorage.getItem("left") - sessionStorage.getItem("asked")`); waited < 900 {
		t.Errorf("the page was left after %v ms, in the middle of a code", waited)
	}
}

// The page that comes is told of every scan that has no answer yet.
func TestScansWithoutAnswer(t *testing.T) {
	c := newCounter(t)
	page := kiosktest.Start(t).Open(t, c.url+"/", 1280, 800)
	page.Expect("Failed to load resource") // the connection is cut
	page.Wait(`document.getElementById("link").classList.contains("up")`)
	c.cut()
	page.Wait(`!document.getElementById("lost").hidden`)
	page.Scan("GW-000002")
	page.Scan("GW-000003")
	page.Wait(`station.waiting.length === 2`)
	if told := kiosktest.Value[string](page, `dispatchEvent(new Event("pagehide")), sessionStorage.getItem("echo") ?? ""`); !strings.Contains(told, "GW-000002, GW-000003") {
		t.Errorf("the next page is told %q of two scans that wait", told)
	}
}

// htmx holds the stream by an extension, which may come late.
func TestStreamOfALatePage(t *testing.T) {
	c := newCounter(t)
	next := c.handler.Load()
	late := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "hx-sse") {
			time.Sleep(time.Second)
		}
		(*next).ServeHTTP(w, r)
	}))
	c.handler.Store(&late)
	page := kiosktest.Start(t).Open(t, c.url+"/", 1280, 800)
	page.Wait(`window.first = true`)
	page.Wait(`document.getElementById("link").classList.contains("up")`)
	if !kiosktest.Value[bool](page, `!!window.first`) {
		t.Error("the page had no stream before it was loaded anew")
	}
}

// What a scanner types is a scan whatever has the focus, and what fingers type is not; a scan is sent once, in order, and not after 10 s without a connection.
// A hundred scans a minute are all taken. A result is heard, and a page finds a station that was started anew.
func TestScanning(t *testing.T) {
	c := newCounter(t)
	page := kiosktest.Start(t).Open(t, c.url+"/", 1280, 800)
	page.Expect("Failed to load resource") // the connection is cut
	up := `document.getElementById("link").classList.contains("up")`
	page.Wait(up)
	scanned := func(what string, codes ...string) {
		t.Helper()
		var got []string
		for deadline := time.Now().Add(10 * time.Second); len(got) < len(codes) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			got = append(got, c.station.wanted()...)
		}
		var want []string
		for _, code := range codes {
			want = append(want, "scan "+code+" by unnamed")
		}
		time.Sleep(50 * time.Millisecond)
		if got = append(got, c.station.wanted()...); !slices.Equal(got, want) {
			t.Errorf("%s: the station was asked for %q, want %q", what, got, want)
		}
	}
	field := `document.getElementById("hand-code")`

	page.Scan("GW-000001")
	scanned("nothing has the focus", "GW-000001")

	page.Wait(field + `.focus() || true`)
	page.Type("ab c")
	page.Scan("gw 000/2:x_Y")
	scanned("a field has the focus", "gw 000/2:x_Y")
	if got := kiosktest.Value[string](page, field+`.value`); got != "ab c" {
		t.Errorf("the field has %q, and was given %q by hand", got, "ab c")
	}
	page.Scan("A7")
	scanned("two characters", "A7")
	page.Type("\r")
	scanned("by hand", "ab c")

	page.Wait(`document.querySelector("[data-contrast-switch]").focus() || true`)
	page.Scan("A  B")
	scanned("a button has the focus", "A  B")
	if kiosktest.Value[string](page, `document.documentElement.dataset.contrast ?? ""`) != "" {
		t.Error("a scan pressed a button")
	}

	page.Scan("adge:" + strings.ToLower(badgeOf("op-1"))[6:])
	page.Wait(`document.getElementById("echo").dataset.tone === "reject" && document.getElementById("echo-code").textContent === "••••••"`)
	scanned("a badge that was not read whole")

	var many []string
	page.Wait(`station.heard.length = 0, true`)
	began := time.Now()
	for i := range 100 {
		code := fmt.Sprintf("GW-1%05d", i)
		many = append(many, code)
		page.Scan(code)
		page.Wait(`station.waiting.length < 10`) // one waits for 10 s at most, on a slow machine too
	}
	scanned("a hundred after each other", many...)
	page.Wait(`station.heard.length === 100 && station.heard.every(tone => tone === "accept")`)
	if d := time.Since(began); d > time.Minute {
		t.Errorf("a hundred scans took %v, want them all within a minute", d)
	}

	c.cut()
	page.Wait(`!document.getElementById("lost").hidden`)
	page.Scan("GW-000003")
	page.Scan("GW-000004")
	page.Wait(`document.getElementById("echo").dataset.tone === "wait"`)
	c.away.Store(false)
	scanned("what waited for the connection", "GW-000003", "GW-000004")
	page.Wait(up)

	c.deaf.Store(2)
	page.Scan("GW-000007")
	page.Wait(`document.getElementById("echo").dataset.tone === "accept" && document.getElementById("echo-code").innerText === "GW-000007"`)
	scanned("an answer that was lost", "GW-000007")
	c.deaf.Store(0)

	c.cut()
	page.Wait(`!document.getElementById("lost").hidden`)
	page.Scan("GW-000005")
	page.Wait(`station.waiting.length === 1`)
	page.Wait(`(performance.now = (then => () => then() + 10000)(performance.now.bind(performance))) && true`)
	page.Wait(`station.waiting.length === 0 && station.heard.at(-1) === "reject"`)
	c.away.Store(false)
	page.Wait(up)
	page.Scan("GW-000006")
	scanned("what waited too long is not sent", "GW-000006")

	page.Wait(`station.heard.length = 0, true`)
	c.o.Wall.Result("1", "GW-000006", &Result{Outcome: ledger.Fail, Cause: "verify-mismatch", Run: "3f9a12c4b8e07d51", Code: "3f9a12c4"}, true)
	page.WaitText(`[data-slot="1"] .result-word`, "FAIL")
	page.Wait(`station.heard.join() === "fail"`)

	other := openSite(t, time.Now().Add(time.Minute))
	c.handler.Store(&other.handler)
	c.cut()
	c.away.Store(false)
	page.Wait(fmt.Sprintf(`document.documentElement.dataset.started === "%d" && %s`, other.o.Wall.State().Started.UnixMilli(), up))
	page.WaitText(`[data-slot="1"]`, "Free")
}

// What an answer names and what it has not is as in the catalogue; and it stands at the foot in the language that it was said in, so that it goes with it.
func TestAnswerAndLanguage(t *testing.T) {
	c := newCounter(t)
	c.station.answer = func(string) (Answer, error) {
		return Answer{Tone: Attention, Said: Said{Word: WordShiftAgain, Text: "a terminal's", Facts: map[string]string{"slots": "2", "card": CardEndShift}}}, nil
	}
	page := kiosktest.Start(t).Open(t, c.url+"/", 1280, 800)
	page.Wait(`document.getElementById("link").classList.contains("up")`)
	page.Scan(CardEndShift)
	page.Wait(`document.getElementById("echo").innerText.includes("A board is in slot 2. Scan END-SHIFT again within 10 s to end the shift")`)
	page.Click(`[data-language="zh-CN"]`)
	page.Wait(`document.documentElement.lang === "zh-CN" && document.getElementById("link").classList.contains("up")`)
	if tone := kiosktest.Value[string](page, `document.getElementById("echo").dataset.tone`); tone != "" {
		t.Errorf("at the foot: %q", page.Text("#echo"))
	}
}
