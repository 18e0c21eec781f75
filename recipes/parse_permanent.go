package recipes

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"station/flash"
	"station/yamltext"
)

// masterForm is a name of a master key, in parts: line/root-2026.
var masterForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$`)

const longestMaster = 64

// maxCounter is the most that a step may count. The chip sustains one increment in 5 seconds or more
// (JESD260 update rate), and nothing waits without a limit.
const maxCounter = 1000

// counters is how many monotonic counters a part has; 0: it has no RPMC.
func counters(part *flash.Part) int {
	if part.RPMC == nil {
		return 0
	}
	return part.RPMC.Counters
}

func (p *parser) password(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"generate", "escrow"}, []string{"exercise"}, "- password: {generate: per-unit, escrow: [audit]}", nil)
	if keys == nil {
		return
	}
	if n := keys["generate"].Value; n != nil {
		ok = p.perUnit(n, "generate") && ok
	}
	step := Password{Escrow: p.escrow(keys["escrow"].Value)}
	if n := keys["exercise"].Value; n != nil {
		text, isText := p.Text(n, "exercise")
		step.Exercise = Exercise(text)
		if isText && step.Exercise != ExerciseReset && step.Exercise != ExercisePowerCycle {
			p.At(n, fmt.Sprintf("exercise is either reset or power_cycle, not %s", yamltext.Quote(text)), yamltext.DidYouMean(text, []string{"reset", "power_cycle"}))
			isText = false
		}
		ok = ok && isText
	}
	if ok && step.Escrow != nil {
		d.step = step
	}
}

// perUnit reads the only way in which secrets are drawn.
func (p *parser) perUnit(n *yaml.Node, what string) bool {
	text, ok := p.Text(n, what)
	if ok && text != "per-unit" {
		p.At(n, fmt.Sprintf("%s can only be per-unit: every unit has a secret of its own, and none stands in a recipe", what), "")
		return false
	}
	return ok
}

// escrow reads the names of groups that can open a secret; nil when any of them is wrong.
func (p *parser) escrow(n *yaml.Node) []string {
	if n == nil {
		return nil // missing, and reported
	}
	items, ok := p.List(n, "escrow")
	if !ok {
		return nil
	}
	if len(items) == 0 {
		p.At(n, "escrow is empty, so nobody could ever tell the secret of a unit", "name the groups of config.yaml that may open it: escrow: [audit]")
		return nil
	}
	var groups []string
	for _, item := range items {
		name, isText := p.Text(item, "an escrow group")
		switch {
		case !isText:
			ok = false
		case !nameForm.MatchString(name):
			p.name(item, "an escrow group")
			ok = false
		case slices.Contains(groups, name):
			p.At(item, fmt.Sprintf("escrow group %s is listed twice", name), "")
			ok = false
		}
		groups = append(groups, name)
	}
	if !ok {
		return nil
	}
	return groups
}

func (p *parser) rootKey(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"index", "key", "escrow"}, nil, "- root_key: {index: 0, key: {derive: line/root-2026}, escrow: [audit]}", nil)
	if keys == nil {
		return
	}
	index, okIndex := p.index(d, keys["index"].Value)
	step := RootKey{Index: index, Escrow: p.escrow(keys["escrow"].Value)}
	if f := keys["key"]; f.Value != nil {
		var okKey bool
		step.Derive, okKey = p.key(f)
		ok = ok && okKey
	}
	if ok && okIndex && step.Escrow != nil {
		d.step = step
	}
}

// key reads where a root key comes from: the name of a master, or "" for a random one.
func (p *parser) key(f yamltext.Field) (derive string, ok bool) {
	const inline = "a root key never stands in a recipe"
	const example = "{derive: line/root-2026} names a master key of the station, {random: per-unit} draws one"
	if f.Value.Kind != yaml.MappingNode {
		p.At(f.Key, "key has to say where the root key comes from: it never stands in a recipe", example)
		return "", false
	}
	keys, ok := p.Group(f.Value, f.Key, "key", nil, []string{"derive", "random"}, map[string]string{"hex": inline, "bytes": inline, "file": inline, "value": inline})
	master, random := keys["derive"].Value, keys["random"].Value
	switch {
	case !ok:
		return "", false
	case (master == nil) == (random == nil):
		p.At(f.Key, "key has to be either derived or random", example)
		return "", false
	case random != nil:
		return "", p.perUnit(random, "random")
	}
	derive, ok = p.Text(master, "derive")
	if ok && (!masterForm.MatchString(derive) || len(derive) > longestMaster) {
		p.At(master, fmt.Sprintf("%s is not the name of a master key: letters, digits, _, . and -, in parts divided by /, at most %d", yamltext.Quote(derive), longestMaster), "")
		return "", false
	}
	return derive, ok
}

func (p *parser) counter(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"index", "to"}, nil, "- counter: {index: 0, to: 5}", nil)
	if keys == nil {
		return
	}
	index, okIndex := p.index(d, keys["index"].Value)
	first := int64(0)
	for _, part := range p.r.parts {
		if counters(part) > 0 {
			first = max(first, int64(part.RPMC.Initial))
		}
	}
	to, okTo := p.whole(keys["to"].Value, "to", first+1, first+maxCounter)
	if ok && okIndex && okTo {
		d.step = Counter{Index: index, To: uint32(to)}
	}
}

// index reads the number of a counter, which every part has to have.
func (p *parser) index(d *draftStep, n *yaml.Node) (int, bool) {
	var without []string
	fewest := (*flash.Part)(nil)
	for _, part := range p.r.parts {
		if counters(part) == 0 {
			without = append(without, part.Name)
		} else if fewest == nil || counters(part) < counters(fewest) {
			fewest = part
		}
	}
	if len(without) > 0 {
		var with []string
		for _, part := range p.known {
			if counters(part) > 0 {
				with = append(with, part.Name)
			}
		}
		p.At(d.node, fmt.Sprintf("%s needs RPMC, and there is none in %s", d.node.Value, strings.Join(without, ", ")),
			"parts with RPMC are "+strings.Join(with, ", "))
	}
	const highest = 15 // JESD260 has four bits for the number of counters
	v, ok := p.whole(n, "index", 0, highest)
	if ok && fewest != nil && int(v) >= counters(fewest) {
		p.At(n, fmt.Sprintf("%s has no counter %d: its counters are 0 to %d", fewest.Name, v, counters(fewest)-1), "")
		ok = false
	}
	d.index = n
	return int(v), ok
}

// permanent compares the author's list of one-way kinds with the steps. f is empty where the recipe has no list.
func (p *parser) permanent(f yamltext.Field) {
	var named []string
	if f.Value != nil && f.Value.Tag != "!!null" {
		items, ok := p.List(f.Value, "permanent")
		if !ok {
			return
		}
		for _, item := range items {
			if name, ok := p.Text(item, "a kind of step"); ok {
				p.permanentKind(item, name, named)
				if meant := yamltext.Nearest(name, permanentKinds); meant != "" {
					name = meant
				}
				named = append(named, name)
			}
		}
	}
	var told []string
	for _, d := range p.steps {
		kind := d.node.Value
		if !d.permanent() || slices.Contains(named, kind) || slices.Contains(told, kind) {
			continue
		}
		told = append(told, kind)
		place, where := d.node, ""
		if f.Key != nil {
			place, where = f.Key, fmt.Sprintf(" in line %d", d.node.Line)
		}
		p.At(place, fmt.Sprintf("%s%s cannot be undone on that chip, and permanent does not name it", kind, where),
			fmt.Sprintf("if it is meant, write permanent: [%s]", strings.Join(p.permanentUsed(), ", ")))
	}
}

// permanent tells whether the step cannot be undone, as far as its name or what could be read of it says so.
func (d draftStep) permanent() bool {
	return slices.Contains(permanentSteps, d.node.Value) || d.step != nil && d.step.Permanent()
}

// permanentKind judges one name of the list; named are those before it.
func (p *parser) permanentKind(item *yaml.Node, name string, named []string) {
	// A step of a name that nobody knows may be the one, and so may a relay that could not be read.
	inSteps := func(d draftStep) bool {
		return d.node.Value == name && (d.step == nil || d.step.Permanent()) || !slices.Contains(stepNames, d.node.Value)
	}
	switch {
	case slices.Contains(named, name):
		p.At(item, fmt.Sprintf("permanent names %s twice", yamltext.Quote(name)), "")
	case slices.Contains(permanentKinds, name):
		if len(p.steps) > 0 && !slices.ContainsFunc(p.steps, inSteps) { // without steps that is the mistake
			sentence := fmt.Sprintf("permanent names %s, and no step is of that kind", yamltext.Quote(name))
			if name == "relay" && slices.ContainsFunc(p.steps, func(d draftStep) bool { return d.node.Value == name }) {
				sentence = "permanent names \"relay\", and no relay of the recipe has a one-way command"
			}
			p.At(item, sentence, "leave it out")
		}
	case slices.Contains(stepNames, name):
		p.At(item, fmt.Sprintf("%s is not permanent: it can be undone on the chip", yamltext.Quote(name)), "leave it out")
	default:
		p.At(item, fmt.Sprintf("there is no kind of step %s", yamltext.Quote(name)), yamltext.DidYouMean(name, permanentKinds))
	}
}

// permanentUsed are the permanent kinds of the steps, as far as they have names.
func (p *parser) permanentUsed() []string {
	var used []string
	for _, d := range p.steps {
		if kind := d.node.Value; d.permanent() && !slices.Contains(used, kind) {
			used = append(used, kind)
		}
	}
	return used
}
