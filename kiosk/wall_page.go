package kiosk

import (
	"bytes"
	"net/http"
	"sync"
)

// drawn keeps what was made of a change, for all pages that show it in the same language to somebody of the same role.
type drawn struct {
	mu       sync.Mutex
	version  uint64
	messages map[drawing][]byte // of that version
}

type drawing struct {
	lang string
	role Role
	from uint64
}

// wall answers GET /.
func (p *pages) wall(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, "wall", nil)
}

// signIn answers GET /signin.
func (p *pages) signIn(w http.ResponseWriter, r *http.Request) {
	switch {
	case !p.o.People.None():
		p.show(w, r, http.StatusOK, "signin", nil)
	case p.o.Open:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		http.Redirect(w, r, "/setup", http.StatusSeeOther)
	}
}

// setUp answers GET /setup.
func (p *pages) setUp(w http.ResponseWriter, r *http.Request) {
	if !p.o.People.None() {
		http.Redirect(w, r, "/signin", http.StatusSeeOther)
		return
	}
	p.show(w, r, http.StatusOK, "setup", nil)
}

// refused says why there is another page not to be seen: the one to sign in with, where that is why.
func (p *pages) refused(w http.ResponseWriter, r *http.Request, why *Problem) {
	switch why.Said.Word {
	case "sign-in-first":
		p.show(w, r, why.Status, "signin", nil)
	case "set-up-first":
		p.show(w, r, why.Status, "setup", nil)
	default:
		p.show(w, r, why.Status, "refused", why)
	}
}

// live makes the server-sent events of a change: what changed of the wall as htmx puts it into the page, and the tones.
func (p *pages) live(lang string, who visitor, c Change) []byte {
	key := drawing{lang, who.Role, c.From}
	p.drawn.mu.Lock()
	defer p.drawn.mu.Unlock()
	if p.drawn.version != c.State.Version {
		p.drawn.version, p.drawn.messages = c.State.Version, map[drawing][]byte{}
	}
	m, is := p.drawn.messages[key]
	if !is {
		m = p.change(lang, who.Role, c)
		p.drawn.messages[key] = m
	}
	for _, t := range c.Tones {
		m = append(m[:len(m):len(m)], message("tone", []byte(t.Tone))...)
	}
	return m
}

// change is live without the tones.
func (p *pages) change(lang string, role Role, c Change) []byte {
	parts := part{c.State, role}
	slots := map[string]bool{}
	for _, slot := range c.Tiles {
		slots[slot] = true
	}
	var b bytes.Buffer
	err := p.pages[lang]["wall"].ExecuteTemplate(&b, "live", struct {
		All   bool
		Part  part
		Tiles []look
	}{c.All, parts, parts.Changed(slots)})
	if err != nil {
		p.o.Log.Error("a change could not be rendered", "error", err)
		return message("heartbeat", []byte("{}"))
	}
	return message("", b.Bytes())
}

// live answers GET /live?lang=LANG in the language of the page that asks: another page may have chosen another since.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	who, lang := visitorOf(r.Context()), r.URL.Query().Get("lang")
	if s.pages.texts[lang] == nil {
		lang = s.pages.language(r)
	}
	stream(s.o.Wall, w, r, func(c Change) []byte {
		if !s.still(who) {
			return nil
		}
		return s.pages.live(lang, who, c)
	})
}
