package kiosk

import "net/http"

// addPages adds the pages. A page is answered where whoever asks may do its action; Anybody's are answered without a sign-in.
func (s *Server) addPages() {
	s.page("/", Anybody, s.nowhere)
}

// nowhere answers what is asked for and is not here.
func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) {
	const api = "/api/"
	page := len(r.URL.Path) < len(api) || r.URL.Path[:len(api)] != api
	s.answer(w, r, problem(http.StatusNotFound, "nothing-here", "there is nothing at "+r.URL.Path, ""), page)
}
