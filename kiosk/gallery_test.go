package kiosk

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"station/kiosk/kiosktest"
	"station/ledger"
	"station/provision"
)

var (
	write = flag.String("write", "", "folder to which TestGallery writes pictures of the wall and of signing in")
	only  = flag.String("only", "", "part of the names of the pictures that TestGallery writes")
)

// picture is a page as it is drawn, without a station behind it.
type picture struct {
	name, page string
	state      State
	role       Role
	data       any
	high       bool
	lost       bool
	open       string   // slot whose details are open
	scanned    string   // code and answer at the foot
	size       [2]int64 // of the window; where it is not given, those of a line
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func gallery() []picture {
	base := func(rows ...[]Tile) State {
		return State{Station: "line-3", Simulated: true, Started: noon, Rows: rows, Mirror: ledger.MirrorSecondDisk, Shift: &Shift{By: "op-7", Begun: noon},
			Job: &Job{Recipe: ledger.Recipe{ID: "gateway-boot", Version: 3, Title: "Gateway boot flash"}, Quantity: 50, Passed: 12, Failed: 1}}
	}
	free := func(slot string) Tile { return Tile{Slot: slot, State: provision.Free} }
	armed := func(slot, serial string) Tile {
		return Tile{Slot: slot, State: provision.Armed, Serial: serial, Said: &Said{Word: "put-in", Facts: map[string]string{"slot": slot, "serial": serial}}}
	}
	run := func(slot, serial string, r Running) Tile {
		return Tile{Slot: slot, State: provision.Running, Serial: serial, There: true, Run: &r, UID: "a4f1970c22d85e3ba4f1970c22d85e3b"}
	}
	ended := func(slot, serial string, o ledger.Outcome, cause, message, next string) Tile {
		return Tile{Slot: slot, State: provision.Occupied, Serial: serial, There: true, Held: o == ledger.Fail, UID: "a4f1970c22d85e3ba4f1970c22d85e3b",
			Result: &Result{Outcome: o, Cause: cause, Message: message, Next: next, Run: "3f9a12c4b8e07d51", Code: "3f9a12c4", Duration: 47_300, Report: true}}
	}
	bin := "Put the board into the reject bin; it needs disposition."
	writing := run("1", "GW-000121", Running{Phase: "writing", Step: 1, Of: 6, StepKind: "write", Title: "Write boot", Percent: 64, Overall: 31, Elapsed: 22_000, Remaining: 49_000})
	verifying := run("2", "GW-000122", Running{Phase: "verifying", Step: 2, Of: 6, StepKind: "write", Title: "Write identity", Percent: 8, Overall: 58, Elapsed: 41_000, Remaining: 29_000})
	permanent := run("3", "GW-000123", Running{Phase: "step-began", Step: 5, Of: 6, StepKind: "password", Title: "Set the password and switch its mode on", Permanent: true, Percent: -1, Overall: 88, Elapsed: 66_000, Remaining: 9_000})
	pass := ended("1", "GW-000117", ledger.Pass, "", "Every step was confirmed on the chip.", "")
	fail := ended("2", "GW-000118", ledger.Fail, "verify-mismatch", "Verify failed at 0x012A40: wanted 5A, the chip holds 52.", bin)
	errored := ended("3", "GW-000119", ledger.Error, "contact-unstable", "The contact is unstable: the chip answers differently each time.", "Reseat the board; if it happens again, clean slot 3.")
	refused := ended("4", "GW-000120", ledger.Refused, "wrong-part", "The chip is a Winbond W25Q128 (EF 40 18), and the recipe is for MT25QL128ABB.", "This board does not belong to this recipe: check the order and the board.")
	aborted := ended("1", "GW-000124", ledger.Aborted, "aborted", "Someone stopped the run.", "Scan the unit again to finish it.")
	interrupted := ended("2", "GW-000125", ledger.Interrupted, "password-torn", "The chip holds a password that was only half written.", "Put the board aside: a person has to decide.")
	trial := ended("3", "GW-000126", ledger.Trial, "trial", "Stopped before the first permanent step.", "")
	at := func(t Tile, slot string) Tile { t.Slot = slot; return t }
	next := func(s State, word string, facts ...string) State {
		s.Next = Said{Word: word, Facts: map[string]string{}, Text: word}
		for i := 0; i < len(facts); i += 2 {
			s.Next.Facts[facts[i]] = facts[i+1]
		}
		return s
	}
	started := base([]Tile{{Slot: "1", State: Unwatched}, {Slot: "2", State: Unwatched}}, []Tile{{Slot: "3", State: Unwatched}, {Slot: "4", State: Unwatched}})
	started.Job = nil
	left := base([]Tile{{Slot: "1", State: Unwatched}, {Slot: "2", State: Unwatched, There: true}}, []Tile{{Slot: "3", State: Unwatched}, {Slot: "4", State: Unwatched}})
	left.Job = nil
	four := base([]Tile{writing, verifying}, []Tile{permanent, armed("4", "GW-000127")})
	outcomes := base([]Tile{pass, fail}, []Tile{errored, refused})
	others := base([]Tile{aborted, interrupted}, []Tile{trial, free("4")})
	eight := base([]Tile{at(writing, "1"), at(pass, "2"), at(fail, "3"), at(verifying, "4")}, []Tile{at(permanent, "5"), at(errored, "6"), at(refused, "7"), armed("8", "GW-000127")})
	broken := base([]Tile{{Slot: "1", State: provision.Occupied, There: true, Serial: "GW-000115", Said: &Said{Word: "open-run-here", Facts: map[string]string{"slot": "1", "serial": "GW-000115"}}},
		{Slot: "2", State: provision.Occupied, There: true, Serial: "GW-000116", Said: &Said{Word: "open-run-here", Facts: map[string]string{"slot": "2", "serial": "GW-000116"}}}},
		[]Tile{free("3"), free("4")})
	broken.Open = []Open{{Serial: "GW-000115", Slot: "1", Here: "1"}, {Serial: "GW-000116", Slot: "2", Here: "2"}, {Serial: "GW-000098", Slot: "4", Person: &Said{Text: "a person decides"}}}
	hands := base([]Tile{{Slot: "1", State: provision.Scanned, Serial: "GW-000128", Said: &Said{Word: "scan-value", Facts: map[string]string{"slot": "1", "serial": "GW-000128", "value": "mac"}}},
		run("2", "GW-000129", Running{Phase: "reseat", Step: 4, Of: 6, Percent: -1, Overall: 70, Elapsed: 50_000, Remaining: -1})},
		[]Tile{{Slot: "3", State: provision.Free, Stopped: true}, {Slot: "4", State: provision.Occupied, There: true, Said: &Said{Word: "not-scanned", Facts: map[string]string{"slot": "4"}}}},
		[]Tile{{Slot: "5", Excluded: true}, {Slot: "6", State: provision.Unseen, Problem: &Said{Word: "no-programmer", Text: "No programmer is at USB port 1-4.2.", Next: "Plug it in."}}},
		[]Tile{{Slot: "7", State: provision.Unseen}, {}})
	hands.Mirror = ledger.MirrorAway
	var many [][]Tile
	kinds := []Tile{writing, pass, verifying, free(""), permanent, fail, errored, armed("", "GW-000130"), refused, writing, pass, interrupted, aborted, trial, pass, {Excluded: true}}
	for y := range 4 {
		var row []Tile
		for x := range 8 {
			n := y*8 + x
			row = append(row, at(kinds[(n*7+y)%len(kinds)], fmt.Sprint(n+1)))
		}
		many = append(many, row)
	}
	one := base([]Tile{at(fail, "1")})
	var long [][]Tile
	for y := range 4 {
		var row []Tile
		for x := range 4 {
			kind := at(kinds[(y*4+x)*7%len(kinds)], fmt.Sprint(y*4+x+1))
			if kind.Serial != "" {
				kind.Serial = fmt.Sprintf("PCBA-2026-11-26-LINE3-%06d", 4711+y*4+x)
			}
			row = append(row, kind)
		}
		long = append(long, row)
	}

	return append([]picture{
		{name: "wall-idle", page: "wall", state: next(started, "next-no-job")},
		{name: "wall-left", page: "wall", state: next(left, "next-left", "slot", "2")},
		{name: "wall-running", page: "wall", state: next(four, "next-put-in", "serial", "GW-000127", "slot", "4"), scanned: "GW-000127"},
		{name: "wall-outcomes", page: "wall", state: next(outcomes, "next-take-fail", "serial", "GW-000118", "slot", "2", "card", "REJECT")},
		{name: "wall-outcomes-other", page: "wall", state: next(others, "next-take-out", "serial", "GW-000124", "slot", "1", "outcome", "ABORTED")},
		{name: "wall-interrupted", page: "wall", state: next(broken, "next-resume-all", "count", "2", "slots", "1, 2", "card", "RESUME")},
		{name: "wall-hands", page: "wall", state: next(hands, "next-reseat", "serial", "GW-000129", "slot", "2")},
		{name: "wall-8", page: "wall", state: next(eight, "next-put-in", "serial", "GW-000127", "slot", "8")},
		{name: "wall-32", page: "wall", state: next(base(many...), "next-scan", "slot", "4")},
		{name: "wall-long", page: "wall", state: next(base(long...), "next-scan", "slot", "4"), size: [2]int64{1024, 768}},
		{name: "wall-zoomed", page: "wall", state: next(outcomes, "next-take-fail", "serial", "GW-000118", "slot", "2", "card", "REJECT"), size: [2]int64{640, 400}},
		{name: "wall-1", page: "wall", state: next(one, "next-take-fail", "serial", "GW-000118", "slot", "1", "card", "REJECT")},
		{name: "wall-fail-card", page: "wall", state: next(outcomes, "next-take-fail", "serial", "GW-000118", "slot", "2", "card", "REJECT"), open: "2"},
		{name: "wall-contrast", page: "wall", state: next(eight, "next-put-in", "serial", "GW-000127", "slot", "8"), high: true},
		{name: "wall-lost", page: "wall", state: next(four, "next-put-in", "serial", "GW-000127", "slot", "4"), lost: true},
		{name: "signin", page: "signin", state: started, role: "nobody"},
		{name: "setup", page: "setup", state: started, role: "nobody"},
	}, besideGallery()...)
}

// draw renders a picture, in a language.
func (p *pages) draw(pic picture, lang string) ([]byte, error) {
	role := cmp.Or(pic.role, Supervisor)
	if role == "nobody" {
		role = ""
	}
	v := view{Page: pic.page, Lang: lang, Languages: Languages, Who: visitor{Role: role, Token: "t"}, Scanner: Scanner{Suffix: "Enter"}, State: pic.state, Data: pic.data}
	if role != "" {
		v.Who.Person = &Person{ID: "sv-2", Name: map[string]string{"en": "Ada Okafor", "zh-CN": "王芳"}[lang], Role: role}
	}
	if pic.high {
		v.Contrast = "high"
	}
	var b bytes.Buffer
	err := p.pages[lang][pic.page].ExecuteTemplate(&b, "layout.html", v)
	return b.Bytes(), err
}

// still answers what drawn pages ask for by themselves, of a station in which nothing happens.
func (p *pages) still() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /assets/", p.assets)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: heartbeat\ndata: {}\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return mux
}

// Every picture can be drawn in every language, nothing in it is inline or of another host, and no sentence is missing. With -write they are taken in a browser: `make pictures`.
func TestGallery(t *testing.T) {
	p := newPages(Options{Language: "en", Log: slog.New(slog.DiscardHandler)})
	mux := p.still()
	for _, pic := range gallery() {
		for _, lang := range Languages {
			b, err := p.draw(pic, lang)
			if err != nil {
				t.Fatalf("%s in %s: %v", pic.name, lang, err)
			}
			for _, never := range []string{"http:", "https:", "<style", " style=", " onclick=", "ZgotmplZ", "<no value>"} {
				if strings.Contains(string(b), never) {
					t.Errorf("%s in %s: %q stands in the page", pic.name, lang, never)
				}
			}
			mux.HandleFunc("GET /"+lang+"/"+pic.name, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
				w.Write(b)
			})
		}
	}
	if *write == "" {
		return
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.CloseClientConnections)
	if err := os.MkdirAll(*write, 0o755); err != nil {
		t.Fatal(err)
	}
	page := kiosktest.Start(t).Open(t, server.URL+"/en/wall-idle", 1280, 800)
	for _, pic := range gallery() {
		for _, lang := range Languages {
			if !strings.Contains(pic.name+"-"+lang, *only) {
				continue
			}
			page.Go(server.URL + "/" + lang + "/" + pic.name)
			page.Wait(`document.fonts.status === "loaded"`)
			pic.arrange(page)
			sizes := [][2]int64{{1280, 800}, {1920, 1080}}
			if pic.size[0] != 0 {
				sizes = [][2]int64{pic.size}
			}
			for _, size := range sizes {
				page.Resize(size[0], size[1])
				page.Picture(filepath.Join(*write, fmt.Sprintf("%s-%s-%d.webp", pic.name, lang, size[0])))
			}
		}
	}
}

// arrange brings a page into what only its script shows.
func (pic picture) arrange(page *kiosktest.Page) {
	if pic.page == "wall" && !pic.lost {
		page.Wait(`document.getElementById("link").classList.contains("up")`)
	}
	if pic.scanned != "" {
		page.Wait(`fetch(document.documentElement.dataset.text).then(r => r.json()).then(t => station.echo("` + pic.scanned + `", "accept", t["said.put-in"].replace("{slot}", "4").replace("{serial}", "` + pic.scanned + `"))) && true`)
		page.Wait(`document.getElementById("echo").dataset.tone !== ""`)
	}
	if pic.open != "" {
		page.Click(`[data-slot="` + pic.open + `"] [data-open]`)
	}
	if pic.lost {
		page.Wait(`station.lose() || true`)
	}
}
