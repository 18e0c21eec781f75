package main

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPageCertificate: the station's own certificate is good for its names, is made once and again only when it is about to end, or was never finished; a file that is none is left
// alone.
func TestPageCertificate(t *testing.T) {
	t.Parallel()
	c := &config{Station: "line1", Data: t.TempDir()}
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	made := func(now time.Time) (leaf *x509.Certificate, fingerprint string) {
		t.Helper()
		o, hosts, fingerprint, err := c.pageTLS("Line1-PC.example", now)
		if err != nil {
			t.Fatal(err)
		}
		leaf = o.Certificates[0].Leaf
		for _, name := range []string{"line1-pc.example", "localhost", "127.0.0.1", "::1"} {
			if err := leaf.VerifyHostname(name); err != nil || !slices.Contains(hosts, name) {
				t.Errorf("%s: %v, among %q", name, err, hosts)
			}
		}
		if len(fingerprint) != 32*3-1 {
			t.Errorf("fingerprint %q", fingerprint)
		}
		return leaf, fingerprint
	}
	leaf, first := made(now)
	if life := leaf.NotAfter.Sub(now); life != 825*24*time.Hour || leaf.IsCA || leaf.NotBefore.After(now.Add(-time.Minute)) || leaf.PublicKeyAlgorithm != x509.ECDSA {
		t.Errorf("%+v", leaf)
	}
	if _, again := made(now.Add(794 * 24 * time.Hour)); again != first {
		t.Error("it was made again with a month left")
	}
	_, second := made(now.Add(796 * 24 * time.Hour))
	if second == first {
		t.Error("it was not made again before it ends")
	}
	key := filepath.Join(c.Data, "tls", "key.pem")
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o644: false, 0o620: false, 0o602: false} { // one of its group may be what a host's keys are for
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := c.pageTLS("", now.Add(796*24*time.Hour)); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "chmod 0600") {
			t.Errorf("a key of mode %v: %v", mode, err)
		}
	}
	cert := filepath.Join(c.Data, "tls", "cert.pem")
	if err := os.Remove(cert); err != nil { // as a death between the two files leaves it
		t.Fatal(err)
	}
	if _, third := made(now); third == second {
		t.Error("a certificate that was gone is back")
	}
	if err := os.WriteFile(cert, []byte("none"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.pageTLS("", now); err == nil {
		t.Error("no error")
	}
	if text, err := os.ReadFile(cert); err != nil || string(text) != "none" {
		t.Errorf("%q, %v", text, err)
	}
	c.Page.TLS.Cert, c.Page.TLS.Key = cert, key
	if _, _, _, err := c.pageTLS("", now); err == nil {
		t.Error("a certificate of one's own that is none is no error")
	}
}
