package keyring

import "crypto/ed25519"

// ErrProvider is that keys cannot be used just now, whatever they are: what keeps them does not answer, or does not let this program in.
var ErrProvider error = providerError{}

// providerError says, too, that whoever keeps the keys is no key server (provision.Secrets).
type providerError struct{}

func (providerError) Error() string   { return "the keys cannot be reached" }
func (providerError) KeyServer() bool { return false }

// Provider keeps keys and uses them; no key leaves it. Names are those of the format: "checkpoint", "checkpoint.2", "verifier", "master-<name>". All methods are safe
// for concurrent use and end within a limit of the provider's own. Errors wrap ErrMissing, ErrExists, ErrMode, ErrKey, or ErrProvider where the provider itself does not
// answer; none quotes a key, a PIN or a passphrase.
type Provider interface {
	// MAC is HMAC-SHA-256 of message under a key of 32 bytes.
	MAC(name string, message []byte) ([]byte, error)
	// Sign is the Ed25519 signature of message (RFC 8032, pure), Public the key that it verifies with.
	Sign(name string, message []byte) ([]byte, error)
	Public(name string) (ed25519.PublicKey, error)
	// Random fills b with random bytes for a secret.
	Random(b []byte) error
	// CreateMAC makes an HMAC key of 32 random bytes, or of value where that is not nil; CreateSigning a signing key. It is durable when they return, and never in place of
	// another one of that name: ErrExists.
	CreateMAC(name string, value []byte) error
	CreateSigning(name string) error
	// Destroy makes a key be no more.
	Destroy(name string) error
	// Names are the keys that there are, sorted.
	Names() ([]string, error)
	// String says what the provider is and where, for people.
	String() string
	Close() error
}
