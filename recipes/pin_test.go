package recipes

import (
	"errors"
	"os"
	"path/filepath"
	"station/flash"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"station/yamltext"
)

const pinTail = "regions: {boot: {at: 0, size: 64KiB}}\nelsewhere: keep # really\nsteps:\n  - write: {region: boot, image: boot}\n"

var pinHead = "# comment ü\nschema: 1\nrecipe: test\nversion: 3\ntitle: A test\nparts: [MT25QL256ABA]\nserial: 'GW-[0-9]{6}'\n"

// TestPin: the digest comes into the file where it belongs, and not one other byte changes.
func TestPin(t *testing.T) {
	d := `"` + testDigest("boot.bin") + `"`
	old := strings.Repeat("0123456789abcdef", 4)
	for name, c := range map[string]struct{ before, after string }{
		"flow, absent":         {"images: {boot: {file: boot.bin}} # c\n", "images: {boot: {file: boot.bin, sha256: " + d + "}} # c\n"},
		"flow, empty quotes":   {"images:\n  boot: {file: boot.bin, sha256: ''}\n", "images:\n  boot: {file: boot.bin, sha256: " + d + "}\n"},
		"flow, nothing":        {"images:\n  boot: {file: boot.bin, sha256: }\n", "images:\n  boot: {file: boot.bin, sha256: " + d + " }\n"},
		"flow, old":            {"images:\n  boot: {sha256: \"" + old + "\",   file: boot.bin}\n", "images:\n  boot: {sha256: " + d + ",   file: boot.bin}\n"},
		"flow, plain":          {"images:\n  boot: {sha256: " + old + ", file: boot.bin}\n", "images:\n  boot: {sha256: " + d + ", file: boot.bin}\n"},
		"flow, tilde":          {"images:\n  boot: {sha256: ~, file: 'boot.bin'}\n", "images:\n  boot: {sha256: " + d + ", file: 'boot.bin'}\n"},
		"flow, two lines":      {"images:\n  boot: {file: boot.bin,\n    sha256: x}\n", "images:\n  boot: {file: boot.bin,\n    sha256: " + d + "}\n"},
		"flow, quoted escapes": {"images:\n  boot: {file: \"b\\u006fot.bin\"}\n", "images:\n  boot: {file: \"b\\u006fot.bin\", sha256: " + d + "}\n"},
		"block, absent":        {"images:\n    boot:\n        file: boot.bin  # the file\n", "images:\n    boot:\n        file: boot.bin  # the file\n        sha256: " + d + "\n"},
		"block, nothing":       {"images:\n  boot:\n    sha256:   # run pin\n    file: boot.bin\n", "images:\n  boot:\n    sha256: " + d + "   # run pin\n    file: boot.bin\n"},
		"block, old":           {"images:\n  boot:\n    sha256: '" + old + "'   # ü\n    file: boot.bin\n", "images:\n  boot:\n    sha256: " + d + "   # ü\n    file: boot.bin\n"},
		"carriage returns":     {"images:\r\n  boot:\r\n    file: boot.bin\r\n", "images:\r\n  boot:\r\n    file: boot.bin\r\n    sha256: " + d + "\r\n"},
		"behind wide letters":  {"images: {boot: {file: boot.bin, sha256: \"ü€\"}}\n", "images: {boot: {file: boot.bin, sha256: " + d + "}}\n"},
	} {
		before, after := pinHead+c.before+pinTail, pinHead+c.after+pinTail
		got, changed, err := pin("t", []byte(before), flash.Parts(), testRead)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(after, string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(changed) != 1 || changed[0].Image != "boot" || changed[0].File != "boot.bin" || `"`+changed[0].New+`"` != d {
			t.Errorf("%s: %+v", name, changed)
		}
		again, changed, err := pin("t", got, flash.Parts(), testRead)
		if err != nil || len(changed) != 0 || string(again) != string(got) {
			t.Errorf("%s: pinning again changes %v, %v", name, changed, err)
		}
	}
	// The image is the last thing in a file without a newline at its end.
	text := pinHead + pinTail + "images:\n  boot:\n    file: boot.bin"
	got, _, err := pin("t", []byte(text), flash.Parts(), testRead)
	if err != nil || string(got) != text+"\n    sha256: "+d+"\n" {
		t.Errorf("no newline at the end: %q, %v", got, err)
	}
}

// TestPinRefuses: what pin cannot edit safely, or what is wrong otherwise, is an error.
func TestPinRefuses(t *testing.T) {
	for name, images := range map[string]string{
		"digest over lines": "images:\n  boot:\n    file: boot.bin\n    sha256: |\n      abc\n",
		"digest is a list":  "images:\n  boot: {file: boot.bin, sha256: []}\n",
		"another mistake":   "images: {boot: {file: boot.bin}}\nfoo: 1\n",
		"no image":          "images: {boot: {file: boo.bin}}\n",
		"file over lines":   "images:\n  boot:\n    file: >-\n      boot.bin\n",
	} {
		var problems *yamltext.Errors
		if got, changed, err := pin("t", []byte(pinHead+images+pinTail), flash.Parts(), testRead); !errors.As(err, &problems) || got != nil || changed != nil {
			t.Errorf("%s: %q %v %v", name, got, changed, err)
		}
	}
}

// TestPinFile: the file is replaced whole, keeps its mode, is found behind a link, and is left alone where there
// is nothing to do or something is wrong. Nothing else is left in the folder.
func TestPinFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "r.yaml"), filepath.Join(dir, "link.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("boot.bin", string(testImages["boot.bin"]))
	write("r.yaml", pinHead+"images: {boot: {file: boot.bin}}\n"+pinTail)
	if err := os.Symlink("r.yaml", link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "run: station recipe pin "+path) {
		t.Errorf("unpinned: %v", err)
	}
	if changed, err := Pin(link); err != nil || len(changed) != 1 || changed[0].Old != "" {
		t.Fatalf("%v %v", changed, err)
	}
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
	first, err := os.Stat(path)
	if err != nil || first.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", first.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if changed, err := Pin(path); err != nil || changed != nil {
		t.Errorf("nothing to do: %v %v", changed, err)
	}
	if second, err := os.Stat(path); err != nil || !os.SameFile(first, second) {
		t.Errorf("replaced without need: %v", err)
	}

	write("boot.bin", "another image")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "is another file") {
		t.Errorf("changed image: %v", err)
	}
	if changed, err := Pin(path); err != nil || len(changed) != 1 || changed[0].Old != testDigest("boot.bin") {
		t.Errorf("%v %v", changed, err)
	}

	broken := pinHead + "images: {boot: {file: boot.bin}}\n" + pinTail + "foo: 1\n"
	write("r.yaml", broken)
	if _, err := Pin(path); err == nil {
		t.Error("a broken recipe was pinned")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != broken {
		t.Errorf("changed: %q %v", text, err)
	}
	if _, err := Pin(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}
