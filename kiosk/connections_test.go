package kiosk

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// counted counts what is open, and so the descriptors that are used.
type counted struct {
	net.Listener
	mu   sync.Mutex
	open map[string]int // by address
	most int            // of all that are not this PC's, at once
}

type countedConn struct {
	net.Conn
	shut func()
}

func (c *countedConn) Close() error { c.shut(); return c.Conn.Close() }

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	l.count(host, 1)
	return &countedConn{c, sync.OnceFunc(func() { l.count(host, -1) })}, nil
}

func (l *counted) count(host string, by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[host] += by
	l.most = max(l.most, l.others())
}

// others is how many strangers' connections are open. The caller holds mu.
func (l *counted) others() (n int) {
	for host, open := range l.open {
		if host != "127.0.0.1" {
			n += open
		}
	}
	return n
}

// lives waits until so many connections of an address are open, "" for those of all strangers.
func (l *counted) lives(t *testing.T, host string, want int) {
	t.Helper()
	got := 0
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		if got = l.open[host]; host == "" {
			got = l.others()
		}
		l.mu.Unlock()
		if got == want {
			return
		}
	}
	t.Errorf("%d connections of %q are open, want %d", got, host, want)
}

// countedSite serves over TLS what is connected to; limits are so many times shorter.
func countedSite(t *testing.T, shorter time.Duration) (x *site, l *counted, trust *tls.Config) {
	x = newSite(t, Options{})
	own := httptest.NewTLSServer(nil) // for its certificate
	own.Close()
	trust = own.Client().Transport.(*http.Transport).TLSClientConfig
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = &counted{Listener: tcp, open: map[string]int{}}
	server := x.HTTP(x.handler)
	for _, limit := range []*time.Duration{&server.ReadHeaderTimeout, &server.ReadTimeout, &server.WriteTimeout, &server.IdleTimeout} {
		if *limit <= 0 || *limit > 30*time.Second {
			t.Errorf("a limit of %v", *limit)
		}
		*limit /= shorter
	}
	go server.Serve(tls.NewListener(x.Listen(l), &tls.Config{Certificates: own.TLS.Certificates}))
	t.Cleanup(func() { server.Close() })
	return x, l, trust
}

// connect connects n times from an address, and says nothing.
func (l *counted) connect(t *testing.T, from string, n int) (all []net.Conn) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	for range n {
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		all = append(all, c)
	}
	return all
}

// healthy asks over a connection whether all is well, after the handshake, and leaves it open.
func healthy(c net.Conn, trust *tls.Config) error {
	config := trust.Clone()
	config.ServerName = "example.com"
	secure := tls.Client(c, config)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprint(secure, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	b := make([]byte, 15)
	if _, err := secure.Read(b); err != nil || string(b) != "HTTP/1.1 200 OK" {
		return fmt.Errorf("%q %w", b, err)
	}
	return nil
}

// Strangers who connect and say nothing use no more descriptors than their share, one of them no more than that of an address, and none of them what is this PC's.
func TestConnectionsOfStrangers(t *testing.T) {
	x, l, trust := countedSite(t, 1)
	l.connect(t, "127.1.0.1", 2*addressConnections)
	l.lives(t, "127.1.0.1", addressConnections)
	if err := healthy(l.connect(t, "127.1.0.2", 1)[0], trust); err != nil {
		t.Errorf("beside one stranger another one: %v", err)
	}
	for i := 2; i < 22; i++ {
		l.connect(t, fmt.Sprintf("127.1.0.%d", i), addressConnections)
	}
	l.lives(t, "", otherConnections)
	if err := healthy(l.connect(t, "127.0.0.1", 1)[0], trust); err != nil {
		t.Errorf("this PC, beside all of them: %v", err)
	}
	l.connect(t, "127.0.0.1", 2*ownConnections)
	l.lives(t, "127.0.0.1", ownConnections)
	l.mu.Lock()
	if l.most > otherConnections+1 {
		t.Errorf("strangers had %d connections at once", l.most)
	}
	l.mu.Unlock()
	lines := x.log.lines()
	if len(lines) > 150 {
		t.Errorf("strangers filled the log with %d lines", len(lines))
	}
	for _, who := range []string{"127.1.0.1", "this PC"} {
		if !slices.ContainsFunc(lines, func(s string) bool { return strings.Contains(s, who) && strings.Contains(s, "cause=connections") }) {
			t.Errorf("the log does not say that %s was refused", who)
		}
	}
}

// Who finishes no handshake, no request, or asks no more, is cut off, and makes room.
func TestConnectionsEnd(t *testing.T) {
	_, l, trust := countedSite(t, 50)
	for range 3 {
		l.connect(t, "127.1.0.1", addressConnections)
		l.lives(t, "", 0)
	}
	for range 3 {
		if err := healthy(l.connect(t, "127.1.0.1", 1)[0], trust); err != nil {
			t.Error(err)
		}
	}
	l.lives(t, "", 0)
}

// A browser of this PC is this PC's, also where it calls the station by an address of the network; a stranger is not, whatever was called.
func TestOwnConnections(t *testing.T) {
	for _, c := range []struct {
		there, here string
		own         bool
	}{
		{"127.0.0.1:50000", "127.0.0.1:8443", true},
		{"127.0.0.1:50000", "127.0.1.1:8443", true}, // the name of a Debian PC
		{"127.0.0.2:50000", "127.0.0.1:8443", false},
		{"[::1]:50000", "[::1]:8443", true},
		{"[::ffff:127.0.0.1]:50000", "[::ffff:127.0.0.1]:8443", true},
		{"192.0.2.1:50000", "192.0.2.1:8443", true},
		{"[2001:db8::1]:50000", "[2001:db8::1]:8443", true},
		{"192.0.2.2:50000", "192.0.2.1:8443", false},
		{"[2001:db8::2]:50000", "[2001:db8::1]:8443", false},
		{"pipe", "pipe", false},
	} {
		if got := isOwn(addressed{there: c.there, here: c.here}); got != c.own {
			t.Errorf("%s at %s: %v", c.there, c.here, got)
		}
	}
}

type addressed struct {
	net.Conn
	there, here string
}

type textAddr string

func (a textAddr) Network() string       { return "tcp" }
func (a textAddr) String() string        { return string(a) }
func (c addressed) RemoteAddr() net.Addr { return textAddr(c.there) }
func (c addressed) LocalAddr() net.Addr  { return textAddr(c.here) }
