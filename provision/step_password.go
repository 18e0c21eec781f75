package provision

import (
	"context"
	"crypto/hmac"
	"crypto/subtle"
	"errors"
	"fmt"

	"station/flash"
	"station/ledger"
	"station/recipes"
)

// NoteTag names the note that holds the tag of a run's password while the run is open.
const NoteTag = "password.tag"

// noteTagKey names the note by which the key that made the tag is known again: the tag of no password at all.
const noteTagKey = "password.tag-key"

// password gives the chip a password of its own and switches password mode on, for ever. The states are:
//
//	W1  draw the password, seal it, commit escrow, tag and intent in one transaction, read the escrow back
//	W2  send it once (28)
//	W3  read it back (27) and recognise it by its tag: password.proven
//	M1  read and recognise it again: mode.intent
//	M2  switch the mode on (2C), see that the chip no longer tells, exercise the unlock where the recipe says so
//	M3  mode.proven
//
// A rework finds mode and password there, and has opened the chip with it just before: nothing is left but to bring the chip to the state that the recipe wants.
//
// A run that broke off is taken up where chip and account say it is; what they cannot say, a person decides.
type password struct {
	r *run
	s recipes.Password

	intent     *ledger.PasswordIntent // the last one, when it is not void
	proven     bool                   // the intent's password was read back
	modeIntent bool
	modeProven bool
	opened     *ledger.PasswordOpened // of a rework
	frozen     bool                   // likewise

	spr   uint16
	told  flash.Password // what 27 told when observed, in factory mode only
	grade string
}

const (
	gradeExercised = "unlock exercised"
	gradeReadBack  = "read back before the mode"
)

func (p *password) observe(ctx context.Context) (err error) {
	for _, b := range p.r.books {
		switch b := b.(type) {
		case ledger.PasswordIntent:
			p.intent, p.proven, p.modeIntent = &b, false, false
		case ledger.PasswordVoid:
			p.intent = nil
		case ledger.PasswordProven:
			p.proven = true
		case ledger.ModeIntent:
			p.modeIntent = true
		case ledger.ModeProven:
			p.modeProven, p.grade = true, b.Grade
		case ledger.PasswordOpened:
			p.opened = &b
		}
	}
	if p.opened != nil {
		if p.frozen, err = p.r.chip.Frozen(ctx); err != nil {
			return err
		}
	}
	if p.spr, err = p.r.chip.SectorProtection(ctx); err != nil {
		return err
	}
	if p.spr == flash.FactoryMode {
		return p.r.chip.ReadPassword(ctx, &p.told)
	}
	return nil
}

func (p *password) decide() (bool, error) {
	defer clear(p.told[:])
	blank := p.r.chip.Part().Blank(&p.told)
	switch {
	case p.spr == flash.PasswordMode && p.opened != nil:
		return p.s.Exercise != "" && !p.frozen, nil
	case p.spr == flash.PasswordMode && p.proven && p.modeIntent:
		return !p.modeProven, nil
	case p.spr == flash.PasswordMode:
		return false, stuck("password-mode-foreign", "Password mode is on, and this run did not switch it on.",
			"Ask the auditor whether an escrow opens this chip; otherwise close the unit as scrapped.")
	case p.spr == flash.PersistentMode:
		return false, stuck("persistent-mode", "Password mode can never be switched on in this chip: the other mode was chosen.",
			"Close the unit as scrapped, or provision it with a recipe without password.")
	case p.spr != flash.FactoryMode:
		return false, stuck("protection-register", fmt.Sprintf("The sector protection register holds %04X, which no recipe leaves.", p.spr),
			"Close the unit as scrapped.")
	case p.modeProven:
		return false, &verdict{ledger.Fail, "mode-lost", "Password mode was on and is off again: the chip is not what it seems.", "Put the board into the reject bin; it needs disposition."}
	case p.intent == nil && !blank:
		return false, stuck("password-foreign", "The chip holds a password that this station did not write.",
			"Find out where the board was before. Close the unit as scrapped, unless the password is known.")
	case p.proven && blank:
		return false, stuck("password-lost", "The chip told its password before and is blank now.", "Close the unit as scrapped.")
	case p.intent != nil && !blank:
		return true, p.recognise(&p.told)
	}
	return true, nil
}

func (p *password) act(ctx context.Context) error {
	if p.spr == flash.PasswordMode {
		return p.exercise(ctx, nil) // the chip does not tell any more: only M3 is missing
	}
	if err := p.learn(ctx); err != nil {
		return err
	}
	return p.switchMode(ctx)
}

// learn is W1 to W3.
func (p *password) learn(ctx context.Context) error {
	var told flash.Password
	defer clear(told[:])
	if err := p.r.chip.ReadPassword(ctx, &told); err != nil {
		return err
	}
	if p.intent != nil && p.r.chip.Part().Blank(&told) {
		if err := p.void(ctx); err != nil {
			return err
		}
	}
	if p.intent == nil {
		if err := p.write(ctx); err != nil {
			return err
		}
		if err := p.r.chip.ReadPassword(ctx, &told); err != nil {
			return err
		}
	}
	if p.r.chip.Part().Blank(&told) {
		if err := p.void(ctx); err != nil {
			return err
		}
		return fmt.Errorf("the password reads back blank: %w", flash.ErrNotExecuted)
	}
	if err := p.recognise(&told); err != nil || p.proven {
		return err
	}
	p.proven = true
	return p.r.record(ctx, ledger.PasswordProven{Run: p.r.id, Serial: p.r.o.Serial, UID: p.r.chip.UID(), Escrow: p.intent.Escrow.ID})
}

// write is W1 and W2. The password lives in here only.
func (p *password) write(ctx context.Context) error {
	r := p.r
	return r.random(len(flash.Password{}), func(secret []byte) error {
		pw := flash.Password(secret)
		defer clear(pw[:])
		sealed, text, err := r.seal(p.s.Escrow, secret)
		if err != nil {
			return err
		}
		intent := ledger.PasswordIntent{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), Escrow: sealed}
		tag, err := r.tag(intent.UID, sealed.ID, secret)
		if err != nil {
			return err
		}
		tagKey, err := r.tag(intent.UID, sealed.ID, nil)
		if err != nil {
			return err
		}
		err = r.commit(ctx, ledger.Change{Bodies: []ledger.Body{intent}, Escrow: map[string][]byte{sealed.ID: text},
			Notes: map[string][]byte{NoteTag: tag, noteTagKey: tagKey}})
		if err != nil {
			return err
		}
		p.intent = &intent
		if err := r.checkEscrow(sealed); err != nil {
			return err
		}
		return r.chip.ProgramPassword(ctx, &pw)
	})
}

func (p *password) void(ctx context.Context) error {
	id := p.intent.Escrow.ID
	p.intent = nil
	return p.r.commit(ctx, ledger.Change{Bodies: []ledger.Body{ledger.PasswordVoid{Run: p.r.id, Serial: p.r.o.Serial, Escrow: id}}, Forget: []string{NoteTag, noteTagKey}})
}

// recognise wants the password to be the one of the intent, by its tag.
func (p *password) recognise(pw *flash.Password) error {
	made := func(note string, of []byte) (bool, error) {
		tag, err := p.r.e.journal.Note(p.r.id, note)
		if err != nil {
			return false, &stationError{"ledger", err}
		}
		again, err := p.r.tag(p.intent.UID, p.intent.Escrow.ID, of)
		return err == nil && hmac.Equal(tag, again), err
	}
	// With another key no password is known again, and none of them is torn.
	if same, err := made(noteTagKey, nil); err != nil || !same {
		return orElse(err, &stationError{"keyring", errors.New("the verifier key is not the one that this run was begun with")})
	}
	ours, err := made(NoteTag, pw[:])
	if err != nil {
		return err
	}
	if !ours {
		return stuck("password-torn", "The chip holds a password that is not the escrowed one: the write was torn, or somebody else wrote.",
			"Password mode was not switched on. Close the unit as scrapped.")
	}
	return nil
}

// switchMode is M1 and M2.
func (p *password) switchMode(ctx context.Context) error {
	r := p.r
	if err := ctx.Err(); err != nil {
		return err
	}
	var pw, after flash.Password
	defer clear(pw[:])
	defer clear(after[:])
	if err := r.chip.ReadPassword(ctx, &pw); err != nil {
		return err
	}
	if err := p.recognise(&pw); err != nil {
		return err
	}
	if err := r.record(ctx, ledger.ModeIntent{Run: r.id, Serial: r.o.Serial, UID: r.chip.UID(), Mode: "password"}); err != nil {
		return err
	}
	if err := r.chip.ProgramSectorProtection(ctx, flash.PasswordMode); err != nil {
		return err
	}
	if err := r.chip.ReadPassword(ctx, &after); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(after[:], pw[:]) == 1 {
		return &verdict{ledger.Fail, "password-readable", "The chip still tells its password in password mode.", "Put the board into the reject bin; it needs disposition."}
	}
	p.grade = gradeReadBack
	return p.exercise(ctx, &pw)
}

// exercise proves the password by using it, where the recipe says so: frozen at power-up, opened by 29, closed by A6. Where
// a crash took the password away (nil) the chip is left in the same state, and the grade is lower.
func (p *password) exercise(ctx context.Context, pw *flash.Password) error {
	chip := p.r.chip
	var err error
	switch p.s.Exercise {
	case recipes.ExercisePowerCycle:
		err = (&powerCycle{r: p.r}).run(ctx)
	case recipes.ExerciseReset:
		err = chip.Reset(ctx)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	fail := func(message string) error {
		return &verdict{ledger.Fail, "password-mode", message, "Put the board into the reject bin; it needs disposition."}
	}
	if frozen, err := chip.Frozen(ctx); err != nil || !frozen {
		return orElse(err, fail("The chip is not frozen after power-up, although password mode is on."))
	}
	if pw == nil {
		return nil
	}
	if open, err := chip.UnlockPassword(ctx, pw); err != nil || !open {
		return orElse(err, fail("The chip does not open with its own password."))
	}
	if err := chip.Freeze(ctx); err != nil {
		return err
	}
	p.grade = gradeExercised
	return nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func (p *password) confirm(ctx context.Context) (proof, error) {
	spr, err := p.r.chip.SectorProtection(ctx)
	if err != nil {
		return proof{}, err
	}
	if spr != flash.PasswordMode {
		return proof{}, fmt.Errorf("the sector protection register reads %04X: %w", spr, flash.ErrNotExecuted)
	}
	if p.opened != nil {
		return proof{how: gradeExercised, before: true, facts: []ledger.Fact{{Name: "escrow", Value: p.opened.Escrow}, {Name: "mode", Value: "password, for ever, since an earlier run"}}}, nil
	}
	if p.grade == "" {
		p.grade = gradeReadBack // a run before this one got as far as the mode
	}
	if !p.modeProven {
		err := p.r.record(ctx, ledger.ModeProven{Run: p.r.id, Serial: p.r.o.Serial, UID: p.r.chip.UID(), Mode: "password", Grade: p.grade})
		if err != nil {
			return proof{}, err
		}
	}
	return proof{how: p.grade, facts: []ledger.Fact{{Name: "escrow", Value: p.intent.Escrow.ID}, {Name: "mode", Value: "password, for ever"}}}, nil
}
