package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	root "station"
	"station/fixtures"
	"station/ledger"
	"station/store"
)

// machine is what the doctor looks at; tests have machines of their own.
type machine struct {
	root   string // of the file system
	user   int    // effective
	synced func() (bool, error)
	free   func(dir string) (bytes, files uint64, err error)
	now    func() time.Time
}

var thisMachine = machine{"/", os.Geteuid(), clockSynced, store.Free, time.Now}

// clockSynced asks the kernel whether something disciplines its clock.
func clockSynced() (bool, error) {
	const unsynced = 0x40 // STA_UNSYNC of adjtimex(2)
	var t syscall.Timex
	if _, err := syscall.Adjtimex(&t); err != nil {
		return false, err
	}
	return t.Status&unsynced == 0, nil
}

// read is the text of a file of the kernel's, "" where there is none.
func (m machine) read(path string) string {
	text, err := os.ReadFile(filepath.Join(m.root, path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// examineData looks at the data directory, and when its last entry was written; zero where nobody knows.
func (a *app) examineData(data string) (last time.Time, f finding) {
	db, err := store.OpenReadOnly(ledgerFile(data))
	switch {
	case errors.Is(err, store.ErrInUse):
		return last, finding{"data", true, data + " is in use by another process of the station", ""}
	case errors.Is(err, os.ErrNotExist) && ledgerLost(data) != nil:
		return last, finding{"data", false, ledgerLost(data).Error(), "station restore"}
	case errors.Is(err, os.ErrNotExist):
		return last, finding{"data", false, data + " is not a data directory", "station init"}
	case err != nil:
		return last, finding{"data", false, err.Error(), "restore it from the backup"}
	}
	defer db.Close()
	size, err := db.Size()
	var entry ledger.Record
	if err == nil {
		entry, err = db.Entry(size - 1)
	}
	if err != nil {
		return last, finding{"data", false, err.Error(), "station audit verify tells more; restore it from the backup"}
	}
	if err := syscall.Access(data, 2); err != nil { // W_OK of access(2)
		return last, finding{"data", false, fmt.Sprintf("%s cannot be written to: %v", data, err), "give it to the user that runs the station: chown -R USER " + data}
	}
	return entry.Entry.Time, finding{"data", true, fmt.Sprintf("%s, %d entries in its ledger", data, size), ""}
}

// examineMirror looks at the ledger's second copy; without it nothing permanent is done.
func examineMirror(cfg *config) finding {
	sameDisk, err := store.ExamineMirror(ledgerFile(cfg.Data), cfg.Mirror)
	switch {
	case errors.Is(err, store.ErrInUse):
		return finding{"mirror", true, cfg.Mirror + " is in use by another process of the station", ""}
	case errors.Is(err, store.ErrFork):
		return finding{"mirror", false, err.Error(), "find out which of the two counts, before anything is provisioned"}
	case errors.Is(err, os.ErrNotExist):
		return finding{"mirror", false, err.Error(), "bring the mirror's disk back, or correct mirror in config.yaml: nothing permanent is done without it"}
	case err != nil:
		return finding{"mirror", false, err.Error(), "move that file away, and the mirror is made anew; or name another directory in config.yaml"}
	case sameDisk:
		return finding{"mirror", false, cfg.Mirror + " is on the same file system as the ledger: a disk that dies takes both", "name a directory on another disk in config.yaml"}
	}
	return finding{"mirror", true, cfg.Mirror + ", on another file system than the ledger", ""}
}

// What a line position writes in a shift is far below it.
const (
	leastFree  = 1 << 30
	leastFiles = 10_000
)

func (m machine) disk(data string) finding {
	bytes, files, err := m.free(data)
	switch {
	case err != nil:
		return finding{"disk", false, err.Error(), "mount the file system of " + data}
	case bytes < leastFree:
		return finding{"disk", false, fmt.Sprintf("%d MiB are free for ledger and reports in %s", bytes>>20, data), "make room: 1 GiB at least"}
	case files > 0 && files < leastFiles: // some file systems do not count them
		return finding{"disk", false, fmt.Sprintf("%d more files fit the file system of %s", files, data), "make room: every unit has a report of its own"}
	}
	return finding{"disk", true, fmt.Sprintf("%.1f GiB are free for ledger and reports", float64(bytes)/(1<<30)), ""}
}

// clock looks at the clock that stands in every entry; last is the time of the last one.
func (m machine) clock(last time.Time) finding {
	synced, err := m.synced()
	now := m.now()
	switch {
	case now.Before(last):
		return finding{"clock", false, fmt.Sprintf("it is %v behind the last entry of the ledger: it was set back", last.Sub(now).Round(time.Second)), "set it, and have it kept by NTP: timedatectl set-ntp true"}
	case err != nil:
		return finding{"clock", true, fmt.Sprintf("not behind the ledger; whether it is kept by NTP cannot be seen (%v)", err), ""}
	case !synced:
		return finding{"clock", false, "nothing keeps it: it runs away, and may be set in steps", "apt install systemd-timesyncd (or chrony), then: timedatectl set-ntp true"}
	}
	return finding{"clock", true, "kept by NTP, not behind the ledger", ""}
}

// self looks at what becomes of this program when it crashes. Its own limit is 0 (main), which a handler behind a pipe need not mind.
func (m machine) self() []finding {
	handler, piped := strings.CutPrefix(m.read("proc/sys/kernel/core_pattern"), "|")
	if piped && !strings.Contains(handler, "systemd-coredump") {
		return []finding{{"core dumps", false, fmt.Sprintf("%s gets the memory of programs that crash, secrets of chips too, whatever their limit", strings.Fields(handler + " somebody")[0]),
			"sysctl -w kernel.core_pattern=core, and the same in /etc/sysctl.d"}}
	}
	return []finding{{"core dumps", true, "none is kept of this program", ""}}
}

// usbfs holds the memory that all programs together may have posted against what the slots need.
func (m machine) usbfs(slots int) finding {
	const parameter = "sys/module/usbcore/parameters/usbfs_memory_mb"
	limit, err := strconv.Atoi(m.read(parameter))
	need := (slots*fixtures.PostedBytes + 1<<20 - 1) >> 20
	switch {
	case err != nil:
		return finding{"usbfs memory", false, "/" + parameter + " cannot be read: this machine's kernel has no USB", "give the machine its USB host controller; a container also needs /dev/bus/usb and /sys/bus/usb"}
	case limit != 0 && limit < need: // 0 is no limit
		return finding{"usbfs memory", false, fmt.Sprintf("%d MiB for all programs, and %d slots may need %d MiB", limit, slots, need),
			fmt.Sprintf("echo %d > /%s, and usbcore.usbfs_memory_mb=%d on the kernel's command line", 2*need, parameter, 2*need)}
	}
	return finding{"usbfs memory", true, fmt.Sprintf("%d MiB for all programs; %d slots need %d MiB at most", limit, slots, need), ""}
}

// Where udev looks for rules. The first that there is hides the others.
var rulesDirs = []string{"etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d"}

// rules looks for the udev rules. Root needs none.
func (m machine) rules() finding {
	cure := "station doctor --rules | sudo tee /etc/udev/rules.d/" + fixtures.RulesFile + ", then: sudo udevadm control --reload && sudo udevadm trigger"
	for _, dir := range rulesDirs {
		path := filepath.Join(dir, fixtures.RulesFile)
		switch text, err := os.ReadFile(filepath.Join(m.root, path)); {
		case err != nil:
		case !bytes.Equal(text, root.UdevRules):
			return finding{"udev rules", m.user == 0, "/" + path + " is not that of this version", cure}
		default:
			return finding{"udev rules", true, "/" + path, ""}
		}
	}
	if m.user == 0 {
		return finding{"udev rules", true, "not installed; root needs none, and other users do", ""}
	}
	return finding{"udev rules", false, "packaging/" + fixtures.RulesFile + " is not installed", cure}
}
