package main

import (
	"fmt"
	"sync"
	"time"

	"station/kiosk"
)

// cardAgain is a card that was asked to be scanned once more.
type cardAgain struct {
	mu   sync.Mutex
	what string
	at   time.Time
}

const (
	againLeast = time.Second // what comes before is a scanner that read the card twice
	againLimit = 10 * time.Second
)

// scanned tells whether a card that ends something was scanned once more, in time.
func (c *cardAgain) scanned(what string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := now.Sub(c.at)
	switch {
	case c.what != what, since > againLimit:
		c.what, c.at = what, now
		return false
	case since < againLeast:
		return false
	}
	c.what = ""
	return true
}

// forget is for whatever somebody does meanwhile: the card is asked for anew.
func (c *cardAgain) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.what = ""
}

// closeAsks is what a card that closes a job asks before: nil where all are made, or where it asked a moment ago. f.deeds is held.
func (f *floor) closeAsks(j *floorJob, who kiosk.Who) *kiosk.Said {
	passed, _, _ := j.count()
	switch {
	case j.Quantity > 0 && passed >= j.Quantity, f.again.scanned("close "+j.Job+" "+who.ID, time.Now()):
		return nil
	case j.Quantity > 0:
		return said(kiosk.WordCloseAgain, fmt.Sprintf("%d of %d have passed: scan %s again to close the job", passed, j.Quantity, kiosk.CardCloseJob), "",
			"passed", fmt.Sprint(passed), "quantity", fmt.Sprint(j.Quantity), "card", kiosk.CardCloseJob)
	}
	return said(kiosk.WordCloseAgainOpen, fmt.Sprintf("%d have passed: scan %s again to close the job", passed, kiosk.CardCloseJob), "", "passed", fmt.Sprint(passed), "card", kiosk.CardCloseJob)
}
