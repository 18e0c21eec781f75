package ch341a

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

func control(t *testing.T, d *Device, kind, request byte, value, index uint16) []byte {
	t.Helper()
	data := make([]byte, 64)
	if kind&0x80 == 0 {
		data = nil
	}
	n, err := d.Control(setup(kind, request, value, index), data)
	if err != nil {
		t.Fatalf("control %02x %02x %04x %04x: %v", kind, request, value, index, err)
	}
	return data[:n]
}

func setup(kind, request byte, value, index uint16) (s [8]byte) {
	s[0], s[1] = kind, request
	binary.LittleEndian.PutUint16(s[2:], value)
	binary.LittleEndian.PutUint16(s[4:], index)
	return s
}

func TestControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := probed(t, Options{})
		for _, c := range []struct {
			kind, request byte
			value, index  uint16
			want          []byte
		}{
			{0x80, 0x06, 0x0100, 0, []byte{18, 1, 0x10, 1, 0xFF, 0, 2, 8, 0x86, 0x1A, 0x12, 0x55, 0x04, 0x03, 0, 0, 0, 1}},
			{0x80, 0x06, 0x0200, 0, []byte{
				9, 2, 39, 0, 1, 1, 0, 0x80, 0x30, 9, 4, 0, 0, 3, 0xFF, 1, 2, 0,
				7, 5, 0x82, 2, 32, 0, 0, 7, 5, 0x02, 2, 32, 0, 0, 7, 5, 0x81, 3, 8, 0, 1,
			}},
			{0x80, 0x00, 0, 0, []byte{0, 0}},
			{0x80, 0x08, 0, 0, []byte{1}},
			{0x81, 0x0A, 0, 0, []byte{0}},
			{0x01, 0x0B, 0, 0, nil},
			{0x02, 0x01, 0, 0x81, nil},
			{0xC0, 0x5F, 0, 0, []byte{0x27, 0x00}},
			{0x40, 0xA1, 0x1234, 0x5678, nil},
		} {
			if got := control(t, d, c.kind, c.request, c.value, c.index); !bytes.Equal(got, c.want) {
				t.Errorf("%02x %02x: % x, want % x", c.kind, c.request, got, c.want)
			}
		}
		for _, s := range [][8]byte{
			setup(0x80, 0x06, 0x0300, 0), // strings
			setup(0x80, 0x06, 0x0600, 0), // device qualifier: full speed only
			setup(0x00, 0x09, 2, 0),
			setup(0x01, 0x0B, 1, 0),
			setup(0x02, 0x01, 0, 0x83),
			setup(0x40, 0x5F, 0, 0), // direction
			setup(0x40, 0x00, 0, 1),
		} {
			if _, err := d.Control(s, nil); !errors.Is(err, ErrStall) {
				t.Errorf("% x: %v, want a stall", s, err)
			}
		}
		// What a host left behind stays, until somebody reads it or configures the device anew; pins stay even then.
		exchange(t, d, enablePins)
		for range 2 {
			if _, err := d.Out(0, transaction(3, 0x9F)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		control(t, d, 0x00, 0x09, 1, 0)
		if got := drain(t, d); got != nil {
			t.Errorf("stale answers % x", got)
		}
		if !strings.HasSuffix(p.trace.String(), "1") || strings.Count(p.trace.String(), "]") != 1 {
			t.Errorf("chip select moved: %s", p.trace.String())
		}
	})
}
