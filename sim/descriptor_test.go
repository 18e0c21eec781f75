package sim_test

import (
	"bytes"
	"testing"

	"station/sim"
	"station/sim/ftdi"
)

// described is a device that is nothing but its descriptors.
type described struct {
	sim.Device
	device, configuration, text []byte
}

func (d described) Control(setup [8]byte, data []byte) (int, error) {
	p := map[byte][]byte{1: d.device, 2: d.configuration, 3: d.text}[setup[3]]
	if setup[0] != 0x80 || setup[1] != 6 || p == nil {
		return 0, ftdi.ErrStall
	}
	return copy(data, p), nil
}

// goodDevice has strings 1 to 3; goodConfiguration has one interface with a bulk pair.
var (
	goodDevice        = []byte{18, 1, 0, 2, 0, 0, 0, 64, 0x03, 0x04, 0x14, 0x60, 0, 9, 1, 2, 3, 1}
	goodConfiguration = []byte{9, 2, 32, 0, 1, 1, 0, 0x80, 45, 9, 4, 0, 0, 2, 0xFF, 0xFF, 0xFF, 0, 7, 5, 0x81, 2, 0, 2, 0, 7, 5, 0x02, 2, 0, 2, 0}
	goodText          = []byte{6, 3, 'a', 0, 'b', 0}
)

// TestWrongDescriptors: a device whose descriptors make no sense is not plugged in; one that has too few of them is, and is shown with what it has.
func TestWrongDescriptors(t *testing.T) {
	edited := func(p []byte, at int, b byte) []byte {
		p = bytes.Clone(p)
		p[at] = b
		return p
	}
	for _, c := range []struct {
		name       string
		dev        described
		fails      bool
		interfaces int
		text       string
	}{
		{"good", described{device: goodDevice, configuration: goodConfiguration, text: goodText}, false, 1, "ab"},
		{"none at all", described{}, true, 0, ""},
		{"a short device descriptor", described{device: goodDevice[:17], configuration: goodConfiguration}, true, 0, ""},
		{"no configuration", described{device: goodDevice}, false, 0, ""},
		{"a configuration that ends amid an endpoint", described{device: goodDevice, configuration: goodConfiguration[:30]}, true, 0, ""},
		{"a descriptor of no bytes", described{device: goodDevice, configuration: edited(goodConfiguration, 18, 0)}, true, 0, ""},
		{"a descriptor of one byte", described{device: goodDevice, configuration: edited(goodConfiguration, 18, 1)}, true, 0, ""},
		{"a descriptor of 255 bytes", described{device: goodDevice, configuration: edited(goodConfiguration, 9, 255)}, true, 0, ""},
		{"a total length of 65535", described{device: goodDevice, configuration: edited(edited(goodConfiguration, 2, 255), 3, 255)}, false, 1, ""},
		{"255 interfaces promised", described{device: goodDevice, configuration: edited(goodConfiguration, 4, 255)}, false, 1, ""},
		{"endpoints without an interface", described{device: goodDevice, configuration: edited(goodConfiguration, 10, 0x24)}, false, 0, ""},
		{"a string of an odd length", described{device: goodDevice, configuration: goodConfiguration, text: []byte{5, 3, 'a', 0, 'b'}}, false, 1, "a"},
		{"a string of no bytes", described{device: goodDevice, configuration: goodConfiguration, text: []byte{}}, false, 1, ""},
	} {
		line := sim.NewLine(sim.Options{})
		err := line.Plug("1-2", c.dev)
		if c.fails != (err != nil) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d, _ := sim.Describe(c.dev); len(d.Interfaces) != c.interfaces || d.Name != c.text {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

// FuzzDescribe: no descriptor makes the host fall over, and what it shows came from the device.
func FuzzDescribe(f *testing.F) {
	f.Add(goodDevice, goodConfiguration, goodText)
	f.Add(goodDevice, []byte{2, 4, 7, 5}, []byte{})
	f.Fuzz(func(t *testing.T, device, configuration, text []byte) {
		d, err := sim.Describe(described{device: device, configuration: configuration, text: text})
		if err != nil && len(d.Interfaces) != 0 {
			t.Errorf("%v, and %+v", err, d)
		}
		n := 0
		for _, i := range d.Interfaces {
			n += 9 + 7*len(i.Endpoints)
		}
		if n > len(configuration) {
			t.Errorf("%d bytes of descriptors from %d", n, len(configuration))
		}
	})
}
