package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"station/ledger"
)

// tool runs a program that others wrote on pdf, given as the file name after args.
func tool(t *testing.T, pdf []byte, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("NOT RUN: %s is not installed", name)
	}
	file := filepath.Join(t.TempDir(), "report.pdf")
	if err := os.WriteFile(file, pdf, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "FILE", file)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out, stderr.Bytes())
	}
	return string(out)
}

func render(t testing.TB, in Input) []byte {
	t.Helper()
	pdf, err := PDF(in)
	if err != nil {
		t.Fatal(err)
	}
	return pdf
}

// The values that an auditor looks for are text that can be copied and searched, each digest in one piece.
func TestTextIsComplete(t *testing.T) {
	t.Parallel()
	all := samples()
	hashes := regexp.MustCompile(`[0-9a-f]{64}`)
	for _, name := range []string{"pass", "simulated", "resumed", "large", "fail", "refused", "open", "secrets", "void", "stuck", "closed", "persistent", "rotated", "signed", "signedreal", "signedfail", "signedstuck"} {
		in := all[name]
		got := tool(t, renderedSamples(t)[name], "pdftotext", "-layout", "FILE", "-")
		want := []string{in.Run.Serial, string(in.Run.Outcome()), in.Run.ID, "line-3", leafHash(in.Run.Records[len(in.Run.Records)-1].Bytes), "Page 1 of "}
		want = append(want, strings.Split(strings.TrimSpace(in.Checkpoint), "\n")...)
		for _, r := range in.Run.Records {
			want = append(want, hashes.FindAllString(string(r.Bytes), -1)...)
		}
		if st := in.Run.Start; st != nil {
			if st.Mirror == ledger.MirrorSecondDisk {
				want = append(want, "a second disk held ledger and escrow before each permanent step")
			}
			want = append(want, st.Chip.ID, st.Chip.UID, st.Part.Name, "Facts of the profile not yet confirmed on silicon")
			want = append(want, st.Part.Assumed...)
			for _, r := range st.Regions {
				want = append(want, r.Name, span(r.At, r.Size))
			}
		}
		for _, r := range in.Run.Records {
			switch b := r.Entry.Body.(type) {
			case ledger.RunStart:
				for _, v := range b.Values {
					want = append(want, v.Name, v.Value)
				}
			case ledger.PasswordIntent:
				want = append(want, b.Escrow.ID)
			case ledger.RootKeyIntent:
				want = append(want, b.Escrow.ID, b.Key, fmt.Sprintf(rootKeyOf, b.Index))
			case ledger.RootKeyProven:
				want = append(want, fmt.Sprint(b.Counter))
			case ledger.ModeProven:
				want = append(want, b.Grade)
			case ledger.PermanentIntent:
				want = append(want, b.What)
			case ledger.RunStuck:
				want = append(append(want, b.Cause), strings.Fields(b.Message)...)
			case ledger.UnitClose:
				want = append(append(want, b.As, b.By), strings.Fields(b.Reason)...)
			}
		}
		if e := in.Run.End; e != nil {
			want = append(want, strings.Fields(e.Message)...)
			want = append(want, strings.Fields(e.Next)...)
			want = append(want, e.Cause)
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is not in the text", name, w)
			}
		}
		pages := strings.Split(strings.TrimSuffix(got, "\f"), "\f")
		for i, p := range pages {
			for _, w := range []string{in.Run.Serial, string(in.Run.Outcome()), fmt.Sprintf("Page %d of %d", i+1, len(pages)), "ledger entr"} {
				if !strings.Contains(p, w) {
					t.Errorf("%s: page %d lacks %q", name, i+1, w)
				}
			}
			if has := strings.Contains(p, "made on a simulated station"); has != in.Run.Records[0].Entry.Simulated {
				t.Errorf("%s: page %d says simulated: %v", name, i+1, has)
			}
		}
		for marker, on := range map[string]bool{"UNRELEASED RECIPE": name == "resumed", "Interrupted and resumed": slices.Contains([]string{"resumed", "void", "closed"}, name),
			"PERMANENT": slices.ContainsFunc(in.Run.Steps, func(s ledger.RunStep) bool { return s.Permanent }) || name == "signedstuck"} {
			if strings.Contains(got, marker) != on {
				t.Errorf("%s: %q printed: %v", name, marker, !on)
			}
		}
	}
}

func TestQpdfFindsNoFault(t *testing.T) {
	t.Parallel()
	for name, pdf := range renderedSamples(t) {
		if got := tool(t, pdf, "qpdf", "--check", "FILE"); !strings.Contains(got, "No syntax or stream encoding errors found") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The bar code of the first page is read from a rendered page, the short one in the frame and the long one below it.
func TestBarcodeIsRead(t *testing.T) {
	t.Parallel()
	for _, serial := range []string{"GW-004711", "7", longSerial} {
		a := newAccount()
		a.end(ledger.Refused, func(e *ledger.RunEnd) { e.Serial = serial })
		pdf := render(t, a.input())
		png := filepath.Join(t.TempDir(), "page")
		tool(t, pdf, "pdftoppm", "-r", "300", "-l", "1", "-x", "0", "-y", "420", "-W", "2480", "-H", "480", "-gray", "-png", "-singlefile", "FILE", png)
		if got := tool(t, pdf, "zbarimg", "-q", "-Sdisable", "-Scode128.enable", png+".png"); strings.TrimSpace(got) != "CODE-128:"+serial {
			t.Errorf("read %q, want %q", got, serial)
		}
	}
}

// The attached entries are the leaves: their hash is the one printed.
func TestEntriesAreAttached(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pass", "refused", "long"} {
		in, pdf := samples()[name], renderedSamples(t)[name]
		dir := t.TempDir()
		tool(t, pdf, "pdfdetach", "-save", "1", "-o", filepath.Join(dir, attached), "FILE")
		got, err := os.ReadFile(filepath.Join(dir, attached))
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSuffix(got, []byte("\n")), []byte("\n"))
		if len(lines) != len(in.Run.Records) {
			t.Fatalf("%s: %d lines for %d entries", name, len(lines), len(in.Run.Records))
		}
		for i, l := range lines {
			if !bytes.Equal(l, in.Run.Records[i].Bytes) {
				t.Errorf("%s: line %d is not entry %d", name, i+1, in.Run.Records[i].Index)
			}
		}
		if text := tool(t, pdf, "pdftotext", "-layout", "FILE", "-"); !strings.Contains(text, leafHash(lines[len(lines)-1])) {
			t.Errorf("%s: the hash of the last attached line is not printed", name)
		}
	}
}

type word struct {
	Text                   string     `xml:",chardata"`
	XMin, YMin, XMax, YMax float64    `xml:"-"`
	Attrs                  []xml.Attr `xml:",any,attr"`
}

// No word leaves the margins and none lies on another.
func checkWords(t *testing.T, name string, pdf []byte) {
	t.Helper()
	var doc struct {
		Pages []struct {
			Words []word `xml:"word"`
		} `xml:"body>doc>page"`
	}
	if err := xml.Unmarshal([]byte(tool(t, pdf, "pdftotext", "-bbox", "FILE", "-")), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Pages) == 0 {
		t.Fatalf("%s: no pages", name)
	}
	const mm = 72 / 25.4
	for p, page := range doc.Pages {
		var seen []word
		for _, w := range page.Words {
			for _, a := range w.Attrs {
				var v float64
				fmt.Sscan(a.Value, &v)
				switch a.Name.Local {
				case "xMin":
					w.XMin = v / mm
				case "xMax":
					w.XMax = v / mm
				case "yMin":
					w.YMin = v / mm
				case "yMax":
					w.YMax = v / mm
				}
			}
			if strings.Contains(notReal, w.Text) && w.YMax-w.YMin > 22 {
				continue // the watermark lies under everything
			}
			if w.XMin < left-0.1 || w.XMax > right+0.1 || w.YMin < 8 || w.YMax > pageH-5 {
				t.Errorf("%s page %d: %q leaves the margins: x %.1f–%.1f y %.1f–%.1f", name, p+1, w.Text, w.XMin, w.XMax, w.YMin, w.YMax)
			}
			// Boxes hold the font's full height, so lines of dense text touch: a fifth of the height may be shared.
			slack := (w.YMax - w.YMin) * 0.2
			for _, o := range seen {
				if w.XMin < o.XMax-0.2 && o.XMin < w.XMax-0.2 && w.YMin+slack < o.YMax && o.YMin+slack < w.YMax {
					t.Errorf("%s page %d: %q lies on %q at x %.1f y %.1f", name, p+1, w.Text, o.Text, w.XMin, w.YMin)
				}
			}
			seen = append(seen, w)
		}
	}
}

func TestNothingOverlaps(t *testing.T) {
	t.Parallel()
	for name, pdf := range renderedSamples(t) {
		checkWords(t, name, pdf)
	}
}
