package provision

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// rootKey gives a monotonic counter its root key, once for ever. Before the key is sent, the packets that will prove it are made
// and kept, and the digest of the only right reply is in the ledger: so the proof needs no key, today or after a crash.
type rootKey struct {
	r      *run
	s      recipes.RootKey
	rpmc   *flash.RPMC
	intent *ledger.RootKeyIntent // the last one of this counter, when it is not void
	proven *ledger.RootKeyProven
}

// attempts is how often a root key is sent at the most, each time under an intent of its own.
const attempts = 2

func (k *rootKey) observe(context.Context) (err error) {
	for _, b := range k.r.books {
		switch b := b.(type) {
		case ledger.RootKeyIntent:
			if b.Index == k.s.Index {
				k.intent = &b
			}
		case ledger.RootKeyVoid:
			if b.Index == k.s.Index {
				k.intent = nil
			}
		case ledger.RootKeyProven:
			if b.Index == k.s.Index {
				k.proven = &b
			}
		}
	}
	if k.intent == nil && k.proven == nil {
		_, k.proven, _ = k.r.rework.rootKey(k.s.Index) // it is there since an earlier run
	}
	k.rpmc, err = k.r.chip.RPMC()
	return err
}

func (k *rootKey) decide() (bool, error) { return k.proven == nil, nil }

func (k *rootKey) act(ctx context.Context) error {
	if k.intent != nil {
		if err := k.settle(ctx); err != nil || k.proven != nil {
			return err
		}
	}
	for range attempts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := k.install(ctx); err != nil {
			return err
		}
		if err := k.settle(ctx); err != nil || k.proven != nil {
			return err
		}
	}
	return fmt.Errorf("root key %d: %w", k.s.Index, flash.ErrNotExecuted)
}

func (k *rootKey) note(name string) string { return fmt.Sprintf("root_key.%d.%s", k.s.Index, name) }

func (k *rootKey) keyName() string {
	if k.s.Derive == "" {
		return "random"
	}
	return "derive:" + k.s.Derive
}

// withKey lends the root key.
func (r *run) withKey(derive string, index int, use func(key *[32]byte) error) error {
	given := func(b []byte) error {
		key := [32]byte(b)
		defer clear(key[:])
		return use(&key)
	}
	if derive == "" {
		return r.random(32, given)
	}
	of := KeyOf{Part: r.chip.Part().Name, UID: r.chip.UID(), Recipe: r.o.Recipe.ID(), Index: index}
	return lend(func(use func([]byte) error) error { return r.e.o.Secrets.Derived(derive, of, use) }, given)
}

// install seals the key, commits it with the packets of its proof and the intent, and sends it once.
func (k *rootKey) install(ctx context.Context) error {
	r := k.r
	if retired, err := r.retired(k.s.Derive); err != nil {
		return err
	} else if retired { // since the run began
		return &stationError{"keyring", fmt.Errorf("the master key %s was retired, and no chip gets a key from it any more: close the unit", k.s.Derive)}
	}
	master, err := r.master(k.s.Derive)
	if err != nil {
		return err
	}
	return r.withKey(k.s.Derive, k.s.Index, func(key *[32]byte) error {
		var keyData [4]byte
		var tag [12]byte
		rand.Read(keyData[:])
		rand.Read(tag[:])
		hmacKey := flash.HMACKey(key, keyData)
		defer clear(hmacKey[:])
		index := byte(k.s.Index)
		reply := flash.ReplyFor(&hmacKey, tag, k.rpmc.Initial)
		sum := sha256.Sum256(reply[:])
		packet, err := flash.RootKeyPacket(k.rpmc.Op1, index, key)
		if err != nil {
			return &stationError{"escrow", err}
		}
		defer clear(packet)
		sealed, text, err := r.seal(k.s.Escrow, key[:])
		if err != nil {
			return err
		}
		intent := ledger.RootKeyIntent{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), Index: k.s.Index, Key: k.keyName(), Escrow: sealed, Reply: hex.EncodeToString(sum[:]), Master: master}
		err = r.commit(ctx, ledger.Change{Bodies: []ledger.Body{intent}, Escrow: map[string][]byte{sealed.ID: text}, Notes: map[string][]byte{
			k.note("update"):  flash.UpdatePacket(k.rpmc.Op1, index, key, keyData),
			k.note("request"): flash.RequestPacket(k.rpmc.Op1, index, &hmacKey, tag),
		}})
		if err != nil {
			return err
		}
		k.intent = &intent
		if err := r.checkEscrow(sealed); err != nil {
			return err
		}
		// Whatever it answers, settle looks at what the chip knows.
		_, err = r.chip.SendRPMC(context.WithoutCancel(ctx), packet, true)
		return err
	})
}

// settle finds out by the packets made before whether the chip knows the key of the intent. It sets proven, or intent to nil
// where the chip has no key at all.
func (k *rootKey) settle(ctx context.Context) error {
	r, chip := k.r, k.r.chip
	foreign := func(why string) error {
		return stuck("root-key-foreign", fmt.Sprintf("Counter %d has a root key that is not the escrowed one: %s.", k.s.Index, why),
			"Find out where the board was before. Close the unit as scrapped.")
	}
	update, err := r.e.journal.Note(r.id, k.note("update"))
	if err != nil {
		return &stationError{"ledger", err}
	}
	request, err := r.e.journal.Note(r.id, k.note("request"))
	if err != nil {
		return &stationError{"ledger", err}
	}
	for try := 1; ; try++ {
		status, err := chip.SendRPMC(ctx, update, false)
		if err != nil {
			return err
		}
		switch status {
		case flash.RPMCSuccess:
		case flash.RPMCRootKey: // the counter has no key
			id := k.intent.Escrow.ID
			k.intent = nil
			return r.commit(ctx, ledger.Change{Bodies: []ledger.Body{ledger.RootKeyVoid{Run: r.id, Serial: r.o.Serial, Index: k.s.Index, Escrow: id}},
				Forget: []string{k.note("update"), k.note("request")}})
		case flash.RPMCSignature:
			// A bad contact garbles packets too: the same answer twice over a good contact is the chip's.
			if err := chip.Contact(ctx); err != nil {
				return err
			}
			if try < attempts {
				continue
			}
			return foreign("it does not accept this key's signature")
		default:
			return fmt.Errorf("update HMAC key of counter %d: %s: %w", k.s.Index, flash.ExplainRPMC(status), flash.ErrNotExecuted)
		}
		if status, err = chip.SendRPMC(ctx, request, false); err != nil {
			return err
		}
		if status == flash.RPMCNoHMACKey && try < attempts {
			continue // it lost its power in between
		}
		if status != flash.RPMCSuccess {
			return fmt.Errorf("request counter %d: %s: %w", k.s.Index, flash.ExplainRPMC(status), flash.ErrNotExecuted)
		}
		reply, err := chip.ReadRPMC(ctx)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(reply[:]); hex.EncodeToString(sum[:]) != k.intent.Reply {
			return foreign("its reply is not the one that this key gives")
		}
		k.proven = &ledger.RootKeyProven{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), Index: k.s.Index, Key: k.intent.Key,
			Counter: flash.ParseReply(reply).Counter, Escrow: k.intent.Escrow.ID}
		return r.commit(ctx, ledger.Change{Bodies: []ledger.Body{*k.proven}, Forget: []string{k.note("update"), k.note("request")}})
	}
}

// confirm: the proof is the chip's own signature over a nonce, in the ledger since act. A derived key that a rework finds there is asked once more; of a random one
// the earlier run's proof stands.
func (k *rootKey) confirm(ctx context.Context) (proof, error) {
	p := proof{how: "nonce signed by the chip", facts: []ledger.Fact{
		{Name: "key", Value: k.proven.Key},
		{Name: "counter", Value: fmt.Sprintf("%d, value %d", k.proven.Index, k.proven.Counter)},
		{Name: "escrow", Value: k.proven.Escrow},
	}}
	if k.proven.Run == k.r.id {
		return p, nil
	}
	p.facts = append(p.facts, ledger.Fact{Name: "there since run", Value: k.proven.Run})
	if k.s.Derive == "" {
		p.how += ", in an earlier run"
		return p, nil
	}
	c := &counter{r: k.r, s: recipes.Counter{Index: k.s.Index}, rpmc: k.rpmc, derive: k.s.Derive}
	return p, c.session(ctx, func(hmacKey *[32]byte) (err error) {
		c.value, err = c.read(ctx, hmacKey)
		p.facts[1].Value = fmt.Sprintf("%d, value %d", k.s.Index, c.value)
		return err
	})
}
