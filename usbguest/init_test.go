package usbguest

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// modules of the guest's kernel, in the order in which they are loaded.
var modules = []string{"usb-common", "usbcore", "usbip-core", "vhci-hcd", "usbserial", "ftdi_sio", "cdc-acm"}

// What the guest tells the machine it is in. qemu ends with n<<1|1, and by itself with 1 where it fails.
const (
	exitPassed = 16
	exitFailed = 17
	exitBoot   = 18
)

// TestMain is also what the guest's kernel starts first.
func TestMain(m *testing.M) {
	if os.Getpid() != 1 {
		os.Exit(m.Run())
	}
	code := byte(exitPassed)
	if err := boot(); err != nil {
		fmt.Println("guest:", err)
		code = exitBoot
	} else if m.Run() != 0 {
		code = exitFailed
	}
	time.Sleep(200 * time.Millisecond) // for the console
	port, err := os.OpenFile("/dev/port", os.O_WRONLY, 0)
	if err == nil {
		_, err = port.WriteAt([]byte{code}, 0xF4)
	}
	fmt.Println("guest: cannot leave:", err) // the kernel panics when this process ends, and qemu with it
}

// boot makes the guest what programs expect.
func boot() error {
	failed := []error{
		os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), os.Setenv("HOME", "/tmp"),
		syscall.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""),
		syscall.Mount("proc", "/proc", "proc", 0, ""),
		syscall.Mount("sysfs", "/sys", "sysfs", 0, ""),
		loopback(),
	}
	for _, m := range modules {
		failed = append(failed, load("/modules/"+m+".ko"))
	}
	return errors.Join(failed...)
}

// loopback brings the interface lo up, which gives it its address.
func loopback() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer syscall.Close(fd)
	request := struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); e != 0 {
		return fmt.Errorf("loopback: %w", e)
	}
	return nil
}

// load is insmod.
func load(path string) error {
	image, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	none := [1]byte{}
	if _, _, e := syscall.Syscall(syscall.SYS_INIT_MODULE, uintptr(unsafe.Pointer(&image[0])), uintptr(len(image)), uintptr(unsafe.Pointer(&none))); e != 0 {
		return fmt.Errorf("%s: %w", path, e)
	}
	return nil
}
