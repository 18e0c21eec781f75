package campaign

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"filippo.io/age"

	"station/keyring"
	"station/ledger"
	"station/provision"
	"station/recipes"
)

// bench is what all seeds of a process share: keys, the auditor's identity, and the recipe. Nothing of it changes.
type bench struct {
	keys      *keyring.Keyring
	identity  string // the auditor's file
	recipient string
	recipe    *recipes.Recipe
	image     []byte
}

var shared = sync.OnceValues(func() (b *bench, err error) {
	dir, err := os.MkdirTemp("", "campaign-")
	if err != nil {
		return nil, err
	}
	b = &bench{identity: filepath.Join(dir, "auditor.txt"), image: make([]byte, 64<<10)}
	rand.NewChaCha8([32]byte{1}).Read(b.image[:40<<10]) // and then zeros
	if b.keys, err = keyring.Create(filepath.Join(dir, "keys"), "campaign"); err != nil {
		return nil, err
	}
	if err := b.keys.CreateMaster("line/root"); err != nil {
		return nil, err
	}
	auditor, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	b.recipient = auditor.Recipient().String()
	if err := os.WriteFile(b.identity, []byte(auditor.String()+"\n"), 0o600); err != nil {
		return nil, err
	}
	b.recipe, err = b.load(dir)
	return b, err
})

// theBench is the shared bench.
func theBench(t testing.TB) *bench {
	t.Helper()
	b, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) load(dir string) (*recipes.Recipe, error) {
	text, err := os.ReadFile("testdata/campaign.yaml")
	if err != nil {
		return nil, err
	}
	part, err := os.ReadFile("testdata/parts/small.yaml")
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(dir, recipes.PartsFolder)
	path := filepath.Join(dir, "campaign.yaml")
	err = errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "small.yaml"), part, 0o600),
		os.WriteFile(filepath.Join(dir, "boot.bin"), b.image, 0o600), os.WriteFile(path, fmt.Appendf(nil, string(text), sha256.Sum256(b.image)), 0o600))
	if err != nil {
		return nil, err
	}
	return recipes.Load(path)
}

// Regions of the recipe, and what they are to hold: a reading of it that is not that of package recipes.
const (
	bootAt, bootSize         = 0x10000, 128 << 10
	identityAt, identitySize = 0xF0000, 64 << 10
	counterTo                = 2
)

func (b *bench) boot() []byte { return padded(b.image, bootSize) }

func identityOf(serial string, mac [6]byte) []byte {
	text := append(padded([]byte(serial), 32), mac[:]...)
	return padded(binary.LittleEndian.AppendUint32(text, crc32.ChecksumIEEE(text)), identitySize)
}

// padded is data, and FF up to size bytes.
func padded(data []byte, size int) []byte {
	return append(bytes.Clone(data), bytes.Repeat([]byte{0xFF}, size-len(data))...)
}

// Secrets as the front door has them.
func (b *bench) Random(n int, use func([]byte) error) error { return keyring.RandomSecret(n, use) }

func (b *bench) Derived(master string, of provision.KeyOf, use func([]byte) error) error {
	return b.keys.DerivedKey(master, keyring.KeyOf(of), use)
}

func (b *bench) Tag(uid, escrow string, secret []byte) []byte { return b.keys.Tag(uid, escrow, secret) }

func (b *bench) Seal(groups []string, secret []byte) ([]byte, []ledger.Recipient, error) {
	text, err := keyring.Seal([]string{b.recipient}, secret)
	return text, []ledger.Recipient{{Group: groups[0], Fingerprint: keyring.Fingerprint(b.recipient)}}, err
}

func (b *bench) CheckSealed(text []byte, recipients int) error {
	got, err := keyring.Recipients(text)
	if err == nil && len(got) != recipients {
		err = fmt.Errorf("the escrow is for %d recipients, not %d", len(got), recipients)
	}
	return err
}
