package main

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/spf13/viper"

	"station/keyring"
	"station/keyserver"
	"station/store"
	"station/yamltext"
)

// keyServerYAML is what keyserver.yaml says.
type keyServerYAML struct {
	ID     string
	Listen string
	Names  []string
	Keys   keysConfig
}

// keyServerText is the keyserver.yaml that is made where there is none.
func keyServerText(id, listen string, names []string) []byte {
	text := fmt.Appendf(nil, "# Facts about this key server.\n\nid: %q                   # origin of its ledger's checkpoints\nlisten: %q\nnames:                         # by which stations call this PC; its certificate has them\n", id, listen)
	for _, name := range names {
		text = fmt.Appendf(text, "  - %q\n", name)
	}
	return append(text, "\n# Where all keys are, those of stations too: files, perhaps under a passphrase, or a token, as in a station's config.yaml.\nkeys: {provider: file}\n"...)
}

// writeNew makes a file, and replaces none.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// readKeyServerConfig reads keyserver.yaml. Paths in it are relative to it.
func readKeyServerConfig(dir string) (*keyServerYAML, error) {
	path := keyServerFile(dir)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, keyServerErr(dir, err)
	}
	if err := checkKeyServerConfig(path, text); err != nil {
		return nil, exit(exitRefused, fmt.Errorf("this configuration cannot be used\n%w", err))
	}
	v := viper.New()
	v.SetConfigType("yaml")
	var c keyServerYAML
	if err := errors.Join(v.ReadConfig(bytes.NewReader(text)), v.Unmarshal(&c)); err != nil {
		return nil, exit(exitRefused, fmt.Errorf("configuration: %w", err))
	}
	c.Keys.resolve(dir)
	return &c, nil
}

func checkKeyServerConfig(name string, text []byte) error {
	pg := yamltext.New(name, "configuration", text)
	doc := pg.Document()
	if doc == nil {
		return pg.Err()
	}
	top, _ := pg.Group(doc, doc, "the configuration", []string{"id", "listen", "names", "keys"}, nil, nil)
	if f, ok := top["id"]; ok {
		if s, ok := pg.Text(f.Value, "id"); ok && !stationForm.MatchString(s) {
			pg.At(f.Value, fmt.Sprintf("id %s is no id: 1 to 32 lower-case letters, digits and dashes, the first no dash", yamltext.Quote(s)), "")
		}
	}
	if f, ok := top["listen"]; ok {
		if s, ok := pg.Text(f.Value, "listen"); ok {
			if _, _, err := net.SplitHostPort(s); err != nil {
				pg.At(f.Value, fmt.Sprintf("listen %s is not an address such as 0.0.0.0:8443", yamltext.Quote(s)), "")
			}
		}
	}
	if f, ok := top["names"]; ok {
		list, ok := pg.List(f.Value, "names")
		if ok && len(list) == 0 {
			pg.At(f.Value, "without a name no station can call this key server", "")
		}
		for _, n := range list {
			pg.Text(n, "a name")
		}
	}
	if f, ok := top["keys"]; ok {
		checkKeys(pg, f.Value, providerFile, providerPKCS11)
	}
	return pg.Err()
}

// openedKeyServer is a key server with its ledger and its keys.
type openedKeyServer struct {
	config  *keyServerYAML
	server  *keyserver.Server
	db      *store.DB
	tls     *tls.Config
	tell    func(line string)
	closers []func() error
}

func (k *openedKeyServer) Close() error {
	var errs []error
	for i := len(k.closers) - 1; i >= 0; i-- {
		errs = append(errs, k.closers[i]())
	}
	return errors.Join(errs...)
}

func keyServerStore(cfg *keyServerYAML, keys *keyring.Keyring) store.Options {
	return store.Options{Station: cfg.ID, Software: software(), Signer: keys.Signer(), VerifierKey: keys.VerifierKey()}
}

// initKeyServer makes keys, certificate authority and ledger, in this order: the ledger says that all is there.
func initKeyServer(dir string, cfg *keyServerYAML) error {
	p, err := cfg.Keys.create(keysDir(dir))
	if err != nil {
		return exit(exitError, err)
	}
	defer p.Close()
	keys, err := keyring.Create(p, cfg.ID)
	if errors.Is(err, keyring.ErrExists) { // of an init that died in between
		keys, err = keyring.Open(p, cfg.ID, "")
	}
	if err != nil {
		return exit(exitError, err)
	}
	for _, name := range []string{caKey, tlsKey} {
		if err := p.CreateSigning(name); err != nil && !errors.Is(err, keyring.ErrExists) {
			return exit(exitError, err)
		}
	}
	if _, err := os.Stat(caFile(dir)); errors.Is(err, fs.ErrNotExist) {
		signer, err := newKeySigner(p, caKey)
		if err != nil {
			return exit(exitError, err)
		}
		der, err := keyserver.NewCA(signer, cfg.ID, time.Now())
		if err != nil {
			return exit(exitError, err)
		}
		if err := writePEM(caFile(dir), "CERTIFICATE", der, 0o644); err != nil {
			return exit(exitError, err)
		}
	}
	db, err := store.Create(ledgerFile(dir), keyServerStore(cfg, keys))
	if err != nil {
		return exit(exitError, err)
	}
	return db.Close()
}

// openKeyServer opens the key server of a directory for writing.
func (a *app) openKeyServer(dir string) (_ *openedKeyServer, err error) {
	k := &openedKeyServer{tell: func(line string) { printf(a.stderr, "%s %s\n", time.Now().UTC().Format(time.RFC3339), line) }}
	defer func() {
		if err != nil {
			k.Close()
		}
	}()
	if _, err := os.Stat(ledgerFile(dir)); err != nil {
		return nil, keyServerErr(dir, err)
	}
	if k.config, err = readKeyServerConfig(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(jobsDir(dir), 0o700); err == nil {
		k.tell(jobsDir(dir) + " was not there: restore it from the backup, or allow each recipe again")
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, exit(exitError, err)
	}
	p, err := k.config.Keys.open(keysDir(dir))
	if err != nil {
		return nil, exit(exitError, err)
	}
	k.closers = append(k.closers, p.Close)
	vkey, err := checkpointKey(ledgerFile(dir))
	if errors.Is(err, store.ErrInUse) {
		return nil, exit(exitError, fmt.Errorf("%s: %w: `station keyserver serve` runs there already, or another command has it open just now", ledgerFile(dir), store.ErrInUse))
	} else if err != nil {
		return nil, keyServerErr(dir, err)
	}
	own, err := keyring.Open(p, k.config.ID, vkey)
	if err != nil {
		return nil, exit(exitError, err)
	}
	ca, err := readCA(dir, p)
	if err != nil {
		return nil, exit(exitError, err)
	}
	key, err := newKeySigner(p, tlsKey)
	if err != nil {
		return nil, exit(exitError, err)
	}
	if k.tls, err = keyserver.ServerTLS(ca, key, k.config.Names, time.Now); err != nil {
		return nil, exit(exitError, err)
	}
	db, err := store.Open(ledgerFile(dir), keyServerStore(k.config, own))
	if err != nil {
		return nil, keyServerErr(dir, err)
	}
	k.db, k.closers = db, append(k.closers, db.Close)
	k.server, err = keyserver.New(keyserver.Options{Ledger: db, Keys: &providerKeys{p: p, own: own}, Jobs: jobsDir(dir), CA: ca, Tell: k.tell})
	if err != nil {
		return nil, exit(exitError, err)
	}
	return k, nil
}

func readCA(dir string, p keyring.Provider) (*keyserver.CA, error) {
	cert, err := readCertificate(caFile(dir))
	if err != nil {
		return nil, fmt.Errorf("the certificate of the key server's authority: %w. Restore it from the backup: stations know no other", err)
	}
	signer, err := newKeySigner(p, caKey)
	if err != nil {
		return nil, err
	}
	if public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(signer.Public()) {
		return nil, fmt.Errorf("%s is not the certificate of the key in %s: restore both from the backup", caFile(dir), p)
	}
	return &keyserver.CA{Certificate: cert, Signer: signer}, nil
}

// readCertificate reads one certificate in PEM.
func readCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s is no certificate in PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}

// writePEM makes a file, and replaces none.
func writePEM(path, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Sync(), f.Close())
}

// keySigner is a crypto.Signer whose Ed25519 key is in a provider.
type keySigner struct {
	p      keyring.Provider
	name   string
	public crypto.PublicKey
}

// The server's own signing keys, besides that of its ledger.
const (
	caKey  = "keyserver.ca"
	tlsKey = "keyserver.tls"
)

func newKeySigner(p keyring.Provider, name string) (*keySigner, error) {
	public, err := p.Public(name)
	if err != nil {
		return nil, err
	}
	return &keySigner{p, name, public}, nil
}

func (s *keySigner) Public() crypto.PublicKey { return s.public }

func (s *keySigner) Sign(_ io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	if o.HashFunc() != 0 {
		return nil, errors.New("an Ed25519 key signs messages, not their digests")
	}
	return s.p.Sign(s.name, message)
}
