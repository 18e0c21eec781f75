package kiosk

import (
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cardPicture draws what barcode returned as a printer of 12 dots to the millimetre (300 dpi) would, the coarsest that sheets are printed on.
func cardPicture(t *testing.T, svg string) image.Image {
	t.Helper()
	var doc struct {
		Width   string `xml:"width,attr"`
		ViewBox string `xml:"viewBox,attr"`
		Path    struct {
			D string `xml:"d,attr"`
		} `xml:"path"`
	}
	if err := xml.Unmarshal([]byte(svg), &doc); err != nil {
		t.Fatalf("%v in %s", err, svg)
	}
	var mm, across, high float64
	if _, err := fmt.Sscanf(doc.Width, "%fmm", &mm); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(doc.ViewBox, "0 0 %f %f", &across, &high); err != nil {
		t.Fatal(err)
	}
	const dots = 12
	scale := mm * dots / across
	img := image.NewGray(image.Rect(0, 0, int(mm*dots), int(high*dots)))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for _, bar := range strings.Split(strings.TrimPrefix(doc.Path.D, "M"), "M") {
		var x, w, h, back float64
		if _, err := fmt.Sscanf(bar, "%f 0h%fv%fh-%fz", &x, &w, &h, &back); err != nil || w != back || h != high {
			t.Fatalf("bar %q: %v", bar, err)
		}
		for px := int(x*scale + 0.5); px < int((x+w)*scale+0.5); px++ {
			for py := range img.Bounds().Dy() {
				img.SetGray(px, py, color.Gray{})
			}
		}
	}
	return img
}

// readCodes is what zbarimg reads in pictures, a line each.
func readCodes(t *testing.T, pictures ...image.Image) []string {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for i, p := range pictures {
		name := filepath.Join(dir, fmt.Sprintf("%03d.png", i))
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(png.Encode(f, p), f.Close()); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	return readFiles(t, files...)
}

// readFiles is what zbarimg reads in files, a line each.
func readFiles(t *testing.T, files ...string) []string {
	t.Helper()
	tool, err := exec.LookPath("zbarimg")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("NOT RUN: zbarimg is not installed")
	}
	out, err := exec.Command(tool, append([]string{"-q", "--raw", "-S*.disable", "-Scode128.enable"}, files...)...).Output() // on stderr are complaints about a bus that is not there
	if err != nil {
		t.Fatalf("zbarimg: %v: %s", err, out)
	}
	return strings.Split(strings.TrimRight(string(out), "\n"), "\n")
}

// What a card says is what a scanner reads, also of the longest badge on the width of a card.
func TestBarcodeIsRead(t *testing.T) {
	t.Parallel()
	var want []string
	var pictures []image.Image
	for _, c := range []struct {
		code  string
		width float64
	}{
		{"REJECT", cardWidth}, {"CLOSE-JOB", cardWidth}, {"SLOT:left", cardWidth}, {"RELEASE:16", cardWidth}, {"JOB:gateway-boot.yaml:250", wideWidth},
		{"JOB:" + strings.Repeat("long-name-", 6) + ".yaml:1000000", wideWidth}, {"BADGE:ABCDEFGHIJKLMNOPQRSTUVWXYZ", badgeWidth}, {"BADGE:22334455667722334455667722", badgeWidth},
	} {
		svg, err := barcode(c.code, c.width)
		if err != nil {
			t.Fatal(err)
		}
		want, pictures = append(want, c.code), append(pictures, cardPicture(t, string(svg)))
	}
	got := readCodes(t, pictures...)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestBarcodeThatNobodyReads(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"SLOT:左":                         "only ASCII characters",
		"":                               "",
		"JOB:" + strings.Repeat("x", 70): "too many",
	} {
		if svg, err := barcode(code, cardWidth); err == nil || !strings.Contains(err.Error(), want) || svg != "" {
			t.Errorf("%q: %q, %v", code, svg, err)
		}
	}
}
