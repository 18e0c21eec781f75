package kiosk

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"station/ledger"
)

//go:embed templates/*.html
var templateFiles embed.FS

// Cookies in which a browser keeps how its user wants the pages. Nothing secret is in them.
const (
	languageCookie = "station_language" // one of Languages
	contrastCookie = "station_contrast" // "high" or "standard"; not there: what the person's system prefers
)

// pages renders the pages. Each is templates/NAME.html, which defines "main" (and "head", where it has more to say there) inside of layout.html.
type pages struct {
	*library
	o     Options
	drawn drawn
}

// library is what pages are made of. It is the same for every server of the program.
type library struct {
	texts  map[string]Text // by language
	assets *assets
	pages  map[string]map[string]*template.Template // by language, then by name
}

var theLibrary = sync.OnceValue(newLibrary)

func newPages(o Options) *pages { return &pages{library: theLibrary(), o: o} }

// view is what a template is given.
type view struct {
	Page      string // the template's name
	Lang      string // one of Languages
	Languages []string
	Contrast  string // "high", "standard", or "" for what the person's system prefers
	Who       visitor
	Scanner   Scanner
	Badge     string // regular expression of badges
	State     State
	Data      any // of this page alone
}

// navigation is the way to the other pages, and what whoever goes there must be allowed.
var navigation = []struct {
	Page, Path string
	Needs      Action
}{
	{"wall", "/", See},
	{"jobs", "/jobs", See},
	{"shift", "/shift", See},
	{"units", "/units", SeeUnits},
	{"cards", "/cards", See},
	{"users", "/users", SeeUsers},
}

// Signed tells whether whoever looks may see more than how to sign in.
func (v view) Signed() bool { return v.Who.Role.May(See) }

// May tells whether whoever looks may do something.
func (v view) May(a Action) bool { return v.Who.Role.May(a) }

// link is a way to another page.
type link struct{ Page, Path string }

// Nav is the way to the other pages that whoever looks may see.
func (v view) Nav() (links []link) {
	for _, to := range navigation {
		if v.May(to.Needs) {
			links = append(links, link{to.Page, to.Path})
		}
	}
	return links
}

// newLibrary parses every page in every language. What cannot be parsed is a fault of the program: it panics.
func newLibrary() *library {
	p := &library{texts: readTexts(), assets: newAssets(), pages: map[string]map[string]*template.Template{}}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		panic(err)
	}
	shared := []string{"templates/layout.html", "templates/parts.html", "templates/tile.html", "templates/card.html"}
	for lang, text := range p.texts {
		p.pages[lang] = map[string]*template.Template{}
		base := template.Must(template.New("layout.html").Funcs(p.words(lang, text)).Funcs(besideWords(text)).ParseFS(templateFiles, shared...))
		for _, name := range names {
			if !slices.Contains(shared, name) {
				page := template.Must(template.Must(base.Clone()).ParseFS(templateFiles, name))
				p.pages[lang][strings.TrimSuffix(path.Base(name), ".html")] = page
			}
		}
	}
	return p
}

// words are the functions of the templates in one language.
func (p *library) words(lang string, text Text) template.FuncMap {
	return template.FuncMap{
		"t":         text.Say,
		"has":       text.Has,
		"ptr":       func(s Said) *Said { return &s },
		"said":      text.Said,
		"do":        text.Next,
		"due":       text.due,
		"other":     text.other,
		"asset":     p.assets.url,
		"icon":      icon,
		"shape":     shape,
		"ms":        func(ms int64) string { return clockOf(msOf(ms)) },
		"day":       func(t time.Time) string { return t.Local().Format("2006-01-02") },
		"clock":     func(t time.Time) string { return t.Local().Format("15:04") },
		"datetime":  func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -07:00") },
		"code":      CodeOf,
		"lower":     func(o ledger.Outcome) string { return strings.ToLower(string(o)) },
		"join":      strings.Join,
		"group":     group,
		"segment":   url.PathEscape,
		"pad":       func() []string { return []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "", "0", "⌫"} },
		"part":      func(v view) part { return part{v.State, v.Who.Role} },
		"calls":     calls,
		"what":      text.what,
		"detail":    text.detail,
		"why":       text.why,
		"remedy":    func(r *Result) string { return text.remedy(lang, r) },
		"short":     func(r *Result) string { return short(lang, r) },
		"letters":   lettersOf,
		"ending":    ending,
		"exactly":   func(r *Result) string { return text.exactly(lang, r) },
		"faceClass": faceClass,
		"dict":      dict,
		"languageName": func(lang string) string {
			return p.texts[lang].Say("language.name")
		},
		"lang": func() string { return lang },
	}
}

// show writes a page: templates/NAME.html with data, in the language and for whoever asks.
func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	v := p.view(r, name, data)
	var b bytes.Buffer
	if err := p.pages[v.Lang][name].ExecuteTemplate(&b, "layout.html", v); err != nil {
		p.o.Log.Error("a page could not be rendered", "page", name, "cause", err)
		http.Error(w, "the page could not be made: the station's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", v.Lang)
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

func (p *pages) view(r *http.Request, name string, data any) view {
	v := view{Page: name, Lang: p.language(r), Languages: Languages, Who: visitorOf(r.Context()), Scanner: p.o.Scanner, Data: data}
	if p.o.Badge != nil {
		v.Badge = p.o.Badge.String()
	}
	if c, err := r.Cookie(contrastCookie); err == nil && (c.Value == "high" || c.Value == "standard") {
		v.Contrast = c.Value
	}
	v.State = p.state()
	return v
}

// state is what the wall shows.
func (p *pages) state() State {
	if p.o.Wall == nil {
		return State{}
	}
	return p.o.Wall.State()
}

// language is that of whoever asks: chosen on a page before, or the station's. What a browser says of itself does not count: a line has one language.
func (p *pages) language(r *http.Request) string {
	if c, err := r.Cookie(languageCookie); err == nil && p.texts[c.Value] != nil {
		return c.Value
	}
	if p.texts[p.o.Language] != nil {
		return p.o.Language
	}
	return Languages[0]
}

func msOf(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// clockOf writes a duration as 0:07, 12:34 or 1:02:03.
func clockOf(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// group writes a hash or an id in groups of four, which people can read aloud.
func group(s string) string {
	var parts []string
	for part := range slices.Chunk([]byte(s), 4) {
		parts = append(parts, string(part))
	}
	return strings.Join(parts, " ")
}

// dict is a map of what a template hands to another one: a name, its value, the next name.
func dict(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m
}

// shape is the icon of an outcome: with the word and the colour it says the same three times, for those who cannot tell one of them.
func shape(o ledger.Outcome) template.HTML {
	return icon(cmp.Or(strings.ToLower(string(o)), "none"))
}
