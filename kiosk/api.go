package kiosk

import (
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// adapter registers what huma has with the mux of a Server: every route of the API goes past the same guard as the pages.
type adapter struct{ s *Server }

const extAction = "x-action" // of an operation in the document: the Action that it is

func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	action, _ := op.Extensions[extAction].(Action)
	a.s.handle(route{op.Method + " " + op.Path, action, false}, func(w http.ResponseWriter, r *http.Request) {
		handler(humago.NewContext(op, r, w))
	})
}

func (a adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.s.mux.ServeHTTP(w, r) }

// addAPI adds the routes of the API, and the document about them.
func (s *Server) addAPI() {
	config := huma.DefaultConfig("Provisioning station", "1")
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil // the page for them would load scripts from elsewhere
	api := huma.NewAPI(config, adapter{s})
	s.handle(route{"GET /api/v1/openapi.json", Anybody, false}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		json.NewEncoder(w).Encode(api.OpenAPI())
	})
}
