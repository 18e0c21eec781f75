package keyserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"station/ledger"
)

// handleLimit is how long a request may wait for the ledger.
const handleLimit = 20 * time.Second

// ServeHTTP answers stations. Who asks is in the certificate that TLS has verified.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), handleLimit)
	defer cancel()
	client, answer, err := s.answer(ctx, w, r)
	if secret, ok := answer.(interface{ wipe() }); ok {
		defer secret.wipe()
	}
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		text, err := json.Marshal(answer)
		if err != nil {
			panic(err) // our own types
		}
		w.Write(text)
		clear(text)
		return
	}
	p := problemOf(err)
	if p.causeOf() == CauseServer {
		s.o.Tell(fmt.Sprintf("%s of %s: %v", r.URL.Path, client, err))
	}
	s.note(ctx, client, r.URL.Path, p.causeOf(), err)
	p.write(w)
}

func (s *Server) answer(ctx context.Context, w http.ResponseWriter, r *http.Request) (client string, answer any, err error) {
	if client, err = s.client(r); err != nil {
		return client, nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return client, nil, fmt.Errorf("%w: it cannot be read, or has more than %d bytes", errContent, maxRequest)
	}
	defer clear(body)
	switch r.Method + " " + r.URL.Path {
	case RouteKeys:
		answer, err = s.keysOf(client, r.URL.Query().Get("checkpoint"))
	case RouteInit:
		answer, err = with(body, func(struct{}) (KeysAnswer, error) { return s.makeKeys(ctx, client) })
	case RouteCheckpointKey:
		answer, err = with(body, func(q CheckpointKey) (CheckpointKey, error) { return s.nextCheckpoint(ctx, client, q) })
	case RouteDestroyOld:
		answer, err = with(body, func(q CheckpointKey) (struct{}, error) { return struct{}{}, s.destroyOld(ctx, client, q) })
	case RouteSign:
		answer, err = with(body, func(q SignRequest) (SignAnswer, error) { return s.sign(ctx, client, q) })
	case RouteTagKey:
		answer, err = with(body, func(q TagKeyRequest) (KeyAnswer, error) { return s.tagKey(client, q) })
	case RouteUnlock:
		answer, err = with(body, func(q UnlockRequest) (UnlockAnswer, error) { return s.unlock(ctx, client, q) })
	case RouteRootKey:
		answer, err = with(body, func(q RootKeyRequest) (KeyAnswer, error) { return s.rootKey(ctx, client, q) })
	case RouteRelay:
		answer, err = with(body, func(q RelayRequest) (RelayTurn, error) { return s.relay(ctx, client, q) })
	case RouteReady:
		answer, err = with(body, func(q ReadyRequest) (ReadyAnswer, error) {
			return s.ready(client, q, r.TLS.VerifiedChains[0][0].NotAfter)
		})
	default:
		err = refuse(CauseUnknownRoute, about{}, "there is no %s here", r.Method)
	}
	return client, answer, err
}

func with[Q, A any](body []byte, do func(Q) (A, error)) (answer A, err error) {
	var q Q
	if err := decode(body, &q); err != nil {
		return answer, err
	}
	return do(q)
}

// client is the station that asks. Its certificate is of this server's CA, for clients, of now, and among those that the ledger names.
func (s *Server) client(r *http.Request) (string, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return "", refuse(CauseCertificate, about{}, "there is no certificate")
	}
	leaf := r.TLS.VerifiedChains[0][0]
	name := leaf.Subject.CommonName
	if !stationForm.MatchString(name) {
		return "", refuse(CauseCertificate, about{}, "the certificate names no station")
	}
	if now := s.o.Now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return name, refuse(CauseCertificate, about{}, "the certificate of station %s holds from %s to %s only: enrol the station again", name, day(leaf.NotBefore), day(leaf.NotAfter))
	}
	sum := sha256.Sum256(leaf.Raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	digest := "sha256:" + hex.EncodeToString(sum[:])
	switch c := s.state.clients[name]; {
	case c == nil:
	case c.certificates[digest] != "":
		return name, nil
	case c.revoked[digest]:
		return name, refuse(CauseCertificate, about{}, "the certificate of station %s is revoked: enrol the station again", name)
	}
	return name, refuse(CauseCertificate, about{}, "the ledger of the key server does not name this certificate of station %s: enrol the station again", name)
}

// maxTold is how many different refusals of one station are written down, so that none fills the ledger or hides those of others.
const maxTold = 512

// note writes a refusal down, once for as long as the server runs.
func (s *Server) note(ctx context.Context, client, route string, cause Cause, err error) {
	if cause == CauseServer {
		return
	}
	if !slices.ContainsFunc(stationRoutes, func(r string) bool { return strings.HasSuffix(r, " "+route) }) {
		route = "other"
	}
	e := ledger.KeyRefused{Client: client, Route: route, Cause: string(cause)}
	if r := (*refusal)(nil); errors.As(err, &r) {
		e.Digest, e.UID, e.Master = r.what.digest, r.what.uid, r.what.master
	}
	if short(e.Digest, e.UID, e.Master) != nil {
		e = ledger.KeyRefused{Client: client, Route: "other", Cause: string(cause)}
	}
	key := strings.Join([]string{e.Client, e.Route, e.Cause, e.Digest, e.UID, e.Master}, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	whose := "" // of all that were never enrolled
	if c := s.state.clients[client]; c != nil && c.enrolled {
		whose = client
	}
	if s.told[key] || s.tellings[whose] >= maxTold {
		return
	}
	if err := s.write(ctx, e); err != nil {
		s.o.Tell(err.Error())
		return
	}
	s.told[key] = true
	s.tellings[whose]++
}

// missing tells the asker of a key that is not there, and of nothing else that Keys says.
func (s *Server) missing(what string, err error) error {
	switch {
	case errors.Is(err, ErrMissing):
		return refuse(CauseKeyMissing, about{}, "the key server has no key %s", what)
	case errors.Is(err, ErrName):
		return refuse(CauseKeyMissing, about{}, "no key can have that name")
	case errors.Is(err, ErrExists):
		return refuse(CauseKeyExists, about{}, "%s exists already", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
