//go:build !cgo

package pkcs11

import (
	"fmt"

	"station/keyring"
)

// Open needs cgo: a module is a C library.
func Open(path, label string, _ []byte) (keyring.Provider, error) {
	return nil, fmt.Errorf("token %q of %s: this program was built without cgo, and a PKCS#11 module is a C library: %w", label, path, keyring.ErrProvider)
}
