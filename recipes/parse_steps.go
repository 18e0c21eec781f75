package recipes

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"station/yamltext"
)

// draftStep is a step with its places in the file; step is nil when it could not be read.
type draftStep struct {
	step    Step
	node    *yaml.Node   // its name
	regions []*yaml.Node // where Write, Erase, Lock, Check, Measure and Relay name their regions
	image   *yaml.Node   // where Relay names its image
	frozen  *yaml.Node   // the value of check: frozen
	index   *yaml.Node   // the value of index in root_key and counter
	verify  *yaml.Node   // the value of verify in write
}

var (
	stepNames      = append([]string{"write", "erase", "lock", "freeze", "check", "reset", "power_cycle", "config", "raw", "measure", "relay"}, permanentSteps...)
	permanentSteps = []string{"password", "root_key", "counter", "persistent_protection", "otp"}
	permanentKinds = append([]string{"relay"}, permanentSteps...) // a relay with a one-way command is one
)

func (p *parser) readSteps(n *yaml.Node) {
	items, ok := p.List(n, "steps")
	if !ok {
		return
	}
	if len(items) == 0 {
		p.At(n, "steps is empty", "")
	}
	for _, item := range items {
		p.steps = append(p.steps, p.readStep(item))
	}
}

func (p *parser) readStep(item *yaml.Node) draftStep {
	name, value := item, (*yaml.Node)(nil)
	switch {
	case item.Kind == yaml.MappingNode:
		list, ok := p.Fields(item, "a step")
		if !ok || len(list) == 0 {
			if ok {
				p.At(item, "a step is missing its name", "the steps are "+strings.Join(stepNames, ", "))
			}
			return draftStep{node: item}
		}
		if len(list) > 1 {
			first, second := list[0].Key, list[1].Key
			suggestion := fmt.Sprintf("indent it below %s", yamltext.Quote(first.Value))
			if slices.Contains(stepNames, second.Value) {
				suggestion = fmt.Sprintf("begin a new step: - %s", second.Value)
			}
			p.At(second, fmt.Sprintf("a step has one name, %s, so %s does not belong here", yamltext.Quote(first.Value), yamltext.Quote(second.Value)), suggestion)
			return draftStep{node: first}
		}
		name, value = list[0].Key, list[0].Value
	case item.Kind != yaml.ScalarNode || item.Tag == "!!null":
		p.At(item, "a step is missing its name", "the steps are "+strings.Join(stepNames, ", "))
		return draftStep{node: item}
	}
	d := draftStep{node: name}
	switch name.Value {
	case "write":
		p.write(&d, value)
	case "erase":
		p.erase(&d, value)
	case "lock":
		p.lock(&d, value)
	case "check":
		p.check(&d, value)
	case "freeze":
		p.bare(&d, value, Freeze{})
	case "reset":
		p.bare(&d, value, Reset{})
	case "power_cycle":
		p.bare(&d, value, PowerCycle{})
	case "config":
		p.config(&d, value)
	case "raw":
		p.raw(&d, value)
	case "password":
		p.password(&d, value)
	case "root_key":
		p.rootKey(&d, value)
	case "counter":
		p.counter(&d, value)
	case "persistent_protection":
		p.bare(&d, value, PersistentProtection{})
	case "otp":
		p.otp(&d, value)
	case "measure":
		p.measure(&d, value)
	case "relay":
		p.relay(&d, value)
	default:
		suggestion := yamltext.DidYouMean(name.Value, stepNames)
		if suggestion == "" {
			suggestion = "the steps are " + strings.Join(stepNames, ", ")
		}
		p.At(name, fmt.Sprintf("there is no step %s", yamltext.Quote(name.Value)), suggestion)
	}
	return d
}

// body reads the keys of a step.
func (p *parser) body(d *draftStep, value *yaml.Node, required, optional []string, example string, unsupported map[string]string) (map[string]yamltext.Field, bool) {
	if value == nil || value.Kind != yaml.MappingNode {
		p.At(d.node, fmt.Sprintf("%s has to say what", d.node.Value), "like this: "+example)
		return nil, false
	}
	return p.Group(value, d.node, d.node.Value, required, optional, unsupported)
}

// bare reads a step that has no keys.
func (p *parser) bare(d *draftStep, value *yaml.Node, step Step) {
	if value != nil && value.Tag != "!!null" {
		p.At(value, fmt.Sprintf("%s takes no values", d.node.Value), fmt.Sprintf("like this: - %s", d.node.Value))
		return
	}
	d.step = step
}

func (p *parser) write(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"region"}, []string{"image", "fields", "verify"}, "- write: {region: ..., image: ...}", nil)
	region := p.regionNamed(keys["region"].Value)
	image, fields := keys["image"].Value, keys["fields"].Value
	switch {
	case image != nil && fields != nil:
		p.At(keys["fields"].Key, "a write has either an image or fields, not both", "write them to two regions")
		return
	case ok && image == nil && fields == nil:
		p.At(d.node, "write lacks image or fields", "")
		return
	}
	step := Write{Verify: Readback}
	if n := keys["verify"].Value; n != nil {
		var okVerify bool
		step.Verify, okVerify = p.verify(n)
		d.verify, ok = n, ok && okVerify
	}
	if fields != nil {
		step.Fields = p.fields(fields, region.space())
		ok = ok && step.Fields != nil
		if step.Verify == Measurement {
			p.At(keys["verify"].Value, "fields differ from unit to unit, so a measurement could not be compared with anything", "leave verify out: every byte is read back")
			ok = false
		}
	} else if m := p.imageNamed(image); m != nil {
		p.fits(m, region, image)
		stored := m.Image
		step.Image = &stored
	} else {
		ok = false
	}
	if !ok || region == nil {
		return
	}
	step.Region = region.Region
	d.step, d.regions = step, []*yaml.Node{keys["region"].Value}
}

// fits proves that an image, named at n, has room in its region.
func (p *parser) fits(m *draftImage, region *draftRegion, n *yaml.Node) {
	if region != nil && region.ok && m.ok && int64(len(m.Data)) > region.Size {
		p.At(n, fmt.Sprintf("image %s has %s, region %s only %s", m.Name, sizeText(int64(len(m.Data))), region.Name, sizeText(region.Size)), "")
	}
}

func (p *parser) erase(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"regions"}, nil, "- erase: {regions: [...]}", nil)
	regions, nodes := p.regionList(keys["regions"].Value, "regions")
	if ok && regions != nil {
		d.step, d.regions = Erase{Regions: regions}, nodes
	}
}

func (p *parser) lock(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"regions", "bits"}, []string{"lock_down"}, "- lock: {regions: [...], bits: nonvolatile}", nil)
	regions, nodes := p.regionList(keys["regions"].Value, "regions")
	bits := Bits("")
	if n := keys["bits"].Value; n != nil {
		text, isText := p.Text(n, "bits")
		bits = Bits(text)
		if kinds := []string{string(Nonvolatile), string(Volatile), string(Block)}; isText && !slices.Contains(kinds, text) {
			p.At(n, fmt.Sprintf("bits is one of nonvolatile, volatile and block, not %s", yamltext.Quote(text)), yamltext.DidYouMean(text, kinds))
			bits = ""
		}
	}
	down := false
	if f := keys["lock_down"]; f.Value != nil {
		var okDown bool
		down, okDown = p.truth(f.Value, "lock_down")
		ok = ok && okDown
		if down && bits != Volatile && bits != "" {
			p.At(f.Key, fmt.Sprintf("lock_down is for volatile lock bits, and these are %s", bits), "leave it out")
			ok = false
		}
	}
	if !ok || regions == nil || bits == "" {
		return
	}
	if bits == Block {
		p.blockable(regions, keys["regions"].Value)
	} else {
		for i, region := range regions {
			p.lockable(region, nodes[i], bits)
		}
	}
	d.step, d.regions = Lock{regions, bits, down}, nodes
}

// truth reads true or false.
func (p *parser) truth(n *yaml.Node, what string) (v, ok bool) {
	if n.Tag != "!!bool" {
		p.At(n, fmt.Sprintf("%s is either true or false, not %s", what, yamltext.Quote(n.Value)), "")
		return false, false
	}
	return n.Value == "true", true
}

func (p *parser) check(d *draftStep, value *yaml.Node) {
	const example = "- check: {locked: [...], frozen: true}"
	keys, ok := p.body(d, value, nil, []string{"locked", "frozen"}, example, nil)
	if !ok {
		return
	}
	if len(keys) == 0 {
		p.At(d.node, "check has to say what", "like this: "+example)
		return
	}
	var step Check
	if f := keys["locked"]; f.Value != nil {
		step.Locked, d.regions = p.regionList(f.Value, "locked")
		ok = step.Locked != nil
	}
	if f := keys["frozen"]; f.Value != nil {
		d.frozen = f.Value
		frozen, okFrozen := p.truth(f.Value, "frozen")
		ok = ok && okFrozen
		step.Frozen = &frozen
	}
	if ok {
		d.step = step
	}
}

// regionNamed finds a region; nil is returned when there is none, and reported when a name was given.
func (p *parser) regionNamed(n *yaml.Node) *draftRegion {
	if n == nil {
		return nil
	}
	name, ok := p.Text(n, "region")
	if !ok {
		return nil
	}
	var known []string
	for _, d := range p.regions {
		if d.Name == name {
			d.used = true
			return d
		}
		known = append(known, d.Name)
	}
	if !p.regionsUnknown {
		p.unknown(n, "region", known)
	}
	return nil
}

func (p *parser) imageNamed(n *yaml.Node) *draftImage {
	if n == nil {
		return nil
	}
	name, ok := p.Text(n, "image")
	if !ok {
		return nil
	}
	var known []string
	for _, d := range p.images {
		if d.Name == name {
			d.used = true
			return d
		}
		known = append(known, d.Name)
	}
	if !p.imagesUnknown {
		p.unknown(n, "image", known)
	}
	return nil
}

func (p *parser) unknown(n *yaml.Node, what string, known []string) {
	suggestion := yamltext.DidYouMean(n.Value, known)
	if suggestion == "" && len(known) > 0 && len(known) <= 12 {
		suggestion = fmt.Sprintf("the %ss are %s", what, strings.Join(known, ", "))
	}
	p.At(n, fmt.Sprintf("there is no %s %s", what, yamltext.Quote(n.Value)), suggestion)
}

// regionList reads a list of region names; nil when any of them is wrong.
func (p *parser) regionList(n *yaml.Node, what string) (regions []Region, nodes []*yaml.Node) {
	if n == nil {
		return nil, nil
	}
	items, ok := p.List(n, what)
	if !ok {
		return nil, nil
	}
	if len(items) == 0 {
		p.At(n, what+" is empty; name the regions that are meant", "")
	}
	for _, item := range items {
		d := p.regionNamed(item)
		switch {
		case d == nil:
			ok = false
		case slices.ContainsFunc(regions, func(r Region) bool { return r.Name == d.Name }):
			p.At(item, fmt.Sprintf("region %s is listed twice", d.Name), "")
			ok = false
		default:
			regions, nodes = append(regions, d.Region), append(nodes, item)
		}
	}
	if !ok {
		return nil, nil
	}
	return regions, nodes
}
