package kiosk

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Options of a Server.
type Options struct {
	Station  Station
	Records  Records
	Wall     *Wall
	People   *People
	Language string         // of pages that chose none: a catalogue's name
	Scanner  Scanner        //
	Badge    *regexp.Regexp // what the code of a badge looks like
	Log      *slog.Logger
	// Open says that whoever asks may do everything while there are no people: a simulated station that answers on loopback only.
	Open bool
	// SetUp is the code that whoever makes the first user has to know, in capitals; small letters are taken as well. It is not asked for where Open.
	SetUp string
	// TLS says that the pages are served over it.
	TLS bool
	// Hosts are the names and addresses that this server is asked for, without ports; none for those of loopback. Requests for others are refused: a page of somewhere else
	// whose name was made to point here must not reach it.
	Hosts []string
	// Direct carries out units without a job, for who asks over the socket, and tells what happens, a document at a time; nil where the socket has no such route.
	Direct func(ctx context.Context, who Who, order DirectOrder, tell func(any)) error
}

// Scanner is how a wedge scanner types: what around each code, and how fast.
type Scanner struct {
	Prefix string        // "" for nothing
	Suffix string        // the name of a key: "Enter" or "Tab"
	Gap    time.Duration // between two of its keys at most, while a field has the focus
}

// DirectOrder is what `station run RECIPE --slot ...` asks for.
type DirectOrder struct {
	Recipe string                       `json:"recipe"` // absolute path
	Slots  []DirectSlot                 `json:"slots"`
	Values map[string]map[string]string `json:"values,omitempty"` // by slot, then by name
	Boards []DirectSlot                 `json:"boards,omitempty"` // of a simulated station: Serial is the file
	Unlock map[string][]byte            `json:"unlock,omitempty"` // by slot, sealed
	Trial  bool                         `json:"trial"`
}

// DirectSlot is a unit in a slot.
type DirectSlot struct {
	Slot   string `json:"slot"`
	Serial string `json:"serial"`
}

const (
	maxBody   = 64 << 10         // bytes of a request
	maxHeader = 16 << 10         // likewise
	bodyLimit = 10 * time.Second // for a request to be here whole
	sendLimit = 30 * time.Second // for its answer to be done and sent; streams and the ledger's check set their own
	idleLimit = 30 * time.Second // for the next request of a connection
	deedLimit = 25 * time.Second // for what was asked to be done
	// maxReports are made at once, each with most of a core for a tenth of a second: a scan does not wait behind all that somebody wants.
	maxReports = 2
	// verifyLimit is for the whole ledger to be recomputed.
	verifyLimit = 10 * time.Minute
)

// Server answers people and programs.
type Server struct {
	o         Options
	mux       *http.ServeMux
	routes    []route // all that the mux has
	document  *huma.OpenAPI
	key       []byte // of the tokens; every start has another one
	cross     *http.CrossOriginProtection
	anyCase   *regexp.Regexp // Options.Badge in any case, nil like it
	changes   *rate          // of what changes something, by session or address
	signIns   *rate          // of attempts to sign in, by address
	allIns    *rate          // and of all addresses together, but for badges that nobody guesses
	shifts    *rate          // of shifts that are begun, each of them an entry and a look at every slot, by session or address
	notes     *rate          // of lines in the log about what was refused, by session or address
	unnoted   atomic.Int64   // such that the log does not have, since the last that it has
	refusals  *rate          // of entries about what was refused, by user
	taken     takenScans
	verifying sync.Mutex
	reporting chan struct{} // holds who has a report made
	pages     *pages
	settingUp sync.Mutex
	// refused renders a page that says why there is another one not to be seen: the one to sign in with, where that is why.
	refused func(w http.ResponseWriter, r *http.Request, p *Problem)
}

// New is a server that answers nobody yet: see Handler and Local.
func New(o Options) *Server {
	s := &Server{
		o: o, mux: http.NewServeMux(), key: make([]byte, 32), cross: http.NewCrossOriginProtection(),
		taken: takenScans{scans: map[scanID]*takenScan{}}, changes: newRate(20, 60), signIns: newRate(10.0/60, 10), allIns: newRate(1, 60), refusals: newRate(1, 10),
		notes: newRate(0.1, 60), shifts: newRate(0.1, 5),
	}
	s.reporting = make(chan struct{}, maxReports)
	rand.Read(s.key) // never fails
	o.People.Form = o.Badge
	if o.Badge != nil {
		s.anyCase = regexp.MustCompile("(?i:" + o.Badge.String() + ")")
	}
	s.pages = newPages(o)
	s.refused = s.pages.refused
	s.addAPI()
	s.addPages()
	return s
}

// Handler answers on the network.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.setHeaders(w.Header())
		if p := s.strange(r); p != nil {
			s.note(fmt.Sprintf("%s %.100s", r.Method, r.URL.Path), Anybody, visitor{address: addressOf(r)}, p)
			s.answer(w, r, p, false)
			return
		}
		s.mux.ServeHTTP(w, r)
	})
}

// Local answers whoever may open the socket of this PC. They are who they say in the header Station-Operator, and may do everything. Only here is POST /api/v1/runs.
func (s *Server) Local() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.mux)
	if s.o.Direct != nil {
		mux.HandleFunc("POST /api/v1/runs", s.direct)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.setHeaders(w.Header())
		v, p := local(r)
		if p != nil {
			s.answer(w, r, p, false)
			return
		}
		mux.ServeHTTP(w, r.WithContext(withVisitor(r.Context(), v)))
	})
}

// HTTP serves h with limits for everything that somebody could be slow with, the handshake of TLS among it: it has the header's.
func (s *Server) HTTP(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: bodyLimit, ReadTimeout: bodyLimit, WriteTimeout: sendLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
}
