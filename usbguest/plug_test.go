package usbguest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"station/sim"
	"station/sim/ftdi"
	"station/sim/nor"
	"station/sim/usbip"
)

// inGuest leaves a test to the guest.
func inGuest(t *testing.T) {
	t.Helper()
	if os.Getpid() != 1 {
		t.Skip("runs in the guest of TestGuest")
	}
}

// bench is a USB/IP server whose programmers are plugged into this kernel, until the test ends.
type bench struct {
	*usbip.Server
	t *testing.T
}

func newBench(t *testing.T) *bench {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:3240")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &bench{usbip.New(), t}
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		b.wait("the devices to go", func() bool { return len(b.attached()) == 0 })
	})
	return b
}

// plug offers a programmer with boards under its channels, attaches it, and waits until its interfaces are there.
func (b *bench) plug(busID string, dev sim.Device, interfaces int, boards ...ftdi.Target) {
	b.t.Helper()
	for channel, board := range boards {
		if err := dev.Attach(channel, board); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.Plug(busID, dev); err != nil {
		b.t.Fatal(err)
	}
	before := len(b.attached())
	b.run(attacher, "attach", "-r", "127.0.0.1", "-b", busID)
	b.wait("the kernel to see "+busID, func() bool { return len(b.attached()) == before+interfaces })
}

// attached are the interfaces of devices that are no hubs, as sysfs names them.
func (b *bench) attached() (all []string) {
	paths, _ := filepath.Glob("/sys/bus/usb/devices/*:*")
	for _, p := range paths {
		if class, _ := os.ReadFile(filepath.Join(p, "bInterfaceClass")); strings.TrimSpace(string(class)) == "ff" {
			all = append(all, filepath.Base(p))
		}
	}
	return all
}

func (b *bench) wait(what string, ready func() bool) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ready(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("waited in vain for %s: %q", what, b.attached())
		}
	}
}

// run runs a program and wants it to succeed.
func (b *bench) run(program string, args ...string) string {
	b.t.Helper()
	out, err := output(program, args...)
	if err != nil {
		b.t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return out
}

// try runs a program.
func (b *bench) try(program string, args ...string) error {
	_, err := output(program, args...)
	return err
}

// output has what a program says on both ways, whatever it ends in.
func output(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	return string(out), err
}

// newChip is a factory-blank chip that takes its typical times.
func newChip(t *testing.T, part string) *nor.Chip {
	t.Helper()
	chip, err := nor.New(part, [14]byte{7}, nor.Options{Pace: nor.Real})
	if err != nil {
		t.Fatal(err)
	}
	return chip
}
