package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"station/sim/nor"
)

// noSecret looks for every secret of a position in what the program said and in every file of the data directory.
func noSecret(t *testing.T, data string, output []byte) {
	t.Helper()
	if err := leaks(data, output); err != nil {
		t.Error(err)
	}
}

// leaks tells where a secret is found that is not in its own place: the station's keys are in keys/ and the secrets of a
// chip on its board, which a simulated station keeps as a file.
func leaks(data string, output []byte) error {
	search, err := secretsOf(data)
	if err != nil {
		return err
	}
	if found := search.in(output); found != "" {
		return fmt.Errorf("the output holds %s", found)
	}
	files := 0
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path == keysDir(data):
			return fs.SkipDir
		case d.IsDir(), filepath.Ext(path) == ".chip":
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if found := search.in(text); found != "" {
			return fmt.Errorf("%s holds %s", path, found)
		}
		return err
	})
	if err == nil && files == 0 {
		err = fmt.Errorf("%s holds no files", data)
	}
	return err
}

// search finds secrets in any shape in one pass: a pattern by its first eight bytes.
type search map[uint64][]pattern

type pattern struct {
	name  string
	bytes []byte
}

// secretsOf collects what is secret at a station: its own keys, and what the chips hold whose boards it has.
func secretsOf(data string) (search, error) {
	s := search{}
	if err := s.addKeys(keysDir(data)); err != nil {
		return nil, err
	}
	boards, err := filepath.Glob(filepath.Join(boardsDir(data), "*.chip"))
	if err != nil {
		return nil, err
	}
	for _, file := range boards {
		if err := s.addChip(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return s, nil
}

func (s search) addKeys(dir string) error {
	if files, err := os.ReadDir(dir); err == nil && len(files) == 0 {
		return nil // they are elsewhere
	}
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint.key"))
	if err != nil {
		return err
	}
	// PRIVATE+KEY+name+hash+key; only the key's base64 may hold a plus sign itself.
	fields := strings.SplitN(strings.TrimSpace(string(text)), "+", 5)
	if len(fields) < 5 || fields[0] != "PRIVATE" {
		return errors.New("the key file has another form than this test knows")
	}
	raw, err := base64.StdEncoding.DecodeString(fields[4])
	if err != nil || len(raw) != 33 {
		return fmt.Errorf("the key file has another form than this test knows: %d bytes, %v", len(raw), err)
	}
	s.add("the checkpoint key", raw[1:]) // after the algorithm
	s.pattern("the checkpoint key, as in its file", []byte(fields[4]))
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if f.Name() == "checkpoint.key" {
			continue
		}
		key, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if f.Name() == "verifier.key" && err == nil {
			identity := unlockIdentity(key)
			s.add("the unlock key", identity)
			s.pattern("the unlock key, as age writes it", bech32Digits(identity))
			s.pattern("the unlock key, in lower case", bytes.ToLower(bech32Digits(identity)))
		}
		if err != nil || len(key) != 32 {
			return fmt.Errorf("%s has another form than this test knows: %d bytes, %v", f.Name(), len(key), err)
		}
		s.add(f.Name(), key)
	}
	return err
}

// unlockIdentity is the scalar of the age identity of station line1, which every position here is (keyring, "identity").
func unlockIdentity(verifier []byte) []byte {
	h := hmac.New(sha256.New, verifier)
	h.Write([]byte("\x00\x1astation/unlock-identity/v1\x00\x05line1"))
	return h.Sum(nil)
}

// bech32Digits are what an age identity holds of its scalar, before its checksum.
func bech32Digits(data []byte) []byte {
	return []byte(base32.NewEncoding("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L").WithPadding(base32.NoPadding).EncodeToString(data))
}

func (s search) addChip(file string) error {
	chip, err := nor.Open(file, nor.Options{})
	if err != nil {
		return err
	}
	defer chip.Close()
	for name, secret := range chipSecrets(chip) {
		s.add(fmt.Sprintf("the %s of %s", name, filepath.Base(file)), secret)
	}
	return nil
}

// chipSecrets looks behind the pins: what a chip holds that nobody else may know.
func chipSecrets(chip *nor.Chip) map[string][]byte {
	out := map[string][]byte{}
	if pw := chip.Password(); pw != [8]byte(bytes.Repeat([]byte{0xFF}, 8)) {
		out["password"] = pw[:]
	}
	for i := range 4 {
		if key, ok := chip.RootKey(i); ok {
			out[fmt.Sprintf("root_key %d", i)] = key
		}
	}
	return out
}

// add looks for a secret in every shape in which it might leak: as bytes, and as text of any kind that a program prints.
func (s search) add(name string, secret []byte) {
	for shape, form := range shapes(secret) {
		s.pattern(name+" ("+shape+")", form)
	}
}

func shapes(secret []byte) map[string][]byte {
	list := func(format, sep string) []byte {
		var all []string
		for _, b := range secret {
			all = append(all, fmt.Sprintf(format, b))
		}
		return []byte(strings.Join(all, sep))
	}
	reversed := slices.Clone(secret)
	slices.Reverse(reversed)
	out := map[string][]byte{
		"bytes":                     secret,
		"bytes, last first":         reversed,
		"hexadecimal":               []byte(hex.EncodeToString(secret)),
		"upper-case hexadecimal":    list("%02X", ""),
		"hexadecimal, last first":   []byte(hex.EncodeToString(reversed)),
		"hexadecimal with spaces":   list("%02x", " "),
		"upper-case with spaces":    list("%02X", " "),
		"decimal, as Go prints":     list("%d", " "),
		"decimal, as in JSON":       list("%d", ","),
		"bytes, as in a Go trace":   list("%#x", ", "),
		"bytes, as Go source":       list("%#02x", ", "),
		"escaped, as Go quotes":     list(`\x%02x`, ""),
		"upper-case, with % as URL": list("%%%02X", ""),
	}
	// Eight bytes in a register stand in a trace as one number.
	for i := 0; i+8 <= len(secret); i += 8 {
		word := fmt.Sprintf("0x%x", binary.LittleEndian.Uint64(secret[i:]))
		if len(word) >= 12 {
			out[fmt.Sprintf("word %d of a Go trace", i/8)] = []byte(word)
		}
	}
	// Where something stands before a secret, its base64 begins inside a digit: the digits that are the secret's alone.
	for before, skip := range []int{0, 2, 3} {
		text := append(make([]byte, before), secret...)
		end := len(text) * 8 / 6
		out[fmt.Sprintf("base64 at %d", before)] = []byte(base64.RawStdEncoding.EncodeToString(text)[skip:end])
		out[fmt.Sprintf("base64 for URLs at %d", before)] = []byte(base64.RawURLEncoding.EncodeToString(text)[skip:end])
	}
	return out
}

func (s search) pattern(name string, form []byte) {
	first := binary.LittleEndian.Uint64(form) // no secret has a shape shorter than that
	s[first] = append(s[first], pattern{name, form})
}

// in returns the name of a secret that text holds, "" when it holds none.
func (s search) in(text []byte) string {
	for i := 0; i+8 <= len(text); i++ {
		first := binary.LittleEndian.Uint64(text[i:])
		if first == 0 {
			continue
		}
		for _, p := range s[first] {
			if bytes.HasPrefix(text[i:], p.bytes) {
				return p.name
			}
		}
	}
	return ""
}

// A search that finds nothing must be able to find.
func TestSecretIsFound(t *testing.T) {
	t.Parallel()
	p := newAudited(t)
	args := []string{"run", "secret.yaml", "--slot", "1=TB-0001", "--value", "1.mac=020000000001"}
	p.expect(exitDone, args...)
	chip := openBoard(t, p.board("TB-0001"))
	secrets := chipSecrets(chip)
	chip.Close()
	master, err := os.ReadFile(filepath.Join(keysDir(p.data()), "master-line%2Froot-2026"))
	if err != nil || len(secrets) != 3 {
		t.Fatalf("%d secrets on the chip, %v", len(secrets), err)
	}
	secrets["master key"] = master
	p.expect(exitDone, "unit", "rework", "TB-0001", "--reason", "test", "--by", "sup2")
	verifier, err := os.ReadFile(filepath.Join(keysDir(p.data()), "verifier.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["unlock key"] = unlockIdentity(verifier)
	keys, err := keysOf(&config{Station: "line1", Data: p.data()}, ledgerFile(p.data()))
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdh.X25519().NewPrivateKey(secrets["unlock key"])
	if err != nil {
		t.Fatal(err)
	}
	// This test's own reading of how the key is made gives the recipient that the program tells.
	if recipient, err := keys.Recipient(); err != nil || !strings.HasPrefix(recipient, "age1"+strings.ToLower(string(bech32Digits(private.PublicKey().Bytes())))) {
		t.Errorf("recipient %s, %v", recipient, err)
	}
	if text := bech32Digits(secrets["unlock key"]); leaks(p.data(), text) == nil || leaks(p.data(), bytes.ToLower(text)) == nil {
		t.Error("the unlock key: not found in the output")
	}
	search, err := secretsOf(p.data())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(reportsDir(p.data()), "leak")
	for name, secret := range secrets {
		for shape, form := range shapes(secret) {
			if text := append(append([]byte("before "), form...), " after"...); search.in(text) == "" {
				t.Errorf("%s: not found as %s", name, shape)
			}
		}
		// Wherever base64 begins.
		for before := range 5 {
			text := base64.StdEncoding.EncodeToString(append(append([]byte("befor")[:before:before], secret...), "after"...))
			if search.in([]byte(text)) == "" {
				t.Errorf("%s: not found in base64 after %d bytes", name, before)
			}
		}
		if err := leaks(p.data(), secret); err == nil {
			t.Errorf("%s: not found in the output", name)
		}
		if err := os.WriteFile(file, secret, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := leaks(p.data(), nil); err == nil {
			t.Errorf("%s: not found in a file", name)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	p.close()
}
