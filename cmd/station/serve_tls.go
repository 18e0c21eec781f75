package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The station's own certificate, which nobody vouches for but who compared its fingerprint.
const (
	certificateLife = 825 * 24 * time.Hour // the most that browsers take
	certificateLeft = 30 * 24 * time.Hour  // with less of it than that a start makes another one
	clockOff        = time.Hour            // that the clock of a browser may be behind
)

func tlsDir(data string) string { return filepath.Join(data, "tls") }

// pageTLS is how pages are served at a host over TLS: with the certificate that the configuration names, or with the station's own, made where there is none. hosts are the
// names and addresses that the pages have, and fingerprint is the certificate's SHA-256.
func (c *config) pageTLS(host string, now time.Time) (_ *tls.Config, hosts []string, fingerprint string, err error) {
	certFile, keyFile := c.Page.TLS.Cert, c.Page.TLS.Key
	if certFile == "" {
		certFile, keyFile = filepath.Join(tlsDir(c.Data), "cert.pem"), filepath.Join(tlsDir(c.Data), "key.pem")
		if err := makeCertificate(c.Station, certFile, keyFile, ownNames(host), now); err != nil {
			return nil, nil, "", exit(exitError, fmt.Errorf("the certificate of the page cannot be made: %w", err))
		}
	}
	if info, err := os.Stat(keyFile); err == nil && info.Mode().Perm()&0o027 != 0 { // a group may be one that keeps keys
		return nil, nil, "", exit(exitRefused, fmt.Errorf("the key of the page's certificate, %s, is not its owner's alone: its mode is %#o; run chmod 0600 on it, and think about who may have read it", keyFile, info.Mode().Perm()))
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, nil, "", exit(exitRefused, fmt.Errorf("the certificate of the page cannot be used: %w", err))
	}
	hosts = ownNames(host)
	for _, name := range pair.Leaf.DNSNames {
		hosts = append(hosts, strings.ToLower(name))
	}
	for _, ip := range pair.Leaf.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	sum := sha256.Sum256(pair.Certificate[0])
	fingerprint = strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, hosts, fingerprint, nil
}

// ownNames are the names and addresses by which this PC may be called at a host to listen on, "" for all of them, as browsers spell them: in lower case.
func ownNames(host string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil {
		names = append(names, strings.ToLower(name))
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		all, _ := net.InterfaceAddrs() // where they cannot be read there is the name
		for _, a := range all {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				names = append(names, n.IP.String())
			}
		}
	} else if !slices.Contains(names, strings.ToLower(host)) {
		names = append(names, strings.ToLower(host))
	}
	return names
}

// makeCertificate makes a certificate and its key, unless they are there and good for a while.
func makeCertificate(station, certFile, keyFile string, names []string, now time.Time) error {
	text, err := os.ReadFile(certFile)
	if err == nil {
		block, _ := pem.Decode(text)
		if block == nil {
			return fmt.Errorf("%s is no certificate: remove it, and another one is made", certFile)
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil || now.Before(leaf.NotAfter.Add(-certificateLeft)) {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	cert := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "station " + station}, NotBefore: now.Add(-clockOff), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The certificate comes last: one that is there has its key.
	err = os.MkdirAll(filepath.Dir(certFile), 0o700)
	if gone := os.Remove(certFile); err == nil && !errors.Is(gone, fs.ErrNotExist) {
		err = gone
	}
	for _, f := range []struct {
		path  string
		block pem.Block
		mode  fs.FileMode
	}{{keyFile, pem.Block{Type: "PRIVATE KEY", Bytes: private}, 0o600}, {certFile, pem.Block{Type: "CERTIFICATE", Bytes: der}, 0o644}} {
		if err == nil {
			err = replaceFile(f.path, pem.EncodeToMemory(&f.block), f.mode)
		}
	}
	return err
}

// replaceFile puts a file in place whole and durable, or not at all.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone where it has the name
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
