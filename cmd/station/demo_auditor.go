package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"
)

// identityFile is where the demo keeps what an auditor keeps elsewhere, and never on a station.
func identityFile(data string) string { return filepath.Join(data, "auditor", "identity.txt") }

// demoAuditor is the recipient of the demo's auditor, whom the built-in configuration cannot have. The first demo in a data
// directory makes the identity.
func demoAuditor(data string) (recipient string, err error) {
	file := identityFile(data)
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return "", err
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return "", err
		}
		text := fmt.Sprintf("# public key: %s\n%s\n", id.Recipient(), id)
		return id.Recipient().String(), os.WriteFile(file, []byte(text), 0o600)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	ids, err := age.ParseIdentities(f)
	if err != nil {
		return "", fmt.Errorf("%s holds no age identity", file) // age's own words may quote the line
	}
	id, ok := ids[0].(*age.X25519Identity)
	if !ok {
		return "", fmt.Errorf("%s holds no X25519 identity", file)
	}
	return id.Recipient().String(), nil
}
