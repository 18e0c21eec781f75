package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"station/recipes"
	"station/sim/nor"
)

// newSigned is newRemote with the shipped recipe of signed commands, which the station may do to so many chips.
func newSigned(t *testing.T, units string) (*position, *serving) {
	t.Helper()
	p, s := newRemote(t, "1s")
	if err := recipes.Unpack(p.dir); err != nil {
		t.Fatal(err)
	}
	key, err := p.command(t.Context(), "sim", "factory-key").Output() // not kept to be searched: it is published
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "factory"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, "keyserver", "key", "create", "acrtm/factory", "--from", "factory")
	if err := os.Remove(filepath.Join(p.dir, "factory")); err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, "keyserver", "allow", "signed-boot.yaml", "--station", "line1", "--units", units)
	return p, s
}

func signedRun(serial string) []string {
	return []string{"run", "signed-boot.yaml", "--slot", "1=" + serial}
}

// signed wants a board that the whole recipe was done to, its one-way command once.
func (p *position) signed(serial string) {
	p.t.Helper()
	want, err := os.ReadFile(filepath.Join(p.dir, "images", "settings.bin"))
	if err != nil {
		p.t.Fatal(err)
	}
	chip := openBoard(p.t, p.board(serial))
	defer chip.Close()
	n := chip.Counters()
	if addr, size := chip.ProtectedRange(); n[nor.CountProtect] != 1 || addr != 0x400000 || size != 64<<10 {
		p.t.Errorf("%s: 0x%X and 0x%X bytes are protected, %v", serial, addr, size, n)
	}
	if string(chip.Bytes(0x400000, len(want))) != string(want) {
		p.t.Errorf("%s does not hold its settings", serial)
	}
	if n[nor.CountSignedErase] == 0 || n[nor.CountSignedWrite] == 0 {
		p.t.Errorf("%s: its settings were not written by signed commands: %v", serial, n)
	}
}

// TestSignedBoot has a chip measured and its settings written by signed commands, end to end: the key server is a process of its own, over mutual TLS. The station is killed in every
// signed step, and the key server answers too late in each; the same command finishes the unit, and what is one-way took effect once.
func TestSignedBoot(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: runs that are killed take many seconds")
	}
	t.Parallel()
	p, s := newSigned(t, "3")
	p.exposed(s.cmd.Process.Pid)
	p.expect(exitDone, signedRun("GW-000001")...)
	p.signed("GW-000001")
	pdf, err := exec.CommandContext(t.Context(), judge(t, "pdftotext"), "-layout", filepath.Join(reportsDir(p.data()), "GW-000001.pdf"), "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	report := strings.Join(strings.Fields(string(pdf)), " ")
	for _, want := range []string{"INVENTED MAP", "Signed commands", "Key server station key server keys1 at https://" + s.addr, "region boot measures as the recipe has it, signed by the chip", "PERMANENT: cannot be undone"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report has no %q\n%s", want, report)
		}
	}
	steps := []string{"2/8 turn 1 ", "4/8 turn 1 ", "5/8 turn 1 ", "6/8 turn 1 "}
	kills := 0
	for i := 0; ; i++ {
		r := p.launch(append([]string{"GOTRACEBACK=none"}, signedRun("GW-000002")...)...)
		if i < 3*len(steps) && r.reached(steps[i%len(steps)]) {
			time.Sleep(time.Duration(i/len(steps)) * 2 * time.Millisecond) // another instant each time
			r.cmd.Process.Signal(syscall.SIGKILL)
			kills++
		}
		r.wait()
		if code := r.cmd.ProcessState.ExitCode(); code == exitDone {
			break
		} else if code != -1 || i > 4*len(steps) {
			t.Fatalf("run %d of a unit whose station was killed %d times ends with %d", i, kills, code)
		}
	}
	if kills < len(steps) {
		t.Errorf("only %d kills", kills)
	}
	p.signed("GW-000002")
	// A key server that does not answer: ERROR within the limit, and the unit is finished when it does.
	for _, step := range []string{"1/8 ", "4/8 turn 1 "} {
		r := p.launch(signedRun("GW-000003")...)
		if from := p.output.Len(); !r.reached(step) {
			t.Fatalf("no %q:\n%s", step, p.output.Bytes()[from:])
		}
		s.cmd.Process.Signal(syscall.SIGSTOP)
		r.wait()
		s.cmd.Process.Signal(syscall.SIGCONT)
		if code := r.cmd.ProcessState.ExitCode(); code != exitError {
			t.Errorf("a key server that stopped at %q: %d", step, code)
		}
	}
	p.expect(exitDone, signedRun("GW-000003")...)
	p.signed("GW-000003")
	if out, _ := p.expect(exitDone, "keyserver", "list"); !regexp.MustCompile(`signed-boot 1 sha256:\S+ +3 of 3 +acrtm/factory`).MatchString(out) {
		t.Error(out)
	}
	t.Logf("%d kills", kills)
	s.verified()
	s.agree(3*51, 0)
	s.noKeys()
}

// reached reads on to a line with this text, and tells whether it came.
func (r *running) reached(text string) bool {
	for r.next() {
		if strings.Contains(r.lines.Text(), text) {
			return true
		}
	}
	return false
}
