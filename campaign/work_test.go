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
	"testing"

	"filippo.io/age"

	"station/keyring"
	"station/ledger"
	"station/provision"
	"station/recipes"
)

// work is a recipe with all that carrying it out needs, shared by many seeds, and what it promises of a chip: a reading of the recipe that is not
// that of package recipes.
type work struct {
	keys      *keyring.Keyring
	identity  string // the auditor's file
	recipient string
	recipe    *recipes.Recipe

	part   string // of the simulator
	size   uint32
	serial string // its format
	image  []byte
	bootAt, bootSize,
	identityAt int // the image, and a sector of the unit's own, -1 for none
	otp      bool
	rootKeys int
	counter  uint32 // of root key 0
	password bool
	settings []byte // what signed commands write into the other sector, in place of the unit's own; nil where there is no key server
	values   bool   // the unit brings a MAC address
}

const identitySize = 64 << 10

// smallWork is the campaign's own recipe on its own part.
func smallWork(t testing.TB) *work {
	k := &work{part: "MT25QL128ABB", size: 1 << 20, serial: "C-%d", image: make([]byte, 64<<10), bootAt: 0x10000, bootSize: 128 << 10, identityAt: 0xF0000,
		otp: true, rootKeys: 2, counter: 2, password: true, values: true}
	rand.NewChaCha8([32]byte{1}).Read(k.image[:40<<10]) // and then zeros
	dir := k.equip(t, "line/root")
	read := func(path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	folder, path := filepath.Join(dir, recipes.PartsFolder), filepath.Join(dir, "campaign.yaml")
	err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "small.yaml"), read("testdata/parts/small.yaml"), 0o600),
		os.WriteFile(filepath.Join(dir, "boot.bin"), k.image, 0o600), os.WriteFile(path, fmt.Appendf(nil, string(read("testdata/campaign.yaml")), sha256.Sum256(k.image)), 0o600))
	if err == nil {
		k.recipe, err = recipes.Load(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// shipped are the recipes that come with the program and lock what they write.
func shipped(t testing.TB) map[string]*work {
	gateway := &work{part: "MT25QL128ABB", serial: "GW-%06d", bootSize: 4 << 20, identityAt: 0xFF0000, rootKeys: 1, password: true, values: true}
	locked := &work{part: "MT25QL256ABA", serial: "GW-%06d", bootSize: 4 << 20, identityAt: -1}
	all := map[string]*work{"gateway-boot": gateway, "locked-boot": locked}
	for name, k := range all {
		k.equip(t, "line/root-2026")
		var err error
		if k.image, err = os.ReadFile("../recipes/images/boot.bin"); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip("NOT RUN: make images makes the image: ", err)
		}
		if k.recipe, err = recipes.Load("../recipes/" + name + ".yaml"); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// equip makes keys and an auditor, and returns their folder.
func (k *work) equip(t testing.TB, master string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	k.identity = filepath.Join(dir, "auditor.txt")
	auditor, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	k.recipient = auditor.Recipient().String()
	files, err := keyring.CreateFile(filepath.Join(dir, "keys"), nil)
	if err == nil {
		k.keys, err = keyring.Create(files, "campaign")
	}
	if err == nil {
		err = k.keys.CreateMaster(master, nil)
	}
	if err := errors.Join(err, os.WriteFile(k.identity, []byte(auditor.String()+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// boot is what the boot region is to hold.
func (k *work) boot() []byte { return padded(k.image, k.bootSize) }

func identityOf(serial string, mac [6]byte) []byte {
	text := append(padded([]byte(serial), 32), mac[:]...)
	return padded(binary.LittleEndian.AppendUint32(text, crc32.ChecksumIEEE(text)), identitySize)
}

// padded is data, and FF up to size bytes.
func padded(data []byte, size int) []byte {
	return append(bytes.Clone(data), bytes.Repeat([]byte{0xFF}, size-len(data))...)
}

// Secrets, as the front door has them.

func (k *work) Random(n int, use func([]byte) error) error { return keyring.RandomSecret(n, use) }

func (k *work) Derived(master string, of provision.KeyOf, use func([]byte) error) error {
	return k.keys.DerivedKey(master, keyring.KeyOf(of), use)
}

func (k *work) Master(name string) (string, error) { return k.keys.MasterFingerprint(name) }

func (k *work) Tag(uid, escrow string, secret []byte) ([]byte, error) {
	return k.keys.Tag(uid, escrow, secret)
}

func (k *work) Seal(groups []string, secret []byte) ([]byte, []ledger.Recipient, error) {
	text, err := keyring.Seal([]string{k.recipient}, secret)
	return text, []ledger.Recipient{{Group: groups[0], Fingerprint: keyring.Fingerprint(k.recipient)}}, err
}

func (k *work) OpenUnlock(sealed []byte, use func(provision.UnlockOf, []byte) error) error {
	return k.keys.OpenUnlock(sealed, func(of keyring.Unlock, password []byte) error { return use(provision.UnlockOf(of), password) })
}

func (k *work) CheckSealed(text []byte, recipients int) error {
	got, err := keyring.Recipients(text)
	if err == nil && len(got) != recipients {
		err = fmt.Errorf("the escrow is for %d recipients, not %d", len(got), recipients)
	}
	return err
}
