package usbip_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"station/sim/ch341a"
	"station/sim/ftdi"
	"station/sim/usbip"
)

// record is the device record of 312 bytes, of the protocol's words after the two strings.
func record(busID, words string) []byte {
	p := make([]byte, 256+32)
	copy(p, "/sys/devices/simulated/usb1/"+busID)
	copy(p[256:], busID)
	return append(p, unhex(words)...)
}

var (
	ch341aRecord = record("1-1", "00000001 00000001 00000002 1A86 5512 0304 FF 00 02 00 01 01")
	ft2232Record = record("1-2", "00000001 00000002 00000003 0403 6010 0700 00 00 00 00 01 02")
)

func plugBoth(t *testing.T, l *line) {
	t.Helper()
	if err := errors.Join(l.Plug("1-1", ch341a.New(ch341a.Options{})), l.Plug("1-2", ftdi.New(ftdi.FT2232H, ftdi.Options{}))); err != nil {
		t.Fatal(err)
	}
}

func TestList(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t)
		c := l.dial()
		c.send(unhex("0111 8005 00000000"))
		if got := c.read(12); !bytes.Equal(got, unhex("0111 0005 00000000 00000000")) {
			t.Errorf("an empty list is % X", got)
		}
		c.closed()

		plugBoth(t, l)
		c = l.dial()
		c.send(unhex("0111 8005 00000000"))
		want := slices.Concat(unhex("0111 0005 00000000 00000002"),
			ch341aRecord, unhex("FF010200"), ft2232Record, unhex("FFFFFF00 FFFFFF00"))
		if got := c.read(12 + 2*312 + 3*4); !bytes.Equal(got, want) {
			t.Errorf("list\n% X, want\n% X", got, want)
		}
		c.closed()
	})
}

func TestImport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t)
		plugBoth(t, l)
		refused := func(busID string) {
			t.Helper()
			c := l.dial()
			c.send(importRequest(busID))
			if got := c.read(8); !bytes.Equal(got, unhex("0111 0003 00000001")) {
				t.Errorf("import of %q answers % X", busID, got)
			}
			c.closed()
		}
		c := l.dial()
		c.send(importRequest("1-2"))
		if got, want := c.read(8+312), append(unhex("0111 0003 00000000"), ft2232Record...); !bytes.Equal(got, want) {
			t.Errorf("import answers\n% X, want\n% X", got, want)
		}
		refused("1-2") // somebody has it
		refused("1-3")
		refused("1-22")
		refused("")
		refused("01234567890123456789012345678901")
		l.attach("1-1", 1).conn.Close()
		synctest.Wait()
		l.attach("1-1", 1) // it was given back
		if err := l.Plug("1-1", ch341a.New(ch341a.Options{})); !errors.Is(err, usbip.ErrTaken) {
			t.Errorf("two devices under one bus id: %v", err)
		}
		if err := l.Plug("01234567890123456789012345678901", ch341a.New(ch341a.Options{})); err == nil {
			t.Error("a bus id without room for its NUL was taken")
		}
		if err := l.Unplug("1-9"); !errors.Is(err, usbip.ErrNoDevice) {
			t.Errorf("unplugging nothing: %v", err)
		}
	})
}

// Clients that are silent, slow or wrong in the first phase lose their connection and hold nothing.
func TestFirstPhaseIsBounded(t *testing.T) {
	for _, row := range []struct {
		what string
		send []byte
		wait time.Duration // until the connection is closed
	}{
		{"silent", nil, 10 * time.Second},
		{"half a request", unhex("0111 8003 0000"), 10 * time.Second},
		{"half a bus id", importRequest("1-1")[:20], 10 * time.Second},
		{"other version", unhex("0106 8005 00000000"), 0},
		{"unknown code", unhex("0111 8007 00000000"), 0},
		{"a reply", unhex("0111 0005 00000000"), 0},
		{"a list that nobody takes", unhex("0111 8005 00000000"), 10 * time.Second},
	} {
		t.Run(row.what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serve(t)
				plugBoth(t, l)
				c := l.dial()
				began := time.Now()
				c.send(row.send)
				time.Sleep(row.wait)
				synctest.Wait()
				c.closed()
				if took := time.Since(began); took != row.wait {
					t.Errorf("closed after %v, want %v", took, row.wait)
				}
				l.attach("1-1", 1)
			})
		})
	}
}

func TestTooManyClients(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t)
		for range 64 {
			l.dial()
		}
		synctest.Wait()
		began := time.Now()
		l.dial().closed()
		if took := time.Since(began); took != 0 {
			t.Errorf("one too many was closed after %v", took)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		plugBoth(t, l)
		l.attach("1-1", 1)
	})
}

// What a kernel asks when a CH341A is plugged in, byte by byte.
func TestEnumeration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t)
		plugBoth(t, l)
		c := l.attach("1-1", 1)
		device := unhex("1201 1001 FF 00 02 08 861A 1255 0403 00 00 00 01")
		configuration := unhex("0902 2700 01 01 00 80 30 090400 00 03 FF 01 02 00 07058202200000 07050202200000 07058103080001")
		const ok, stall = "00000000", "FFFFFFE0"
		for i, row := range []struct {
			what, direction, length, setup string
			status                         string
			data                           []byte
		}{
			{"device, 64 bytes", "00000001", "00000040", "80 06 0001 0000 4000", ok, device},
			{"device", "00000001", "00000012", "80 06 0001 0000 1200", ok, device},
			{"configuration, head", "00000001", "00000009", "80 06 0002 0000 0900", ok, configuration[:9]},
			{"configuration", "00000001", "00000027", "80 06 0002 0000 2700", ok, configuration},
			{"device qualifier", "00000001", "0000000A", "80 06 0006 0000 0A00", stall, nil},
			{"set configuration", "00000000", "00000000", "00 09 0100 0000 0000", ok, nil},
			{"status", "00000001", "00000002", "80 00 0000 0000 0200", ok, []byte{0, 0}},
			{"version", "00000001", "00000002", "C0 5F 0000 0000 0200", ok, unhex("2700")},
			{"buffer beyond the request", "00000001", "00000040", "80 06 0001 0000 0800", ok, device[:8]},
		} {
			seq := unhex("0000010" + string("0123456789"[i]))
			c.send(slices.Concat(unhex("00000001"), seq, unhex("00010001"+row.direction+"00000000 00000000"+row.length+
				"00000000 FFFFFFFF 00000000"+row.setup)))
			actual := unhex("000000" + string("0123456789ABCDEF"[len(row.data)>>4]) + string("0123456789ABCDEF"[len(row.data)&15]))
			want := slices.Concat(unhex("00000003"), seq, make([]byte, 12), unhex(row.status), actual, make([]byte, 4), unhex("FFFFFFFF"), make([]byte, 12), row.data)
			if got := c.read(48 + len(row.data)); !bytes.Equal(got, want) {
				t.Fatalf("%s: answer\n% X, want\n% X", row.what, got, want)
			}
		}
		c.quiet()
	})
}
