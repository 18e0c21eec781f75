package keyserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// DefaultLimit is how long an answer may take.
const DefaultLimit = 5 * time.Second

// Error is that the key server refused, or did not answer as it should. It quotes no secret.
type Error struct {
	Route string // path
	Cause Cause  // "" where the server did not say
	Text  string // a sentence
	Err   error  // nil where the server refused
}

func (e *Error) Error() string { return "key server: " + e.Text }

func (e *Error) Unwrap() []error {
	if e.Cause == CauseKeyMissing {
		return []error{ErrMissing, e.Err}
	}
	return []error{e.Err}
}

// KeyServer says whose failure it is.
func (e *Error) KeyServer() bool { return true }

// RelayUnknown tells that nobody knows whether a one-way command took effect (provision.Signer).
func (e *Error) RelayUnknown() bool { return e.Cause == CauseUnclear }

// ClientOptions of a station.
type ClientOptions struct {
	URL   string // https://HOST:PORT
	CA    *x509.Certificate
	Cert  tls.Certificate // the station's, with its key
	Limit time.Duration   // of one answer; 0 is DefaultLimit
	Now   func() time.Time
}

// Client asks a key server for one station. Safe for concurrent use. It is a provision.Signer.
type Client struct {
	o       ClientOptions
	station string
	base    string
	leaf    *x509.Certificate
	http    *http.Client
}

// Address is the form of a key server's URL that paths are put behind, or why it is none.
func Address(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("%q is not the address of a key server, such as https://keys:8443", text)
	}
	return "https://" + u.Host, nil
}

// NewClient connects to nobody yet.
func NewClient(o ClientOptions) (*Client, error) {
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	base, err := Address(o.URL)
	if err != nil {
		return nil, err
	}
	if len(o.Cert.Certificate) == 0 {
		return nil, errors.New("a station needs its certificate to ask a key server")
	}
	leaf, err := x509.ParseCertificate(o.Cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("the station's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(o.CA)
	c := &Client{o: o, station: leaf.Subject.CommonName, base: base, leaf: leaf}
	c.http = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{o.Cert}, Time: o.Now},
			DialContext:            (&net.Dialer{Timeout: o.Limit}).DialContext,
			MaxConnsPerHost:        4,
			IdleConnTimeout:        5 * time.Second,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Station is the id that the certificate names.
func (c *Client) Station() string { return c.station }

// String names the key server: by its certificate authority, which has its id, and its address.
func (c *Client) String() string { return c.o.CA.Subject.CommonName + " at " + c.base }

// NotAfter is the end of the station's certificate.
func (c *Client) NotAfter() time.Time { return c.leaf.NotAfter }

// Close lets go of idle connections. Requests under way go on.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// ask sends a request once, and reads the answer into out. The body of the answer is wiped.
func (c *Client) ask(ctx context.Context, route string, query url.Values, in, out any) error {
	method, path, _ := strings.Cut(route, " ")
	if now := c.o.Now(); now.After(c.leaf.NotAfter) {
		return &Error{Route: path, Cause: CauseCertificate, Err: errors.New("certificate expired"),
			Text: fmt.Sprintf("the certificate of station %s expired on %s: have it enrolled again (`station keyserver enrol`)", c.station, day(c.leaf.NotAfter))}
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Limit)
	defer cancel()
	var text []byte
	if method != http.MethodGet {
		var err error
		if text, err = json.Marshal(in); err != nil {
			return err
		}
	}
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if route != RouteInit { // a connection that was closed meanwhile: the same request again changes nothing
		r.Header["Idempotency-Key"] = nil
	}
	res, err := c.http.Do(r)
	if err != nil {
		return c.failed(ctx, path, err)
	}
	defer res.Body.Close()
	body := make([]byte, maxAnswer+1) // does not grow, so that nothing of it is left behind
	defer clear(body)
	n, err := io.ReadFull(res.Body, body)
	switch {
	case err == nil:
		return &Error{Route: path, Err: errContent, Text: fmt.Sprintf("its answer has more than %d bytes", maxAnswer)}
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return c.failed(ctx, path, err)
	case res.ContentLength >= 0 && int64(n) != res.ContentLength:
		return &Error{Route: path, Err: io.ErrUnexpectedEOF, Text: "its answer broke off"}
	}
	if res.StatusCode != http.StatusOK {
		return problemErr(path, res, body[:n])
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &Error{Route: path, Err: errContent, Text: "its answer is no JSON: is it a key server?"}
	}
	if err := decode(body[:n], out); err != nil {
		return &Error{Route: path, Err: err, Text: fmt.Sprintf("its answer is not one to %s: %v", path, err)}
	}
	return nil
}

// wrong is an answer that cannot be used.
func wrong(route, format string, args ...any) error {
	_, path, _ := strings.Cut(route, " ")
	return &Error{Route: path, Err: errContent, Text: fmt.Sprintf(format, args...)}
}

// problemErr is a refusal. What the server says is cut to one line.
func problemErr(path string, res *http.Response, body []byte) error {
	e := &Error{Route: path, Err: errContent, Text: fmt.Sprintf("it answers %d to %s and does not say why: is it a key server?", res.StatusCode, path)}
	var p problem
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "application/problem+json" || decode(body, &p) != nil || p.causeOf() == "" {
		return e
	}
	const most = 500
	detail := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, p.Detail)
	if len(detail) > most {
		detail = strings.ToValidUTF8(detail[:most], "")
	}
	e.Cause, e.Err, e.Text = p.causeOf(), nil, p.title()+": "+detail
	return e
}

// title is ours, whatever the server says.
func (p problem) title() string {
	return strings.ToLower(titleOf[p.causeOf()][:1]) + titleOf[p.causeOf()][1:]
}

// failed says in words why nothing was answered. No error here has bytes of a body.
func (c *Client) failed(ctx context.Context, path string, err error) error {
	e := &Error{Route: path, Err: err}
	var op *net.OpError
	var bad *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled):
		e.Text = "the request was stopped"
	case errors.Is(err, context.DeadlineExceeded):
		e.Text = fmt.Sprintf("no answer from %s within %v: is it running, and reachable?", c.base, c.o.Limit)
	case errors.As(err, &bad):
		e.Text = fmt.Sprintf("%s is not the key server that this station was enrolled at, or is called by another name: %v", c.base, bad.Err)
	case alertOf(err) != "" && !strings.Contains(alertOf(err), "certificate"):
		e.Text = fmt.Sprintf("%s fails before it is asked anything (%s): its own log says more", c.base, alertOf(err))
	case alertOf(err) != "" || c.turnedAway(ctx, err):
		e.Text = fmt.Sprintf("%s does not let station %s in: its certificate is of another key server, or has expired (%s)", c.base, c.station, day(c.leaf.NotAfter))
		e.Cause = CauseCertificate
	case errors.As(err, &op) && op.Op == "dial":
		e.Text = fmt.Sprintf("%s cannot be reached: %v", c.base, op.Err)
	default:
		e.Text = fmt.Sprintf("%s did not answer whole", c.base)
		e.Err = io.ErrUnexpectedEOF // net/http's own errors quote what is no HTTP
	}
	return e
}

// alertOf is what the other end says in TLS when it ends a connection, "" for nothing. crypto/tls tells it in words alone.
func alertOf(err error) string {
	if err == nil {
		return ""
	}
	_, alert, _ := strings.Cut(err.Error(), "remote error: tls: ")
	return alert
}

// turnedAway tells whether the server refuses this certificate. In TLS 1.3 it says so after the handshake, and a request that is on its way then may lose its word; so
// one connection asks nothing and listens.
func (c *Client) turnedAway(ctx context.Context, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || ctx.Err() != nil {
		return false
	}
	const listen = 300 * time.Millisecond
	d := tls.Dialer{Config: c.http.Transport.(*http.Transport).TLSClientConfig}
	conn, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(c.base, "https://"))
	if err != nil {
		return strings.Contains(alertOf(err), "certificate")
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(listen)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	return strings.Contains(alertOf(err), "certificate")
}
