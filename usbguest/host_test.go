package usbguest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	qemu     = "qemu-system-x86_64"
	flashrom = "/usr/sbin/flashrom"
	attacher = "/usr/sbin/usbip"
)

// kernelDir is what scripts/usbguest prepared: vmlinux, version, modules.
var kernelDir = os.Getenv("USB_GUEST")

// TestGuest boots the guest and has it run every test of this room whose name begins with TestIn.
func TestGuest(t *testing.T) {
	if kernelDir == "" {
		t.Skip("NOT RUN: no kernel is prepared; make test-usb does both")
	}
	present(t)
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(initrd, initramfs(t), 0o600); err != nil {
		t.Fatal(err)
	}
	limit, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	// Software emulation: /dev/kvm may be there and not work. Two processors wake each other slowly unless they poll; the clock
	// is named because the kernel, left to itself, takes a slow one.
	cmd := exec.CommandContext(limit, qemu, "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "qemu64", "-smp", "1", "-m", "640",
		"-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot", "-serial", "stdio",
		"-device", "isa-debug-exit,iobase=0xf4", "-kernel", filepath.Join(kernelDir, "vmlinux"), "-initrd", initrd, "-append",
		"console=ttyS0 quiet loglevel=3 panic=-1 nokaslr mitigations=off rdinit=/init "+
			"-- -test.v -test.run=^TestIn -test.timeout=180s")
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	out, err := cmd.CombinedOutput()
	said := strings.ReplaceAll(string(out), "\r", "")
	t.Logf("guest, %v:\n%s", time.Since(began).Round(100*time.Millisecond), said)
	var failed *exec.ExitError
	switch {
	case limit.Err() != nil:
		t.Fatal("the guest did not end in time")
	case !errors.As(err, &failed) || failed.ExitCode() != exitPassed<<1|1:
		t.Fatalf("the guest's tests did not pass: %v", err)
	}
	passed := len(regexp.MustCompile(`(?m)^--- PASS: TestIn`).FindAllString(said, -1))
	if passed < 2 || strings.Contains(said, "--- SKIP") {
		t.Errorf("%d tests passed in the guest, and some may have been left out", passed)
	}
}

// present skips the test, or with CI set fails it, where something is not installed.
func present(t *testing.T) {
	t.Helper()
	missing := func(what string) {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", what)
		}
		t.Skipf("NOT RUN: %s is not installed", what)
	}
	if runtime.GOOS+"/"+runtime.GOARCH != "linux/amd64" {
		t.Skip("NOT RUN: the guest is linux/amd64")
	}
	for _, program := range []string{qemu, flashrom, attacher, "ldd"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(program)
		}
	}
	if _, err := os.Stat(filepath.Join(kernelDir, "version")); err != nil {
		missing("the guest's kernel")
	}
}

// initramfs holds this test binary as /init, the programs that it runs, their libraries, and the kernel's modules.
func initramfs(t *testing.T) []byte {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var a archive
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "modules", "var", "var/run"} {
		a.dir(dir)
	}
	add := func(name, path string) {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		a.file(name, content)
	}
	add("/init", self)
	add(flashrom, flashrom)
	add(attacher, attacher)
	for _, m := range modules {
		add("/modules/"+m+".ko", filepath.Join(kernelDir, "modules", m+".ko"))
	}
	// A static binary has no libraries, and ldd says so by failing.
	out, _ := exec.Command("ldd", self, flashrom, attacher).Output()
	for _, path := range regexp.MustCompile(`/\S+\.so\S*`).FindAllString(string(out), -1) {
		if !a.has(path) {
			add(path, path)
		}
	}
	return bytes.Clone(a.end())
}
