package usbguest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	qemu     = "qemu-system-x86_64"
	flashrom = "/usr/sbin/flashrom"
	attacher = "/usr/sbin/usbip"
	station  = "/usr/bin/station"
)

var (
	only   = flag.String("only", "^TestIn", "which tests the guest runs")
	write  = flag.Bool("write", false, "write the guest's table of docs/performance.md anew")
	rounds = flag.Int("rounds", 24, "how often TestInManyLinks opens and closes each of its channels")
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
	limit, cancel := context.WithTimeout(t.Context(), guestLimit())
	defer cancel()
	// Software emulation: /dev/kvm may be there and not work. One processor: two wake each other slowly. No huge pages: memory that the kernel
	// puts together into one looks like 2 MiB of a leak.
	cmd := exec.CommandContext(limit, qemu, "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "qemu64", "-smp", "1", "-m", "640",
		"-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot", "-serial", "stdio",
		"-device", "isa-debug-exit,iobase=0xf4", "-kernel", filepath.Join(kernelDir, "vmlinux"), "-initrd", initrd, "-append",
		"console=ttyS0 quiet loglevel=3 panic=-1 nokaslr mitigations=off transparent_hugepage=never rdinit=/init MALLOC_ARENA_MAX=1 "+ // what is no option is the environment of the first process
			fmt.Sprintf("-- -test.v -test.run=%s -rounds=%d -test.timeout=%ds", *only, *rounds, int(guestLimit().Seconds())-30))
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	out, err := cmd.CombinedOutput()
	said := strings.ReplaceAll(string(out), "\r", "")
	t.Logf("guest, %v:\n%s", time.Since(began).Round(100*time.Millisecond), said)
	var ended *exec.ExitError
	switch {
	case limit.Err() != nil:
		t.Fatal("the guest did not end in time")
	case !errors.As(err, &ended) || ended.ExitCode() != exitPassed<<1|1:
		t.Fatalf("the guest's tests did not pass: %v", err)
	}
	names, err := exec.Command(self(t), "-test.list", *only).Output()
	if err != nil {
		t.Fatal(err)
	}
	if *write && !t.Failed() {
		writeTable(t, said)
	}
	for _, name := range strings.Fields(string(names)) {
		if !strings.Contains(said, "\n--- PASS: "+name+" ") {
			t.Errorf("%s did not pass in the guest", name)
		}
	}
}

// writeTable puts the rows that the guest said, in their order, into the document.
func writeTable(t *testing.T, said string) {
	t.Helper()
	const document, from, to = "../docs/performance.md", "<!-- written by `make test-usb GUESTFLAGS=-write`: from here -->\n", "<!-- to here -->"
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	rows := []string{}
	for _, line := range strings.Split(said, "\n") {
		if _, row, ok := strings.Cut(line, rowMark); ok {
			rows = append(rows, row)
		}
	}
	slices.Sort(rows)
	head, rest, ok := strings.Cut(string(text), from)
	_, tail, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 || len(rows) == 0 {
		t.Fatalf("%d rows, and the place for them is there: %t", len(rows), ok && ok2)
	}
	table := "\n| whole run | by | round trips | control transfers | OUT | IN | seconds |\n|---|---|---|---|---|---|---|\n" + strings.Join(rows, "\n") + "\n\n"
	if err := os.WriteFile(document, []byte(head+from+table+to+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// guestLimit is some five times what it takes on an idle machine.
func guestLimit() time.Duration { return 6*time.Minute + time.Duration(*rounds)*2*time.Second }

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
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

// initramfs holds this test binary as /init, the programs that it runs, the station among them, their libraries, and the kernel's modules.
func initramfs(t *testing.T) []byte {
	t.Helper()
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
	add("/init", self(t))
	add(flashrom, flashrom)
	add(attacher, attacher)
	built := filepath.Join(t.TempDir(), "station")
	if out, err := exec.Command("go", "build", "-o", built, "station/cmd/station").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	add(station, built)
	for _, m := range modules {
		add("/modules/"+m+".ko", filepath.Join(kernelDir, "modules", m+".ko"))
	}
	// A static binary has no libraries, and ldd says so by failing.
	out, _ := exec.Command("ldd", self(t), flashrom, attacher, built).Output()
	for _, path := range regexp.MustCompile(`/\S+\.so\S*`).FindAllString(string(out), -1) {
		if !a.has(path) {
			add(path, path)
		}
	}
	return bytes.Clone(a.end())
}
