package provision

import (
	"maps"
	"strings"
	"testing"

	"station/ledger"
	"station/recipes"
	"station/spi"
)

// What a chip may show to a rework, and the sentence that it is refused with before anything is touched.
func TestReworkRefuses(t *testing.T) {
	const noPassword = `  - write: {region: boot, image: boot}
  - lock: {regions: [boot], bits: nonvolatile}
`
	const password = noPassword + `  - password: {generate: per-unit, escrow: [audit]}
permanent: [password]
`
	const persistentMode = noPassword + `  - persistent_protection
permanent: [persistent_protection]
`
	rootKey := func(key, group string) string {
		return noPassword + "  - root_key: {index: 0, key: {" + key + "}, escrow: [" + group + "]}\npermanent: [root_key]\n"
	}
	edited := func(steps, old, new string) func(*testing.T) *recipes.Recipe {
		return func(t *testing.T) *recipes.Recipe { return editedRecipe(t, "MT25QL128ABB", steps, old, new) }
	}
	plain := func(steps string) func(*testing.T) *recipes.Recipe {
		return edited(steps, "version: 1\n", "version: 2\n")
	}
	for _, c := range []struct {
		name   string
		first  string // steps of the recipe that the unit was run with; it passed unless fail says so
		fail   string // the command that the station dies at; then a person closes the unit
		tamper [][]byte
		again  func(*testing.T) *recipes.Recipe
		cause  string
		unlock func(of UnlockOf) UnlockOf // nil: no file is given
	}{
		{"no file", password, "", nil, plain(password), "password-needed", nil},
		{"of another unit", password, "", nil, plain(password), "unlock-file", func(of UnlockOf) UnlockOf { of.Serial = "S2"; return of }},
		{"of another chip", password, "", nil, plain(password), "unlock-file", func(of UnlockOf) UnlockOf { of.UID = "00"; return of }},
		{"of another escrow", password, "", nil, plain(password), "unlock-file", func(of UnlockOf) UnlockOf { of.Escrow = "00"; return of }},
		{"of another permission", password, "", nil, plain(password), "unlock-file", func(of UnlockOf) UnlockOf { of.Permit++; return of }},
		{"a file for a chip without password mode", noPassword, "", nil, plain(noPassword), "unlock-not-needed", func(of UnlockOf) UnlockOf { return of }},
		{"the recipe knows of no password mode", password, "", nil, plain(noPassword), "mode-not-in-recipe", nil},
		{"the password's escrow is for other people", password, "", nil, plain(strings.Replace(password, "[audit]", "[owner]", 1)), "escrow-before", nil},
		{"a reset before the lock", password, "", nil, plain("  - reset\n" + password), "restart-before-lock", nil},
		{"password mode of somebody else", noPassword, "", [][]byte{{0x06}, {0x2C, 0xFB, 0xFF}}, plain(password), "password-unknown", nil},
		{"the other mode, and a password is wanted", persistentMode, "", nil, plain(password), "persistent-mode", nil},
		{"the other mode of somebody else", noPassword, "", [][]byte{{0x06}, {0x2C, 0xFD, 0xFF}}, plain(persistentMode), "persistent-mode-foreign", nil},
		{"a password without its mode", password, "2C program protection register", nil, plain(password), "password-before", nil},
		{"another password without its mode", noPassword, "", [][]byte{{0x06}, {0x28, 1, 2, 3, 4, 5, 6, 7, 8}}, plain(password), "password-before", nil},
		{"frozen", noPassword, "", [][]byte{{0x06}, {0xA6}}, plain(noPassword), "frozen-before", nil},
		{"volatile locks", noPassword, "", [][]byte{{0x06}, {0xE5, 0, 0, 0, 1}}, plain(noPassword), "locked-before", nil},
		{"another root key", rootKey("derive: line/root", "audit"), "", nil, plain(rootKey("derive: line/other", "audit")), "root-key-before", nil},
		{"a random root key in place of a derived one", rootKey("derive: line/root", "audit"), "", nil, plain(rootKey("random: per-unit", "audit")), "root-key-before", nil},
		{"a root key derived for another recipe", rootKey("derive: line/root", "audit"), "", nil, edited(rootKey("derive: line/root", "audit"), "recipe: small", "recipe: large"), "root-key-before", nil},
		{"a root key for other people", rootKey("random: per-unit", "audit"), "", nil, plain(rootKey("random: per-unit", "owner")), "escrow-before", nil},
		{"a root key that nobody knows of", rootKey("random: per-unit", "audit"), "9B 01 update", nil, plain(rootKey("random: per-unit", "audit")), "root-key-unknown", nil},
		{"other content in the OTP area", otpSteps, "", nil, plain(strings.Replace(otpSteps, "pad: 0x20", "pad: 0x00", 1)), "otp-foreign", nil},
	} {
		bubble(t, c.name, func(t *testing.T) {
			v := newVault()
			l := newSecretLine(t, v)
			chip := authenta(t, 1)
			l.socket.put("1", chip)
			first := secretRecipe(t, c.first)
			if c.fail == "" {
				l.want(l.run(first, "1", "S1"), ledger.Pass, "")
			} else {
				l.socket.before = func(_ string, f spi.Frame) error {
					for _, cmd := range commands {
						if cmd.name == c.fail && strings.HasPrefix(string(f.Out), string(cmd.bytes)) {
							return errUnplugged
						}
					}
					return nil
				}
				l.want(l.run(first, "1", "S1"), ledger.Error, "fixture")
				l.socket.before = nil
				if _, err := l.books.Commit(t.Context(), ledger.Change{Bodies: []ledger.Body{ledger.UnitClose{Run: l.lastRun().ID, Serial: "S1", As: ledger.Scrapped, Reason: "r", By: "p"}}}); err != nil {
					t.Fatal(err)
				}
			}
			frames(chip, c.tamper...)
			permit := l.permit("S1", ledger.SameChip)
			o := Order{Recipe: c.again(t), Serial: "S1", Slot: "1", Operator: "op-1"}
			if c.unlock != nil {
				of := UnlockOf{Serial: "S1", UID: l.lastRun().Start.Chip.UID, Escrow: "none", Permit: permit}
				for id := range l.books.escrow {
					of.Escrow = id
				}
				o.Unlock = sealedFor(c.unlock(of), make([]byte, 8))
			}
			before, entries := chip.Counters(), len(l.books.records)
			l.want(l.engine.Run(t.Context(), o), ledger.Refused, c.cause)
			if after := chip.Counters(); !maps.Equal(before, after) {
				t.Errorf("%v, before %v", after, before)
			}
			if n := len(l.books.records) - entries; n != 1 {
				t.Errorf("%d entries", n)
			}
		})
	}
}
