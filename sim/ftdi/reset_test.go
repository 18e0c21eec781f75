package ftdi

import (
	"fmt"
	"slices"
	"testing"
)

// wired is a probe that hears who drives what.
type wired struct {
	probe
	heard []string
}

func (w *wired) Drives(low, high, bus bool) {
	w.heard = append(w.heard, fmt.Sprint(low, high, bus))
}

// TestResetLine: ADBUS7 is low only as an output at 0, and the target hears of it and of the other outputs by command 80, by the bit mode, when it comes
// and goes, and by the unplugging.
func TestResetLine(t *testing.T) {
	const floating, low, high, lowBus, bus = "false false false", "true false false", "false true false", "true false true", "false false true"
	w := &wired{}
	d := New(FT2232H, Options{})
	for _, c := range []struct {
		name string
		do   func()
		want string
	}{
		{"attached", func() { d.Attach(1, w) }, floating},
		{"MPSSE", func() { control(t, d, 0x40, 0x0B, 0x0200, 2) }, floating},
		{"an output at 0", func() { set(t, d, 0x00, 0x80) }, low},
		{"a level without an output", func() { set(t, d, 0x80, 0x00) }, floating},
		{"an output at 1", func() { set(t, d, 0x80, 0x80) }, high},
		{"GPIOL2", func() { set(t, d, 0x00, 0x40) }, floating},
		{"SK", func() { set(t, d, 0x00, 0x01) }, bus},
		{"DO", func() { set(t, d, 0x02, 0x02) }, bus},
		{"DI", func() { set(t, d, 0x04, 0x04) }, floating},
		{"chip select", func() { set(t, d, 0x08, 0x08) }, bus},
		{"as a programmer does", func() { set(t, d, 0x08, 0x8B) }, lowBus},
		{"taken off", func() { d.Attach(1, nil) }, floating},
		{"hung on again", func() { d.Attach(1, w) }, lowBus},
		{"another bit mode", func() { control(t, d, 0x40, 0x0B, 0, 2) }, floating},
		{"MPSSE again", func() { control(t, d, 0x40, 0x0B, 0x0200, 2) }, floating},
		{"low again", func() { set(t, d, 0x00, 0x80) }, low},
		{"unplugged", d.Close, floating},
	} {
		w.heard = nil
		if c.do(); !slices.Equal(w.heard, []string{c.want}) {
			t.Errorf("%s: the target heard %q, want %q", c.name, w.heard, c.want)
		}
	}
}

// set drives the low byte of channel B.
func set(t *testing.T, d *Device, value, direction byte) {
	t.Helper()
	if n, err := d.Out(1, []byte{0x80, value, direction}); n != 3 || err != nil {
		t.Fatalf("OUT: %d, %v", n, err)
	}
}
