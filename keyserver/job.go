package keyserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"station/flash"
	"station/recipes"
)

// Job is what a server has to know of a recipe: the file DATA/jobs/<its SHA-256>.json, which the allowance quotes.
type Job struct {
	Recipe  string  `json:"recipe"` // id
	Version int     `json:"version"`
	Title   string  `json:"title"`
	Digest  string  `json:"digest"` // of the recipe
	Parts   []Part  `json:"parts"`
	Keys    []Key   `json:"keys"`
	Steps   []Step  `json:"steps"`
	Images  []Image `json:"images"`

	plans map[int]*plan // by the step's number
}

// plan is what a step comes to.
type plan struct {
	step  Step
	maker Maker
	ops   []Op
	index map[opName]int
	want  [sha256.Size]byte // SHA-256 of what the region holds at the end
}

type opName struct {
	command string
	at      int64
}

// Part is one that the recipe was proven for, with the map of its authenticated commands; "" for none.
type Part struct {
	Name string         `json:"name"`
	ID   flash.DeviceID `json:"id"`
	Map  string         `json:"map,omitempty"`
}

// Key is a root key that the recipe derives.
type Key struct {
	Master string `json:"master"`
	Index  int    `json:"index"`
}

// Step is a measure or relay of the recipe.
type Step struct {
	N        int      `json:"n"` // number in the recipe, from 1
	Job      string   `json:"job"`
	Commands []string `json:"commands"`
	Region   string   `json:"region,omitempty"`
	At       int64    `json:"at"`
	Size     int64    `json:"size"` // 0 where the step has no region
	// Image is what the region holds at the end, FF behind it: the name of an image, "" for FF all over. Unknown says that the recipe does not tell.
	Image   string `json:"image,omitempty"`
	Unknown bool   `json:"unknown,omitempty"`
}

// Image is what a region is filled with.
type Image struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// JobOf takes out of a recipe what a server has to know of it.
func JobOf(r *recipes.Recipe) *Job {
	j := &Job{Recipe: r.ID(), Version: r.Version(), Title: r.Title(), Digest: r.Digest(), Parts: []Part{}, Keys: []Key{}, Steps: []Step{}, Images: []Image{}}
	for _, p := range r.Parts() {
		j.Parts = append(j.Parts, Part{Name: p.Name, ID: p.ID, Map: mapOf(p)})
	}
	type content struct {
		image string
		known bool
	}
	holds := map[string]content{} // by region
	used := map[string]bool{}
	for i, step := range r.Steps() {
		switch s := step.(type) {
		case recipes.RootKey:
			if s.Derive != "" {
				j.Keys = append(j.Keys, Key{s.Derive, s.Index})
			}
		case recipes.Erase:
			for _, region := range s.Regions {
				holds[region.Name] = content{"", true}
			}
		case recipes.Write:
			c := content{}
			if s.Image != nil {
				c = content{s.Image.Name, true}
			}
			holds[s.Region.Name] = c
		case recipes.Measure:
			c := holds[s.Region.Name]
			used[c.image] = true
			j.Steps = append(j.Steps, Step{N: i + 1, Job: "measure " + s.Region.Name, Commands: []string{"measure"}, Region: s.Region.Name, At: s.Region.At, Size: s.Region.Size, Image: c.image, Unknown: !c.known})
		case recipes.Relay:
			out := Step{N: i + 1, Job: s.Job, Commands: slices.Clone(s.Commands), Region: s.Region.Name, At: s.Region.At, Size: s.Region.Size}
			switch {
			case s.Image != nil:
				holds[s.Region.Name] = content{s.Image.Name, true}
			case slices.Contains(s.Commands, "erase"):
				holds[s.Region.Name] = content{"", true}
			}
			c := holds[s.Region.Name]
			out.Image, out.Unknown = c.image, !c.known
			used[c.image] = true
			j.Steps = append(j.Steps, out)
		}
	}
	for _, m := range r.Images() {
		if used[m.Name] {
			j.Images = append(j.Images, Image{m.Name, m.Data})
		}
	}
	return j
}

// mapOf is the map of a part's table.
func mapOf(p *flash.Part) string {
	if p.ACRTM == nil {
		return ""
	}
	return p.ACRTM.Map
}

// check says whether the server can carry the job out.
func (j *Job) check() error {
	if !validDigest(j.Digest) || j.Recipe == "" || len(j.Parts) == 0 {
		return errContent
	}
	if err := short(j.Recipe, j.Title); err != nil {
		return err
	}
	for _, s := range j.Steps {
		if _, err := j.plan(s); err != nil {
			return fmt.Errorf("step %d: %w", s.N, err)
		}
	}
	return nil
}

// maker is that of the one map that all parts have.
func (j *Job) maker() (Maker, error) {
	for _, p := range j.Parts {
		if p.Map != j.Parts[0].Map {
			return nil, fmt.Errorf("the parts %s and %s have different maps of authenticated commands", j.Parts[0].Name, p.Name)
		}
	}
	maker, ok := makers[j.Parts[0].Map]
	if !ok {
		return nil, fmt.Errorf("this server cannot make commands of the map %q that part %s has", j.Parts[0].Map, j.Parts[0].Name)
	}
	return maker, nil
}

func (j *Job) image(name string) (data []byte, ok bool) {
	for _, m := range j.Images {
		if m.Name == name {
			return m.Data, true
		}
	}
	return nil, false
}

func (j *Job) step(n int) (Step, bool) {
	i := slices.IndexFunc(j.Steps, func(s Step) bool { return s.N == n })
	if i < 0 {
		return Step{}, false
	}
	return j.Steps[i], true
}

// plan makes what a step comes to, once.
func (j *Job) plan(s Step) (*plan, error) {
	if p, ok := j.plans[s.N]; ok {
		return p, nil
	}
	maker, err := j.maker()
	if err != nil {
		return nil, err
	}
	image, found := j.image(s.Image)
	if s.At < 0 || s.Size < 0 || s.Size > maxRegion || int64(len(image)) > s.Size || s.Image != "" && !found {
		return nil, errors.New("its region, or what it holds, is out of range")
	}
	content := bytes.Repeat([]byte{0xFF}, int(s.Size))
	copy(content, image)
	p := &plan{step: s, maker: maker, index: map[opName]int{}, want: sha256.Sum256(content)}
	if p.ops, err = maker.Ops(s, content); err != nil {
		return nil, err
	}
	for i, op := range p.ops {
		p.index[opName{op.Command, op.At}] = i
	}
	if j.plans == nil {
		j.plans = map[int]*plan{}
	}
	j.plans[s.N] = p
	return p, nil
}

// masters are the names of the masters that the job needs.
func (j *Job) masters() []string {
	names := []string{}
	for _, k := range j.Keys {
		names = append(names, k.Master)
	}
	if maker, err := j.maker(); err == nil && len(j.Steps) > 0 {
		names = append(names, maker.Master())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

const maxRegion = 1 << 30 // bytes; no part is larger

func jobFile(dir, digest string) string {
	return filepath.Join(dir, strings.TrimPrefix(digest, "sha256:")+".json")
}

// keep makes the job file durable, and returns its digest.
func (j *Job) keep(dir string) (digest string, err error) {
	text, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "new-*")
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not there: restore it from the backup, or make an empty directory and allow the recipes again", dir)
	} else if err != nil {
		return "", err
	}
	defer os.Remove(f.Name()) // gone where it has the name
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	digest = digestOf(text)
	if err := os.Rename(f.Name(), jobFile(dir, digest)); err != nil {
		return "", err
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	return digest, errors.Join(d.Sync(), d.Close())
}

// job is the one that an allowance quotes.
func (s *Server) job(a *allowance) (*Job, error) {
	if j, ok := s.jobs[a.job]; ok {
		return j, nil
	}
	path := jobFile(s.o.Jobs, a.job)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: allow the recipe again, or restore %s from the backup", err, s.o.Jobs)
	} else if err != nil {
		return nil, err
	}
	if got := digestOf(text); got != a.job {
		return nil, fmt.Errorf("%s is not the file that was allowed: its digest is %s, and the allowance quotes %s", path, got, a.job)
	}
	j := &Job{}
	if err := decode(text, j); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.jobs[a.job] = j
	return j, nil
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func validDigest(s string) bool {
	return strings.HasPrefix(s, "sha256:") && lowerHex(strings.TrimPrefix(s, "sha256:"), 64)
}
