package keyserver

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

const (
	caYears      = 20
	serverDays   = 90
	clockSkew    = time.Hour // certificates hold from so long before they were made
	DefaultYears = 1         // of a station's certificate
)

// CA makes the certificates of stations and of the server. Its key is wherever Signer has it.
type CA struct {
	Certificate *x509.Certificate
	Signer      crypto.Signer
}

// NewCA makes the CA's own certificate, in DER.
func NewCA(signer crypto.Signer, id string, now time.Time) ([]byte, error) {
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: "station key server " + id}, NotBefore: now.Add(-clockSkew), NotAfter: now.AddDate(caYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return sign(t, t, signer.Public(), signer)
}

// Client makes the certificate of a station, in DER, over its public key.
func (ca *CA) Client(station string, public crypto.PublicKey, now time.Time, validity time.Duration) ([]byte, error) {
	if !stationForm.MatchString(station) {
		return nil, fmt.Errorf("%q is no station id", station)
	}
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: station}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(validity),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return sign(t, ca.Certificate, public, ca.Signer)
}

// Server makes the certificate of the server, in DER: for the names and addresses by which stations call it.
func (ca *CA) Server(names []string, public crypto.PublicKey, now time.Time) ([]byte, error) {
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: "station key server"}, NotBefore: now.Add(-clockSkew), NotAfter: now.AddDate(0, 0, serverDays),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return sign(t, ca.Certificate, public, ca.Signer)
}

func sign(t, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) ([]byte, error) {
	serial := make([]byte, 16)
	rand.Read(serial)
	t.SerialNumber = new(big.Int).SetBytes(serial)
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return der, nil
}

// ServerTLS is TLS 1.3 with certificates on both sides. The server's own is made when it is needed, and made anew while it has a third of its life left.
func ServerTLS(ca *CA, key crypto.Signer, names []string, now func() time.Time) (*tls.Config, error) {
	if len(names) == 0 {
		return nil, errors.New("a key server needs a name or address by which stations call it")
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	var mu sync.Mutex
	var held *tls.Certificate
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if held != nil && now().Before(held.Leaf.NotAfter.AddDate(0, 0, -serverDays/3)) {
			return held, nil
		}
		der, err := ca.Server(names, key.Public(), now())
		if err != nil {
			return nil, err
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		held = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
		return held, nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots, GetCertificate: get, Time: now,
		SessionTicketsDisabled: true, NextProtos: []string{"http/1.1"}}, nil
}
