package main

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"station/ledger"
	"station/provision"
)

// hung is a ledger whose disk hangs.
type hung struct {
	provision.Journal
	serials chan string   // whose refusals are written down
	back    chan struct{} // closed when the disk is
}

func (h hung) Commit(_ context.Context, c ledger.Change) (int64, error) {
	h.serials <- c.Bodies[0].(ledger.RunEnd).Serial
	<-h.back
	return 7, nil
}

// TestRefuseHung: where a refusal cannot be written down, the scanning waits a second for each and goes on; and they are written down one after the other, when it can.
func TestRefuseHung(t *testing.T) {
	t.Parallel()
	recipe, err := loadRecipe(filepath.Join(newPosition(t).dir, "small.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		disk := hung{serials: make(chan string, 10), back: make(chan struct{})}
		var said bytes.Buffer
		voice := &terminal{app: &app{stderr: &said}}
		s := &scanning{app: voice.app, voice: voice, job: job{recipe: recipe, operator: "op"}, engine: provision.New(nil, disk, provision.Options{}), refused: make(chan outcome), scanner: true}
		refusal := func(serial string) provision.Decision {
			return provision.Decision{Do: provision.Refuse, Slot: "1", Serial: serial, Cause: "in-two-slots", Message: "no", Next: "look"}
		}
		began := time.Now()
		s.do(t.Context(), []provision.Decision{refusal("TB-0001"), refusal("TB-0002"), {Do: provision.Tell, Message: "it goes on"}})
		if took := time.Since(began); took != 2*refuseWait || said.String() != "it goes on\n" || s.running != 2 || len(disk.serials) != 1 {
			t.Errorf("after %v: %q, %d under way, %d at the disk", took, &said, s.running, len(disk.serials))
		}
		close(disk.back)
		began = time.Now()
		s.do(t.Context(), []provision.Decision{refusal("TB-0003"), {Do: provision.Ask, Slot: "2", Message: "serial"}})
		if took := time.Since(began); took != 0 || said.String() != "it goes on\n  look\n  look\n  look\nslot 2 is free: scan the serial\n" || s.running != 0 {
			t.Errorf("after %v: %q, %d under way", took, &said, s.running)
		}
		for i, want := range []string{"TB-0001", "TB-0002", "TB-0003"} {
			if got := <-disk.serials; got != want || voice.results[i].Serial != want || voice.results[i].Outcome != ledger.Refused || voice.results[i].Index != 7 {
				t.Errorf("%s was written down, and %+v is the result, want %s", got, voice.results[i], want)
			}
		}
	})
}
