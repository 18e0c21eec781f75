package report

import (
	"fmt"
	"slices"

	"station/ledger"
)

// oneWay is something that a chip takes once and for ever, as far as the entries tell: a secret or a mode.
type oneWay struct {
	what   string // "Password", "Root key of counter 0", "Password mode"
	id     string // of the escrow, or the mode
	key    string // name of a root key
	escrow *ledger.Sealed
	reply  string // digest of the reply that only the right root key gives
	state  progress
	proof  string // how it was proven
	extra  string // what the chip told with the proof
	means  string // of a mode, and of a password that an earlier run gave
	before bool   // an earlier run did it
	told   []ledger.Record
	signed bool // a command that a key server signed
}

// progress of a oneWay.
type progress int

const (
	intended progress = iota // written down, and perhaps sent
	never                    // the chip never learned it
	proven
)

const rootKeyOf = "Root key of counter %d"

// oneWays gathers what the entries say of secrets and modes, in the order of their first entries, and the intents of
// all other commands that cannot be undone.
func oneWays(records []ledger.Record) (ways []*oneWay, commands []ledger.Record) {
	for _, rec := range records {
		// A proof or void belongs to the intent with its id. Without one it still is something to be printed.
		of := func(what, id string) *oneWay {
			i := slices.IndexFunc(ways, func(w *oneWay) bool { return w.what == what && w.id == id })
			if i < 0 {
				i = len(ways)
				ways = append(ways, &oneWay{what: what, id: id})
			}
			ways[i].told = append(ways[i].told, rec)
			return ways[i]
		}
		switch b := rec.Entry.Body.(type) {
		case ledger.PasswordIntent:
			of("Password", b.Escrow.ID).escrow = &b.Escrow
		case ledger.PasswordVoid:
			of("Password", b.Escrow).state = never
		case ledger.PasswordProven:
			w := of("Password", b.Escrow)
			w.state, w.proof = proven, "read back from the chip"
		case ledger.PasswordOpened:
			w := of("Password", b.Escrow)
			w.before, w.state, w.proof, w.means = true, proven, "unlock exercised", "Escrow "+or(b.Escrow)+", of an earlier run: this run opened the chip with it. It can be neither read nor changed."
		case ledger.RootKeyIntent:
			w := of(fmt.Sprintf(rootKeyOf, b.Index), b.Escrow.ID)
			w.escrow, w.key, w.reply = &b.Escrow, b.Key, b.Reply
		case ledger.RootKeyVoid:
			of(fmt.Sprintf(rootKeyOf, b.Index), b.Escrow).state = never
		case ledger.RootKeyProven:
			w := of(fmt.Sprintf(rootKeyOf, b.Index), b.Escrow)
			w.state, w.proof, w.key = proven, "by a nonce that the chip signed", b.Key
			w.extra = fmt.Sprintf("Counter value, signed: %d", b.Counter)
		case ledger.ModeIntent:
			w := of(modeName(b.Mode), b.Mode)
			w.means = modeMeans(b.Mode)
		case ledger.ModeProven:
			w := of(modeName(b.Mode), b.Mode)
			w.state, w.proof, w.means = proven, or(b.Grade), modeMeans(b.Mode)+gradeMeans(b.Grade)
		case ledger.PermanentIntent:
			commands = append(commands, rec)
		}
	}
	return append(ways, signedOneWays(records)...), commands
}

// signedOneWays are the one-way commands that a key server signed, as far as the chip's counter tells what became of them.
func signedOneWays(records []ledger.Record) (ways []*oneWay) {
	for _, t := range turns(records) {
		for i, b := range t.blocks {
			if !b.OneWay {
				continue
			}
			w := &oneWay{what: "Signed command " + or(b.Command), told: t.told, signed: true, proof: "by the chip's command counter",
				means: fmt.Sprintf("Step %d, turn %d: what it does cannot be undone. ", t.n, t.number)}
			for _, rec := range records {
				if step, ok := rec.Entry.Body.(ledger.RunStep); ok && step.N == t.n {
					w.means += or(step.Title) + "."
				}
			}
			switch took, perhaps := t.took(i); {
			case took:
				w.state = proven
			case !perhaps:
				w.state = never
			}
			ways = append(ways, w)
		}
	}
	return ways
}

func modeName(mode string) string {
	switch mode {
	case ledger.PasswordMode:
		return "Password mode"
	case ledger.PersistentMode:
		return "Persistent mode"
	}
	return "Mode " + mode
}

// modeMeans says what a mode changes (MT25Q datasheet, sector protection register).
func modeMeans(mode string) string {
	switch mode {
	case ledger.PasswordMode:
		return "Once on, for ever: the password can be neither read nor changed, and only the password lifts a freeze."
	case ledger.PersistentMode:
		return "Once on, for ever: password mode can never be switched on."
	}
	return "This report knows no mode of that name."
}

// gradeMeans explains the grades that a mode is proven with.
func gradeMeans(grade string) string {
	switch grade {
	case "unlock exercised":
		return " The password lifted the freeze, and the freeze was set again."
	case "read back before the mode":
		return " The password was read back and matched before that; that it lifts a freeze was not tried."
	}
	return ""
}

// secrets is what the chip took for ever: its secrets with their escrows, its modes, and other one-way commands.
func (s *sheet) secrets() {
	ways, commands := oneWays(s.run.Records)
	if len(ways)+len(commands) == 0 {
		return
	}
	s.section("Secrets and one-way steps")
	s.row(row{with: true, cells: []cell{text(0, full, strong, "No secret is in this report or in the ledger. Both hold names and digests only; the secrets are sealed in escrows.")}})
	sealed := false
	for _, w := range ways {
		s.oneWay(w)
		sealed = sealed || w.escrow != nil
	}
	if len(commands) > 0 {
		s.commands(commands)
	}
	if sealed {
		s.wide("To open an escrow", style{sans, 7.5, black}, "Whoever holds an identity of a recipient runs “station escrow open SERIAL --identity FILE” on the data directory or on a copy of it. "+
			"An escrow is an age file: the age program opens it too, and its SHA-256 stands above.")
	}
}

// commands that were about to be sent, in two columns, in rows that a page can be filled with.
func (s *sheet) commands(recs []ledger.Record) {
	what := []para{{strong, "Other one-way commands"}, {label, indexes(recs)},
		{label, "Each was written down before it was sent; what the chip showed stands with the step."}}
	for part := range slices.Chunk(recs, 20) {
		half := (len(part) + 1) / 2
		s.row(row{rule: true, cells: []cell{{0, 53, what}, {57, 60, commandNames(part[:half])}, {120, 60, commandNames(part[half:])}}})
		what = nil
	}
}

func commandNames(recs []ledger.Record) (names []para) {
	for _, rec := range recs {
		if b, ok := rec.Entry.Body.(ledger.PermanentIntent); ok {
			names = append(names, para{body, or(b.What)})
		}
	}
	return names
}

// oneWay is one row: what it is and how far it came on the left, its escrow or its meaning on the right.
func (s *sheet) oneWay(w *oneWay) {
	what := []para{{strong, w.what}}
	if w.key != "" {
		what = append(what, para{body, "Key " + w.key})
	}
	switch {
	case w.state == proven:
		what = append(what, para{strong, "✔ proven"}, para{body, w.proof})
	case w.state == never && w.signed:
		what = append(what, para{strong, "○ not carried out"}, para{body, w.proof})
	case w.state == never:
		what = append(what, para{strong, "○ never learned by the chip"}, para{body, "Void; the escrow is kept."})
	default:
		what = append(what, para{style{bold, 8, amber}, "▲ NOT PROVEN"}, para{body, "The chip may have taken it."})
	}
	if w.extra != "" {
		what = append(what, para{body, w.extra})
	}
	what = append(what, para{label, indexes(w.told)}, para{label, moment(w.told[len(w.told)-1].Entry.Time)})
	s.row(row{rule: true, cells: []cell{{0, 53, what}, {57, full - 57, w.details()}}})
}

func (w *oneWay) details() []para {
	switch {
	case w.means != "":
		return []para{{body, w.means}}
	case w.escrow == nil:
		return []para{{body, "Escrow " + or(w.id) + ". No entry of this run says what it holds."}}
	}
	out := []para{{body, "Escrow " + or(w.escrow.ID) + ", SHA-256 of its ciphertext:"}, {digest, or(w.escrow.SHA256)}}
	group := ""
	for i, r := range w.escrow.Recipients {
		if i == 0 || r.Group != group {
			out, group = append(out, para{body, "Sealed to " + or(r.Group) + ":"}), r.Group
		}
		out = append(out, para{digest, or(r.Fingerprint)})
	}
	if len(w.escrow.Recipients) == 0 {
		out = append(out, para{body, "Sealed to nobody that the entry names."})
	}
	if w.reply != "" {
		out = append(out, para{body, "SHA-256 of the reply that only this key gives:"}, para{digest, w.reply})
	}
	return out
}
