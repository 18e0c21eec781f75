package station

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rooms is the table of DESIGN section 3: which sibling rooms a room may import, and why not more.
// A folder that is not in here has no room. Test files may import whatever they test against.
var rooms = map[string]struct {
	may []string
	why string
}{
	"":                     {nil, "the top of the tree holds embedded files only"},
	"spi":                  {nil, "contracts import the standard library only"},
	"spi/spitest":          {[]string{"spi"}, "the suite knows the contract and no driver"},
	"fixtures/usb":         {nil, "contracts import the standard library only"},
	"fixtures/usb/usbtest": {[]string{"fixtures/usb", "spi"}, "what tests of drivers do to a bus; knows no driver"},
	"fixtures/libusb":      {[]string{"fixtures/usb"}, "the metal below the seam decides nothing"},
	"fixtures/ftdi":        {[]string{"spi", "fixtures/usb"}, "a driver knows its two contracts only"},
	"fixtures/ch341a":      {[]string{"spi", "fixtures/usb"}, "a driver knows its two contracts only"},
	"fixtures/dediprog":    {[]string{"spi", "fixtures/usb"}, "a driver knows its two contracts only"},
	"fixtures/serprog":     {[]string{"spi", "fixtures/usb"}, "a driver knows its two contracts only, and its stream by what it needs of one"},
	"fixtures":             {[]string{"spi", "fixtures/usb", "fixtures/ftdi", "fixtures/ch341a", "fixtures/dediprog", "fixtures/serprog"}, "the rack picks drivers and never sees libusb"},
	"flash":                {[]string{"spi"}, "the chip's side knows no programmer, no recipe and no simulator"},
	"ledger":               {nil, "whoever checks a record in ten years needs nothing else"},
	"yamltext":             {nil, "knows YAML and people, and nothing of what a file is about"},
	"recipes":              {[]string{"flash", "yamltext"}, "a recipe is checked against parts, and does no work"},
	"provision":            {[]string{"spi", "flash", "recipes", "ledger"}, "the engine does no I/O of its own: it declares Bench and Journal"},
	"keyring":              {nil, "keys depend on nothing"},
	"keyring/pkcs11":       {[]string{"keyring"}, "a token knows what a provider is, and no key's use"},
	"keyring/providertest": {[]string{"keyring"}, "what every provider of keys does; knows none of them"},
	"keyserver":            {[]string{"recipes", "flash", "provision", "ledger"}, "an edge: where keys and ledger are kept, it is told"},
	"kiosk":                {[]string{"provision", "recipes", "ledger"}, "an edge: the line, the ledger and where people are kept are interfaces of its own"},
	"kiosk/kiosktest":      {nil, "a person at a browser; knows no page"},
	"store":                {[]string{"ledger"}, "edges never import each other"},
	"report":               {[]string{"ledger"}, "a report is made from entries alone"},
	"conformance":          {[]string{"spi"}, "judges a chip by the datasheet alone: a third reading, which imports neither driver nor simulator"},
	"performance":          {nil, "tests only: nothing that ships"},
	"campaign":             {nil, "tests only: nothing that ships"},
	"sim/nor":              {nil, "the simulated chip is a second, independent reading of the datasheet"},
	"sim/ftdi":             {nil, "firmware knows pins and packets, not the driver"},
	"sim/ch341a":           {nil, "firmware knows pins and packets, not the driver"},
	"sim/dediprog":         {nil, "firmware knows pins and packets, not the driver"},
	"sim/serprog":          {[]string{"sim/nor"}, "offers a simulated chip to programs outside"},
	"sim/pico":             {[]string{"sim/serprog"}, "firmware knows pins and packets, and the protocol that it shares with the server"},
	"sim/usbip":            {[]string{"sim", "fixtures/usb"}, "offers simulated programmers to kernels outside, whatever their family"},
	"sim":                  {[]string{"fixtures/usb", "sim/nor", "sim/ftdi", "sim/ch341a", "sim/dediprog", "sim/pico"}, "the simulator imports contracts, never the driver it is to catch lying"},
	"usbguest":             {nil, "tests only: what a real Linux USB stack makes of the simulated programmers"},
	"cmd/station":          {[]string{"*"}, "the front door sees everything and contains no rules"},
}

// fences name the only rooms that may import a library.
var fences = map[string][]string{
	"github.com/google/gousb":         {"fixtures/libusb"},
	"go.etcd.io/bbolt":                {"store"},
	"github.com/jung-kurt/gofpdf":     {"report"},
	"github.com/boombuler/barcode":    {"report", "kiosk"},
	"github.com/danielgtaylor/huma":   {"kiosk"},
	"golang.org/x/crypto":             {"kiosk"},
	"github.com/chromedp":             {"kiosk/kiosktest"},
	"github.com/spf13/viper":          {"cmd/station"},
	"github.com/spf13/cobra":          {"cmd/station"},
	"github.com/vbauerster/mpb":       {"cmd/station"},
	"go.yaml.in/yaml":                 {"yamltext", "recipes", "flash", "cmd/station"},
	"golang.org/x/mod":                {"ledger", "store", "keyring", "keyring/providertest", "keyserver", "cmd/station"},
	"github.com/transparency-dev":     {"ledger"},
	"filippo.io/age":                  {"keyring", "cmd/station"},
	"github.com/gowebpki/jcs":         {"ledger", "recipes", "flash"},
	"github.com/rogpeppe/go-internal": {"cmd/station"},
	"github.com/miekg/pkcs11":         {"keyring/pkcs11"},
	"github.com/google/pprof":         {"performance"},
}

// standardOnly rooms import nothing from outside the standard library but what their row allows.
var standardOnly = []string{"", "spi", "fixtures/usb", "fixtures/ftdi", "fixtures/ch341a", "fixtures/dediprog", "fixtures/serprog", "fixtures", "sim", "sim/nor", "sim/ftdi", "sim/ch341a", "sim/dediprog", "sim/serprog", "sim/pico", "sim/usbip", "provision", "conformance"}

var badNames = []string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "base", "types", "interfaces"}

type pkg struct {
	ImportPath, Name, Dir string
	Imports               []string
	GoFiles, CgoFiles     []string
	IgnoredGoFiles        []string
	TestGoFiles           []string
	XTestGoFiles          []string
}

func (p pkg) room() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "station"), "/")
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

func TestArrowsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		for _, complaint := range complaints(p) {
			t.Error(complaint)
		}
	}
}

func complaints(p pkg) (out []string) {
	row, ok := rooms[p.room()]
	if !ok {
		return []string{fmt.Sprintf("%q has no room: add it to the table with the reason for it, or put the code where its name says", p.room())}
	}
	for _, imp := range p.Imports {
		if sibling, ok := strings.CutPrefix(imp, "station/"); ok {
			if !slices.Contains(row.may, sibling) && !slices.Contains(row.may, "*") {
				out = append(out, fmt.Sprintf("%s may not import %s: %s", p.room(), sibling, row.why))
			}
			continue
		}
		for lib, only := range fences {
			if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !slices.Contains(only, p.room()) {
				out = append(out, fmt.Sprintf("%s may not import %s: only %v may", p.room(), imp, only))
			}
		}
		if slices.Contains(standardOnly, p.room()) && strings.Contains(strings.Split(imp, "/")[0], ".") {
			out = append(out, fmt.Sprintf("%s may not import %s: standard library only", p.room(), imp))
		}
	}
	return out
}

// The table is only worth something when a wrong arrow is found.
func TestWrongArrowsAreFound(t *testing.T) {
	for _, p := range []pkg{
		{ImportPath: "station/store", Imports: []string{"station/flash"}},
		{ImportPath: "station/sim/nor", Imports: []string{"station/flash"}},
		{ImportPath: "station/helper"},
		{ImportPath: "station/provision", Imports: []string{"go.etcd.io/bbolt"}},
		{ImportPath: "station/kiosk/x", Imports: []string{"fmt"}},
		{ImportPath: "station/spi", Imports: []string{"golang.org/x/sys/unix"}},
	} {
		if len(complaints(p)) == 0 {
			t.Errorf("%s importing %v passed the house rules", p.ImportPath, p.Imports)
		}
	}
}

func TestOnePackageComment(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(badNames, p.Name) {
			t.Errorf("package %s: a grab-bag name says nothing about what belongs inside", p.Name)
		}
		var with []string
		for _, f := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles) {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				with = append(with, f)
			}
		}
		if len(with) != 1 {
			t.Errorf("%s: %d package comments %v, want exactly one that says what the room is for and what does not belong in it", p.room(), len(with), with)
		}
	}
}

// longFiles is a ratchet: a file above the mark was looked at twice, and may shrink but not grow.
var longFiles = map[string]int{}

func TestFilesStayShort(t *testing.T) {
	const mark = 450
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		base := strings.TrimSuffix(filepath.Base(path), ".go")
		if slices.Contains(badNames, base) {
			t.Errorf("%s: a grab-bag name says nothing about what belongs inside", path)
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		lines := 0
		for s := bufio.NewScanner(f); s.Scan(); {
			lines++
		}
		if limit := max(mark, longFiles[path]); lines > limit {
			t.Errorf("%s has %d lines, above %d: is it two things?", path, lines, limit)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
