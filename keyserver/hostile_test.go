package keyserver

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"station/provision"
)

// liar is a key server with the right certificate that answers as answer says.
func liar(t *testing.T, h *hall, answer http.HandlerFunc) *Client {
	t.Helper()
	config, err := ServerTLS(h.ca, h.tlsKey, []string{"127.0.0.1"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	s := NewHTTPServer(answer, func(string) {})
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	c := h.client(h.enrol("line1", 24))
	c.base, c.o.Limit = "https://"+ln.Addr().String(), 300*time.Millisecond
	return c
}

const canary = "SECRET-OF-A-CHIP-4711"

// TestLiars: whatever a key server answers, the client says ERROR within its limit, gives nothing to anybody, and repeats nothing of the answer.
func TestLiars(t *testing.T) {
	h := newHall(t)
	whole := func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	}
	raw := func(w http.ResponseWriter, text string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(conn, text)
			conn.Close()
		}
	}
	secret := base64.StdEncoding.EncodeToString([]byte(canary))
	for name, answer := range map[string]http.HandlerFunc{
		"late": func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Second); whole(w, "{}") },
		"slowly": func(w http.ResponseWriter, r *http.Request) {
			for range 40 {
				fmt.Fprint(w, " ")
				w.(http.Flusher).Flush()
				time.Sleep(25 * time.Millisecond)
			}
		},
		"nothing": func(w http.ResponseWriter, r *http.Request) { raw(w, "") },
		"half": func(w http.ResponseWriter, r *http.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"key\":\""+canary)
		},
		"half a chunk": func(w http.ResponseWriter, r *http.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"key\":\""+canary)
		},
		"no HTTP": func(w http.ResponseWriter, r *http.Request) { raw(w, canary+"\r\n\r\n") },
		"much":    func(w http.ResponseWriter, r *http.Request) { whole(w, `{"key":"`+strings.Repeat("A", maxAnswer)+`"}`) },
		"a large header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat(canary, 2000))
			whole(w, "{}")
		},
		"a page":    func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>"+canary) },
		"not found": func(w http.ResponseWriter, r *http.Request) { http.Error(w, canary, 404) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/"+canary, http.StatusTemporaryRedirect)
		},
		"no content": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) },
		"no JSON":    func(w http.ResponseWriter, r *http.Request) { whole(w, canary) },
		"null":       func(w http.ResponseWriter, r *http.Request) { whole(w, "null") },
		"a list":     func(w http.ResponseWriter, r *http.Request) { whole(w, `["`+canary+`"]`) },
		"empty":      func(w http.ResponseWriter, r *http.Request) { whole(w, "{}") },
		"unknown":    func(w http.ResponseWriter, r *http.Request) { whole(w, `{"`+canary+`":1}`) },
		"two":        func(w http.ResponseWriter, r *http.Request) { whole(w, "{}{}") },
		"a wrong type": func(w http.ResponseWriter, r *http.Request) {
			whole(w, `{"key":7,"signature":7,"station":7,"checkpoint":7,"session":7,"serial":7}`)
		},
		"a key of 21 bytes": func(w http.ResponseWriter, r *http.Request) { whole(w, `{"key":"`+secret+`"}`) },
		"a wrong signature": func(w http.ResponseWriter, r *http.Request) { whole(w, `{"signature":"`+secret+`"}`) },
		"no password":       func(w http.ResponseWriter, r *http.Request) { whole(w, `{"serial":"`+canary+`","permit":"1"}`) },
		"another's keys": func(w http.ResponseWriter, r *http.Request) {
			whole(w, `{"station":"line2","checkpoint":"`+canary+`","recipient":"age1"}`)
		},
		"blocks and verdict": func(w http.ResponseWriter, r *http.Request) {
			whole(w, `{"session":"x","number":1,"done":true,"ok":true,"blocks":[{"seq":1}]}`)
		},
		"OK and not done": func(w http.ResponseWriter, r *http.Request) {
			whole(w, `{"session":"x","number":1,"ok":true,"blocks":[{"seq":1,"id":"20BA1812008C"}]}`)
		},
		"a short ID": func(w http.ResponseWriter, r *http.Request) {
			whole(w, `{"session":"x","number":1,"blocks":[{"seq":1,"id":"20BA"}]}`)
		},
		"no digest": func(w http.ResponseWriter, r *http.Request) {
			whole(w, `{"session":"x","number":1,"done":true,"digest":"`+canary+`"}`)
		},
		"a counter of 2^64": func(w http.ResponseWriter, r *http.Request) {
			whole(w, `{"session":"x","number":1,"blocks":[{"seq":1,"id":"20BA1812008C","counter":"18446744073709551616"}]}`)
		},
		"65 blocks": func(w http.ResponseWriter, r *http.Request) {
			whole(w, `{"session":"x","number":1,"blocks":[`+strings.Repeat(`{"seq":1,"id":"20BA1812008C"},`, 64)+`{"seq":1,"id":"20BA1812008C"}]}`)
		},
		"an odd problem": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(400)
			io.WriteString(w, `{"type":"`+canary+`"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := liar(t, h, answer)
			_, vkey, err := note.GenerateKey(zeros{}, "station/line1")
			if err != nil {
				t.Fatal(err)
			}
			k := &StationKeyring{c: c, vkey: vkey}
			given := false
			for call, do := range map[string]func() error{
				"create": func() error { _, err := c.CreateKeys(); return err },
				"open":   func() error { _, err := c.OpenKeys(""); return err },
				"next":   func() error { _, _, err := k.NextCheckpoint(); return err },
				"sign":   func() error { _, err := k.Signer().Sign([]byte(canary)); return err },
				"tag":    func() error { _, err := k.Tag("aa", "e1", []byte(canary)); return err },
				"derive": func() error {
					return k.DerivedKey("m", provision.KeyOf{}, func([]byte) error { given = true; return nil })
				},
				"unlock": func() error {
					return k.OpenUnlock([]byte(canary), func(provision.UnlockOf, []byte) error { given = true; return nil })
				},
				"relay": func() error { _, err := c.Next(t.Context(), provision.Job{}, nil); return err },
			} {
				begun := time.Now()
				err := do()
				var e *Error
				if !errors.As(err, &e) || !e.KeyServer() {
					t.Errorf("%s: %v", call, err)
					continue
				}
				if name == "much" && !strings.Contains(err.Error(), "more than") {
					t.Errorf("%s: %v", call, err)
				}
				if took := time.Since(begun); took > 900*time.Millisecond {
					t.Errorf("%s took %v", call, took)
				}
				if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%+v", errors.Unwrap(e.Err)), canary) {
					t.Errorf("%s repeats the answer: %v", call, err)
				}
			}
			if given {
				t.Error("something was lent")
			}
		})
	}
}

// TestConnectionsEnd: idle connections and goroutines do not stay, on either side.
func TestConnectionsEnd(t *testing.T) {
	h, s := signing(t, 100)
	s.passes()
	s.c.Close()
	settle := func() int {
		n := runtime.NumGoroutine()
		for range 100 {
			time.Sleep(20 * time.Millisecond)
			if now := runtime.NumGoroutine(); now == n {
				break
			} else {
				n = now
			}
		}
		return n
	}
	before := settle()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			c, err := NewClient(ClientOptions{URL: h.url, CA: h.ca.Certificate, Cert: s.c.o.Cert})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for range 5 {
				if _, err := rootKey(c, "line/root-2026", uidOf(i), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if now := runtime.NumGoroutine(); now <= before {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", now, before)
		}
	}
	h.verified()
}

// TestSlowPeersEnd: who connects and says nothing, half a handshake, half a header, half a body, or nothing behind an answer is sent away. The limits are shorter than they
// are, in the same proportion to each other.
func TestSlowPeersEnd(t *testing.T) {
	h := newHall(t)
	cert := h.enrol("line1", 24)
	s := NewHTTPServer(h.server, func(string) {})
	for _, limit := range []*time.Duration{&s.ReadHeaderTimeout, &s.ReadTimeout, &s.WriteTimeout, &s.IdleTimeout} {
		if *limit <= 0 || *limit > 30*time.Second {
			t.Errorf("a limit of %v", *limit)
		}
		*limit /= 50
	}
	config, err := ServerTLS(h.ca, h.tlsKey, []string{"127.0.0.1"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	mine := h.client(cert).http.Transport.(*http.Transport).TLSClientConfig.Clone()
	mine.ServerName = "127.0.0.1"
	const head = "POST /v1/init HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
	for name, c := range map[string]struct {
		plain bool
		said  string
	}{
		"nothing": {true, ""}, "half a handshake": {true, "\x16\x03\x01"}, "a handshake": {false, ""}, "half a header": {false, head}, "half a body": {false, head + "\r\n{"}, "a request": {false, head + "\r\n{}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if !c.plain {
				conn = tls.Client(conn, mine)
			}
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.WriteString(conn, c.said); err != nil {
				t.Fatal(err)
			}
			if !c.plain && c.said == "" {
				if err := conn.(*tls.Conn).Handshake(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the server holds on to it")
			}
		})
	}
}

// TestManyAtOnce: stations at the same time take no more chips than they may, and sign no checkpoint that goes back.
func TestManyAtOnce(t *testing.T) {
	h, s := signing(t, 10)
	k, err := s.c.CreateKeys()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	lent, used := 0, 0
	for i := range 40 {
		all.Go(func() {
			_, err := rootKey(s.c, "line/root-2026", uidOf(i/2), 0)
			var e *Error
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				lent++
			case errors.As(err, &e) && e.Cause == CauseUsedUp:
				used++
			default:
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := checkpoint("line1", int64(i%7), byte(i%2)).Sign(k.Signer()); err != nil {
				refused(t, "a checkpoint", err, CauseRollback)
			}
		})
		all.Go(func() {
			if err := h.server.Here().Call(context.Background(), RouteList, nil, &List{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var l List
	h.admin(RouteList, nil, &l)
	if l.Allowances[0].Used != 10 || lent < 10 || lent > 20 || lent+used != 40 {
		t.Errorf("%d chips, %d keys lent, %d refused", l.Allowances[0].Used, lent, used)
	}
	h.verified()
	h.restart()
	h.admin(RouteList, nil, &l)
	if l.Allowances[0].Used != 10 {
		t.Errorf("%d chips after a restart", l.Allowances[0].Used)
	}
}

// TestSilentPeer: who connects and says nothing holds no request up.
func TestSilentPeer(t *testing.T) {
	h := newHall(t)
	c := h.client(h.enrol("line1", 24))
	for range 50 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if _, err := c.CreateKeys(); err != nil {
		t.Error(err)
	}
}
