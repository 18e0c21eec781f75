package usbguest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"station/fixtures/libusb"
	"station/fixtures/usb"
	"station/sim/ch341a"
	"station/sim/ftdi"
)

// TestInSlots: the station says which driver owns a programmer, who else holds it, and what is plugged in and taken out.
func TestInSlots(t *testing.T) {
	inGuest(t)
	b := newBench(t)
	b.plug("1-1", ftdi.New(ftdi.FT2232H, ftdi.Options{}), 2)
	port := filepath.Base(device(t, "6010"))
	dir := t.TempDir()
	save(t, dir, "config.yaml", fmt.Appendf(nil, "station: guest\ndata: %s/data\nslots:\n  - {name: a, port: %q, channel: A, volts: \"3.3\"}\n  - {name: b, port: %q, channel: B, volts: \"3.3\"}\n", dir, port, port))
	config := filepath.Join(dir, "config.yaml")
	b.run(station, "--config", config, "init")
	list := func(want ...string) {
		t.Helper()
		out := strings.Join(strings.Fields(b.run(station, "--config", config, "slot", "list")), " ")
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("slot list lacks %q: %s", w, out)
			}
		}
	}
	list("a "+port+" A FT2232H 0403:6010 Dual RS232-HS ftdi_sio 3.3 V b "+port+" B", "Dual RS232-HS ftdi_sio 3.3 V")
	bus, err := libusb.New()
	if err != nil {
		t.Fatal(err)
	}
	l, err := bus.Open(t.Context(), port, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Open(t.Context(), port, 1); err == nil || !strings.Contains(err.Error(), usb.ErrInUse.Error()) {
		t.Errorf("opened twice: %v", err)
	}
	list("Dual RS232-HS ftdi_sio 3.3 V b "+port, "Dual RS232-HS usbfs 3.3 V another program uses the FT2232H at USB port "+port+" channel B: close it: ", "(pid 1)")
	if out, err := output(station, "--config", config, "doctor"); err == nil || !strings.Contains(out, "programs hold "+port+" interface 1") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	list("ftdi_sio 3.3 V b "+port, "Dual RS232-HS ftdi_sio")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch := exec.CommandContext(ctx, station, "--config", config, "slot", "watch")
	said, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Errorf("watch says %q, want %q: %v", lines.Text(), want, lines.Err())
		}
	}
	next("  there  " + port + "  slot a, b  FT2232H  ")
	b.plug("1-2", ch341a.New(ch341a.Options{}), 1)
	other := filepath.Base(device(t, "5512"))
	next("  in  " + other + "  no slot  CH341A  1a86:5512")
	for _, gone := range []struct{ busID, says string }{{"1-2", other + "  no slot"}, {"1-1", port + "  slot a, b"}} {
		if err := b.Unplug(gone.busID); err != nil {
			t.Fatal(err)
		}
		next("  out  " + gone.says)
	}
	if err := watch.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("watch after Ctrl-C: %v", err)
	}
}

// usage is what a leak would make grow. The memory is what is nobody's file: libusb's and Go's, without what Go holds for later.
type usage struct{ goroutines, files, anonymousKiB int }

func used(t *testing.T) (u usage) {
	t.Helper()
	debug.FreeOSMemory()
	debug.FreeOSMemory() // pools give up in two turns
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := bytes.Cut(status, []byte("RssAnon:"))
	u.anonymousKiB, err = strconv.Atoi(string(bytes.Fields(after)[0]))
	if err != nil {
		t.Fatal(err)
	}
	u.goroutines, u.files = runtime.NumGoroutine(), len(files)
	return u
}

// TestInManyLinks opens and closes channels again and again: nothing grows, and their kernel driver has them back each time. One look at the memory is some
// hundred KiB off, since a collection of garbage comes when it likes; so the least of the first half of the looks is held against that of the second half: 48 links may
// have leaked 256 KiB at most.
func TestInManyLinks(t *testing.T) {
	inGuest(t)
	const devices, channels, warm, growth = 3, 2, 8, 256 // KiB
	b := newBench(t)
	for i := range devices {
		b.plug(fmt.Sprintf("1-%d", i+1), ftdi.New(ftdi.FT2232H, ftdi.Options{}), channels)
	}
	bus, err := libusb.New()
	if err != nil {
		t.Fatal(err)
	}
	all, err := bus.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, d := range all {
		if d.Product == 0x6010 {
			ports = append(ports, d.Port)
		}
	}
	if len(ports) != devices { // none has a serial number
		t.Fatalf("the programmers are at %q", ports)
	}
	// open opens a channel, sometimes uses it, and closes it.
	open := func(port string, iface, round int) error {
		owner := func(want string) error {
			to, err := os.Readlink(fmt.Sprintf("/sys/bus/usb/devices/%s:1.%d/driver", port, iface))
			if filepath.Base(to) != want {
				return fmt.Errorf("%q owns interface %d of %s in round %d, want %s: %v", to, iface, port, round, want, err)
			}
			return nil
		}
		l, err := bus.Open(t.Context(), port, iface)
		if err != nil {
			return err
		}
		err = owner("usbfs")
		if round%5 == 0 {
			_, failed := l.Control(t.Context(), usb.Setup{RequestType: 0x40, Index: uint16(iface + 1)}, nil)
			in, late := l.In(512, 4)
			if late == nil && round%10 == 0 {
				late = in.Close()
			}
			err = errors.Join(err, failed, late)
		}
		return errors.Join(err, l.Close(), owner("ftdi_sio"))
	}
	var before usage
	var least [2]int // KiB
	look := func(round int) usage {
		u, half := used(t), min(1, (round-warm)*2/(*rounds-warm))
		if least[half] == 0 || u.anonymousKiB < least[half] {
			least[half] = u.anonymousKiB
		}
		return u
	}
	began := time.Now()
	for round := range *rounds {
		if round >= warm {
			if u := look(round); round == warm {
				before = u
			}
		}
		var g sync.WaitGroup
		for _, port := range ports {
			for iface := range channels {
				g.Go(func() {
					if err := open(port, iface, round); err != nil {
						t.Error(err)
					}
				})
			}
		}
		if g.Wait(); t.Failed() {
			return
		}
	}
	after, each := look(*rounds), devices*channels
	t.Logf("%d links in %v: %+v, and %+v after %d; at least %d KiB, and then %d", *rounds*each, time.Since(began).Round(time.Millisecond), after, before, warm*each, least[0], least[1])
	if after.goroutines > before.goroutines || after.files > before.files || least[1] > least[0]+growth {
		t.Errorf("%+v after %d links, %+v after %d; at least %d KiB, and then %d", after, *rounds*each, before, warm*each, least[0], least[1])
	}
}
