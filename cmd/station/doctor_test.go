package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	root "station"
	"station/fixtures"
	"station/fixtures/usb"
	"station/store"
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

// TestDoctorCertificate: the station's certificate and the authority's are well, end soon (a warning, with which all is well still), have ended, have not begun, or cannot be read.
func TestDoctorCertificate(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	certificate := func(name string, from, to time.Time) {
		t.Helper()
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "line1"}, NotBefore: from, NotAfter: to}
		der, err := x509.CreateCertificate(rand.Reader, of, of, public, private)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		for path, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
			if err := os.WriteFile(filepath.Join(dir, path), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cfg := &config{Station: "line1", KeyServer: &keyServerConfig{URL: "https://127.0.0.1:1", CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "own.pem"), Key: filepath.Join(dir, "own.key"), Limit: time.Second}}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		own, ca time.Duration // from now to the end
		ok      bool
		cure    bool
		says    string
	}{
		"well":           {365 * day, 3650 * day, true, false, "own.pem ends in 365 days, on 2027-03-04"},
		"30 days":        {30 * day, 3650 * day, true, false, "own.pem ends in 30 days, on 2026-04-03"},
		"29 days":        {30*day - time.Second, 3650 * day, true, true, "own.pem ends in 29 days"},
		"one day":        {day, 3650 * day, true, true, "own.pem ends in 1 day, "},
		"over":           {-time.Second, 3650 * day, false, true, "own.pem ended on 2026-03-04"},
		"the authority":  {365 * day, 10 * day, true, true, "ca.pem ends in 10 days"},
		"an old one too": {365 * day, -day, false, true, "ca.pem ended on 2026-03-03"},
	} {
		certificate("own", now.Add(-400*day), now.Add(c.own))
		certificate("ca", now.Add(-400*day), now.Add(c.ca))
		f := examineCertificates(cfg, now)
		if f.OK != c.ok || (f.Cure != "") != c.cure || !strings.Contains(f.Finding, c.says) {
			t.Errorf("%s: %+v", name, f)
		}
		var out bytes.Buffer
		err := (&app{stdout: &out}).printFindings([]finding{f})
		word := map[[2]bool]string{{true, false}: "OK ", {true, true}: "WARNING ", {false, true}: "PROBLEM "}[[2]bool{c.ok, c.cure}]
		if !strings.HasPrefix(out.String(), word) || strings.Contains(out.String(), "cure: ") != c.cure || (err == nil) != c.ok {
			t.Errorf("%s: %v\n%s", name, err, &out)
		}
	}
	if f := examineCertificates(cfg, now.Add(-500*day)); f.OK || !strings.Contains(f.Finding, "begins on") {
		t.Errorf("not begun: %+v", f)
	}
	if err := os.Remove(cfg.KeyServer.CA); err != nil {
		t.Fatal(err)
	}
	if f := examineCertificates(cfg, now); f.OK || !strings.Contains(f.Finding, "ca.pem") {
		t.Errorf("no authority: %+v", f)
	}
}

// TestDoctorSecrets: what opens the keys is read while another command has the ledger, too.
func TestDoctorSecrets(t *testing.T) {
	cfg := &config{Station: "line1", Data: filepath.Join(t.TempDir(), "data")}
	if err := initialise(cfg.Data, cfg, true); err != nil {
		t.Fatal(err)
	}
	keys, err := keysOf(cfg, ledgerFile(cfg.Data))
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	db, err := store.Open(ledgerFile(cfg.Data), storeOptions(cfg, keys, true))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if f := examineKeys(cfg); f != nil {
		t.Errorf("%+v", f)
	}
	for _, k := range []keysConfig{{Passphrase: secretSource{File: filepath.Join(cfg.Data, "none")}}, {Provider: providerPKCS11, PIN: secretSource{File: filepath.Join(cfg.Data, "none")}}} {
		cfg.Keys = k
		if f := examineKeys(cfg); len(f) != 1 || f[0].OK || !strings.Contains(f[0].Finding, "no such file") || f[0].Cure == "" {
			t.Errorf("%+v", f)
		}
	}
}
