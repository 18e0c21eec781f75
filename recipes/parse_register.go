package recipes

import (
	"fmt"

	"go.yaml.in/yaml/v4"

	"station/yamltext"
)

// verify reads how a write is proven.
func (p *parser) verify(n *yaml.Node) (Verify, bool) {
	text, ok := p.Text(n, "verify")
	switch {
	case !ok:
		return "", false
	case text == string(Readback):
		p.At(n, "reading back is how a write is verified, so verify need not say it", "leave verify out")
		return "", false
	case text == "none":
		p.At(n, "nothing is written without being verified", "leave verify out: every byte is read back")
		return "", false
	case text == string(Measurement):
		return Measurement, p.authenticated(n, "verify: measurement")
	case text != string(CRC):
		p.At(n, fmt.Sprintf("verify can only be crc or measurement, not %s", yamltext.Quote(text)), yamltext.DidYouMean(text, []string{string(CRC), string(Measurement)}))
		return "", false
	}
	for _, part := range p.r.parts {
		if part.CRC == nil {
			p.At(n, fmt.Sprintf("%s computes no CRC of its content", part.Name), "leave verify out: every byte is read back")
			return "", false
		}
	}
	return CRC, true
}

func (p *parser) otp(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"fields", "lock"}, nil, "- otp: {fields: [{text: serial, size: 32}], lock: true}", nil)
	if keys == nil {
		return
	}
	to := space{"the OTP area", -1}
	for _, part := range p.r.parts {
		switch {
		case part.OTP == nil:
			p.At(d.node, fmt.Sprintf("%s has no OTP area", part.Name), "")
			ok = false
		case to.size < 0 || int64(part.OTP.Size) < to.size:
			to.size = int64(part.OTP.Size)
		}
	}
	var step OTP
	if n := keys["fields"].Value; n != nil {
		step.Fields = p.fields(n, to)
	}
	if n := keys["lock"].Value; n != nil {
		var okLock bool
		step.Lock, okLock = p.truth(n, "lock")
		ok = ok && okLock
	}
	if ok && step.Fields != nil {
		d.step = step
	}
}

func (p *parser) config(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"nvcr"}, nil, "- config: {nvcr: 0xFFFE}", nil)
	if !ok {
		return
	}
	n := keys["nvcr"].Value
	v, ok := p.whole(n, "nvcr", 0, 0xFFFF)
	if !ok {
		return
	}
	for _, part := range p.r.parts {
		if err := part.CheckNVCR(uint16(v)); err != nil {
			p.At(n, err.Error(), "")
			return
		}
	}
	d.step = Config{NVCR: uint16(v)}
}

// longestRaw is how many bytes a raw command sends and reads at the most.
const longestRaw = 64

func (p *parser) raw(d *draftStep, value *yaml.Node) {
	keys, ok := p.body(d, value, []string{"send"}, []string{"read", "expect", "write_enable"}, `- raw: {send: "85", expect: "FB"}`, nil)
	if keys == nil {
		return
	}
	bytes := func(name string) (data []byte) {
		n := keys[name].Value
		if n == nil {
			return nil
		}
		text, isText := p.Text(n, name)
		data, isHex := parseHex(text)
		switch {
		case !isText:
			ok = false
		case !isHex:
			p.At(n, fmt.Sprintf("%s %s is not bytes as pairs of hex digits", name, yamltext.Quote(text)), fmt.Sprintf(`like this: %s: "85"`, name))
			ok = false
		case len(data) > longestRaw:
			p.At(n, fmt.Sprintf("%s has %d bytes; at most %d are possible", name, len(data), longestRaw), "")
			ok = false
		}
		return data
	}
	step := Raw{Send: bytes("send"), Expect: bytes("expect")}
	step.Read = len(step.Expect)
	if f := keys["read"]; f.Value != nil {
		if keys["expect"].Value != nil {
			p.At(f.Key, "expect says how many bytes are read, so read does not belong here", "leave it out")
			ok = false
		} else {
			n, okRead := p.whole(f.Value, "read", 1, longestRaw)
			step.Read, ok = int(n), ok && okRead
		}
	}
	if n := keys["write_enable"].Value; n != nil {
		var okEnable bool
		step.WriteEnable, okEnable = p.truth(n, "write_enable")
		ok = ok && okEnable
	}
	if !ok {
		return
	}
	for _, part := range p.r.parts {
		if err := part.CheckRaw(step.Send); err != nil {
			p.At(keys["send"].Value, err.Error(), "what changes a chip has a step of its own, which proves it, or is none of a recipe's business")
			return
		}
	}
	p.warn(d.node.Line, fmt.Sprintf("what the raw command %X does to the chip is neither checked nor proven", step.Send))
	d.step = step
}
