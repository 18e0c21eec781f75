package recipes

import (
	"encoding/hex"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"station/yamltext"
)

// maxValue is the longest value, in bytes: more is an image.
const maxValue = 256

// draftValue is a value with its places in the file.
type draftValue struct {
	Value
	key  *yaml.Node
	ok   bool // Bytes is known
	used bool
}

func (p *parser) readValues(n *yaml.Node) {
	list, _ := p.Fields(n, "values")
	for _, f := range list {
		d := &draftValue{Value: Value{Name: f.Key.Value}, key: f.Key}
		p.values = append(p.values, d)
		p.name(f.Key, "a value")
		if d.Name == serialValue {
			p.At(f.Key, "the serial is a value of every unit already", "give this one another name")
			d.used = true // whoever names it means the serial
		}
		what := "value " + d.Name
		keys, ok := p.Group(f.Value, f.Key, what, nil, []string{"scan", "bytes", "hex"}, map[string]string{
			"pool": "this version cannot take values from a pool; scan them",
		})
		scan, size, fixed := keys["scan"], keys["bytes"], keys["hex"]
		const example = `scan: true, bytes: 6} comes with each unit, {hex: "02AB"} is the same for all`
		switch {
		case !ok:
		case fixed.Value != nil && (scan.Value != nil || size.Value != nil):
			p.At(f.Key, what+" cannot be both scanned and fixed", "{"+example)
		case fixed.Value != nil:
			p.fixedValue(d, fixed.Value)
		case scan.Value == nil && size.Value == nil:
			p.At(f.Key, what+" does not say where it comes from", "{"+example)
		case scan.Value == nil:
			p.At(f.Key, what+" lacks scan", "{"+example)
		case scan.Value.Tag != "!!bool" || scan.Value.Value != "true":
			p.At(scan.Value, "scan can only be true, not "+yamltext.Quote(scan.Value.Value), "a value that does not come with the unit is fixed: {hex: ...}")
		case size.Value == nil:
			p.At(f.Key, what+" lacks bytes, how long it is", "{"+example)
		default:
			d.Bytes, d.ok = p.whole(size.Value, what+": bytes", 1, maxValue)
		}
	}
}

func (p *parser) fixedValue(d *draftValue, n *yaml.Node) {
	text, ok := p.Text(n, "hex")
	if !ok {
		return
	}
	data, ok := parseHex(text)
	switch {
	case !ok:
		p.At(n, fmt.Sprintf("hex %s is not bytes as pairs of hex digits", yamltext.Quote(text)), `like this: hex: "02AB10"`)
	case len(data) > maxValue:
		p.At(n, fmt.Sprintf("value %s has %d bytes; at most %d are possible", d.Name, len(data), maxValue), "write an image")
	default:
		d.Hex, d.Bytes, d.ok = hex.EncodeToString(data), int64(len(data)), true
	}
}

// whole reads a whole number within bounds; n may be nil where the key was missing and has been reported.
func (p *parser) whole(n *yaml.Node, what string, least, most int64) (int64, bool) {
	if n == nil {
		return 0, false
	}
	text, ok := p.Text(n, what)
	if !ok {
		return 0, false
	}
	v, _, err := parseSize(text)
	if err != nil || v < least || v > most {
		p.At(n, fmt.Sprintf("%s %s is not a whole number from %d to %d", what, yamltext.Quote(text), least, most), "")
		return 0, false
	}
	return v, true
}

var fieldKinds = []string{string(TextField), string(BytesField), string(CRC32Field)}

const fieldExample = "like these: {text: serial, size: 32}, {bytes: mac}, {crc32: [serial, mac], endian: little}"

// space is where fields go: so many bytes, -1 where that is not known.
type space struct {
	what string // "region identity"
	size int64
}

// space of a region; d may be nil.
func (d *draftRegion) space() space {
	if d == nil || !d.ok {
		return space{size: -1}
	}
	return space{"region " + d.Name, d.Size}
}

// fields reads a list of fields; nil when any of them is wrong.
func (p *parser) fields(n *yaml.Node, to space) []Field {
	items, ok := p.List(n, "fields")
	if !ok {
		return nil
	}
	if len(items) == 0 {
		p.At(n, "fields is empty", fieldExample)
		return nil
	}
	var fields []Field
	var sums []*yaml.Node // the lists of the checksums, which may cover fields behind them
	var names []string
	end := int64(0)
	for _, item := range items {
		f, place := p.field(item)
		if f == nil {
			ok = false
			continue
		}
		if f.Kind == CRC32Field {
			sums = append(sums, place)
		} else if slices.Contains(names, f.Value) {
			p.At(place, fmt.Sprintf("value %s has a field in this step already", f.Value), "a value stands there once")
			ok = false
		} else {
			names = append(names, f.Value)
		}
		fields = append(fields, *f)
		if before := end; before <= to.size {
			if end += f.Size; end > to.size {
				p.At(place, fmt.Sprintf("this field ends %d bytes after the end of %s, which has %s", end-to.size, to.what, sizeText(to.size)), "")
				ok = false
			}
		}
	}
	if !ok {
		return nil // a name that seems to be missing may be that of the broken field
	}
	for _, list := range sums {
		for _, item := range list.Content {
			if !slices.Contains(names, item.Value) {
				p.unknown(item, "field", names)
				ok = false
			}
		}
	}
	if !ok {
		return nil
	}
	return fields
}

// field reads one field; nil when it is wrong. place is its value, or the list of a checksum.
func (p *parser) field(item *yaml.Node) (f *Field, place *yaml.Node) {
	if item.Kind != yaml.MappingNode {
		p.At(item, "a field has to say what it holds: text, bytes or crc32", fieldExample)
		return nil, nil
	}
	var kinds []*yaml.Node
	for i := 0; i+1 < len(item.Content); i += 2 {
		if slices.Contains(fieldKinds, item.Content[i].Value) {
			kinds = append(kinds, item.Content[i])
		}
	}
	switch {
	case len(kinds) == 0:
		p.At(item, "a field has to say what it holds: text, bytes or crc32", fieldExample)
		return nil, nil
	case len(kinds) > 1 && kinds[0].Value != kinds[1].Value: // a repeated key is told of below
		p.At(kinds[1], fmt.Sprintf("a field holds one thing, %s here, so %s begins another field", kinds[0].Value, kinds[1].Value), fieldExample)
		return nil, nil
	}
	f = &Field{Kind: FieldKind(kinds[0].Value)}
	what := fmt.Sprintf("a %s field", f.Kind)
	required, optional := []string{string(f.Kind)}, []string(nil)
	switch f.Kind {
	case TextField:
		required, optional = append(required, "size"), []string{"pad"}
	case BytesField:
		optional = []string{"size"}
	case CRC32Field:
		required = append(required, "endian")
	}
	keys, ok := p.Group(item, item, what, required, optional, nil)
	place = keys[string(f.Kind)].Value
	if place == nil {
		return nil, nil
	}
	switch f.Kind {
	case TextField:
		ok = p.textField(f, keys) && ok
	case BytesField:
		ok = p.bytesField(f, keys) && ok
	case CRC32Field:
		ok = p.sumField(f, keys) && ok
	}
	if !ok {
		return nil, nil
	}
	return f, place
}

// textField reads {text: serial, size: 32, pad: 0xFF}.
func (p *parser) textField(f *Field, keys map[string]yamltext.Field) bool {
	n := keys["text"].Value
	name, ok := p.Text(n, "text")
	if ok && name != serialValue {
		ok = false
		if d := p.valueNamed(n); d != nil {
			p.At(n, fmt.Sprintf("value %s is bytes, and the serial is the only text", d.Name), fmt.Sprintf("write it as {bytes: %s}", d.Name))
		}
	}
	f.Value, f.Pad = serialValue, 0xFF
	size, okSize := p.bytes(keys["size"].Value, "size")
	if okSize && size == 0 {
		p.At(keys["size"].Value, "the field is empty", "")
		okSize = false
	}
	f.Size = size
	if p.r.serial != nil && okSize {
		if n := longestMatch(p.r.serial.String()); int64(n) > size {
			p.warn(keys["size"].Value.Line, fmt.Sprintf("the serial pattern accepts up to %d bytes, and the field has %d: units with longer serials are refused", n, size))
		}
	}
	if pad := keys["pad"].Value; pad != nil {
		v, okPad := p.whole(pad, "pad", 0, 0xFF)
		f.Pad, ok = byte(v), ok && okPad
	}
	return ok && okSize
}

// bytesField reads {bytes: mac, size: 6}.
func (p *parser) bytesField(f *Field, keys map[string]yamltext.Field) bool {
	n := keys["bytes"].Value
	name, ok := p.Text(n, "bytes")
	if !ok {
		return false
	}
	if name == serialValue {
		p.At(n, "the serial is text", "write it as {text: serial, size: 32}")
		return false
	}
	d := p.valueNamed(n)
	if d == nil || !d.ok {
		return false
	}
	f.Value, f.Size = d.Name, d.Bytes
	if s := keys["size"].Value; s != nil {
		size, ok := p.bytes(s, "size")
		if !ok {
			return false
		}
		if size != d.Bytes {
			p.At(s, fmt.Sprintf("value %s has %s, so its field cannot have %d", d.Name, count(int(d.Bytes), "byte"), size), "leave size out: the value says how long it is")
			return false
		}
	}
	return true
}

// sumField reads {crc32: [serial, mac], endian: little}.
func (p *parser) sumField(f *Field, keys map[string]yamltext.Field) bool {
	n := keys["crc32"].Value
	items, ok := p.List(n, "crc32")
	if !ok {
		return false
	}
	if len(items) == 0 {
		p.At(n, "crc32 covers no field", "name the fields that it covers: crc32: [serial, mac]")
		ok = false
	}
	for _, item := range items {
		name, isText := p.Text(item, "a field")
		if ok = ok && isText; !isText {
			continue
		}
		if slices.Contains(f.Over, name) {
			p.At(item, fmt.Sprintf("field %s is listed twice", name), "")
			ok = false
		}
		f.Over = append(f.Over, name)
	}
	f.Size = 4
	e := keys["endian"].Value
	if e == nil {
		return false
	}
	text, isText := p.Text(e, "endian")
	f.Endian = Endian(text)
	if isText && f.Endian != Little && f.Endian != Big {
		p.At(e, fmt.Sprintf("endian is either little or big, not %s", yamltext.Quote(text)), yamltext.DidYouMean(text, []string{string(Little), string(Big)}))
		isText = false
	}
	return ok && isText
}

// valueNamed finds a value; nil is returned when there is none, and reported.
func (p *parser) valueNamed(n *yaml.Node) *draftValue {
	known := []string{serialValue}
	for _, d := range p.values {
		if d.Name == n.Value {
			d.used = true
			return d
		}
		known = append(known, d.Name)
	}
	if !p.valuesUnknown {
		p.unknown(n, "value", known)
	}
	return nil
}
