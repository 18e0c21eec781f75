package recipes

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"station/flash"
	"station/yamltext"
)

// maxRelayCommands is more than any job is of.
const maxRelayCommands = 64

// authenticated proves that every part has a table of authenticated commands, and warns of one that is invented. n gets the caret; what begins the sentence.
func (p *parser) authenticated(n *yaml.Node, what string) bool {
	var without, with, invented []string
	for _, part := range p.r.parts {
		if part.ACRTM == nil {
			without = append(without, part.Name)
		} else if part.ACRTM.Map == flash.Invented {
			invented = append(invented, part.Name)
		}
	}
	if len(without) > 0 {
		for _, part := range p.known {
			if part.ACRTM != nil {
				with = append(with, part.Name)
			}
		}
		p.At(n, fmt.Sprintf("%s needs authenticated commands, and there is no table of them for %s", what, strings.Join(without, ", ")),
			"parts with one are "+strings.Join(with, ", "))
		return false
	}
	if len(invented) > 0 && !p.inventedTold {
		p.inventedTold = true
		p.warn(n.Line, fmt.Sprintf("the map of the authenticated commands of %s is INVENTED: no real chip knows it, and only a simulated station runs this recipe", strings.Join(invented, ", ")))
	}
	return true
}

func (p *parser) measure(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"region"}, nil, "- measure: {region: boot}", nil)
	if keys == nil {
		return
	}
	region := p.regionNamed(keys["region"].Value)
	ok = p.authenticated(d.node, "measure") && ok
	if ok && region != nil {
		d.step, d.regions = Measure{region.Region}, []*yaml.Node{keys["region"].Value}
	}
}

func (p *parser) relay(d *draftStep, value *yaml.Node) {
	const example = "- relay: {job: settings, access: state-changing, commands: [erase, write], region: settings, image: settings}"
	keys, ok := p.body(d, value, []string{"job", "access", "commands"}, []string{"region", "image"}, example, nil)
	if keys == nil {
		return
	}
	var step Relay
	if n := keys["job"].Value; n != nil {
		var isText bool
		if step.Job, isText = p.Text(n, "job"); isText && !nameForm.MatchString(step.Job) {
			p.name(n, "a job")
			isText = false
		}
		ok = ok && isText
	}
	if n := keys["access"].Value; n != nil {
		text, isText := p.Text(n, "access")
		step.Access = flash.Class(text)
		if kinds := []string{string(flash.ReadOnly), string(flash.StateChanging)}; isText && !slices.Contains(kinds, text) {
			p.At(n, fmt.Sprintf("access is either read-only or state-changing, not %s", yamltext.Quote(text)), yamltext.DidYouMean(text, kinds))
			isText = false
		}
		if !isText {
			step.Access, ok = "", false
		}
	}
	if p.authenticated(d.node, "relay") {
		ok = p.commands(&step, keys["commands"].Value, keys["access"].Value) && ok
	} else {
		ok = false
	}
	region, image := p.regionNamed(keys["region"].Value), keys["image"].Value
	m := p.imageNamed(image)
	switch {
	case keys["region"].Value != nil && region == nil || image != nil && m == nil:
		ok = false
	case ok && image == nil && keys["region"].Value == nil && step.Access == flash.StateChanging:
		p.At(d.node, "a relay that may change the chip needs the region that it is about: the key server makes its commands for that one", "like this: "+example)
		ok = false
	case image != nil && keys["region"].Value == nil:
		p.At(image, "an image needs the region that is to hold it", "like this: "+example)
		ok = false
	case image != nil && step.OneWay:
		p.At(image, "a relay with an image is done when its region holds the image, and that does not tell whether what is never undone took effect", "give the one-way commands a relay of their own, without image")
		ok = false
	case image != nil && step.Access == flash.ReadOnly:
		p.At(image, "a read-only relay writes nothing, so it has no image", "leave it out, or write access: state-changing")
		ok = false
	}
	if !ok {
		return
	}
	if region != nil {
		step.Region, d.regions = region.Region, []*yaml.Node{keys["region"].Value}
	}
	if m != nil {
		p.fits(m, region, image)
		p.wholeUnits(region, keys["region"].Value)
		stored := m.Image
		step.Image, d.image = &stored, image
	}
	d.step = step
}

// commands reads which entries of the parts' tables a relay may use, and proves that every part has them and that access fits them.
func (p *parser) commands(step *Relay, n, access *yaml.Node) bool {
	if n == nil {
		return false // missing, and reported
	}
	items, ok := p.List(n, "commands")
	if !ok {
		return false
	}
	if len(items) == 0 || len(items) > maxRelayCommands {
		p.At(n, fmt.Sprintf("commands names 1 to %d entries of the part's table, not %d", maxRelayCommands, len(items)), "`station part show` has the table")
		return false
	}
	changing := false
	for _, item := range items {
		name, isText := p.Text(item, "a command")
		switch {
		case !isText:
			ok = false
			continue
		case slices.Contains(step.Commands, name):
			p.At(item, fmt.Sprintf("command %s is listed twice", name), "")
			ok = false
		}
		step.Commands = append(step.Commands, name)
		for _, part := range p.r.parts {
			c := part.ACRTM.Command(name)
			if c == nil {
				p.noCommand(item, name, part)
				ok = false
				break
			}
			changing = changing || c.Class == flash.StateChanging
			step.OneWay = step.OneWay || c.OneWay
			if c.Class == flash.StateChanging && step.Access == flash.ReadOnly {
				p.At(item, fmt.Sprintf("%s may change the chip, and access is read-only", name), "leave it out, or write access: state-changing")
				ok = false
				break
			}
		}
	}
	if ok && step.Access == flash.StateChanging && !changing {
		p.At(access, "access is state-changing, and none of the commands changes the chip", "write access: read-only")
		ok = false
	}
	return ok
}

func (p *parser) noCommand(n *yaml.Node, name string, part *flash.Part) {
	var known []string
	for _, c := range part.ACRTM.Commands {
		known = append(known, c.Name)
	}
	suggestion := yamltext.DidYouMean(name, known)
	if suggestion == "" {
		suggestion = "its commands are " + strings.Join(known, ", ")
	}
	p.At(n, fmt.Sprintf("the table of %s has no command %s", part.Name, yamltext.Quote(name)), suggestion)
}

// wholeUnits wants a region that signed commands fill to be whole units of erase: nobody makes the rest of a unit blank there.
func (p *parser) wholeUnits(region *draftRegion, n *yaml.Node) {
	for _, part := range p.r.parts {
		unit := part.Erases[0].Size
		if whole := rounded(region.Region, unit); region.ok && (whole.At != region.At || whole.Size != region.Size) {
			p.At(n, fmt.Sprintf("region %s (%s) is no whole number of %s erase units, and signed commands fill it", region.Name, rangeText(region.At, region.Size), sizeText(unit)),
				fmt.Sprintf("make it whole units: at 0x%X, size 0x%X", whole.At, whole.Size))
			return
		}
	}
}
