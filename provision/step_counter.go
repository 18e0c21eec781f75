package provision

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// counter increments a monotonic counter to a value, one step after the other, each under an intent of its own.
type counter struct {
	r      *run
	s      recipes.Counter
	rpmc   *flash.RPMC
	derive string
	value  uint32
	next   time.Time // not to be incremented before
}

func (c *counter) observe(ctx context.Context) (err error) {
	if c.rpmc, err = c.r.chip.RPMC(); err != nil {
		return err
	}
	steps := c.r.o.Recipe.Steps()
	i := slices.IndexFunc(steps, func(s recipes.Step) bool { k, ok := s.(recipes.RootKey); return ok && k.Index == c.s.Index })
	if i < 0 {
		return &stationError{"program", fmt.Errorf("counter %d has no root key in this recipe", c.s.Index)}
	}
	c.derive = steps[i].(recipes.RootKey).Derive
	return c.session(ctx, func(hmacKey *[32]byte) error {
		c.value, err = c.read(ctx, hmacKey)
		return err
	})
}

func (c *counter) decide() (bool, error) {
	if c.value > c.s.To {
		return false, stuck("counter-beyond", fmt.Sprintf("Counter %d has the value %d, the recipe wants %d, and it never goes back.", c.s.Index, c.value, c.s.To),
			"Close the unit as scrapped, unless a recipe with a higher value is right for it.")
	}
	return c.value < c.s.To, nil
}

// session sets the counter's HMAC key for this power-up and lends it.
func (c *counter) session(ctx context.Context, use func(hmacKey *[32]byte) error) error {
	return c.r.withKey(c.derive, c.s.Index, func(key *[32]byte) error {
		var keyData [4]byte
		rand.Read(keyData[:])
		if err := c.update(ctx, flash.UpdatePacket(c.rpmc.Op1, byte(c.s.Index), key, keyData)); err != nil {
			return err
		}
		hmacKey := flash.HMACKey(key, keyData)
		defer clear(hmacKey[:])
		return use(&hmacKey)
	})
}

// update sends the packet that only who has the root key can sign. Once the chip takes it, the key is known to be the chip's.
func (c *counter) update(ctx context.Context, packet []byte) error {
	for try := 1; ; try++ {
		status, err := c.r.chip.SendRPMC(ctx, packet, false)
		if err != nil || status != flash.RPMCSignature {
			return c.executed(status, err)
		}
		// A bad contact garbles packets too: the same answer twice over a good contact is the chip's.
		if err := c.r.chip.Contact(ctx); err != nil {
			return err
		}
		if try == attempts {
			return c.refused()
		}
	}
}

// refused says whose fault it is that the chip does not take the derived key: the station's, unless the master is known to be the one that the chip's key is from.
func (c *counter) refused() error {
	now, err := c.r.master(c.derive)
	if err != nil {
		return err
	}
	was, _, _ := c.r.rework.rootKey(c.s.Index)
	for _, b := range c.r.books {
		if b, is := b.(ledger.RootKeyIntent); is && b.Index == c.s.Index {
			was = &b
		}
	}
	if was == nil || was.Master != now {
		return &stationError{"keyring", fmt.Errorf("counter %d does not take the key that is derived from the master %q, and nothing tells that this is still the master which its key is from; "+
			"if it is not, restore its file from the copy of the keys", c.s.Index, c.derive)}
	}
	return stuck("root-key-foreign", fmt.Sprintf("Counter %d does not take the signature of the root key that it was given.", c.s.Index),
		"Find out where the board was before. Close the unit as scrapped.")
}

func (c *counter) send(ctx context.Context, packet []byte) error {
	status, err := c.r.chip.SendRPMC(ctx, packet, false)
	return c.executed(status, err)
}

// executed makes an error of a status that is not success.
func (c *counter) executed(status byte, err error) error {
	if err == nil && status != flash.RPMCSuccess {
		err = fmt.Errorf("counter %d: %s: %w", c.s.Index, flash.ExplainRPMC(status), flash.ErrNotExecuted)
	}
	return err
}

// read asks for the counter's value, signed.
func (c *counter) read(ctx context.Context, hmacKey *[32]byte) (uint32, error) {
	var tag [12]byte
	rand.Read(tag[:])
	if err := c.send(ctx, flash.RequestPacket(c.rpmc.Op1, byte(c.s.Index), hmacKey, tag)); err != nil {
		return 0, err
	}
	raw, err := c.r.chip.ReadRPMC(ctx)
	if err != nil {
		return 0, err
	}
	reply := flash.ParseReply(raw)
	return reply.Counter, reply.Verify(hmacKey, tag)
}

func (c *counter) act(ctx context.Context) error {
	return c.session(ctx, func(hmacKey *[32]byte) error {
		if c.value > c.rpmc.Initial {
			c.next = time.Now().Add(c.rpmc.UpdateRate) // by whom and when it was incremented is not known
		}
		for c.value < c.s.To {
			if err := c.pace(ctx); err != nil {
				return err
			}
			what := fmt.Sprintf("counter %d: %d to %d", c.s.Index, c.value, c.value+1)
			if err := c.r.intend(ctx, what); err != nil {
				return err
			}
			if err := c.send(context.WithoutCancel(ctx), flash.IncrementPacket(c.rpmc.Op1, byte(c.s.Index), hmacKey, c.value)); err != nil {
				return err
			}
			now, err := c.read(ctx, hmacKey)
			if err != nil {
				return err
			}
			if now != c.value+1 {
				return fmt.Errorf("%s: it reads %d: %w", what, now, flash.ErrNotExecuted)
			}
			c.value, c.next = now, time.Now().Add(c.rpmc.UpdateRate)
		}
		return nil
	})
}

// pace waits until the chip may be incremented again: one that is driven faster than its update rate may stay busy, or wear out (JESD260).
func (c *counter) pace(ctx context.Context) error {
	wait := time.NewTimer(time.Until(c.next))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return ctx.Err() // both may be ready, and a run that was stopped begins nothing
	}
}

func (c *counter) confirm(ctx context.Context) (proof, error) {
	err := c.session(ctx, func(hmacKey *[32]byte) (err error) {
		c.value, err = c.read(ctx, hmacKey)
		return err
	})
	if err == nil && c.value != c.s.To {
		err = fmt.Errorf("counter %d reads %d: %w", c.s.Index, c.value, flash.ErrNotExecuted)
	}
	return proof{how: "nonce signed by the chip", facts: []ledger.Fact{{Name: "counter", Value: fmt.Sprintf("%d, value %d", c.s.Index, c.value)}}}, err
}
