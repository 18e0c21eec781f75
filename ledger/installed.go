package ledger

import (
	"errors"
	"fmt"
	"maps"
)

// afterSecret judges the entries about secrets and one-way steps.
func (p Progress) afterSecret(b Body) (_ Progress, err error) {
	switch b := b.(type) {
	case PasswordIntent:
		if p.Mode.ID != "" {
			return p, fmt.Errorf("a password after the mode %s", p.Mode.ID)
		}
		if err = p.sameChip(b.UID); err == nil {
			p.Password, err = p.Password.intend(b.Escrow)
		}
	case PasswordVoid:
		p.Password, err = p.Password.void(b.Escrow)
	case PasswordProven:
		if err = p.sameChip(b.UID); err == nil {
			p.Password, err = p.Password.prove(b.Escrow)
		}
	case ModeIntent:
		switch {
		case b.Mode != PasswordMode && b.Mode != PersistentMode:
			return p, fmt.Errorf("unknown mode %q", b.Mode)
		case p.Mode.Proven || p.Mode.ID != "" && p.Mode.ID != b.Mode:
			return p, fmt.Errorf("mode %s after mode %s", b.Mode, p.Mode.ID)
		case b.Mode == PasswordMode && !p.Password.Proven:
			return p, errors.New("password mode without a proven password")
		case b.Mode == PersistentMode && p.Password.ID != "":
			return p, errors.New("persistent mode after a password")
		}
		p.Mode.ID = b.Mode // again where the chip showed that the first had no effect
		err = p.sameChip(b.UID)
	case ModeProven:
		if err = p.sameChip(b.UID); err == nil {
			p.Mode, err = p.Mode.prove(b.Mode)
		}
	case RootKeyIntent:
		if !lowerHex(b.Reply, 64) {
			return p, errors.New("a root key without the digest of its reply")
		}
		if err = p.sameChip(b.UID); err == nil {
			err = p.rootKey(b.Index, func(k Installed) (Installed, error) { return k.intend(b.Escrow) })
		}
	case RootKeyVoid:
		err = p.rootKey(b.Index, func(k Installed) (Installed, error) { return k.void(b.Escrow) })
	case RootKeyProven:
		if err = p.sameChip(b.UID); err == nil {
			err = p.rootKey(b.Index, func(k Installed) (Installed, error) { return k.prove(b.Escrow) })
		}
	case PasswordOpened:
		if err = p.sameChip(b.UID); err == nil && (!p.Rework || !lowerHex(b.Escrow, 16)) {
			err = fmt.Errorf("escrow %q, in a run that is no rework or by no escrow", b.Escrow)
		}
	case LocksErased:
		if err = p.sameChip(b.UID); err == nil && !p.Rework {
			err = errors.New("a run that is no rework")
		}
	case PermanentIntent:
		if b.What == "" {
			return p, errors.New("an intent to do nothing")
		}
		err = p.sameChip(b.UID)
	case RelayIntent:
		if err = p.sameChip(b.UID); err == nil {
			p.Relay, err = p.Relay.intend(b)
		}
	case RelayAnswer:
		if err = p.sameChip(b.UID); err == nil {
			p.Relay, err = p.Relay.answer(b)
		}
	default:
		return p, fmt.Errorf("%s does not belong to a run", b.Kind())
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", b.Kind(), err)
	}
	return p, err
}

// rootKey changes one root key of p and leaves the progress alone that p was copied from.
func (p *Progress) rootKey(index int, change func(Installed) (Installed, error)) error {
	next, err := change(p.RootKeys[index])
	if err == nil && index < 0 {
		err = errors.New("a negative index")
	}
	if err != nil {
		return fmt.Errorf("counter %d: %w", index, err)
	}
	keys := maps.Clone(p.RootKeys)
	if keys == nil {
		keys = map[int]Installed{}
	}
	keys[index] = next
	p.RootKeys = keys
	return nil
}

func (i Installed) intend(s Sealed) (Installed, error) {
	switch {
	case i.Proven:
		return i, fmt.Errorf("escrow %s is proven already", i.ID)
	case i.ID != "":
		return i, fmt.Errorf("escrow %s is not settled", i.ID)
	case !lowerHex(s.ID, 16) || !lowerHex(s.SHA256, 64):
		return i, fmt.Errorf("escrow %q with digest %q is not named in lower-case hex", s.ID, s.SHA256)
	case len(s.Recipients) == 0:
		return i, fmt.Errorf("escrow %s is sealed to nobody", s.ID)
	}
	return Installed{ID: s.ID}, nil
}

func (i Installed) void(id string) (Installed, error) {
	if err := i.intended(id); err != nil {
		return i, err
	}
	return Installed{}, nil
}

func (i Installed) prove(id string) (Installed, error) {
	if err := i.intended(id); err != nil {
		return i, err
	}
	return Installed{ID: id, Proven: true}, nil
}

func (i Installed) intended(id string) error {
	switch {
	case id == "" || i.ID != id:
		return fmt.Errorf("%q was not intended", id)
	case i.Proven:
		return fmt.Errorf("%q is proven already", id)
	}
	return nil
}
