package recipes

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"station/flash"
	"station/yamltext"
)

var (
	recipeForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	nameForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`) // of regions, images, values and escrow groups
	digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Load reads a recipe and its images, whose paths are relative to the recipe's folder. Bad input is an
// *yamltext.Errors with every mistake; other errors mean that the recipe itself cannot be read.
func Load(path string) (*Recipe, error) {
	text, err := readFile(path, yamltext.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	parts, err := Parts(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return Parse(path, text, parts, imageReader(path, parts))
}

// Parse makes a Recipe from YAML text. name stands in messages where a file name does; parts are those that it may name.
// readImage returns the image's bytes, which nobody may change afterwards; file is the path as written in the recipe.
// Any error is an *yamltext.Errors.
func Parse(name string, text []byte, parts []*flash.Part, readImage func(file string) ([]byte, error)) (*Recipe, error) {
	p := &parser{Page: yamltext.New(name, "recipe", text), known: parts, readImage: readImage}
	return p.recipe(text)
}

func imageReader(recipe string, parts []*flash.Part) func(string) ([]byte, error) {
	limit := int64(1)
	for _, part := range parts {
		limit = max(limit, part.Size)
	}
	return func(file string) ([]byte, error) {
		path := filepath.Join(filepath.Dir(recipe), filepath.FromSlash(file))
		if info, err := os.Stat(path); err == nil && info.Size() > limit {
			return nil, fmt.Errorf("it is larger than the largest part, %s", sizeText(limit))
		}
		data, err := readFile(path, limit)
		if int64(len(data)) > limit {
			return nil, errors.New("it is growing while it is read")
		}
		return data, err
	}
}

// readFile reads a regular file of at most limit bytes, or limit+1 bytes of a longer one.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path) // before the open, which waits for a writer at a pipe
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	b.Grow(int(min(info.Size(), limit)) + bytes.MinRead) // at once: an image is held one time in memory, also while it is read
	_, err = b.ReadFrom(io.LimitReader(f, limit+1))
	return b.Bytes(), err
}

// parser turns the YAML tree into a Recipe. What is broken is reported where it stands and then left alone,
// so that one mistake does not draw others after it.
type parser struct {
	*yamltext.Page
	known     []*flash.Part
	readImage func(string) ([]byte, error)
	unpinned  bool // digests may be missing or wrong: pin is about to write them

	r       Recipe
	regions []*draftRegion
	images  []*draftImage
	values  []*draftValue
	steps   []draftStep

	inventedTold bool // a warning says that the map of authenticated commands is invented

	// The section is missing or broken, which was reported, so its names are not missed again.
	regionsUnknown, imagesUnknown, valuesUnknown bool
}

var topKeys = []string{"schema", "recipe", "version", "title", "parts", "serial", "regions", "elsewhere", "steps"}

func (p *parser) recipe(text []byte) (*Recipe, error) {
	root := p.Document()
	if root == nil {
		return nil, p.Err()
	}
	if !p.schema(root) {
		return nil, p.Err()
	}
	top, whole := p.Group(root, root, "the recipe", topKeys, []string{"images", "values", "permanent"}, nil)
	read := func(name string, do func(n *yaml.Node)) {
		if f, is := top[name]; is {
			do(f.Value)
		}
	}
	p.regionsUnknown = top["regions"].Value == nil || top["regions"].Value.Kind != yaml.MappingNode
	p.imagesUnknown = top["images"].Value == nil && !whole || top["images"].Value != nil && top["images"].Value.Kind != yaml.MappingNode
	p.valuesUnknown = top["values"].Value == nil && !whole || top["values"].Value != nil && top["values"].Value.Kind != yaml.MappingNode
	read("recipe", p.id)
	read("version", p.version)
	read("title", p.title)
	read("parts", p.parts)
	read("serial", p.serial)
	read("images", p.readImages)
	read("regions", p.readRegions)
	read("elsewhere", p.elsewhere)
	read("values", p.readValues)
	read("steps", p.readSteps)
	if top["permanent"].Key != nil || whole { // else it may be there under a misspelt name
		p.permanent(top["permanent"])
	}
	p.geometry()
	if len(p.steps) > 0 {
		p.order()
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	return p.finish()
}

// finish puts together what was found right.
func (p *parser) finish() (*Recipe, error) {
	r := p.r
	for _, d := range p.regions {
		r.regions = append(r.regions, d.Region)
	}
	slices.SortFunc(r.regions, func(a, b Region) int { return cmp.Compare(a.At, b.At) })
	for _, d := range p.images {
		image := d.Image
		r.images = append(r.images, &image)
	}
	slices.SortFunc(r.images, func(a, b *Image) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range p.values {
		r.values = append(r.values, d.Value)
	}
	slices.SortFunc(r.values, func(a, b Value) int { return strings.Compare(a.Name, b.Name) })
	var written []Step
	for _, s := range p.steps {
		written = append(written, s.step)
	}
	digest, err := digestOf(&r, written)
	if err != nil {
		p.Report(1, 1, err.Error(), "")
		return nil, p.Err()
	}
	r.digest = digest
	r.steps = written
	if r.elsewhere == ElsewhereBlank {
		at := slices.IndexFunc(written, func(s Step) bool { return s.Kind() == "lock" || s.Permanent() })
		if at < 0 {
			at = len(written)
		}
		r.steps = slices.Insert(slices.Clone(written), at, Step(Blank{}))
	}
	return &r, nil
}

// schema settles whether the rest can be understood at all.
func (p *parser) schema(root *yaml.Node) bool {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "schema" {
			continue
		}
		n := root.Content[i+1]
		if n.Kind != yaml.ScalarNode || n.Value != "1" {
			p.At(n, "this version reads recipes of schema 1 only", "write `schema: 1`, or run a station that knows this schema")
			return false
		}
	}
	return true // a missing schema is reported with the other missing keys
}

func (p *parser) id(n *yaml.Node) {
	id, ok := p.Text(n, "the recipe's name")
	if ok && !recipeForm.MatchString(id) {
		p.At(n, fmt.Sprintf("the recipe's name %s is not 1 to 64 of a-z, 0-9 and -, a letter or digit first", yamltext.Quote(id)), "")
		return
	}
	p.r.id = id
}

func (p *parser) version(n *yaml.Node) {
	text, ok := p.Text(n, "version")
	if !ok {
		return
	}
	v, err := strconv.Atoi(text)
	const highest = 1_000_000
	if err != nil || v < 1 || v > highest || text != strconv.Itoa(v) {
		p.At(n, fmt.Sprintf("version %s is not a whole number from 1 to %d", yamltext.Quote(text), highest), "")
		return
	}
	p.r.version = v
}

func (p *parser) title(n *yaml.Node) {
	title, ok := p.Text(n, "title")
	const longest = 120
	switch {
	case !ok:
		return
	case strings.ContainsAny(title, "\r\n"):
		p.At(n, "title has to be one line", "")
	case !drawable(title):
		p.At(n, "title has characters that the report cannot draw, such as control characters or emoji", "")
	case len([]rune(title)) > longest:
		p.At(n, fmt.Sprintf("title has %d characters; at most %d fit the report", len([]rune(title)), longest), "")
	case strings.TrimSpace(title) == "":
		p.At(n, "title is empty", "")
	}
	p.r.title = title
}

func (p *parser) parts(n *yaml.Node) {
	items, ok := p.List(n, "parts")
	if !ok {
		return
	}
	if len(items) == 0 {
		p.At(n, "parts is empty; list the flash parts that this recipe is for", "")
	}
	var known []string
	for _, part := range p.known {
		known = append(known, part.Name)
	}
	for _, item := range items {
		name, ok := p.Text(item, "a part")
		if !ok {
			continue
		}
		i := slices.Index(known, name)
		switch {
		case i < 0:
			suggestion := yamltext.DidYouMean(name, known)
			if suggestion == "" {
				suggestion = "the parts are " + strings.Join(known, ", ")
			}
			p.At(item, fmt.Sprintf("no part is named %s", yamltext.Quote(name)), suggestion)
		case slices.Contains(p.r.parts, p.known[i]):
			p.At(item, fmt.Sprintf("part %s is listed twice", name), "")
		default:
			p.r.parts = append(p.r.parts, p.known[i])
		}
	}
}

func (p *parser) serial(n *yaml.Node) {
	pattern, ok := p.Text(n, "serial")
	if !ok {
		return
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		reason := err.Error()
		if e := (*syntax.Error)(nil); errors.As(err, &e) {
			reason = fmt.Sprintf("%s: %s", e.Code, yamltext.Quote(e.Expr))
		}
		p.At(n, "serial is not a regular expression (RE2): "+reason, "")
		return
	}
	re.Longest() // MatchSerial relies on it
	if at := re.FindStringIndex(""); at != nil {
		p.At(n, "serial accepts an empty scan", "say how long a serial is, such as '^GW-[0-9]{6}$'")
		return
	}
	p.r.serial = re
}

func (p *parser) elsewhere(n *yaml.Node) {
	text, ok := p.Text(n, "elsewhere")
	switch e := Elsewhere(text); {
	case !ok:
	case e != ElsewhereBlank && e != ElsewhereKeep:
		p.At(n, fmt.Sprintf("elsewhere is either blank or keep, not %s", yamltext.Quote(text)), yamltext.DidYouMean(text, []string{"blank", "keep"}))
	default:
		p.r.elsewhere = e
	}
}
