package kiosk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"station/ledger"
	"station/provision"
)

// pipes is a listener whose connections are pipes, which have deadlines and no buffers, and no business outside of a bubble.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, more := <-p
	if !more {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p); return nil } // once: the server sees to that
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// serveStream serves the stream of a wall; dial asks for it.
func serveStream(t *testing.T, w *Wall, render func(Change) []byte) (dial func() (net.Conn, *bufio.Reader)) {
	l := make(pipes)
	server := &http.Server{WriteTimeout: time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { stream(w, rw, r, render) })}
	done := make(chan struct{})
	go func() {
		server.Serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return func() (net.Conn, *bufio.Reader) {
		near, far := net.Pipe()
		l <- far
		fmt.Fprint(near, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		t.Cleanup(func() { near.Close() })
		return near, bufio.NewReader(near)
	}
}

// heard is the next event of a stream; the head of the answer and the chunks' lengths are passed over.
func heard(t *testing.T, r *bufio.Reader) (event, data string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		switch {
		case err != nil, line == "0": // the last chunk
			return "", ""
		case strings.HasPrefix(line, "event: "):
			event = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			data += line[len("data: "):]
		case line == "" && data != "":
			return event, data
		}
	}
}

func (w *Wall) watching() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watchers)
}

// The wall of a page goes on in the page's language, whatever was chosen since.
func TestLiveHasThePagesLanguage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSite(t, Options{})
		for query, want := range map[string]string{"": "zh-CN", "?lang=en": "en", "?lang=zh-CN": "zh-CN", "?lang=xx": "zh-CN"} {
			r := x.request("op-1", "GET", "/live"+query, "")
			r.AddCookie(&http.Cookie{Name: languageCookie, Value: "zh-CN"})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			body := x.send(r.WithContext(ctx)).Body.String()
			cancel()
			for _, lang := range Languages {
				if has := strings.Contains(body, x.Server.pages.texts[lang]["job.none"]); has != (lang == want) {
					t.Errorf("%q: in %s: %v\n%s", query, lang, has, body)
				}
			}
		}
	})
}

// TestStream: the whole state, then what changes, and a heartbeat every 10 s, for longer than the server lets any other answer take; until the wall is closed.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, _ := slotsOf(2)
		w := NewWall(WallOptions{Station: "line-1", Rows: rows, Started: time.Unix(1e9, 0).UTC()})
		_, r := serveStream(t, w, changeMessage)()
		if event, data := heard(t, r); event != "heartbeat" || data != `{"started":"2001-09-09T01:46:40Z","version":0}` {
			t.Errorf("first of all %s %s", event, data)
		}
		var c struct {
			State   *State
			Version uint64
			Tiles   []Tile
			Tones   []Toned
			Next    *Said
		}
		change := func() {
			t.Helper()
			event, data := heard(t, r)
			c.State, c.Tiles, c.Tones, c.Next = nil, nil, nil, nil
			if err := json.Unmarshal([]byte(data), &c); event != "change" || err != nil {
				t.Fatalf("%s %s: %v", event, data, err)
			}
		}
		if change(); c.State == nil || c.State.Station != "line-1" || len(c.State.Rows[0]) != 2 || c.Version != 1 {
			t.Errorf("first %+v", c)
		}
		w.Event(provision.Event{Kind: provision.Reseat, Slot: "2", Serial: "S-1"})
		if change(); c.State != nil || c.Version != 2 || len(c.Tiles) != 1 || c.Tiles[0].Serial != "S-1" || len(c.Tones) != 1 || c.Tones[0] != (Toned{"2", Attention}) || c.Next == nil || c.Next.Word != NextReseat {
			t.Errorf("then %+v", c)
		}
		began := time.Now()
		for i := range 12 {
			event, data := heard(t, r)
			if event != "heartbeat" || data != `{"started":"2001-09-09T01:46:40Z","version":2}` || time.Since(began) != time.Duration(i+1)*heartbeatEvery {
				t.Fatalf("after %v: %s %s", time.Since(began), event, data)
			}
		}
		w.Close()
		if event, data := heard(t, r); event != "" || data != "" {
			t.Errorf("after the end: %s %s", event, data)
		}
		if n := w.watching(); n != 0 {
			t.Errorf("%d are watching", n)
		}
		if _, more := <-mustWatch(w); more {
			t.Error("a closed wall tells")
		}
	})
}

func mustWatch(w *Wall) <-chan Change {
	changes, _ := w.Watch()
	return changes
}

// TestStreamEnds: who does not read is let go, and so is who went away or may not see more; nobody else notices.
func TestStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, _ := slotsOf(1)
		w := NewWall(WallOptions{Rows: rows})
		allowed := true
		dial := serveStream(t, w, func(c Change) []byte {
			if !allowed {
				return nil
			}
			return changeMessage(c)
		})
		stuck, _ := dial()
		_, good := dial()
		heard(t, good) // that the station is alive
		heard(t, good)
		synctest.Wait()
		if n := w.watching(); n != 2 {
			t.Fatalf("%d are watching", n)
		}
		time.Sleep(streamLimit + time.Second)
		if n := w.watching(); n != 1 {
			t.Errorf("%d are watching, and one of them does not read", n)
		}
		stuck.Close()
		gone, r := dial()
		heard(t, r) // that the station is alive
		heard(t, r)
		gone.Close()
		synctest.Wait()
		if n := w.watching(); n != 1 {
			t.Errorf("%d are watching, and one of them is gone", n)
		}
		w.Shift(&Shift{By: "op-1"})
		if event, _ := heard(t, good); event != "change" {
			t.Errorf("%q", event)
		}
		synctest.Wait()
		allowed = false
		w.Shift(nil)
		if event, data := heard(t, good); data != "" || w.watching() != 0 {
			t.Errorf("who may not see more is told %s %s", event, data)
		}
	})
}

// TestOneTakesNotAllStreams: one person has some, and whoever else comes has theirs.
func TestOneTakesNotAllStreams(t *testing.T) {
	w := NewWall(WallOptions{})
	ask := func(v visitor) int {
		ctx, gone := context.WithCancel(withVisitor(t.Context(), v))
		gone()
		rec := httptest.NewRecorder()
		stream(w, rec, httptest.NewRequest("GET", "/", nil).WithContext(ctx), changeMessage)
		return rec.Code
	}
	auditor := visitor{Person: &Person{ID: "aud-1"}, address: "192.0.2.1"}
	for range maxOwn {
		if status := ask(auditor); status != http.StatusOK {
			t.Fatalf("%d", status)
		}
		w.watch(auditor.key(), maxOwn, maxStreams)
	}
	if status := ask(auditor); status != http.StatusServiceUnavailable || w.watching() != maxOwn {
		t.Errorf("one more: %d, and %d are watching", status, w.watching())
	}
	for _, v := range []visitor{{Person: &Person{ID: "op-1"}, address: "192.0.2.1"}, {address: "192.0.2.1"}} {
		if status := ask(v); status != http.StatusOK {
			t.Errorf("%s: %d", v.key(), status)
		}
	}
}

// TestTooManyStreams: the one after the last is told to come again.
func TestTooManyStreams(t *testing.T) {
	w := NewWall(WallOptions{})
	for range maxStreams {
		mustWatch(w)
	}
	rec := httptest.NewRecorder()
	stream(w, rec, httptest.NewRequest("GET", "/", nil), changeMessage)
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d", rec.Code)
	}
	if n := w.watching(); n != maxStreams {
		t.Errorf("%d are watching", n)
	}
}

// TestChangeIsDocumented: a change has all of the state that can be another one, and what it has is as in the document, with values and without.
func TestChangeIsDocumented(t *testing.T) {
	schemas := newSite(t, Options{}).document.Components.Schemas
	schema := changeSchema(schemas)
	said := &Said{Word: "x", Text: "x"}
	full := State{Version: 7, Rows: [][]Tile{{{Slot: "1"}}}, Said: said, Shift: &Shift{}, Job: &Job{}, Open: []Open{{}}, Held: []Held{{}}, Next: *said, Mirror: ledger.MirrorNone}
	for name, c := range map[string]Change{
		"first": {State: full}, "full": {State: full, From: 6, All: true, Tiles: []string{"1"}, Tones: []Toned{{"1", toneOfUnit[ledger.Aborted]}, {"", Accept}}},
		"bare": {State: State{Version: 7}, From: 6, All: true}, "nothing": {State: full, From: 6},
	} {
		_, data, _ := bytes.Cut(changeMessage(c), []byte("data: "))
		var v map[string]any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		var found huma.ValidateResult
		if huma.Validate(schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, &found); len(found.Errors) > 0 {
			t.Errorf("%s: %v: %s", name, found.Errors, data)
		}
		if name == "full" {
			for field := range schemas.Map()["State"].Properties {
				if _, has := v[field]; !has && !slices.Contains([]string{"station", "simulated", "started", "rows", "$schema"}, field) {
					t.Errorf("a change has no %s: %s", field, data)
				}
			}
		}
	}
}

// TestMessage: each line of what is sent is a line of data, so that nothing in it can end the event or begin another.
func TestMessage(t *testing.T) {
	for _, c := range []struct{ event, data, want string }{
		{"change", "{}", "event: change\ndata: {}\n\n"},
		{"", "<p>\n</p>", "data: <p>\ndata: </p>\n\n"},
		{"", "a\r\n\r\nevent: b", "data: a\ndata: \ndata: event: b\n\n"},
		{"", "a\rdata: b", "data: a\ndata: data: b\n\n"},
	} {
		if got := string(message(c.event, []byte(c.data))); got != c.want {
			t.Errorf("%q is %q, want %q", c.data, got, c.want)
		}
	}
}
