package kiosk

import (
	"bytes"
	"context"
	"crypto/hmac"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"station/ledger"
)

// route is one thing that can be asked for.
type route struct {
	pattern string // of http.ServeMux
	action  Action // what it is to do that; Anybody for what nobody signs in for
	page    bool   // for people, in HTML
}

// page answers a request for a page, where whoever asks may do the action. Who asks is visitorOf the context; what they are told otherwise is the business of refused.
func (s *Server) page(pattern string, a Action, h http.HandlerFunc) {
	s.handle(route{pattern, a, true}, h)
}

// handle is the only way into the mux.
func (s *Server) handle(t route, h http.HandlerFunc) {
	s.routes = append(s.routes, t)
	s.mux.HandleFunc(t.pattern, func(w http.ResponseWriter, r *http.Request) {
		p := read(w, r)
		v := visitorOf(r.Context())
		if !v.local { // once the request is here whole: whoever sends it slowly may be somebody else by then
			v = s.visit(w, r)
			r = r.WithContext(withVisitor(r.Context(), v))
		}
		if p == nil {
			p = s.admit(t, v, r)
		}
		if p != nil {
			s.answer(w, r, p, t.page)
			return
		}
		ctx, limit := WithStill(r.Context(), func() error { return s.look(t, v) }), verifyLimit
		switch {
		case t.action == VerifyAll:
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(verifyLimit)) // an error says that there is none
		case changes(r):
			ctx, limit = context.WithoutCancel(ctx), deedLimit // what was asked is done, even where whoever asked is gone
		default:
			h(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		h(w, r.WithContext(ctx))
	})
}

// changes tells whether a request may change something.
func changes(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// admit refuses who comes too often, without the token of a page of ours, without having signed in, or with the wrong role. nil: the request is to be answered.
func (s *Server) admit(t route, v visitor, r *http.Request) *Problem {
	if changes(r) && !v.local {
		var p *Problem
		if wait := s.changes.take(v.key()); wait > 0 {
			p = tooMany(wait)
		} else if !hmac.Equal([]byte(r.Header.Get(headerToken)), []byte(v.Token)) {
			p = problem(http.StatusForbidden, "token", "the request has no token of a page of this station, or one of before its last start", "Load the page again.")
		}
		if p != nil {
			s.note(t.pattern, t.action, v, p)
			return p
		}
	}
	return s.allow(r.Context(), t.pattern, t.action, v)
}

// key is what requests are counted by.
func (v *visitor) key() string {
	if v.Person != nil {
		return "user " + v.Person.ID
	}
	return v.address
}

// allow refuses what somebody may not do, and writes that down. The route is for the log.
func (s *Server) allow(ctx context.Context, pattern string, a Action, v visitor) *Problem {
	var p *Problem
	switch {
	case a == Anybody || v.local || v.Role.May(a):
		return nil
	case v.Role == "" && s.o.People.None():
		p = setUpFirst()
	case v.Role == "":
		p = signInFirst()
	default:
		p = problem(http.StatusForbidden, "not-your-role", "a person with the role "+string(v.Role)+" may not do that", "Ask somebody who may.", "role", string(v.Role), "action", string(a))
	}
	s.note(pattern, a, v, p)
	if v.Person != nil && s.refusals.take(v.key()) == 0 { // who asks over and over does not fill the ledger
		if err := s.o.Records.Append(ctx, ledger.AccessRefused{User: v.Person.ID, Role: string(v.Role), Action: string(a)}); err != nil {
			s.o.Log.Error("a refusal was not written down", "error", err)
		}
	}
	return p
}

// note logs what was refused: of who is refused over and over, some, and then how many were not. Codes, PINs and tokens are never in it.
func (s *Server) note(pattern string, a Action, v visitor, p *Problem) {
	user := "-"
	if v.Person != nil {
		user = v.Person.ID
	}
	s.refuse(v.key(), "route", pattern, "action", string(a), "user", user, "cause", p.Said.Word)
}

// crowded notes that an address has, or all have, as many connections as there may be; "" is this PC. All strangers are one for the log: a connection costs them less than a line costs the disk.
func (s *Server) crowded(address string) {
	if address == "" {
		s.refuse("own connections", "address", "this PC", "cause", "connections")
		return
	}
	s.refuse("connections", "address", address, "cause", "connections")
}

// refuse is note for who is counted by key.
func (s *Server) refuse(key string, facts ...any) {
	if s.notes.take(key) > 0 {
		s.unnoted.Add(1)
		return
	}
	if n := s.unnoted.Swap(0); n > 0 {
		facts = append(facts, "more", n) // before this one, of anybody
	}
	s.o.Log.Warn("refused", facts...)
}

// read takes the request in whole, before anything is done.
func read(w http.ResponseWriter, r *http.Request) *Problem {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return problem(http.StatusRequestEntityTooLarge, "too-large", "the request cannot be read, or has more than 64 KiB", "")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// strange refuses a request that is for another host, or comes from a page of another one.
func (s *Server) strange(r *http.Request) *Problem {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = trimBrackets(r.Host)
	}
	here := slices.ContainsFunc(s.o.Hosts, func(h string) bool { return isHost(h, host) })
	if len(s.o.Hosts) == 0 {
		at, err := netip.ParseAddr(host)
		here = strings.EqualFold(host, "localhost") || err == nil && at.Unmap().IsLoopback() // no name is made to point there where an address is asked for
	}
	if !here {
		return problem(http.StatusMisdirectedRequest, "wrong-host", "this station does not go by that name", "Open the address that it printed when it was started.")
	}
	if s.cross.Check(r) != nil {
		return problem(http.StatusForbidden, "other-site", "the request comes from a page of another site", "")
	}
	return nil
}

// isHost tells whether a host is the one of a certificate: its name, its address, or one of the names that "*." stands before.
func isHost(name, host string) bool {
	if rest, wild := strings.CutPrefix(name, "*."); wild {
		_, parent, _ := strings.Cut(host, ".")
		return strings.EqualFold(parent, rest)
	}
	return strings.EqualFold(name, host)
}

// setHeaders sets what every answer has. Handlers may set another Cache-Control, and the report its own policy.
func (s *Server) setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), usb=(), serial=(), hid=(), payment=()")
	h.Set("Cache-Control", "no-store")
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
