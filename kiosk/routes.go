package kiosk

import (
	"fmt"
	"net/http"
	"strings"
)

// addPages adds the pages. A page is answered where whoever asks may do its action; Anybody's are answered without a sign-in.
func (s *Server) addPages() {
	p := s.pages
	s.page("GET /{$}", See, p.wall)
	s.handle(route{"GET /live", See, false}, s.live)
	s.page("GET /signin", Anybody, p.signIn)
	s.page("GET /setup", Anybody, p.setUp)
	s.page("GET /jobs", See, p.jobs)
	s.page("GET /shift", See, p.shift)
	s.page("GET /units", SeeUnits, p.units)
	s.page("GET /units/{serial}", SeeUnits, p.unit)
	s.page("GET /cards", See, p.cards)
	s.page("GET /users", SeeUsers, p.users)
	s.handle(route{"GET /assets/", Anybody, false}, p.assets.ServeHTTP)
	s.handle(route{"GET /favicon.ico", Anybody, false}, func(w http.ResponseWriter, _ *http.Request) { // of a report: pages name theirs
		w.WriteHeader(http.StatusNoContent)
	})
	s.page("/", Anybody, s.nowhere)
}

// nowhere answers what is asked for and is not here, or not in that way.
func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) {
	page := !strings.HasPrefix(r.URL.Path, "/api/")
	if ways := s.ways(r); ways != "" {
		w.Header().Set("Allow", ways)
		s.answer(w, r, problem(http.StatusMethodNotAllowed, "wrong-method", fmt.Sprintf("%.100s is asked for by %s", r.URL.Path, ways), "", "methods", ways), page)
		return
	}
	s.answer(w, r, problem(http.StatusNotFound, "nothing-here", fmt.Sprintf("there is nothing at %.100s", r.URL.Path), ""), page)
}

// ways are the methods by which something is here that was asked for by another one, "" where nothing is. ServeMux does not tell them where a pattern has all paths.
func (s *Server) ways(r *http.Request) string {
	var ways []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost} {
		if _, pattern := s.mux.Handler(&http.Request{Method: method, Host: r.Host, URL: r.URL}); pattern != "/" {
			ways = append(ways, method)
		}
	}
	return strings.Join(ways, ", ")
}
