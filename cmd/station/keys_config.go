package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"station/keyring"
	"station/keyring/pkcs11"
	"station/keyserver"
	"station/yamltext"
)

const (
	providerFile      = "file"
	providerPKCS11    = "pkcs11"
	providerKeyServer = "key_server"
)

// keysConfig is where keys are. Paths are absolute or relative to the working directory.
type keysConfig struct {
	Provider   string       // "" is file
	Passphrase secretSource // of files; none where they are not encrypted
	Module     string       // of pkcs11: the library
	Token      string       // its label
	PIN        secretSource
}

// secretSource is where a passphrase or a PIN is: a file, or a credential that systemd gives to the service.
type secretSource struct{ File, Credential string }

// keyServerConfig is how a station reaches its key server.
type keyServerConfig struct {
	URL, CA, Cert, Key string
	Limit              time.Duration // of a request; 0 where the configuration does not say
}

// checkKeys finds every mistake in a section keys.
func checkKeys(pg *yamltext.Page, n *yaml.Node, providers ...string) {
	if n.Kind != yaml.MappingNode {
		pg.At(n, fmt.Sprintf("keys is a group such as {provider: %s}", providers[0]), "")
		return
	}
	provider := ""
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "provider" {
			provider = n.Content[i+1].Value
			if !slices.Contains(providers, provider) {
				pg.At(n.Content[i+1], fmt.Sprintf("there is no provider %s of keys: it is %s", yamltext.Quote(provider), strings.Join(providers, " or ")), yamltext.DidYouMean(provider, providers))
				return
			}
		}
	}
	var required, optional []string
	switch provider {
	case providerFile:
		optional = []string{"passphrase"}
	case providerPKCS11:
		required = []string{"module", "token", "pin"}
	}
	found, _ := pg.Group(n, n, "a section keys", append([]string{"provider"}, required...), optional, nil)
	for _, key := range []string{"passphrase", "pin"} {
		if f, ok := found[key]; ok {
			checkSecretSource(pg, f.Value, key)
		}
	}
	for _, key := range []string{"module", "token"} {
		if f, ok := found[key]; ok {
			pg.Text(f.Value, key)
		}
	}
}

// checkSecretSource quotes nothing: somebody may have put the secret itself there.
func checkSecretSource(pg *yamltext.Page, n *yaml.Node, key string) {
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 || n.Content[0].Value != "file" && n.Content[0].Value != "credential" || n.Content[1].Kind != yaml.ScalarNode || n.Content[1].Value == "" {
		pg.At(n, fmt.Sprintf("%s says where it is: {file: PATH} or {credential: NAME}; it is never written here itself", key), "")
		return
	}
	if name := n.Content[1].Value; n.Content[0].Value == "credential" && name != filepath.Base(name) {
		pg.At(n.Content[1], fmt.Sprintf("%s is no name of a credential: it is a file's name in the directory that systemd gives to the service", yamltext.Quote(name)), "")
	}
}

// checkKeyServer finds every mistake in the section key_server.
func checkKeyServer(pg *yamltext.Page, n *yaml.Node) {
	found, _ := pg.Group(n, n, "the key server", []string{"url", "ca", "cert", "key"}, []string{"limit"}, nil)
	for _, key := range []string{"ca", "cert", "key"} {
		if f, ok := found[key]; ok {
			pg.Text(f.Value, key)
		}
	}
	if f, ok := found["url"]; ok {
		if text, ok := pg.Text(f.Value, "url"); ok {
			if _, err := keyserver.Address(text); err != nil {
				pg.At(f.Value, fmt.Sprintf("url %s is not an address such as https://keys:8443", yamltext.Quote(text)), "")
			}
		}
	}
	if f, ok := found["limit"]; ok {
		if text, ok := pg.Text(f.Value, "limit"); ok {
			if d, err := time.ParseDuration(text); err != nil || d < 100*time.Millisecond || d > time.Minute {
				pg.At(f.Value, fmt.Sprintf("limit %s is not a time between 100ms and 1m", yamltext.Quote(text)), "")
			}
		}
	}
}

// checkRemoteKeys wants what belongs together.
func checkRemoteKeys(pg *yamltext.Page, top map[string]yamltext.Field) {
	if f, ok := top["keys"]; ok && f.Value.Kind == yaml.MappingNode {
		checkKeys(pg, f.Value, providerFile, providerPKCS11, providerKeyServer)
		for i := 0; i+1 < len(f.Value.Content); i += 2 {
			if _, there := top["key_server"]; f.Value.Content[i].Value == "provider" && f.Value.Content[i+1].Value == providerKeyServer && !there {
				pg.At(f.Value.Content[i+1], "the keys are at a key server, and there is no section key_server", "add it: key_server: {url: https://..., ca: ..., cert: ..., key: ...}")
			}
		}
	} else if ok {
		checkKeys(pg, f.Value, providerFile)
	}
	if f, ok := top["key_server"]; ok {
		checkKeyServer(pg, f.Value)
	}
}

// copies is advice about copies of keys, where they can be copied.
func (c keysConfig) copies(advice string) string {
	if c.Provider == providerFile || c.Provider == "" {
		return advice
	}
	return ""
}

// resolve makes paths of a configuration in dir absolute, or relative to the working directory.
func (c *keysConfig) resolve(dir string) {
	for _, path := range []*string{&c.Passphrase.File, &c.Module, &c.PIN.File} {
		*path = beside(dir, *path)
	}
}

// resolve makes paths of a configuration in dir absolute, or relative to the working directory.
func (c *keyServerConfig) resolve(dir string) {
	for _, path := range []*string{&c.CA, &c.Cert, &c.Key} {
		*path = beside(dir, *path)
	}
}

func beside(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// create opens the provider, and makes it where it is a directory.
func (c keysConfig) create(dir string) (keyring.Provider, error) {
	return c.provider(dir, keyring.CreateFile)
}

// open opens the provider; dir is that of keys in files.
func (c keysConfig) open(dir string) (keyring.Provider, error) {
	return c.provider(dir, keyring.OpenFile)
}

func (c keysConfig) provider(dir string, files func(dir string, passphrase []byte) (*keyring.File, error)) (keyring.Provider, error) {
	if c.Provider == providerPKCS11 {
		pin, err := c.PIN.read()
		if err != nil {
			return nil, fmt.Errorf("the PIN of the token %q: %w", c.Token, err)
		}
		defer clear(pin)
		return pkcs11.Open(c.Module, c.Token, pin)
	}
	passphrase, err := c.Passphrase.read()
	if err != nil {
		return nil, fmt.Errorf("the passphrase of the keys: %w", err)
	}
	defer clear(passphrase)
	p, err := files(dir, passphrase)
	if err != nil {
		return nil, err
	}
	return p, nil
}

const maxSecretFile = 1024 // bytes of a passphrase or a PIN

// read returns the one line of the file, nil where there is no source. Its caller wipes it. Errors wrap keyring.ErrMode or keyring.ErrProvider, and quote none of it.
func (s secretSource) read() ([]byte, error) {
	path, allowed := s.File, fs.FileMode(0o600)
	if s.Credential != "" {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return nil, fmt.Errorf("credential %s: systemd gave none to this process (CREDENTIALS_DIRECTORY is not set): %w", s.Credential, keyring.ErrProvider)
		}
		// To a service with a user of its own systemd gives the right to read by an access list, and the mode shows its mask as the group's.
		path, allowed = filepath.Join(dir, s.Credential), 0o640
	}
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, keyring.ErrProvider)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file: %w", path, keyring.ErrProvider)
	case info.Mode().Perm()&^allowed != 0:
		return nil, fmt.Errorf("%s: %w: mode is %#o; run chmod 600 on it, and think about who may have read it", path, keyring.ErrMode, info.Mode().Perm())
	}
	text := make([]byte, maxSecretFile+1) // must not grow
	n := 0
	for err == nil && n < len(text) {
		var more int
		more, err = f.Read(text[n:])
		n += more
	}
	line := bytes.TrimSuffix(text[:n], []byte("\n"))
	if n > maxSecretFile || len(line) == 0 || bytes.ContainsAny(line, "\n\x00") {
		clear(text)
		return nil, fmt.Errorf("%s has to hold one line, of at most %d bytes: %w", path, maxSecretFile, keyring.ErrProvider)
	}
	return line, nil
}
