package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSimUSBIP offers five programmers to a client that asks for the list of devices, and for one of them, as usbip does.
func TestSimUSBIP(t *testing.T) {
	t.Parallel()
	p := &position{t: t, dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := p.command(ctx, "sim", "usbip", "--listen", "127.0.0.1:0", "--part", "MT25QL128ABA",
		"--ch341a", "c.chip", "--ft2232h", "a.chip,b.chip", "--ft232h", "d.chip", "--ft4232h", ",e.chip", "--pico", "f.chip",
		"--sf600", "h.chip", "--sf100", "g.chip")
	var errs bytes.Buffer
	c.Stderr = &errs
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 4096)
	n, err := io.ReadAtLeast(pipe, said, len("listening on 127.0.0.1:1\n1-1 FT232H d.chip\n1-2 FT2232H a.chip,b.chip\n1-3 FT4232H ,e.chip\n1-4 CH341A c.chip\n1-5 Pico f.chip\n1-6 SF100 g.chip\n1-7 SF600 h.chip\n"))
	lines := strings.Split(string(said[:n]), "\n")
	addr, ok := strings.CutPrefix(lines[0], "listening on ")
	want := []string{"1-1   FT232H   d.chip", "1-2   FT2232H  a.chip,b.chip", "1-3   FT4232H  ,e.chip", "1-4   CH341A   c.chip", "1-5   Pico     f.chip",
		"1-6   SF100    g.chip", "1-7   SF600    h.chip", ""}
	if err != nil || !ok || strings.Join(lines[1:], "\n") != strings.Join(want, "\n") {
		t.Fatalf("sim usbip said %q, %v\n%s", said[:n], err, &errs)
	}

	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(limit))
	if _, err := conn.Write([]byte{1, 0x11, 0x80, 5, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	list, err := io.ReadAll(conn) // the server closes it
	const record, product = 312, 256 + 32 + 12
	if err != nil || len(list) != 12+7*record+(1+2+4+1+3+1+1)*4 || list[11] != 7 {
		t.Fatalf("the list has %d bytes, %v", len(list), err)
	}
	at := 12 + product
	for i, want := range []struct {
		id         []byte
		interfaces int
	}{{[]byte{0x04, 0x03, 0x60, 0x14}, 1}, {[]byte{0x04, 0x03, 0x60, 0x10}, 2}, {[]byte{0x04, 0x03, 0x60, 0x11}, 4}, {[]byte{0x1A, 0x86, 0x55, 0x12}, 1}, {[]byte{0x2E, 0x8A, 0x00, 0x0A}, 3},
		{[]byte{0x04, 0x83, 0xDA, 0xDA}, 1}, {[]byte{0x04, 0x83, 0xDA, 0xDA}, 1}} {
		if got := list[at : at+4]; !bytes.Equal(got, want.id) {
			t.Errorf("device %d is % X, want % X", i+1, got, want.id)
		}
		at += record + 4*want.interfaces
	}

	c.Process.Signal(os.Interrupt)
	if err := c.Wait(); err != nil || errs.Len() > 0 {
		t.Errorf("sim usbip after Ctrl-C: %v\n%s", err, &errs)
	}
	for _, name := range []string{"a.chip", "b.chip", "c.chip", "d.chip", "e.chip", "f.chip", "g.chip", "h.chip"} {
		chip := openBoard(t, filepath.Join(p.dir, name))
		if chip.Part() != "MT25QL128ABA" {
			t.Errorf("%s is a %s", name, chip.Part())
		}
		chip.Close()
	}
}
