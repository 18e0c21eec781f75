package usbguest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"station/sim/ch341a"
	"station/sim/ftdi"
	"station/sim/nor"
)

// TestInAttach has Debian's usbip tool list and attach, and looks at what the kernel then knows of the devices; pulls one, which the kernel
// notices, and plugs another in; and has the tool detach, after which the device is free.
func TestInAttach(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	b.plug("1-1", ftdi.New(ftdi.FT2232H, ftdi.Options{}), 2)
	if err := b.Plug("1-2", ch341a.New(ch341a.Options{})); err != nil {
		t.Fatal(err)
	}
	list := b.run(attacher, "list", "-r", "127.0.0.1")
	for _, want := range []string{`1-1: .*\(0403:6010\)`, `1-2: .*\(1a86:5512\)`} {
		if !regexp.MustCompile(want).MatchString(list) {
			t.Errorf("usbip lists\n%s, want %s", list, want)
		}
	}
	b.run(attacher, "attach", "-r", "127.0.0.1", "-b", "1-2")
	b.wait("the CH341A", func() bool { return len(b.attached()) == 3 })

	for _, row := range []struct{ product, release, speed, class, maker, name, serial string }{
		{"6010", "0700", "480", "00", "FTDI", "Dual RS232-HS", ""},
		{"5512", "0304", "12", "ff", "", "", ""},
	} {
		dir := device(t, row.product)
		for file, want := range map[string]string{
			"bcdDevice": row.release, "speed": row.speed, "bDeviceClass": row.class,
			"manufacturer": row.maker, "product": row.name, "serial": row.serial,
		} {
			got, _ := os.ReadFile(filepath.Join(dir, file))
			if strings.TrimSpace(string(got)) != want {
				t.Errorf("%s: %s is %q, want %q", row.product, file, got, want)
			}
		}
	}
	if drivers, _ := filepath.Glob("/sys/bus/usb/drivers/ftdi_sio/*:*"); len(drivers) != 2 {
		t.Errorf("the kernel's serial driver has %q, want both channels", drivers)
	}

	if err := b.Unplug("1-2"); err != nil {
		t.Error(err)
	}
	b.wait("the kernel to lose the CH341A", func() bool { return len(b.attached()) == 2 })
	b.plug("1-2", ch341a.New(ch341a.Options{}), 1)

	for _, port := range []string{"0", "1", "2"} { // both were attached to ports of this hub
		_ = b.try(attacher, "detach", "-p", port)
	}
	b.wait("the kernel to lose all", func() bool { return len(b.attached()) == 0 })
	b.wait("the server to have the CH341A back", func() bool { return b.try(attacher, "attach", "-r", "127.0.0.1", "-b", "1-2") == nil })
	b.wait("the kernel to see it again", func() bool { return len(b.attached()) == 1 })
}

// device is the sysfs folder of the device with this product number.
func device(t *testing.T, product string) string {
	t.Helper()
	paths, _ := filepath.Glob("/sys/bus/usb/devices/*/idProduct")
	for _, p := range paths {
		if got, _ := os.ReadFile(p); strings.TrimSpace(string(got)) == product {
			return filepath.Dir(p)
		}
	}
	t.Fatalf("no device has the product number %s", product)
	return ""
}

// TestInSimUSBIP attaches what a `station sim usbip` offers, has flashrom write to it, and finds that in the board's file.
func TestInSimUSBIP(t *testing.T) {
	inGuest(t)
	b := &bench{t: t}
	dir := t.TempDir()
	board := filepath.Join(dir, "b.chip")
	server := exec.Command(station, "sim", "usbip", "--ft2232h", ","+board, "--part", "MT25QL128ABA")
	said, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Process.Kill()
	if n, err := said.Read(make([]byte, 256)); err != nil {
		t.Fatalf("the server said %d bytes, %v", n, err)
	}
	b.run(attacher, "attach", "-r", "127.0.0.1", "-b", "1-1")
	b.wait("the kernel to see it", func() bool { return len(b.attached()) == 2 })
	image := bytes.Repeat([]byte{0xFF}, 16*mib)
	copy(image, random(kib))
	out := b.run(flashrom, "-p", "ft2232_spi:type=2232H,port=B", "-c", "MT25QL128", "-l", save(t, dir, "layout", []byte("0:fff first\n")),
		"-i", "first", "-N", "-w", save(t, dir, "image", image))
	if !strings.Contains(out, "VERIFIED.") {
		t.Error(out)
	}
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	b.wait("the kernel to lose it", func() bool { return len(b.attached()) == 0 })
	if err := server.Wait(); err != nil {
		t.Errorf("the server: %v", err)
	}
	chip, err := nor.Open(board, nor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer chip.Close()
	if !bytes.Equal(chip.Bytes(0, 4*kib), image[:4*kib]) {
		t.Error("the board file does not hold what flashrom wrote")
	}
}
