package kiosk

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"station/provision"
)

// Inner widths of the cards on a sheet of A4, in millimetres: two beside each other, or one across; and that of a badge.
const (
	cardWidth  = 80.0
	wideWidth  = 172.0
	badgeWidth = 100.0 // hangs on a cord, in the format A6
)

// card is one that is printed. What it is called and what it does stands in the catalogue, under cards.WORD and cards.WORD.do.
type card struct {
	Word  string
	Facts map[string]string
	Code  string
	Bars  template.HTML
	Alien bool // it has no bars because there are none for some of its characters
}

// newCard draws the bars of a card. Where they do not fit, Bars is empty and the page says so.
func newCard(word, code string, width float64, facts map[string]string) card {
	bars, err := barcode(code, width)
	if err != nil {
		bars = ""
	}
	return card{Word: word, Facts: facts, Code: code, Bars: bars, Alien: errors.Is(err, errNotASCII)}
}

// cardsView is what the page of cards shows: all of them, and the form for a job's.
type cardsView struct {
	Commands []card
	Labels   []card
	Releases []card
	Job      *card // of Recipe and Quantity
	Recipes  []RecipeFile
	Recipe   string
	Quantity int
}

// newCardsView makes the cards of these slots, and the one of a job where a recipe is chosen.
func newCardsView(rows [][]Tile, files []RecipeFile, recipe string, quantity int) cardsView {
	v := cardsView{Recipe: recipe, Quantity: quantity}
	for _, c := range []struct{ word, code string }{
		{"reject", provision.CardReject}, {"resume", provision.CardResume}, {"cancel", provision.CardCancel}, {"close-job", CardCloseJob}, {"begin-shift", CardBeginShift}, {"end-shift", CardEndShift}, {"sign-off", CardSignOff},
	} {
		v.Commands = append(v.Commands, newCard(c.word, c.code, cardWidth, nil))
	}
	for _, row := range rows {
		for _, t := range row {
			if t.Slot == "" || t.Excluded {
				continue
			}
			facts := map[string]string{"slot": t.Slot}
			v.Labels = append(v.Labels, newCard("slot", provision.LabelSlot+t.Slot, cardWidth, facts))
			v.Releases = append(v.Releases, newCard("release", provision.CardRelease+t.Slot, cardWidth, facts))
		}
	}
	for _, f := range files {
		if f.Problem != "" {
			continue
		}
		v.Recipes = append(v.Recipes, f)
		if f.File == recipe {
			c := newCard("job", jobCode(recipe, quantity), wideWidth, map[string]string{"title": f.Recipe.Title, "id": f.Recipe.ID, "version": strconv.Itoa(f.Recipe.Version), "n": strconv.Itoa(quantity)})
			v.Job = &c
		}
	}
	return v
}

// cardPattern is a regular expression of the codes of cards and labels: whatever page is open, these act. What else is scanned into a search is looked for.
func cardPattern() string {
	var codes []string
	for _, c := range CardCodes {
		codes = append(codes, regexp.QuoteMeta(c.Code))
	}
	for _, prefix := range []string{provision.LabelSlot, provision.CardRelease, CardJob} {
		codes = append(codes, regexp.QuoteMeta(prefix)+".*")
	}
	return "^(" + strings.Join(codes, "|") + ")$"
}

// jobCode is the code of the card that begins a job.
func jobCode(recipe string, quantity int) string {
	return fmt.Sprintf("%s%s:%d", CardJob, recipe, quantity)
}

// cards answers GET /cards?recipe&quantity.
func (p *pages) cards(w http.ResponseWriter, r *http.Request) {
	quantity, err := strconv.Atoi(r.FormValue("quantity"))
	if err != nil || quantity < 0 {
		quantity = 0
	}
	p.show(w, r, http.StatusOK, "cards", newCardsView(p.state().Rows, p.o.Station.Recipes(), r.FormValue("recipe"), quantity))
}
