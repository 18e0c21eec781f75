package kiosk

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"station/kiosk/kiosktest"
	"station/ledger"
)

// Whoever looks finds a unit by typing and by scanning, decides about it, begins a job, ends a shift, and makes a user whose badge is shown once; on a station where nobody
// signs in. What is scanned into the search never reaches the line, but for cards. A page that was left goes back to the wall, but not one that something was typed into or that asks.
func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	x := newSite(t, Options{People: nobodyYet(t, func(context.Context, ledger.Body) error { return nil }), Open: true})
	for i := range 60 {
		x.records.units = append(x.records.units, UnitRow{Serial: fmt.Sprintf("GW-%06d", i), Outcome: ledger.Pass, Recipe: bootRecipe})
	}
	x.records.runs["GW-004711"] = ledger.Runs(interruptedUnit().records)
	x.station.recipes = []RecipeFile{{File: "gateway-boot.yaml", Recipe: bootRecipe, Parts: []string{"MT25QL256ABA"}, Steps: 9, Oneway: []string{"password"}}, {File: "plain.yaml", Recipe: ledger.Recipe{ID: "plain", Version: 1}, Steps: 1}}
	x.Server.o.Wall.Shift(&Shift{By: "op-1", Checks: []ledger.Check{{Name: "mirror", OK: true}}})
	server := httptest.NewServer(x.handler)
	t.Cleanup(server.CloseClientConnections)
	page := kiosktest.Start(t).Open(t, server.URL+"/units", 1280, 800)

	rows := `document.querySelectorAll("#found tbody tr").length`
	page.Wait(rows + ` === 50`)
	page.Type("GW-00005")
	page.Wait(rows + ` === 10`)
	page.Scan("GW-000007")
	page.WaitText("#found", "GW-000007")
	page.Wait(rows + ` === 1`)
	page.Scan("RESUME")
	page.Wait(`document.getElementById("echo-code").textContent === "RESUME" && document.getElementById("echo").dataset.tone === "accept"`)
	page.Wait(rows + ` === 1`)
	if asked, want := x.station.wanted(), []string{"scan RESUME by unnamed"}; !slices.Equal(asked, want) {
		t.Errorf("the line was asked for %q, want %q", asked, want)
	}

	page.Expect("500") // from here on the ledger cannot be read for a while: what was found stays
	x.records.fail(errors.New("the disk is gone"))
	page.Wait(`performance.getEntriesByType("resource").some(e => e.responseStatus === 500)`)
	x.records.fail(nil)
	page.Wait(rows + ` === 1 && document.getElementById("link").classList.contains("up")`)

	page.Go(server.URL + "/units/GW-004711")
	page.Click(`[name="as"][value="scrapped"]`)
	page.Click(`#close-reason`)
	page.Type("foreign password")
	page.Click(`[data-api$="/close"] button`)
	page.Wait(`document.getElementById("echo").dataset.tone === "accept"`)
	if want := []string{"close GW-004711 as scrapped: foreign password by unnamed"}; !slices.Equal(x.records.decided, want) {
		t.Errorf("decided %q, want %q", x.records.decided, want)
	}

	page.Go(server.URL + "/jobs")
	page.Wait(`!document.querySelector('[name="trial"]').checkVisibility()`)
	page.Click(`[value="gateway-boot.yaml"]`)
	page.Click(`[name="trial"]`)
	page.Click(`[value="plain.yaml"]`) // nothing in it is permanent: a trial of it is not offered, and what was ticked does not count
	page.Wait(`!document.querySelector('[name="trial"]').checkVisibility()`)
	page.Click(`button[type="submit"].primary`)
	page.Wait(`location.pathname === "/"`)
	page.Go(server.URL + "/jobs")
	page.Click(`[value="gateway-boot.yaml"]`)
	page.Click(`#quantity`)
	page.Wait(`(document.getElementById("quantity").value = "") === ""`)
	page.Type("250")
	later := `(performance.now = (then => () => then() + 120000)(performance.now.bind(performance))) && true`
	page.Wait(later)
	time.Sleep(1500 * time.Millisecond)
	page.Click(`[name="trial"]`)
	page.Click(`button[type="submit"].primary`)
	page.Wait(`location.pathname === "/"`)
	page.Go(server.URL + "/shift")
	page.Click(`[data-api="POST /api/v1/shift/end"]`)
	page.Wait(`document.getElementById("echo").dataset.tone === "accept"`)
	if got, want := x.station.wanted(), []string{"begin-job plain.yaml 0 by unnamed", "begin-job gateway-boot.yaml 250 trial by unnamed", "end-shift by unnamed"}; !slices.Equal(got, want) {
		t.Errorf("wanted %q, want %q", got, want)
	}

	page.Resize(1280, 1200)
	page.Go(server.URL + "/cards")
	page.Wait(`document.querySelectorAll(".code-card .barcode").length === 7`)
	file := filepath.Join(t.TempDir(), "cards.png")
	page.Picture(file)
	got := readFiles(t, file)
	for _, code := range []string{"REJECT", "RESUME", "CANCEL", "CLOSE-JOB", "BEGIN-SHIFT", "END-SHIFT", "SIGN-OFF"} {
		if !slices.Contains(got, code) {
			t.Errorf("%s is not read from the screen, but %q", code, got)
		}
	}
	page.Wait(`(document.getElementById("ask").showModal(), true)`)
	page.Wait(later)
	time.Sleep(1500 * time.Millisecond)
	page.Wait(`(document.getElementById("ask").close(), document.activeElement.blur(), true)`)
	if kiosktest.Value[string](page, `location.pathname`) != "/cards" {
		t.Error("the page is gone although it asks something")
	}
	page.Wait(later)
	page.Wait(`location.pathname === "/"`) // nobody did anything for two minutes
}

// The PIN of the first user, whom nobody could give another one, is typed twice.
func TestFirstPINIsTypedTwice(t *testing.T) {
	t.Parallel()
	x := newSite(t, Options{People: nobodyYet(t, func(context.Context, ledger.Body) error { return nil }), SetUp: "7K3M"})
	server := httptest.NewServer(x.handler)
	t.Cleanup(server.CloseClientConnections)
	page := kiosktest.Start(t).Open(t, server.URL+"/setup", 1280, 800)
	for _, field := range []struct{ id, text string }{{"code", "7k3m"}, {"name", "Ada"}, {"id", "ad-1"}, {"pin", "824913"}, {"pin-again", "824931"}} {
		page.Click("#" + field.id)
		page.Type(field.text)
	}
	page.Click(`button[type="submit"]`)
	page.WaitText("[data-problem]", "not the same")
	if !x.o.People.None() {
		t.Error("there is a user of whose PIN nobody can be sure")
	}
	page.Wait(`(document.getElementById("pin-again").value = "") === ""`)
	page.Click("#pin-again")
	page.Type("824913")
	page.Click(`button[type="submit"]`)
	page.Wait(`location.pathname === "/"`)
	page.WaitText(".who", "Ada")
}

// An admin makes a user with a badge, which is shown once: it signs the user in. After that nobody can see it again. Who is removed sees nothing more, without a click.
func TestBadgeIsShownOnce(t *testing.T) {
	t.Parallel()
	x := newSite(t, Options{})
	server := httptest.NewServer(x.handler)
	t.Cleanup(server.CloseClientConnections)
	page := kiosktest.Start(t).Open(t, server.URL+"/signin", 1280, 800)
	page.Expect("401")
	page.Wait(`window.same = true`)
	page.Scan(badgeOf("nobody"))
	page.WaitText("[data-problem]", "That was not right. Try again: scan the badge, or name and PIN.")
	time.Sleep(time.Second)
	if !kiosktest.Value[bool](page, `window.same === true && document.querySelector("[data-problem]").innerText !== ""`) {
		t.Error("why a badge was refused stood a moment, and then the page was loaded anew")
	}
	page.Scan(badgeOf("adm-1"))
	page.Wait(`location.pathname === "/"`)
	page.Go(server.URL + "/users")
	page.Click(`#add-name`)
	page.Type("Lin")
	page.Click(`#add-id`)
	page.Type("op-2")
	page.Click(`.card[data-api="POST /api/v1/users"] button[type="submit"]`)
	page.Wait(`document.getElementById("badge-card").open`)
	code := page.Text("[data-badge-code]")
	if !x.Server.o.Badge.MatchString(code) || page.Text("[data-badge-name]") != "Lin" {
		t.Fatalf("a badge of %q with %q", page.Text("[data-badge-name]"), code)
	}
	if got := readCodes(t, cardPicture(t, kiosktest.Value[string](page, `document.querySelector("[data-badge-bars]").innerHTML`)))[0]; got != code {
		t.Errorf("the bars are of %q", got)
	}
	page.Wait(`document.activeElement.matches("[data-print]")`) // not what closes the only sight of it
	page.Click(`#badge-card [data-close]`)
	page.Wait(`document.readyState === "complete" && document.querySelector(".table").textContent.includes("op-2")`)
	if strings.Contains(kiosktest.Value[string](page, `document.documentElement.outerHTML`), code) {
		t.Error("the code is still there")
	}
	page.Scan(code)
	page.Wait(`location.pathname === "/"`)
	page.WaitText(".who", "Lin")

	page.Go(server.URL + "/units")
	if err := x.Server.o.People.Remove(t.Context(), Who{ID: "adm-1"}, "op-2"); err != nil {
		t.Fatal(err)
	}
	page.Wait(`document.body.classList.contains("page-signin")`)
}
