package kiosk

import (
	"log/slog"
	"maps"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A page is rendered in the language that was chosen, and nothing in it is of another host or inline.
func TestPagesAreOursAlone(t *testing.T) {
	p := newPages(Options{Language: "en", Log: slog.New(slog.DiscardHandler)})
	for _, lang := range Languages {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", languageCookie+"="+lang)
		w := httptest.NewRecorder()
		p.show(w, r, 200, "wall", nil)
		body := w.Body.String()
		if w.Code != 200 || !strings.Contains(body, `<html lang="`+lang+`"`) || !strings.Contains(body, p.texts[lang]["page.wall"]) {
			t.Errorf("%s: %d %s", lang, w.Code, body)
		}
		for _, never := range []string{"http:", "https:", "<style", " style=", " onclick=", "ZgotmplZ"} {
			if strings.Contains(body, never) {
				t.Errorf("%s: %q stands in the page", lang, never)
			}
		}
	}
}

func TestAssetsAreNamedByTheirContent(t *testing.T) {
	a := newAssets()
	for name := range a.files {
		url, err := a.url(name)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
		if w.Code != 200 || w.Header().Get("Content-Type") == "" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Body.Len() != len(a.files[name]) {
			t.Errorf("%s: %d %v", url, w.Code, w.Header())
		}
	}
	for _, other := range []string{"/assets/station.css", "/assets/000000000000/station.css", "/assets/" + a.hash + "/../text.go", "/assets/" + a.hash + "/"} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest("GET", other, nil))
		if w.Code != 404 {
			t.Errorf("%s: %d", other, w.Code)
		}
	}
}

func TestClockOf(t *testing.T) {
	for ms, want := range map[int64]string{0: "0:00", 7_400: "0:07", 65_000: "1:05", 3_723_000: "1:02:03"} {
		if got := clockOf(msOf(ms)); got != want {
			t.Errorf("%d ms: %s, want %s", ms, got, want)
		}
	}
}

// Every tone that the wall or an answer may have sounds, and no two sound alike.
func TestTones(t *testing.T) {
	script, err := assetFiles.ReadFile("assets/tone.js")
	if err != nil {
		t.Fatal(err)
	}
	heard := map[string]Tone{}
	for _, tone := range slices.Concat(slices.Collect(maps.Values(toneOfUnit)), []Tone{Accept, Reject, Attention}) {
		motif := regexp.MustCompile(`(?m)^    ` + string(tone) + `: \{ wave: '[a-z]+', notes: (.*) \},$`).FindSubmatch(script)
		if motif == nil {
			t.Errorf("%s has no motif", tone)
			continue
		}
		if other, same := heard[string(motif[1])]; same {
			t.Errorf("%s sounds as %s does", tone, other)
		}
		heard[string(motif[1])] = tone
	}
}
