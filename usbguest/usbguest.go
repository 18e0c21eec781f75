// Package usbguest has tests only: simulated programmers meet a real Linux USB stack. This machine's kernel may have no USB and lend no
// modules, so Debian's kernel is booted in an emulated machine, the guest; there the test binary is the first process. It serves the
// programmers over USB/IP (sim/usbip), attaches them to the guest's own kernel, and runs programs before them that know nothing of the
// project. `make test-usb` prepares all that and runs it.
//
// Counts that are measured in the guest are exact; times are not representative, since the machine is emulated.
package usbguest
