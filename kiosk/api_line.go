package kiosk

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

type scanInput struct {
	Body struct {
		Code string `json:"code" minLength:"1" maxLength:"1024" doc:"as the scanner types it, without what it types around it"`
		ID   string `json:"id,omitempty" maxLength:"64" doc:"of this scan alone: where it is sent again within a minute, it is answered as before and not done again"`
	}
}

type slotInput struct {
	Slot string `path:"slot" maxLength:"64"`
}

type jobInput struct {
	Body struct {
		Recipe   string `json:"recipe" minLength:"1" maxLength:"255" doc:"file name, in the station's folder of recipes"`
		Quantity int    `json:"quantity" minimum:"0" maximum:"1000000" doc:"units that are to pass; 0 for as many as come"`
		Trial    bool   `json:"trial,omitempty" doc:"stop before the first permanent step"`
	}
}

type stateOutput struct{ Body State }

type recipesOutput struct {
	Body struct {
		Recipes []RecipeFile `json:"recipes"`
	}
}

// addLine adds the routes about the line.
func (s *Server) addLine(api huma.API) {
	add(s, api, "GET /api/v1/state", See, "What the wall shows", func(context.Context, *none) (*stateOutput, error) {
		return &stateOutput{s.o.Wall.State()}, nil
	})
	add(s, api, "GET /api/v1/events", See, "What the wall shows, as it changes: server-sent events", func(context.Context, *none) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: s.events}, nil
	}, "text/event-stream")
	add(s, api, "GET /api/v1/recipes", See, "The recipes that a job may have", func(context.Context, *none) (*recipesOutput, error) {
		out := &recipesOutput{}
		out.Body.Recipes = append([]RecipeFile{}, s.o.Station.Recipes()...)
		return out, nil
	})
	add(s, api, patternScan, Anybody, "Take a code as a scanner reads it: a serial, a value, a label, a card or a badge", s.scan)
	add(s, api, "POST /api/v1/resume", Resume, "Finish the runs that broke off and whose boards are in slots", deed[none](s, Resume))
	add(s, api, "POST /api/v1/cancel", Cancel, "Give up what was scanned", deed[none](s, Cancel))
	add(s, api, "POST /api/v1/slots/{slot}/acknowledge", Acknowledge, "Acknowledge a FAIL", inSlot(s, Acknowledge))
	add(s, api, "POST /api/v1/slots/{slot}/release", Release, "Let a slot go on that was stopped", inSlot(s, Release))
	add(s, api, "POST /api/v1/slots/{slot}/stop", Stop, "Stop the run in a slot", inSlot(s, Stop))
	add(s, api, "POST /api/v1/jobs", BeginJob, "Begin a job", func(ctx context.Context, in *jobInput) (*answered, error) {
		return answerOf(s.do(ctx, Deed{Action: BeginJob, Recipe: in.Body.Recipe, Quantity: in.Body.Quantity, Trial: in.Body.Trial}))
	})
	add(s, api, "POST /api/v1/jobs/close", CloseJob, "Close the job", deed[none](s, CloseJob))
	add(s, api, "POST /api/v1/shift/begin", BeginShift, "Begin a shift: the station looks at itself", func(ctx context.Context, _ *none) (*answered, error) {
		if v := visitorOf(ctx); !v.local {
			if wait := s.shifts.take(v.key()); wait > 0 {
				return nil, tooMany(wait)
			}
		}
		return answerOf(s.do(ctx, Deed{Action: BeginShift}))
	})
	add(s, api, "POST /api/v1/shift/end", EndShift, "End the shift: names what is not settled", deed[none](s, EndShift))
}

func (s *Server) events(hc huma.Context) {
	r, w := humago.Unwrap(hc)
	v := visitorOf(r.Context())
	stream(s.o.Wall, w, r, func(c Change) []byte {
		if !s.still(v) {
			return nil
		}
		return changeMessage(c)
	})
}

func (s *Server) do(ctx context.Context, d Deed) (Answer, error) {
	return s.o.Station.Do(ctx, visitorOf(ctx).Who, d)
}

func deed[In any](s *Server, a Action) func(context.Context, *In) (*answered, error) {
	return func(ctx context.Context, _ *In) (*answered, error) { return answerOf(s.do(ctx, Deed{Action: a})) }
}

func inSlot(s *Server, a Action) func(context.Context, *slotInput) (*answered, error) {
	return func(ctx context.Context, in *slotInput) (*answered, error) {
		return answerOf(s.do(ctx, Deed{Action: a, Slot: in.Slot}))
	}
}

const patternScan = "POST /api/v1/scan"

// scan looks what a code is, since not everybody may scan everything, and some codes are not the line's. A badge is for who has not signed in.
func (s *Server) scan(ctx context.Context, in *scanInput) (*answered, error) {
	v := visitorOf(ctx)
	r := s.readCode(in.Body.Code)
	switch {
	case r.badge:
		return s.enterBadge(ctx, in.Body.Code)
	case r.misread:
		p := problem(http.StatusUnprocessableEntity, "badge-misread", "that looks like a badge that was not read whole", "Scan it again.")
		s.note(patternScan, Anybody, v, p)
		return nil, p
	case r.signOff:
		return s.leave(ctx, "card")
	}
	if p := s.allow(ctx, patternScan, r.action, v); p != nil {
		return nil, p
	}
	s.o.Wall.Scanned()
	return s.taken.once(ctx, scanID{v.Token + v.Who.ID, in.Body.ID, in.Body.Code}, func() (*answered, error) {
		if r.deed != nil {
			return answerOf(s.do(ctx, *r.deed))
		}
		return answerOf(s.o.Station.Scan(ctx, v.Who, in.Body.Code))
	})
}
