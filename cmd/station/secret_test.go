package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// noSecret looks for the private checkpoint key in what the program said and in every file of the data directory except its keys, as
// text and as bytes.
func noSecret(t *testing.T, data string, output []byte) {
	t.Helper()
	forms := secretForms(t, data)
	if form := findSecret(forms, output); form != "" {
		t.Errorf("the output holds the private key (%s)", form)
	}
	files := 0
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path == keysDir(data):
			return fs.SkipDir
		case d.IsDir(), filepath.Ext(path) == ".chip": // a board never meets the station's key, and is large
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if form := findSecret(forms, text); form != "" {
			t.Errorf("%s holds the private key (%s)", path, form)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files searched, %v", files, err)
	}
}

// secretForms is the private key in the shapes in which it might leak.
func secretForms(t *testing.T, data string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(keysDir(data), "checkpoint.key"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Split(strings.TrimSpace(string(text)), "+")
	if len(fields) < 5 || fields[0] != "PRIVATE" {
		t.Fatalf("the key file has another form than this test knows")
	}
	// The name and the hash before the key hold no plus sign, the key's base64 may.
	encoded := strings.Join(fields[4:], "+")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) != 33 {
		t.Fatalf("the key file has another form than this test knows: %d bytes, %v", len(raw), err)
	}
	seed := raw[1:] // after the algorithm
	return map[string][]byte{
		"as in the key file":     []byte(encoded),
		"bytes":                  seed,
		"hexadecimal":            []byte(hex.EncodeToString(seed)),
		"upper-case hexadecimal": []byte(strings.ToUpper(hex.EncodeToString(seed))),
		"base64":                 []byte(base64.RawStdEncoding.EncodeToString(seed)),
		"base64 for URLs":        []byte(base64.RawURLEncoding.EncodeToString(seed)),
	}
}

func findSecret(forms map[string][]byte, text []byte) string {
	for name, form := range forms {
		if bytes.Contains(text, form) {
			return name
		}
	}
	return ""
}

// A search that finds nothing must be able to find.
func TestSecretIsFound(t *testing.T) {
	p := newPosition(t)
	forms := secretForms(t, p.data())
	for name, form := range forms {
		text := append(append([]byte("before "), form...), " after"...)
		if findSecret(forms, text) == "" {
			t.Errorf("%s: not found", name)
		}
	}
	noSecret(t, p.data(), p.output.Bytes())
}
