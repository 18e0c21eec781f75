package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCrashDump has a station crash in the middle of permanent steps with the fullest trace that the runtime prints. Neither the trace, nor what
// the system shows of the process, nor anything that it leaves in its directory tells a secret; and the units can be finished.
func TestCrashDump(t *testing.T) {
	t.Parallel()
	p := newAudited(t)
	defer p.close() // searches all of it, when the chips have told what to search for
	// As on a PC where crashes leave core files.
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil {
		t.Fatal(err)
	}
	core.Cur = core.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &core); err != nil {
		t.Fatal(err)
	}
	inside := map[string]bool{}
	crashes := 0
	for round := 0; round < 20 && len(inside) < 2; round++ {
		for _, line := range []string{"4/10 PERMANENT", "5/10 PERMANENT", "7/10 PERMANENT"} {
			crashes++
			serial := fmt.Sprintf("TB-%04d", crashes)
			args := append([]string{"run", "secret.yaml", "--slot", "1=" + serial}, secretRun...)
			r := p.launch(append([]string{"GOTRACEBACK=all"}, args...)...)
			r.await(line)
			p.exposed(r.cmd.Process.Pid)
			// Another instant each time, within the few writes to the disk that such a step is made of.
			time.Sleep(time.Duration(crashes-1) * time.Millisecond)
			r.cmd.Process.Signal(syscall.SIGABRT)
			before := p.output.Len()
			r.wait()
			dump := string(p.output.Bytes()[before:])
			if r.cmd.ProcessState.ExitCode() != 2 || !strings.Contains(dump, "goroutine ") {
				if strings.Contains(dump, "PASS") {
					continue // it was over already
				}
				t.Fatalf("after %q: %v\n%s", line, r.cmd.ProcessState, dump)
			}
			for _, step := range []string{"provision.(*password)", "provision.(*rootKey)"} {
				if strings.Contains(dump, step) {
					inside[step] = true
				}
			}
			p.expect(exitDone, args...)
		}
	}
	if len(inside) < 2 {
		t.Errorf("of %d crashes only some were inside of a permanent step: %v", crashes, inside)
	}
	t.Logf("%d crashes, inside of %v", crashes, inside)
	if cores, _ := filepath.Glob(filepath.Join(p.dir, "core*")); len(cores) > 0 {
		t.Errorf("a crash left %v", cores)
	}
}

// exposed keeps what the system shows of a running station to others: it is searched with the rest. A core file would hold its memory.
func (p *position) exposed(pid int) {
	p.t.Helper()
	for _, name := range []string{"cmdline", "environ", "comm"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil || len(text) == 0 && name == "cmdline" {
			p.t.Fatalf("/proc/PID/%s: %d bytes, %v", name, len(text), err)
		}
		p.output.Write(text)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if strings.HasPrefix(line, "Max core file size") && strings.Fields(line)[4] != "0" {
			p.t.Errorf("a crash may leave a core file: %s", line)
		}
	}
}
