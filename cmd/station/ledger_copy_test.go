package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestReadWhileRunning: beside a station at work those who look get what they get when it has ended, to the byte, and no copy is left.
func TestReadWhileRunning(t *testing.T) {
	t.Parallel()
	p := newAudited(t)
	tmp := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := p.command(ctx, "run", "small.yaml", "--scan")
	scan, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.expect(exitDone, "run", "secret.yaml", "--slot", "2=TB-0002", "--value", "2.mac=020000000002")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(scan, "TB-0001\n")
	report := filepath.Join(p.data(), "reports", "TB-0001.pdf") // comes when all is signed
	for _, err := os.Stat(report); err != nil && ctx.Err() == nil; _, err = os.Stat(report) {
		time.Sleep(5 * time.Millisecond)
	}
	commands := [][]string{
		{"unit", "list"}, {"unit", "list", "--json"}, {"unit", "show", "TB-0001", "--json"}, {"audit", "verify"}, {"audit", "entries"},
		{"escrow", "show", "TB-0002"}, {"escrow", "open", "TB-0002", "--identity", "audit.txt"}, {"unit", "report", "TB-0001", "-o", "report.pdf"},
	}
	read := func() (all []string) {
		for _, args := range commands {
			out, _ := p.expect(exitDone, append([]string{"TMPDIR=" + tmp}, args...)...)
			all = append(all, out)
		}
		pdf, err := os.ReadFile(filepath.Join(p.dir, "report.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		return append(all, string(pdf))
	}
	beside := read()
	p.expect(exitNo, "TMPDIR="+tmp, "unit", "show", "TB-0009")
	p.expect(exitError, "TMPDIR="+tmp+"/none", "unit", "list")
	p.expect(exitError, "unit", "close", "TB-0001", "--as", "lost", "--reason", "a test", "--by", "op1") // it would write
	scan.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, now := range read() {
		if beside[i] != now {
			t.Errorf("%q printed\n%s\nand printed when the station had ended\n%s", commands[min(i, len(commands)-1)], beside[i], now)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
