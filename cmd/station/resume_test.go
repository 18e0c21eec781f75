package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// feed is station with a scanner that types these lines.
func (p *position) feed(code int, lines string, args ...string) (stdout, stderr string) {
	p.t.Helper()
	file := filepath.Join(p.dir, "lines.txt")
	if err := os.WriteFile(file, []byte(lines), 0o644); err != nil {
		p.t.Fatal(err)
	}
	in, err := os.Open(file)
	if err != nil {
		p.t.Fatal(err)
	}
	defer in.Close()
	p.in = in
	defer func() { p.in = nil }()
	return p.expect(code, args...)
}

// TestResume kills the program while it provisions four units, and takes the last board out: those whose boards are there are finished without a
// scan, by a command and then by a card, and the one that is not is named until it was put back.
func TestResume(t *testing.T) {
	t.Parallel()
	p := newPosition(t)
	defer p.close()
	image := p.enlarge()
	four := []string{"run", "small.yaml", "--slot", "1=TB-0001", "--slot", "2=TB-0002", "--slot", "3=TB-0003", "--slot", "4=TB-0004"}
	r := p.launch(four...)
	for range 4 {
		r.await("1/4 program")
	}
	r.cmd.Process.Kill()
	r.wait()

	// Another recipe touches nothing of it.
	text, err := os.ReadFile(filepath.Join(p.dir, "small.yaml"))
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, "other.yaml"), bytes.Replace(text, []byte("version: 1"), []byte("version: 2"), 1), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, errs := p.expect(exitDecision, "run", "other.yaml", "--resume"); strings.Count(errs, "was begun with recipe small-boot version 1, which is not this one") != 4 {
		t.Errorf("another recipe:\n%s", errs)
	}
	// A board that was swapped is not the one of the open run, whatever slot it is in.
	_, errs := p.feed(exitDone, "out 4\nout 2\nout 1\nin 1=TB-0002\n", "run", "small.yaml", "--scan", "--sim-hands")
	for _, want := range []string{"INTERRUPTED: the run of TB-0001 in slot 1 broke off", "slot 2: the board of TB-0002 is in it, whose run broke off\n  Scan RESUME to finish it, or take it out.", "slot 1: a board was put in that nobody scanned"} {
		if !strings.Contains(errs, want) {
			t.Errorf("the start of a scan lacks %q:\n%s", want, errs)
		}
	}
	out, errs := p.expect(exitDecision, "run", "small.yaml", "--resume")
	for _, want := range []string{"slot 1  TB-0002  resumed  ", "slot 3  TB-0003  resumed  ", "the board of TB-0001, whose run broke off in slot 1, is in no slot", "the board of TB-0004, whose run broke off in slot 4, is in no slot"} {
		if !strings.Contains(errs, want) {
			t.Errorf("resume lacks %q:\n%s", want, errs)
		}
	}
	if strings.Count(out, "  PASS  ") != 2 {
		t.Errorf("resume:\n%s", out)
	}
	// A board that was put back is in a slot that nobody armed: the card resumes it nevertheless, and a scan would, too, once it was out.
	out, errs = p.feed(exitDone, "in 4=TB-0004\nRESUME\nwait 4\nout 4\nSLOT:2\nTB-0001\nin 2=TB-0001\nwait 2\n", "run", "small.yaml", "--scan", "--sim-hands")
	if !strings.Contains(errs, "slot 4  TB-0004  resumed  ") || !strings.Contains(errs, "slot 2  TB-0001  resumed  ") || strings.Count(out, "  PASS  ") != 2 {
		t.Errorf("with a card:\n%s%s", out, errs)
	}
	if _, errs := p.expect(exitDone, "run", "small.yaml", "--resume"); !strings.Contains(errs, "no run is open") {
		t.Errorf("when all is done:\n%s", errs)
	}
	for _, serial := range []string{"TB-0001", "TB-0002", "TB-0003", "TB-0004"} {
		p.provisioned(serial, image)
	}
}
