package kiosktest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A page that writes down which keys came how far apart.
const keysPage = `<!doctype html><title>keys</title><link rel="icon" href="data:,"><button onclick="out.innerText='pressed'">press</button><input id="field"><pre id="out"></pre>
<script>let last=0;addEventListener("keydown",e=>{out.innerText+=e.key+":"+(last?Math.round(e.timeStamp-last):0)+" ";last=e.timeStamp})</script>`

func TestPage(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, keysPage)
	}))
	defer s.Close()
	p := Start(t).Open(t, s.URL, 800, 600)
	p.Scan("A1")
	if got, want := p.Text("#out"), "A:0 1:4 Enter:4 "; got != want {
		t.Errorf("the page saw %q, want %q", got, want)
	}
	p.Click("button")
	p.WaitText("#out", "pressed")
	p.Click("#field")
	p.Type("x")
	p.Wait(`document.getElementById("field").value === "x"`)
	if bytes, nodes := p.Heap(); bytes <= 0 || nodes < 5 {
		t.Errorf("%v bytes, %d nodes", bytes, nodes)
	}
	file := filepath.Join(t.TempDir(), "page.png")
	p.Picture(file)
	if info, err := os.Stat(file); err != nil || info.Size() < 1000 {
		t.Errorf("%v, %v", info, err)
	}
}

// What a page must not do is seen.
func TestPageThatComplains(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "img-src 'self' http://other.invalid")
		io.WriteString(w, `<!doctype html><link rel="icon" href="data:,"><img src="http://other.invalid/a.png"><script>throw new Error("a fault of its own")</script>`)
	}))
	defer s.Close()
	p := Start(t).Open(t, s.URL, 800, 600)
	p.Wait(`document.readyState === "complete"`)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.foreign, []string{"http://other.invalid/a.png"}) {
		t.Errorf("requests to other hosts: %q", p.foreign)
	}
	for _, part := range []string{"a fault of its own", "other.invalid", "Content Security Policy"} {
		if !slices.ContainsFunc(p.problems, func(line string) bool { return strings.Contains(line, part) }) {
			t.Errorf("nothing of %q among %q", part, p.problems)
		}
	}
	p.foreign, p.problems = nil, nil
}
