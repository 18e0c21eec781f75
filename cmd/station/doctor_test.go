package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	root "station"
	"station/fixtures"
	"station/fixtures/usb"
)

// stocked is a bus on which these devices are plugged in.
type stocked []usb.Device

func (s stocked) List(context.Context) ([]usb.Device, error) { return s, nil }

func (s stocked) Open(context.Context, string, int) (usb.Link, error) { return nil, usb.ErrAccess }

// programmer is an FT2232H of which the kernel's serial driver has both channels.
func programmer(port string) usb.Device {
	return usb.Device{Port: port, Vendor: 0x0403, Product: 0x6010, Interfaces: []usb.Interface{{Number: 0, Class: 0xFF, Driver: "ftdi_sio"}, {Number: 1, Class: 0xFF, Driver: "ftdi_sio"}}}
}

// TestDoctor begins with a machine that lacks nothing, takes away one thing after the other, and wants to be told of this and of nothing else.
func TestDoctor(t *testing.T) {
	entry := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	locked, busy := programmer("1-1"), programmer("1-1")
	locked.Locked, busy.Holders, busy.Interfaces[0].Driver = true, []string{"flashrom (pid 7)"}, usb.UserSpace
	const none = "slots: 0 of 1 could be used | cure one of them"
	type ill struct {
		machine
		devices stocked
		slots   []fixtures.Slot
		files   map[string]string
		last    time.Time
	}
	for name, c := range map[string]struct {
		do   func(*ill)
		want []string // "NAME: FINDING | CURE" in parts, for each problem
	}{
		"nothing": {func(*ill) {}, nil},
		"clock":   {func(m *ill) { m.synced = func() (bool, error) { return false, nil } }, []string{"clock: nothing keeps it"}},
		"clock that was set back": {func(m *ill) { m.last = entry.Add(90 * time.Minute) },
			[]string{"clock: it is 1h30m0s behind the last entry of the ledger: it was set back"}},
		"a clock that nobody may ask": {func(m *ill) { m.synced = func() (bool, error) { return false, errors.New("denied") } }, nil},
		"disk":                        {func(m *ill) { m.free = func(string) (uint64, uint64, error) { return 1 << 20, 1 << 20, nil } }, []string{"disk: 1 MiB are free"}},
		"files":                       {func(m *ill) { m.free = func(string) (uint64, uint64, error) { return 1 << 40, 9, nil } }, []string{"disk: 9 more files fit"}},
		"uncounted files":             {func(m *ill) { m.free = func(string) (uint64, uint64, error) { return 1 << 40, 0, nil } }, nil},
		"no rules":                    {func(m *ill) { delete(m.files, "etc/udev/rules.d/60-station.rules") }, []string{"udev rules: packaging/60-station.rules is not installed"}},
		"no rules, root":              {func(m *ill) { delete(m.files, "etc/udev/rules.d/60-station.rules"); m.user = 0 }, nil},
		"old rules":                   {func(m *ill) { m.files["etc/udev/rules.d/60-station.rules"] += "#" }, []string{"udev rules: /etc/udev/rules.d/60-station.rules is not that of this version"}},
		"packaged rules": {func(m *ill) {
			delete(m.files, "etc/udev/rules.d/60-station.rules")
			m.files["usr/lib/udev/rules.d/60-station.rules"] = string(root.UdevRules)
		}, nil},
		"group": {func(m *ill) { m.devices = stocked{locked} },
			[]string{"permissions: this user may not open 1-1 | sudo usermod -aG plugdev", "slot 1: no permission for the FT2232H at USB port 1-1 | install the udev rules", none}},
		"usbfs memory": {func(m *ill) {
			m.files["sys/module/usbcore/parameters/usbfs_memory_mb"] = "16\n"
			m.slots = manySlots(100)
		},
			append([]string{"usbfs memory: 16 MiB for all programs, and 100 slots may need 25 MiB | echo 50 >"}, missing(100)...)},
		"unlimited usbfs memory": {func(m *ill) { m.files["sys/module/usbcore/parameters/usbfs_memory_mb"] = "0" }, nil},
		"no USB": {func(m *ill) { delete(m.files, "sys/module/usbcore/parameters/usbfs_memory_mb"); m.devices = nil },
			[]string{"usbfs memory: /sys/module/usbcore/parameters/usbfs_memory_mb cannot be read: this machine's kernel has no USB", "slot 1: no programmer at USB port 1-1 | plug it in", none}},
		"no volts": {func(m *ill) { m.slots[0].Volts = "" },
			[]string{"slot 1: the slot does not say which voltage its fixture gives, so nothing is written in it | set `volts` of this slot in config.yaml to what a meter shows there (`station slot bind 1 --volts V` writes it)", none}},
		"another program": {func(m *ill) { m.devices = stocked{busy} },
			[]string{"drivers: programs hold 1-1 interface 0 flashrom (pid 7) | close them", "slot 1: another program uses the FT2232H at USB port 1-1 channel A | close it: flashrom (pid 7)", none}},
		"a crash handler":     {func(m *ill) { m.files["proc/sys/kernel/core_pattern"] = "|/usr/share/apport/apport -p%p\n" }, []string{"core dumps: /usr/share/apport/apport gets the memory"}},
		"one that obeys":      {func(m *ill) { m.files["proc/sys/kernel/core_pattern"] = "|/usr/lib/systemd/systemd-coredump %P %u" }, nil},
		"an empty crash pipe": {func(m *ill) { m.files["proc/sys/kernel/core_pattern"] = "|" }, []string{"core dumps: somebody gets the memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := ill{
				machine: machine{root: t.TempDir(), user: 1000, now: func() time.Time { return entry }, synced: func() (bool, error) { return true, nil },
					free: func(string) (uint64, uint64, error) { return 1 << 40, 1 << 20, nil }},
				devices: stocked{programmer("1-1")}, slots: []fixtures.Slot{{Name: "1", Port: "1-1", Channel: "A", Volts: "3.3"}}, last: entry,
				files: map[string]string{"etc/udev/rules.d/60-station.rules": string(root.UdevRules), "proc/sys/kernel/core_pattern": "core\n",
					"sys/module/usbcore/parameters/usbfs_memory_mb": "16\n"},
			}
			c.do(&m)
			for path, text := range m.files {
				path = filepath.Join(m.root, path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			all := append([]finding{m.disk("data"), m.clock(m.last)}, append(m.self(), m.examineBus(t.Context(), m.devices, m.slots, len(m.slots))...)...)
			var problems []finding
			for _, f := range all {
				if !f.OK {
					problems = append(problems, f)
				}
				if f.OK != (f.Cure == "") {
					t.Errorf("%+v: a cure for what is well, or none for what is not", f)
				}
			}
			if len(problems) != len(c.want) {
				t.Fatalf("%d problems, want %d: %+v", len(problems), len(c.want), problems)
			}
			for i, want := range c.want {
				what, cure, _ := strings.Cut(want, " | ")
				if f := problems[i]; !strings.HasPrefix(f.Name+": "+f.Finding, what) || !strings.HasPrefix(f.Cure, cure) {
					t.Errorf("problem %d is %+v, want %q", i, f, want)
				}
			}

			var out bytes.Buffer
			a := &app{stdout: &out, json: true}
			err := a.printFindings(all)
			var said struct {
				OK     bool
				Checks []finding
			}
			if e := json.Unmarshal(out.Bytes(), &said); e != nil || said.OK != (len(c.want) == 0) || len(said.Checks) != len(all) || errors.Is(err, errUnfit) == said.OK {
				t.Errorf("%v, %v: %s", err, e, &out)
			}
		})
	}
}

func manySlots(n int) (all []fixtures.Slot) {
	for i := range n {
		all = append(all, fixtures.Slot{Name: strings.Repeat("i", i+1), Port: "1-" + strings.Repeat("1", i+1), Channel: "A", Volts: "3.3"})
	}
	return all
}

// missing are the findings of manySlots where only the first has its programmer.
func missing(n int) (all []string) {
	for _, s := range manySlots(n)[1:] {
		all = append(all, "slot "+s.Name+": no programmer at USB port "+s.Port+" | plug it in")
	}
	return all
}
