package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"station/kiosk"
)

// stationClient is a station at work, asked over its socket for what only who holds the ledger can do.
type stationClient struct{ client *http.Client }

// remoteLimit is for an answer that is no stream.
const remoteLimit = time.Minute

// stationAt is the station at work in a data directory. ok is false where none serves there.
func stationAt(ctx context.Context, data string) (r *stationClient, ok bool) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSocket(ctx, data, stationSocket) }
	c, err := dial(ctx, "", "")
	if err != nil {
		return nil, false
	}
	c.Close()
	return &stationClient{&http.Client{Transport: &http.Transport{DialContext: dial}}}, true
}

// atWork is stationAt the data directory of the command line.
func (a *app) atWork(ctx context.Context) (*stationClient, bool) {
	data, err := a.data()
	if err != nil {
		return nil, false // whoever opens the ledger is told so
	}
	return stationAt(ctx, data)
}

// send asks for a path. who is the pseudonymous id of who asks, "" for who only looks; in is sent as JSON, nil for nothing. An answer that is a problem is an error, with its exit code.
func (r *stationClient) send(ctx context.Context, who, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, exit(exitError, err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost/api/v1/"+path, body)
	if err != nil {
		return nil, exit(exitError, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if who != "" {
		req.Header.Set("Station-Operator", who)
	}
	answer, err := r.client.Do(req)
	if err != nil {
		return nil, exit(exitError, fmt.Errorf("the station at work does not answer: %w", err))
	}
	if answer.StatusCode < http.StatusBadRequest {
		return answer, nil
	}
	defer answer.Body.Close()
	var p kiosk.Problem
	if err := json.NewDecoder(answer.Body).Decode(&p); err != nil {
		return nil, exit(exitError, fmt.Errorf("the station at work answers %s", answer.Status))
	}
	return nil, problemErr(p)
}

// problemErr is a problem as the command line tells it.
func problemErr(p kiosk.Problem) error {
	text := []string{p.Detail}
	for _, e := range p.Errors {
		text = append(text, e.Location+": "+e.Message)
	}
	if p.Said.Next != "" {
		text = append(text, p.Said.Next)
	}
	code := exitError
	switch p.Status {
	case http.StatusNotFound:
		code = exitNo
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity:
		code = exitRefused
	}
	return exit(code, errors.New(strings.Join(text, "\n  ")))
}

// ask is send for an answer that comes whole; out is nil where it is not wanted.
func (r *stationClient) ask(ctx context.Context, who, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, remoteLimit)
	defer cancel()
	answer, err := r.send(ctx, who, method, path, in)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return exit(exitError, fmt.Errorf("the station at work answers what cannot be read: %w", err))
	}
	return nil
}

// state is what the wall shows.
func (r *stationClient) state(ctx context.Context) (s kiosk.State, err error) {
	err = r.ask(ctx, "", http.MethodGet, "state", nil, &s)
	return s, err
}

// remoteStaff are the people of a station at work.
type remoteStaff struct{ *stationClient }

func (r remoteStaff) Add(ctx context.Context, by kiosk.Who, person kiosk.Person, pin, badge string) (string, error) {
	return r.change(ctx, by, http.MethodPost, "users", struct {
		ID    string     `json:"id"`
		Name  string     `json:"name"`
		Role  kiosk.Role `json:"role"`
		PIN   string     `json:"pin,omitempty"`
		Badge string     `json:"badge,omitempty"`
	}{person.ID, person.Name, person.Role, pin, badge})
}

func (r remoteStaff) Change(ctx context.Context, by kiosk.Who, id string, c kiosk.PersonChange) (string, error) {
	return r.change(ctx, by, http.MethodPatch, "users/"+url.PathEscape(id), c)
}

func (r remoteStaff) Remove(ctx context.Context, by kiosk.Who, id string) error {
	_, err := r.change(ctx, by, http.MethodDelete, "users/"+url.PathEscape(id), nil)
	return err
}

func (r remoteStaff) change(ctx context.Context, by kiosk.Who, method, path string, in any) (code string, err error) {
	var out struct{ Code string }
	err = r.ask(ctx, by.ID, method, path, in, &out)
	return out.Code, err
}
