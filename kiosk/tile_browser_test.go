package kiosk

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"station/kiosk/kiosktest"
	"station/ledger"
	"station/provision"
)

// everyTile is a tile of every kind, of units with this serial.
func everyTile(serial string) []Tile {
	said := func(word string, more ...string) *Said {
		s := &Said{Word: word, Facts: map[string]string{"slot": "1", "serial": serial}}
		for i := 0; i < len(more); i += 2 {
			s.Facts[more[i]] = more[i+1]
		}
		return s
	}
	run := func(r Running) Tile {
		return Tile{State: provision.Running, Serial: serial, There: true, Run: &r}
	}
	ended := func(o ledger.Outcome, cause, message, next string) Tile {
		return Tile{State: provision.Occupied, Serial: serial, There: true, Held: o == ledger.Fail,
			Result: &Result{Outcome: o, Cause: cause, Message: message, Next: next, Run: "3f9a12c4b8e07d51", Code: "3f9a12c4", Duration: 47_300}}
	}
	long := "The chip is a Winbond W25Q128JV-DTR (EF 70 18) with 16777216 bytes, and the recipe gateway-boot 3 is for MT25QL128ABB and MT25QU256ABA, of which none has this identity."
	return []Tile{
		{State: provision.Free}, {State: provision.Free, Stopped: true}, {State: provision.Unseen}, {State: Unwatched}, {State: Unwatched, There: true}, {Excluded: true}, {State: provision.Unseen, Problem: &Said{Word: "no-programmer", Text: "No programmer is at USB port 1-4.2.", Next: "Plug it in."}},
		{State: provision.Scanned, Serial: serial, Said: said("scan-value", "value", "mac")}, {State: provision.Armed, Serial: serial, Said: said("put-in")},
		run(Running{Percent: -1, Remaining: -1}), run(Running{Phase: "writing", Step: 1, Of: 6, StepKind: "write", Title: "Write boot", Percent: 64, Overall: 31, Elapsed: 22_000, Remaining: 49_000}),
		run(Running{Phase: "step-began", Step: 15, Of: 16, StepKind: "password", Title: "Set the password and switch its mode on", Permanent: true, Percent: -1, Overall: 88, Elapsed: 3_666_000, Remaining: 9_000}),
		run(Running{Phase: "reseat", Step: 4, Of: 6, Percent: -1, Remaining: -1}),
		{State: provision.Occupied, There: true, Said: said("open-run-here")}, {State: provision.Occupied, There: true, Said: said("not-scanned")},
		ended(ledger.Pass, "", "Every step was confirmed on the chip.", ""), ended(ledger.Trial, "trial", "Stopped before the first permanent step.", ""),
		ended(ledger.Fail, "verify-mismatch", "Verify failed at 0x012A40: wanted 5A, the chip holds 52.", "Put the board into the reject bin; it needs disposition."),
		ended(ledger.Error, "contact-unstable", "The contact is unstable: the chip answers differently each time.", "Reseat the board; if it happens again, clean slot 3."),
		ended(ledger.Refused, "wrong-part", long, "This board does not belong to this recipe: check the order and the board, and call the supervisor if both are right."),
		ended(ledger.Aborted, "aborted", "Someone stopped the run.", "Scan the unit again to finish it."),
		ended(ledger.Interrupted, "password-torn", "The chip holds a password that was only half written.", "Put the board aside: a person has to decide."),
	}
}

// measure is a script that puts the walls of other documents into the page, one after the other, and tells what is wrong with them: each line is a fault.
const measure = `(async addresses => {
  const faults = []
  const box = e => { const r = e.getBoundingClientRect(), s = getComputedStyle(e); return { top: r.top + parseFloat(s.borderTopWidth), bottom: r.bottom - parseFloat(s.borderBottomWidth), left: r.left, right: r.right } }
  for (const address of addresses) {
    window.walls ??= {}
    const fresh = walls[address] ??= new DOMParser().parseFromString(await fetch(address).then(r => r.text()), 'text/html').getElementById('wall')
    const wall = document.getElementById('wall')
    wall.className = fresh.className
    wall.innerHTML = fresh.innerHTML
    const wide = [...document.querySelectorAll('.top *, .now *, .echo *')].find(e => e.getBoundingClientRect().right > innerWidth + 1)
    if (wide) faults.push(innerWidth + 'x' + innerHeight + ' ' + address + ': ' + wide.className + ' is beyond the edge')
    if (document.getElementById('echo').getBoundingClientRect().top < wall.getBoundingClientRect().bottom - 1) faults.push(innerWidth + 'x' + innerHeight + ' ' + address + ': the foot is over the wall')
    for (const tile of wall.querySelectorAll('.tile[data-slot]')) {
      const outer = box(tile)
      const fault = (e, what) => faults.push(innerWidth + 'x' + innerHeight + ' ' + address + ' ' + tile.className + ' ' + Math.round(outer.right - outer.left) + 'x' + Math.round(outer.bottom - outer.top) + ': ' + (e.getAttribute('class') || e.tagName) + ' ' + what)
      let lines = 0
      for (const e of tile.querySelectorAll('.face *')) {
        if (!e.getClientRects().length || e.closest('svg') && e.tagName !== 'svg') continue
        const r = e.getBoundingClientRect()
        if (r.left < outer.left - 1 || r.right > outer.right + 1 || r.top < outer.top - 1 || r.bottom > outer.bottom + 1) fault(e, 'is outside of its tile')
        if (e.tagName !== 'svg' && e.clientWidth && e.scrollWidth > e.clientWidth) fault(e, 'is cut: ' + e.scrollWidth + ' of ' + e.clientWidth)
        for (const t of e.childNodes) {
          if (t.nodeType !== 3 || !t.data.trim()) continue
          const range = document.createRange()
          range.selectNodeContents(t)
          for (const line of range.getClientRects()) {
            const middle = (line.top + line.bottom) / 2, half = Math.min(line.height, parseFloat(getComputedStyle(e).fontSize)) * .36
            let seen = true
            for (let clip = e; seen && clip !== tile.parentElement; clip = clip.parentElement) {
              if (clip !== tile && getComputedStyle(clip).overflowY === 'visible') continue
              const c = box(clip)
              if (middle - half >= c.bottom - 1) seen = false
              else if (middle + half > c.bottom + 1 || middle - half < c.top - 1) fault(e, 'has a line that is cut')
            }
            if (seen && e.closest('.card-what, .card-short')) lines++
            if (!seen && e.closest('.face-serial, .result-serial, .face-word')) fault(e, 'has a line that is not seen')
          }
        }
      }
      if (['FAIL', 'REFUSED', 'ERROR'].includes(tile.dataset.outcome) && !lines) fault(tile, 'has no reason')
      const roomy = /[/](1x1|2x2|4x2)[/]/.test(address) && innerWidth >= 1000
      if (roomy && tile.dataset.outcome === 'FAIL') {
        if (!tile.querySelector('.result-code').getClientRects().length) fault(tile, 'has no code')
        for (const e of tile.querySelectorAll('.card-what, .card-do')) if (!e.getClientRects().length || e.scrollHeight > e.clientHeight + 1) fault(e, 'is not whole')
      }
      const parts = [...tile.querySelectorAll('.face-slot, .face-top .face-serial, .face-top .badge, .face-word, .face-line, .result-word, .result-shape, .result-serial, .result-card, .result-code, .btn, .run-line, .bar')].filter(e => e.getClientRects().length)
      for (const [i, a] of parts.entries()) for (const b of parts.slice(i + 1)) {
        const p = a.getBoundingClientRect(), q = b.getBoundingClientRect()
        if (!a.contains(b) && Math.min(p.right, q.right) - Math.max(p.left, q.left) > 2 && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 3) fault(a, 'is over ' + b.getAttribute('class'))
      }
      const serials = [...tile.querySelectorAll('.face-serial, .result-serial, .face-word')].filter(e => e.getClientRects().length && e.textContent === address.split('/')[3])
      if (tile.querySelector('.detail-serial') && serials.length !== 1) fault(tile, 'shows its serial ' + serials.length + ' times')
    }
  }
  return [...new Set(faults)].join('\n')
})`

// Whatever the window, also one that is zoomed into, the number of slots and the length of the serials: nothing of the page is beyond its edge or under its foot, nothing of a tile is outside of it, no serial and no line is cut, nothing lies over another thing, and what
// went wrong is always said; of a FAIL, with up to eight slots, wholly, what to do too, and with its code.
func TestTilesFit(t *testing.T) {
	t.Parallel()
	p := newPages(Options{Language: "en", Log: slog.New(slog.DiscardHandler)})
	mux := p.still()
	walls := map[string]string{}
	serials := map[string][]string{"en": {"GW-000121", "PCBA-20261126-04", "PCBA-2026-11-26-LINE3-004711"}, "zh-CN": {"PCBA-2026-11-26-LINE3-004711"}}
	add := func(lang string, serial string, width, height int) {
		kinds := everyTile(serial)
		for n := 0; n < len(kinds); n += width * height {
			var rows [][]Tile
			for y := range height {
				var row []Tile
				for x := range width {
					tile := kinds[(n+y*width+x)%len(kinds)]
					tile.Slot = fmt.Sprint(y*width + x + 1)
					row = append(row, tile)
				}
				rows = append(rows, row)
			}
			address := fmt.Sprintf("/drawn/%s/%s/%dx%d/%d", lang, serial, width, height, n)
			b, err := p.draw(picture{page: "wall", state: State{Station: "line-3", Simulated: true, Started: noon, Rows: rows, Next: Said{Word: "next-scan", Facts: map[string]string{"slot": "4"}},
				Job: &Job{Recipe: ledger.Recipe{ID: "gateway-boot", Version: 3, Title: "Gateway boot flash"}, Quantity: 50, Passed: 12}}}, lang)
			if err != nil {
				t.Fatal(err)
			}
			walls[address] = string(b)
		}
	}
	for _, lang := range Languages {
		for _, serial := range serials[lang] {
			for _, grid := range [][2]int{{1, 1}, {2, 2}, {4, 2}, {4, 4}, {8, 2}, {8, 4}} {
				if grid[0]*grid[1] > 1 || len(serial) > 16 { // one slot has room for what is longer
					add(lang, serial, grid[0], grid[1])
				}
			}
		}
	}
	mux.HandleFunc("GET /drawn/{lang}/{serial}/{grid}/{n}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, walls[r.URL.Path])
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	browser := kiosktest.Start(t)
	for _, lang := range Languages {
		var addresses []string
		for address := range maps.Keys(walls) {
			if strings.HasPrefix(address, "/drawn/"+lang+"/") {
				addresses = append(addresses, fmt.Sprintf("%q", address))
			}
		}
		slices.SortFunc(addresses, cmp.Compare)
		page := browser.Open(t, server.URL+"/drawn/"+lang+"/"+serials[lang][0]+"/2x2/0", 1280, 800)
		page.Wait(`document.fonts.status === "loaded"`)
		for _, size := range [][2]int64{{1024, 768}, {1280, 800}, {1920, 1080}, {853, 533}, {640, 400}} {
			page.Resize(size[0], size[1])
			if size[0] < 1000 {
				addresses = slices.DeleteFunc(addresses, func(address string) bool { return !strings.Contains(address, "LINE3") })
			}
			page.Wait(`(window.faults = null, ` + measure + `([` + strings.Join(addresses, ",") + `]).then(f => { window.faults = f }, e => { window.faults = String(e) }), true)`)
			page.Wait(`window.faults !== null`)
			if faults := kiosktest.Value[string](page, `window.faults`); faults != "" {
				t.Errorf("%s", faults)
			}
		}
	}
}
