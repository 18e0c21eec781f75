package keyserver

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"station/ledger"
)

// The routes of whoever sits at the key server's PC. They are never on a network.
const (
	RouteEnrol     = "POST /admin/v1/enrol"      // EnrolRequest -> EnrolAnswer
	RouteRevoke    = "POST /admin/v1/revoke"     // AboutStation -> {}
	RouteRewound   = "POST /admin/v1/rewound"    // AboutStation -> {}
	RouteAllow     = "POST /admin/v1/allow"      // AllowRequest -> Allowance
	RouteWithdraw  = "POST /admin/v1/withdraw"   // WithdrawRequest -> Allowance
	RouteKeyCreate = "POST /admin/v1/key/create" // KeyRequest -> Master
	RouteKeyRetire = "POST /admin/v1/key/retire" // KeyRequest -> Master
	RouteList      = "GET /admin/v1/list"        // -> List
)

const (
	maxAdmin = 256 << 20 // bytes of a body: an image is in it
	maxUnits = 10_000_000
)

// EnrolRequest wants a certificate for a station's public key, which is in PKIX form.
type EnrolRequest struct {
	Station string `json:"station"`
	Public  []byte `json:"public"`
	Hours   int    `json:"hours"`
	By      string `json:"by"`
}

// EnrolAnswer has the certificate, and that of the CA, in DER.
type EnrolAnswer struct {
	Certificate []byte `json:"certificate"`
	CA          []byte `json:"ca"`
}

// AboutStation says something of a station, and why.
type AboutStation struct {
	Station string `json:"station"`
	Reason  string `json:"reason"`
	By      string `json:"by"`
}

// AllowRequest lets a station have what a job needs for so many more chips. Masters are some of those that the job needs; where none is
// named, all of them, or as at the station's last allowance of this recipe.
type AllowRequest struct {
	Station string   `json:"station"`
	Job     *Job     `json:"job"`
	Units   int      `json:"units"`
	Masters []string `json:"masters"`
	By      string   `json:"by"`
}

// WithdrawRequest takes back what is left of an allowance: so many chips, or all that are left where that is less.
type WithdrawRequest struct {
	Station string `json:"station"`
	Digest  string `json:"digest"` // of the recipe
	Units   int    `json:"units"`
	By      string `json:"by"`
}

// KeyRequest makes a master key, of Value where that is not empty, or retires one.
type KeyRequest struct {
	Name   string `json:"name"`
	Value  []byte `json:"value,omitempty"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by"`
}

// List is what the server knows.
type List struct {
	Stations   []Station   `json:"stations"`
	Allowances []Allowance `json:"allowances"`
	Masters    []Master    `json:"masters"`
}

// Station is a station with its certificates that count.
type Station struct {
	Station      string   `json:"station"`
	Certificates []string `json:"certificates"` // until when they hold, time of entry format
	Checkpoint   int64    `json:"checkpoint"`   // size of the last one that was signed
}

// Allowance is how many chips of a recipe a station may do, and has done.
type Allowance struct {
	Station string   `json:"station"`
	Recipe  string   `json:"recipe"`
	Version int      `json:"version"`
	Digest  string   `json:"digest"`
	Masters []string `json:"masters"`
	Units   int      `json:"units"`
	Used    int      `json:"used"`
}

// Admin answers whoever sits at the server's PC: a unix socket that nobody else may open.
func (s *Server) Admin() http.Handler { return http.HandlerFunc(s.admin) }

func (s *Server) admin(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), handleLimit)
	defer cancel()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdmin))
	defer clear(body)
	var answer any
	if err != nil {
		err = fmt.Errorf("%w: it cannot be read, or has more than %d bytes", errContent, maxAdmin)
	} else {
		answer, err = s.administer(ctx, r.Method+" "+r.URL.Path, body)
	}
	if err != nil {
		p := problemOf(err)
		if p.causeOf() == CauseServer { // to nobody but its owner
			p.Detail = err.Error()
		}
		p.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.o.Tell(err.Error())
	}
}

func (s *Server) administer(ctx context.Context, route string, body []byte) (any, error) {
	switch route {
	case RouteEnrol:
		return with(body, func(q EnrolRequest) (EnrolAnswer, error) { return s.enrol(ctx, q) })
	case RouteRevoke:
		return with(body, func(q AboutStation) (struct{}, error) { return struct{}{}, s.revoke(ctx, q) })
	case RouteRewound:
		return with(body, func(q AboutStation) (struct{}, error) { return struct{}{}, s.rewound(ctx, q) })
	case RouteAllow:
		return with(body, func(q AllowRequest) (Allowance, error) { return s.allow(ctx, q) })
	case RouteWithdraw:
		return with(body, func(q WithdrawRequest) (Allowance, error) { return s.withdraw(ctx, q) })
	case RouteKeyCreate:
		return with(body, func(q KeyRequest) (Master, error) {
			defer clear(q.Value)
			return s.keyCreate(ctx, q)
		})
	case RouteKeyRetire:
		return with(body, func(q KeyRequest) (Master, error) { return s.keyRetire(ctx, q) })
	case RouteList:
		return s.list()
	}
	return nil, refuse(CauseUnknownRoute, about{}, "there is no %s here", route)
}

func (s *Server) enrol(ctx context.Context, q EnrolRequest) (EnrolAnswer, error) {
	public, err := x509.ParsePKIXPublicKey(q.Public)
	switch {
	case err != nil:
		return EnrolAnswer{}, fmt.Errorf("%w: there is no public key", errContent)
	case !stationForm.MatchString(q.Station):
		return EnrolAnswer{}, refuse(CauseRefused, about{}, "%.40q is no station's id: 1 to 32 lower-case letters, digits and dashes, the first no dash", q.Station)
	case q.Hours < 1 || q.Hours > 24*366*10:
		return EnrolAnswer{}, refuse(CauseRefused, about{}, "a certificate holds 1 hour to 10 years")
	case q.By == "":
		return EnrolAnswer{}, nobody
	}
	now := s.o.Now()
	der, err := s.o.CA.Client(q.Station, public, now, time.Duration(q.Hours)*time.Hour)
	if err != nil {
		return EnrolAnswer{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return EnrolAnswer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := ledger.ClientEnrolled{Client: q.Station, Certificate: digestOf(der), NotAfter: leaf.NotAfter.UTC().Format(ledger.TimeFormat), By: q.By}
	return EnrolAnswer{der, s.o.CA.Certificate.Raw}, s.write(ctx, e)
}

// known refuses a station that was never enrolled. The caller holds mu.
func (s *Server) known(station string) (*client, error) {
	c := s.state.clients[station]
	if c == nil || !c.enrolled {
		return nil, refuse(CauseRefused, about{}, "there is no station %.40q: `station keyserver enrol` makes its certificate", station)
	}
	return c, nil
}

func (s *Server) revoke(ctx context.Context, q AboutStation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := unreasoned(q.Reason, q.By); err != nil {
		return err
	}
	if _, err := s.known(q.Station); err != nil {
		return err
	}
	return s.whole(ctx, ledger.ClientRevoked{Client: q.Station, Reason: q.Reason, By: q.By})
}

func (s *Server) rewound(ctx context.Context, q AboutStation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := unreasoned(q.Reason, q.By); err != nil {
		return err
	}
	c, err := s.known(q.Station)
	if err != nil {
		return err
	}
	e := ledger.CheckpointRewound{Client: q.Station, Root: strings.Repeat("0", 64), Reason: q.Reason, By: q.By} // of a station that brings a long ledger along
	if c.seen != nil {
		e.Size, e.Root = c.seen.Size, c.seen.Root
	}
	return s.whole(ctx, e)
}

var nobody = refuse(CauseRefused, about{}, "somebody has to be named who does this")

// unreasoned refuses what somebody says of a station or a key without a reason or a name.
func unreasoned(reason, by string) error {
	switch {
	case reason == "":
		return refuse(CauseRefused, about{}, "a reason has to be given, for the ledger")
	case by == "":
		return nobody
	}
	return nil
}

// whole writes an entry that a person asks for. The caller holds mu.
func (s *Server) whole(ctx context.Context, e ledger.KeyServerEntry) error {
	if err := e.Check(); err != nil {
		return refuse(CauseContent, about{}, "%v", err)
	}
	return s.write(ctx, e)
}

func (s *Server) allow(ctx context.Context, q AllowRequest) (Allowance, error) {
	switch {
	case q.Job == nil:
		return Allowance{}, fmt.Errorf("%w: there is no job", errContent)
	case q.Units < 1 || q.Units > maxUnits:
		return Allowance{}, refuse(CauseRefused, about{}, "1 to %d chips can be allowed at once, and not %d", maxUnits, q.Units)
	case q.By == "":
		return Allowance{}, nobody
	}
	if err := q.Job.check(); err != nil {
		return Allowance{}, refuse(CauseNotInRecipe, about{digest: q.Job.Digest}, "the key server cannot carry out recipe %s: %v", q.Job.Recipe, err)
	}
	needed := q.Job.masters()
	if len(needed) == 0 {
		return Allowance{}, refuse(CauseRefused, about{}, "recipe %s asks a key server for nothing: it derives no root key, and has no measure or relay. It needs no allowance", q.Job.Recipe)
	}
	masters, err := s.mastersOf(q, needed)
	if err != nil {
		return Allowance{}, err
	}
	for _, name := range masters {
		if _, err := s.master(name); err != nil {
			return Allowance{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.known(q.Station); err != nil {
		return Allowance{}, err
	}
	for _, name := range masters {
		if s.state.retired[name] {
			return Allowance{}, refuse(CauseKeyRetired, about{}, "the master key %s is retired, and recipe %s needs it: a recipe with another one can be allowed. Chips that have theirs go on", name, q.Job.Recipe)
		}
	}
	digest, err := q.Job.keep(s.o.Jobs)
	if err != nil {
		return Allowance{}, err
	}
	recipe := ledger.Recipe{ID: q.Job.Recipe, Version: q.Job.Version, Title: q.Job.Title, Digest: q.Job.Digest}
	if err := s.whole(ctx, ledger.KeyAllowance{Client: q.Station, Recipe: recipe, Job: digest, Units: q.Units, Masters: masters, By: q.By}); err != nil {
		return Allowance{}, err
	}
	key := allowed{q.Station, q.Job.Digest}
	return s.state.allowances[key].shown(key), nil
}

// mastersOf are the masters of an allowance from now on: those that the request names, as they are of the earlier ones of this recipe, or all that it needs.
func (s *Server) mastersOf(q AllowRequest, needed []string) ([]string, error) {
	for _, name := range q.Masters {
		if !slices.Contains(needed, name) {
			return nil, refuse(CauseRefused, about{}, "recipe %s does not need the master key %.80s: it needs %s", q.Job.Recipe, name, strings.Join(needed, ", "))
		}
	}
	if len(q.Masters) > 0 {
		return q.Masters, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.state.allowances[allowed{q.Station, q.Job.Digest}]; ok {
		return slices.Clone(a.masters), nil
	}
	return needed, nil
}

// withdraw never goes below the chips that were done: they go on.
func (s *Server) withdraw(ctx context.Context, q WithdrawRequest) (Allowance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.known(q.Station); err != nil {
		return Allowance{}, err
	}
	key := allowed{q.Station, q.Digest}
	a, ok := s.state.allowances[key]
	switch {
	case !ok:
		return Allowance{}, refuse(CauseNoAllowance, about{}, "station %s has no allowance for a recipe with the digest %.80s", q.Station, q.Digest)
	case q.By == "":
		return Allowance{}, nobody
	case q.Units < 1 || q.Units > maxUnits:
		return Allowance{}, refuse(CauseRefused, about{}, "1 to %d chips can be taken back at once, and not %d", maxUnits, q.Units)
	case a.units == len(a.used):
		return Allowance{}, refuse(CauseUsedUp, about{}, "nothing is left of the allowance of station %s for %s version %d: %d of %d chips are done", q.Station, a.recipe.ID, a.recipe.Version, len(a.used), a.units)
	}
	e := ledger.AllowanceWithdrawn{Client: q.Station, Digest: q.Digest, Units: min(q.Units, a.units-len(a.used)), By: q.By}
	if err := s.whole(ctx, e); err != nil {
		return Allowance{}, err
	}
	return a.shown(key), nil
}

func (a *allowance) shown(key allowed) Allowance {
	return Allowance{key.client, a.recipe.ID, a.recipe.Version, key.digest, a.masters, a.units, len(a.used)}
}

func (s *Server) list() (List, error) {
	masters, err := s.allMasters()
	if err != nil {
		return List{}, err
	}
	l := List{Stations: []Station{}, Allowances: []Allowance{}, Masters: masters}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.state.clients)) {
		c := s.state.clients[name]
		if !c.enrolled {
			continue
		}
		st := Station{Station: name, Certificates: slices.Sorted(maps.Values(c.certificates))}
		if st.Certificates == nil {
			st.Certificates = []string{}
		}
		if c.seen != nil {
			st.Checkpoint = c.seen.Size
		}
		l.Stations = append(l.Stations, st)
	}
	for key, a := range s.state.allowances {
		l.Allowances = append(l.Allowances, a.shown(key))
	}
	slices.SortFunc(l.Allowances, func(a, b Allowance) int {
		return strings.Compare(a.Station+"\x00"+a.Recipe+"\x00"+a.Digest, b.Station+"\x00"+b.Recipe+"\x00"+b.Digest)
	})
	return l, nil
}

// AdminClient asks a server that is on the same PC.
type AdminClient struct {
	do func(*http.Request) (*http.Response, error)
}

// DialAdmin asks the server to whose socket dial connects.
func DialAdmin(dial func(ctx context.Context) (net.Conn, error)) AdminClient {
	return AdminClient{(&http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial(ctx)
	}}}).Do}
}

// Here asks a server in this process.
func (s *Server) Here() AdminClient {
	return AdminClient{func(r *http.Request) (*http.Response, error) {
		w := &recorder{header: http.Header{}, status: http.StatusOK}
		s.admin(w, r)
		return &http.Response{StatusCode: w.status, Header: w.header, Body: io.NopCloser(&w.body)}, nil
	}}
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }

// Call asks, and reads the answer into out. Where the server refuses, the error is an *Error.
func (c AdminClient) Call(ctx context.Context, route string, in, out any) error {
	method, path, _ := strings.Cut(route, " ")
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	defer clear(text)
	r, err := http.NewRequestWithContext(ctx, method, "http://keyserver"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	res, err := c.do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAdmin))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return problemErr(path, res, body)
	}
	if err := decode(body, out); err != nil {
		return errors.New("the key server answers in another way than this program knows: is it of the same version?")
	}
	return nil
}
