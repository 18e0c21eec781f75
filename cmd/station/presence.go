package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"station/fixtures"
	"station/flash"
	"station/provision"
	"station/spi"
)

const (
	lookPause = 250 * time.Millisecond // between two looks at a slot
	lookLimit = 5 * time.Second        // of one look, the opening of the programmer included
	// Springs and fingers bounce. So many looks in a row must find nothing, and so many a chip that does not tell its UID, before that is believed.
	looksAbsent = 2
	looksBlind  = 8
)

// sight is what looks at a slot came to.
type sight struct {
	slot    string
	present bool
	uid     string // "" where the chip does not tell it
}

// eye is what is kept between two looks at a slot: the open programmer, too, since opening it is felt by the kernel, by the supply that it switches, and by
// a processor that it holds in reset.
type eye struct {
	slot          string
	conn          spi.Conn // nil until it is open
	release       func() error
	absent, blind int    // looks in a row
	said          string // the error that was said last
}

// close lets go of the slot that e has.
func (s *scanning) close(e *eye) {
	if err := e.close(); err != nil {
		s.voice.warn("warning: " + err.Error())
	}
}

func (e *eye) close() (err error) {
	if e.conn != nil {
		err, e.conn = e.release(), nil
	}
	return err
}

// look looks at a slot that nothing else uses. settled is false where it takes more looks, and where the slot cannot be looked at, which is said once.
func (s *scanning) look(ctx context.Context, e *eye) (v sight, settled bool) {
	v.slot = e.slot
	var err error
	again := e.conn != nil // the next look opens it anew, and is told why that cannot be
	v.present, v.uid, err = e.glance(ctx, s.bench.rack, s.job.recipe.Parts())
	if err != nil {
		s.close(e)
		if text := err.Error(); ctx.Err() == nil && !again && text != e.said {
			e.said = text
			s.voice.sees(e.slot, err)
		}
		e.absent, e.blind = 0, 0
		return v, false
	}
	e.said = ""
	s.voice.sees(e.slot, nil)
	switch {
	case !v.present:
		e.absent, e.blind = e.absent+1, 0
		return v, e.absent >= looksAbsent
	case v.uid == "":
		e.absent, e.blind = 0, e.blind+1
		return v, e.blind >= looksBlind
	}
	e.absent, e.blind = 0, 0
	return v, true
}

// lookAll looks at all slots at once, each until what it finds is settled or cannot be. The order is that of the configuration.
func (s *scanning) lookAll(ctx context.Context) []sight {
	names := s.slots()
	found := make([]*sight, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			defer crashed(s.app.stderr)
			e := eye{slot: name}
			defer s.close(&e)
			for range looksBlind {
				v, settled := s.look(ctx, &e)
				if settled {
					found[i] = &v
				}
				if settled || e.said != "" {
					return
				}
				select {
				case <-time.After(s.pause):
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	var all []sight
	for _, v := range found {
		if v != nil {
			all = append(all, *v)
		}
	}
	return all
}

// glance opens the slot where it is not, and looks. A slot that gives what no part takes is not opened.
func (e *eye) glance(ctx context.Context, rack *fixtures.Rack, parts []*flash.Part) (present bool, uid string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	if e.conn == nil {
		volts, fed := rack.Volts(e.slot), false
		for _, p := range parts {
			fed = fed || provision.Feeds(volts, p)
		}
		if !fed {
			return false, "", fmt.Errorf("it gives %v V, and %s takes %v V", volts, parts[0].Name, parts[0].Volts)
		}
		if e.conn, e.release, err = rack.Lease(ctx, e.slot); err != nil {
			e.conn = nil
			return false, "", err
		}
	}
	err = provision.Caught(func() (err error) {
		present, uid, err = flash.Glance(ctx, e.conn, parts...)
		return err
	})
	return present, uid, err
}
