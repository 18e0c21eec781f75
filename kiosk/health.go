package kiosk

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

type healthOutput struct {
	Status int
	Body   struct {
		OK bool `json:"ok"`
	}
}

// addHealth adds what a monitor asks. Why a station is not well is in its log, and no business of whoever has not signed in.
func (s *Server) addHealth(api huma.API) {
	add(s, api, "GET /healthz", Anybody, "Whether the station works", func(context.Context, *none) (*healthOutput, error) {
		out := &healthOutput{Status: http.StatusOK}
		if err := s.o.Station.Health(); err != nil {
			s.o.Log.Warn("not well", "error", err)
			out.Status = http.StatusServiceUnavailable
		}
		out.Body.OK = out.Status == http.StatusOK
		return out, nil
	})
}
