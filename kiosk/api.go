package kiosk

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// adapter registers what huma has with the mux of a Server: every route of the API goes past the same guard as the pages.
type adapter struct{ s *Server }

const extAction = "x-action" // of an operation in the document: the Action that it is, "" for what nobody signs in for

func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	a.s.handle(route{op.Method + " " + op.Path, op.Extensions[extAction].(Action), false}, func(w http.ResponseWriter, r *http.Request) {
		handler(humago.NewContext(op, r, w))
	})
}

func (a adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.s.mux.ServeHTTP(w, r) }

const documentPath = "/api/v1/openapi.json"

// addAPI adds the routes of the API, and the document about them.
func (s *Server) addAPI() {
	config := huma.DefaultConfig("Provisioning station", "1")
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil // the page for them would load scripts from elsewhere
	config.Info.Description = "What the operator's page does, for programs. A request that changes something carries the token that GET /api/v1/session tells, in the header " +
		headerToken + ", with the cookie that came with it. Who may do what goes by the operation's " + extAction + "."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"session": {Type: "apiKey", In: "cookie", Name: cookieSession},
		"token":   {Type: "apiKey", In: "header", Name: headerToken},
	}
	api := huma.NewAPI(config, adapter{s})
	s.addLine(api)
	s.addUnits(api)
	s.addPeople(api)
	s.addHealth(api)
	s.document = api.OpenAPI()
	nullable(s.document.Components.Schemas, "State", "shift", "job")
	nullable(s.document.Components.Schemas, "SessionOutputBody", "person")
	s.document.Paths["/api/v1/events"].Get.Responses["200"].Content["text/event-stream"].Schema = changeSchema(s.document.Components.Schemas)
	s.handle(route{"GET " + documentPath, Anybody, false}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		if err := json.NewEncoder(w).Encode(s.document); err != nil {
			s.o.Log.Debug("an answer was not taken", "error", err)
		}
	})
}

// nullable says of fields that they are an object or null, which huma has no words for.
func nullable(r huma.Registry, schema string, fields ...string) {
	properties := r.Map()[schema].Properties
	for _, f := range fields {
		properties[f] = &huma.Schema{AnyOf: []*huma.Schema{properties[f], {Type: "null"}}}
	}
}

// add adds a route of the API: In is where its parameters and body go, Out its headers and body. media says what is answered besides JSON.
func add[In, Out any](s *Server, api huma.API, pattern string, a Action, summary string, do func(context.Context, *In) (*Out, error), media ...string) {
	method, path, _ := strings.Cut(pattern, " ")
	op := huma.Operation{
		OperationID: strings.ToLower(method) + strings.NewReplacer("/api/v1/", "-", "/", "-", "{", "", "}", "").Replace(path), Method: method, Path: path, Summary: summary, MaxBodyBytes: maxBody,
		BodyReadTimeout: -1, // it was read by the guard
		Extensions:      map[string]any{extAction: a}, DefaultStatus: http.StatusOK,
	}
	needs := map[string][]string{}
	if a != Anybody {
		needs["session"] = []string{}
	}
	if method != http.MethodGet {
		needs["token"] = []string{}
	}
	op.Security = []map[string][]string{needs}
	op.Responses = map[string]*huma.Response{}
	for _, m := range media {
		op.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{m: {}}}
	}
	huma.Register(api, op, func(ctx context.Context, in *In) (*Out, error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, s.problemOf(err)
		}
		return out, nil
	})
	for _, status := range refusals[In](method, path, a) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: op.Responses["default"].Content}
	}
}

// refusals are the statuses that a route may be refused with; what any may be, such as 413 or 500, is the document's "default".
func refusals[In any](method, path string, a Action) (all []int) {
	if a != Anybody || method != http.MethodGet {
		all = append(all, http.StatusUnauthorized, http.StatusForbidden)
	}
	if strings.Contains(path, "{") {
		all = append(all, http.StatusNotFound)
	}
	if method != http.MethodGet {
		all = append(all, http.StatusConflict, http.StatusTooManyRequests)
	}
	in := reflect.TypeFor[In]()
	if in.NumField() > 0 {
		all = append(all, http.StatusUnprocessableEntity)
	}
	if _, has := in.FieldByName("Body"); has {
		all = append(all, http.StatusBadRequest)
	}
	return all
}

// none is of a route that takes nothing.
type none struct{}

// answered is what became of something that a person wanted.
type answered struct {
	Cookie string `header:"Set-Cookie"`
	Body   struct {
		Answer
		Reload bool `json:"reload,omitempty" doc:"the page is another one now: somebody signed in or off"`
	}
}

func answerOf(a Answer, err error) (*answered, error) {
	if err != nil {
		return nil, err
	}
	out := &answered{}
	out.Body.Answer = a
	return out, nil
}

// accepted is an answer of this room itself. facts are names and values in turn.
func accepted(word, text, next string, facts ...string) Answer {
	return Answer{Tone: Accept, Said: problem(0, word, text, next, facts...).Said}
}
