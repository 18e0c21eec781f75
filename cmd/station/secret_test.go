package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// noSecret looks for the private checkpoint key in what the program said and in every file of the data directory except its keys.
func noSecret(t *testing.T, data string, output []byte) {
	t.Helper()
	if err := leaks(data, output); err != nil {
		t.Error(err)
	}
}

// leaks tells where the private key is found, as text or as bytes.
func leaks(data string, output []byte) error {
	forms, err := secretForms(data)
	if err != nil {
		return err
	}
	if form := findSecret(forms, output); form != "" {
		return fmt.Errorf("the output holds the private key (%s)", form)
	}
	files := 0
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
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
			return fmt.Errorf("%s holds the private key (%s)", path, form)
		}
		return err
	})
	if err == nil && files == 0 {
		err = fmt.Errorf("%s holds no files", data)
	}
	return err
}

// secretForms is the private key in the shapes in which it might leak.
func secretForms(data string) (map[string][]byte, error) {
	text, err := os.ReadFile(filepath.Join(keysDir(data), "checkpoint.key"))
	if err != nil {
		return nil, err
	}
	// PRIVATE+KEY+name+hash+key; only the key's base64 may hold a plus sign itself.
	fields := strings.SplitN(strings.TrimSpace(string(text)), "+", 5)
	if len(fields) < 5 || fields[0] != "PRIVATE" {
		return nil, errors.New("the key file has another form than this test knows")
	}
	raw, err := base64.StdEncoding.DecodeString(fields[4])
	if err != nil || len(raw) != 33 {
		return nil, fmt.Errorf("the key file has another form than this test knows: %d bytes, %v", len(raw), err)
	}
	seed := raw[1:] // after the algorithm
	return map[string][]byte{
		"as in the key file":     []byte(fields[4]),
		"bytes":                  seed,
		"hexadecimal":            []byte(hex.EncodeToString(seed)),
		"upper-case hexadecimal": []byte(strings.ToUpper(hex.EncodeToString(seed))),
		"base64":                 []byte(base64.RawStdEncoding.EncodeToString(seed)),
		"base64 for URLs":        []byte(base64.RawURLEncoding.EncodeToString(seed)),
	}, nil
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
	forms, err := secretForms(p.data())
	if err != nil {
		t.Fatal(err)
	}
	for name, form := range forms {
		text := append(append([]byte("before "), form...), " after"...)
		if err := leaks(p.data(), text); err == nil {
			t.Errorf("%s: not found in the output", name)
		}
		file := filepath.Join(p.data(), "reports", "leak")
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o644)); err != nil {
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
