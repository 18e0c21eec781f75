package recipes

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSamples: the shipped recipes unpack into an empty folder, are pinned to the image that is generated
// there, and are valid. Unpacking again replaces only what is not right.
func TestSamples(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	if err := Unpack(dir); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"plain-image":  "write",
		"locked-boot":  "write blank lock freeze check",
		"gateway-boot": "write write blank lock root_key password freeze power_cycle check",
		"signed-boot":  "write measure blank relay relay measure lock check",
	}
	for id, steps := range want {
		r, err := Load(filepath.Join(dir, id+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if r.ID() != id || kinds(r) != steps || !r.MatchSerial("GW-000001") || len(r.Images()[0].Data) != 4<<20 {
			t.Errorf("%s: %s", r.ID(), kinds(r))
		}
		values := map[string]string{}
		if id == "gateway-boot" {
			values["mac"] = "02:00:00:00:00:01"
		}
		if _, err := r.Bind("GW-000001", values); err != nil {
			t.Error(err)
		}
		for _, part := range r.Parts() {
			if _, err := r.Plan(part, 0); err != nil {
				t.Error(err)
			}
		}
	}

	files := []string{"plain-image.yaml", "locked-boot.yaml", "gateway-boot.yaml", "signed-boot.yaml", "images/boot.bin", "images/settings.bin"}
	before := map[string]os.FileInfo{}
	for _, name := range files {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		before[name] = info
	}
	if err := os.WriteFile(filepath.Join(dir, "plain-image.yaml"), []byte("schema: 2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "plain-image.yaml")); err != nil {
		t.Errorf("not repaired: %v", err)
	}
	for _, name := range files[1:] {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !os.SameFile(info, before[name]) {
			t.Errorf("%s was replaced without need: %v", name, err)
		}
	}
}
