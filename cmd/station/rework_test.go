package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"station/sim/nor"
)

// TestCrashInRework has a station crash around the moment when it opens a chip with the password that the auditor sealed for the run, with the fullest trace that the
// runtime prints. The same command ends in PASS, nothing that is for ever takes effect again, and no secret is in what the program said or left (position.close searches).
func TestCrashInRework(t *testing.T) {
	t.Parallel()
	p := newAudited(t)
	defer p.close()
	args := append([]string{"run", "secret.yaml", "--slot", "1=TB-0001"}, secretRun...)
	p.expect(exitDone, args...)
	once := func() map[string]uint64 {
		chip := openBoard(t, p.board("TB-0001"))
		defer chip.Close()
		all := chip.Counters()
		return map[string]uint64{nor.CountPassword: all[nor.CountPassword], nor.CountSectorProtection: all[nor.CountSectorProtection], nor.CountRootKey: all[nor.CountRootKey], nor.CountIncrement: all[nor.CountIncrement]}
	}
	before := fmt.Sprint(once())
	for i, line := range []string{"started", "undone  the chip is open", "undone  the chip's locks", "3/10 lock", "7/10 PERMANENT password"} {
		unlock := fmt.Sprintf("unlock-%d.age", i)
		p.expect(exitDone, "unit", "rework", "TB-0001", "--reason", "test", "--by", "sup2")
		p.expect(exitDone, "escrow", "reseal", "TB-0001", "--identity", "audit.txt", "-o", unlock)
		again := append(args, "--unlock", "1="+unlock)
		r := p.launch(append([]string{"GOTRACEBACK=all"}, again...)...)
		r.await(line)
		p.exposed(r.cmd.Process.Pid)
		time.Sleep(time.Duration(i) * time.Millisecond)
		r.cmd.Process.Signal(syscall.SIGABRT)
		r.wait()
		p.expect(exitDone, again...)
		if after := fmt.Sprint(once()); after != before {
			t.Errorf("after a crash at %q: %s, before %s", line, after, before)
		}
	}
}
