package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"station/kiosk"
	"station/kiosk/kiosktest"
	"station/sim/nor"
)

// served is a position whose station serves its page.
type served struct {
	*position
	cmd *exec.Cmd
	url string
}

// servePage starts `station serve` on a port that the kernel picks, or on that of an earlier one.
func (p *position) servePage(listen string, flags ...string) *served {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	p.t.Cleanup(cancel)
	s := &served{position: p, cmd: p.command(ctx, append([]string{"serve", "--listen", listen}, flags...)...)}
	pipe, err := s.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	said, err := os.Create(filepath.Join(p.dir, "serve.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer said.Close()
	s.cmd.Stderr = said
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(pipe).ReadString('\n')
	var ok bool
	if s.url, ok = strings.CutPrefix(strings.TrimSpace(line), "listening on "); !ok {
		text, _ := os.ReadFile(said.Name())
		p.t.Fatalf("station serve said %q, %v\n%s", line, err, text)
	}
	return s
}

// end stops it as a service manager does, and wants it to end well.
func (s *served) end() {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("station serve ended with %v", err)
	}
}

// die kills it.
func (s *served) die() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// underWay waits until a slot's run is at a step, from which on it is in the ledger. It asks the station itself: a slow page may hear of it when it has ended.
func (s *served) underWay(slot string) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < limit; time.Sleep(time.Millisecond) {
		_, body := get(s.t, http.DefaultClient, s.url+"/api/v1/state")
		var state kiosk.State
		if err := json.Unmarshal([]byte(body), &state); err != nil {
			s.t.Fatal(err)
		}
		if t, ok := state.Tile(slot); ok && t.Run != nil && t.Run.Step > 0 {
			return
		}
	}
	s.t.Fatalf("no run is under way in slot %s", slot)
}

// shifted sends frames of hex digits to the chip of a board file.
func (p *position) shifted(serial string, power bool, frames ...string) {
	p.t.Helper()
	chip := openBoard(p.t, p.board(serial))
	defer chip.Close()
	if power {
		chip.Power(false)
		chip.Power(true)
	}
	for _, text := range frames {
		frame, err := hex.DecodeString(text)
		if err != nil {
			p.t.Fatal(err)
		}
		chip.Select()
		chip.Shift(frame, nil)
		chip.Deselect()
	}
}

// spoil makes a board whose unit will FAIL: its run was begun on a frozen chip, and then other hands protected all of it.
func (p *position) spoil(serial string) {
	p.t.Helper()
	uid := sha256.Sum256([]byte(serial))
	if err := os.MkdirAll(filepath.Dir(p.board(serial)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	chip, err := nor.Create(p.board(serial), "MT25QL256ABA", [14]byte(uid[:]), nor.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := chip.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.shifted(serial, false, "06", "a6")
	p.expect(exitError, "run", "small.yaml", "--slot", "1="+serial)
	p.shifted(serial, true, "06", "120000010000", "06", "017c")
}

// page adds lines to the page's part of the configuration.
func (p *position) page(lines ...string) {
	p.t.Helper()
	p.append("config.yaml", "\npage:\n  "+strings.Join(lines, "\n  ")+"\n")
}

// tile waits until a slot shows an outcome of a serial.
func tile(page *kiosktest.Page, slot, serial, outcome string) {
	page.Wait(fmt.Sprintf(`document.querySelector('[data-slot=%q][data-outcome=%q]')?.innerText.includes(%q)`, slot, outcome, serial))
}

// passed waits until the page says that so many units of the job have passed.
func passed(page *kiosktest.Page, units int) {
	page.Wait(fmt.Sprintf(`document.querySelector("#now .job-count b").innerText === "%d"`, units))
}

// scanNext waits until the page asks for a serial, for the shift that nobody began, or for the board that a simulated station's hands take out as soon as one is scanned, and scans one.
func scanNext(page *kiosktest.Page, serial string) {
	page.Wait(`["next-scan", "next-no-shift", "next-take-out", "next-empty"].includes(document.querySelector("#next").dataset.word)`)
	page.Scan(serial)
	page.Wait(fmt.Sprintf(`[...document.querySelectorAll("[data-slot]")].some(e => e.innerText.includes(%q))`, serial)) // what comes next is told with it
}

// TestOperator is a shift with the page alone: eight boards through four slots, one of which FAILs and is acknowledged by the reject bin's card, a board with a wrong
// label, the unit looked up, its PDF opened. It is in English and, again, in Chinese.
func TestOperator(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: the pages are tested once, with cgo")
	}
	browser := kiosktest.Start(t)
	for language, pass := range map[string]string{"en": "PASS", "zh-CN": "合格"} {
		t.Run(language, func(t *testing.T) {
			p := newPosition(t)
			p.page("recipes: .", "language: "+language)
			p.spoil("TB-0005")
			s := p.servePage("127.0.0.1:0")
			page := browser.Open(t, s.url, 1280, 800)
			if got := kiosktest.Value[string](page, `document.documentElement.lang`); got != language {
				t.Fatalf("the page is in %q", got)
			}
			page.Wait(`document.querySelector("#next").dataset.word === "next-no-shift"`)
			page.Scan("BEGIN-SHIFT")
			page.Wait(`document.querySelector("#next").dataset.word === "next-left"`) // the board that was spoiled in slot 1
			page.Scan("JOB:small.yaml:8")
			for n := 1; n <= 9; n++ {
				scanNext(page, fmt.Sprintf("TB-%04d", n))
				if n != 5 {
					continue
				}
				page.Wait(`document.querySelector('[data-outcome="FAIL"]')`)
				slot := kiosktest.Value[string](page, `document.querySelector('[data-outcome="FAIL"]').dataset.slot`)
				tile(page, slot, "TB-0005", "FAIL")
				page.Wait(`["next-bin","next-take-fail"].includes(document.querySelector("#next").dataset.word)`)
				page.Scan("REJECT")
				page.Wait(`!document.querySelector('[data-outcome="FAIL"]')`)
			}
			passed(page, 8)
			page.Scan("CLOSE-JOB")
			page.Wait(`document.querySelector("#next").dataset.word === "next-left"`) // hands take a board out when the next one is scanned

			page.Go(s.url + "/units?text=TB-0007")
			page.Click(`a[href="/units/TB-0007"]`)
			page.Wait(`document.querySelector('a[href*="/report"]')`)
			page.WaitText("main", pass)
			report := kiosktest.Value[string](page, `document.querySelector('a[href*="/report"]').href`)
			s.readPDF(page, report, "TB-0007")
			page.Expect("net::ERR_") // once nobody answers any more
			s.end()
			p.expect(exitDone, "audit", "verify")
			if n := len(p.entries(p.data(), "fail.acknowledged")); n != 1 {
				t.Errorf("%d FAILs are acknowledged in the ledger", n)
			}
		})
	}
}

// readPDF has the page fetch a report, and pdftotext read it.
func (s *served) readPDF(page *kiosktest.Page, address, serial string) {
	s.t.Helper()
	kiosktest.Value[bool](page, fmt.Sprintf(`fetch(%q).then(r => r.blob()).then(b => { const f = new FileReader(); f.onload = () => window.pdf = f.result; f.readAsDataURL(b) }), true`, address))
	page.Wait(`window.pdf`)
	_, text, _ := strings.Cut(kiosktest.Value[string](page, `window.pdf`), ",")
	pdf, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "report.pdf")
	if err := os.WriteFile(file, pdf, 0o644); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	read, err := exec.CommandContext(ctx, judge(s.t, "pdftotext"), file, "-").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Contains(read, []byte(serial)) || !bytes.Contains(read, []byte("PASS")) {
		s.t.Errorf("the report of %s says\n%s", serial, read)
	}
}

// TestPageAfterKill kills the station while two boards are written. The page says that it has lost it and dims, finds the next one by itself, shows what broke off before
// anything else, and one press finishes all of it.
func TestPageAfterKill(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: the pages are tested once, with cgo")
	}
	p := newPosition(t)
	p.page("recipes: .")
	p.enlarge()
	s := p.servePage("127.0.0.1:0")
	page := kiosktest.Start(t).Open(t, s.url, 1280, 800)
	page.Expect("net::ERR_") // while nobody answers
	page.Scan("JOB:small.yaml:2")
	scanNext(page, "TB-0001")
	page.Scan("TB-0002")
	s.underWay("2")
	s.die()
	page.Wait(`!document.querySelector("#lost").hidden`)
	again := p.servePage(strings.TrimPrefix(s.url, "http://"))
	page.Wait(`document.querySelector("#lost").hidden && document.querySelector("#next").dataset.word.startsWith("next-resume")`)
	page.Click(`#open [data-api="POST /api/v1/resume"]`)
	tile(page, "1", "TB-0001", "PASS")
	tile(page, "2", "TB-0002", "PASS")
	passed(page, 2)
	again.end()
	p.expect(exitDone, "audit", "verify")
	units, _ := p.expect(exitDone, "unit", "list")
	if n := strings.Count(units, " PASS "); n != 2 {
		t.Errorf("%d of 2 units passed:\n%s", n, units)
	}
	if n := len(p.entries(p.data(), "run.resume")); n == 0 {
		t.Error("nothing was resumed")
	}
}

// TestPageWrongBoard puts a board into the slot that carries another label than the one scanned, and one that nobody scanned.
func TestPageWrongBoard(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: the pages are tested once, with cgo")
	}
	p := newPosition(t)
	p.page("recipes: .")
	p.expect(exitDone, "run", "small.yaml", "--slot", "1=TB-0001")
	s := p.servePage("127.0.0.1:0", "--sim-hands")
	page := kiosktest.Start(t).Open(t, s.url, 1280, 800)
	page.Scan("JOB:small.yaml:0")
	page.Wait(`document.querySelector('[data-slot="1"][data-state="occupied"]')`)
	page.Scan("out 1")
	page.Wait(`document.querySelector('[data-slot="1"][data-state="free"]')`)
	scanNext(page, "TB-0002")
	page.Wait(`document.querySelector("#next").dataset.word === "next-put-in"`)
	page.Scan("in 1=TB-0001")
	tile(page, "1", "TB-0002", "REFUSED")
	page.WaitText(`[data-slot="1"]`, "TB-0001")
	page.Expect("net::ERR_") // once nobody answers any more
	s.end()
}
