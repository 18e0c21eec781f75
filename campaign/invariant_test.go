package campaign

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"station/keyring"
	"station/ledger"
	"station/sim/nor"
	"station/store"
)

// escrow is what the auditor finds in a ciphertext.
type escrow struct {
	intent
	text, secret []byte
	durable      bool // an entry that is known to be durable names it
}

// file opens the ciphertexts of a change that is about to be committed.
func (w *world) file(c ledger.Change) {
	for _, b := range c.Bodies {
		i := intentOf(b)
		if i == nil || i.escrow == "" {
			continue
		}
		e := &escrow{intent: *i, text: c.Escrow[i.escrow]}
		err := keyring.Unseal(e.text, w.identity, func(secret []byte) error {
			e.secret = bytes.Clone(secret)
			return nil
		})
		if err != nil {
			w.violate("escrow %s does not open: %v", i.escrow, err)
		}
		w.mu.Lock()
		w.escrow[i.escrow] = e
		w.mu.Unlock()
	}
}

// checkTelling: no entry tells a secret, nor the notes by which one could be tried out.
func (w *world) checkTelling(c ledger.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, note := range c.Notes {
		w.notes = append(w.notes, note)
	}
	for _, b := range c.Bodies {
		text, err := json.Marshal(b)
		if err != nil {
			w.violateLocked("%v", err)
		}
		text = bytes.ToLower(text)
		tells := func(p []byte, what string) {
			for _, as := range []string{hex.EncodeToString(p), strings.ToLower(base64.StdEncoding.EncodeToString(p))} {
				if bytes.Contains(text, []byte(as)) {
					w.violateLocked("%s tells %s", b.Kind(), what)
				}
			}
		}
		for _, note := range w.notes {
			tells(note, "a note")
		}
		for _, e := range w.escrow {
			tells(e.secret, "a secret")
		}
	}
}

// escrowed tells whether the escrow of a chip has this secret.
func (w *world) escrowed(uid, kind string, index int, secret []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.escrow {
		if e.durable && e.uid == uid && e.kind == kind && e.index == index && bytes.Equal(e.secret, secret) {
			return true
		}
	}
	return false
}

// checkPass is what the chip says of a PASS that is about to be durable (promise 3).
func (w *world) checkPass(end ledger.RunEnd) {
	i := slices.IndexFunc(w.boards, func(b *board) bool { return b.uid == end.Chip.UID })
	if i < 0 {
		w.violate("%s passes with chip %s, which is none of this line", end.Serial, end.Chip.UID)
		return
	}
	w.checkChip(w.boards[i], end.Serial)
	if b := w.boards[i]; b.chip.Powered() && !b.chip.Frozen() {
		w.violate("%s passes, and its chip (of board %d) is not frozen", end.Serial, b.n)
	}
}

// checkChip holds a chip against what the recipe promises of it for good.
func (w *world) checkChip(b *board, serial string) {
	must := func(ok bool, what string) {
		if !ok {
			w.violate("%s passes, and its chip (of board %d) contradicts: %s", serial, b.n, what)
		}
	}
	c := b.chip
	must(b.serial == serial, "it is another unit's")
	must(bytes.Equal(c.Bytes(uint32(w.bootAt), w.bootSize), w.boot()), "the boot region")
	if w.identityAt >= 0 {
		want := identityOf(b.serial, b.mac)
		if w.settings != nil {
			want = padded(w.settings, identitySize)
		}
		must(bytes.Equal(c.Bytes(uint32(w.identityAt), identitySize), want), "the identity region")
	}
	for at := 0; at < c.Size(); at += 64 << 10 {
		in := at >= w.bootAt && at < w.bootAt+w.bootSize || w.identityAt >= 0 && at >= w.identityAt && at < w.identityAt+identitySize
		must(c.LockedNonvolatile(at>>16) == in, "the lock bits")
		must(in || blank(c.Bytes(uint32(at), 64<<10)), "what is elsewhere")
	}
	if otp := c.OTP(); w.otp {
		must(bytes.Equal(otp[:32], padded([]byte(b.serial), 32)) && blank(otp[32:64]) && otp[64]&1 == 0, "the OTP area")
	} else {
		must(blank(otp[:]), "the OTP area")
	}
	mode := uint16(0xFFFF)
	if pw := c.Password(); w.password {
		mode = 0xFFFB
		must(w.escrowed(b.uid, ledger.KindPasswordIntent, 0, pw[:]), "its password is in no escrow")
	}
	must(c.SPR() == mode, "the protection register")
	for i := range 4 {
		key, ok := c.RootKey(i)
		must(ok == (i < w.rootKeys) && (!ok || w.escrowed(b.uid, ledger.KindRootKeyIntent, i, key)), "a root key")
	}
	must(c.CounterValue(0) == w.counter && c.CounterValue(1) == 0, "the counters")
	b.checkSigned(must)
}

// read is the whole ledger. What was read before and is the same is not decoded again.
func (w *world) read(size int64) []ledger.Record {
	for i := range size {
		leaf, err := w.db.Leaf(i)
		if err != nil {
			w.t.Fatal(err)
		}
		if int(i) < len(w.known) && bytes.Equal(w.known[i].Bytes, leaf) {
			continue
		}
		r, err := w.db.Entry(i)
		if err != nil {
			w.t.Fatal(err)
		}
		w.known = append(w.known[:i], r)
	}
	w.known = w.known[:size]
	return w.known
}

// checkStart is what a station that begins a life knows: all that it was told to be durable, and every run that is open (promise 4).
func (w *world) checkStart() {
	size, err := w.db.Size()
	if err != nil {
		w.t.Fatal(err)
	}
	records := w.read(size)
	for i, what := range w.acked {
		if i >= size {
			w.violate("entry %d (%s) was acknowledged, and is lost", i, what)
			continue
		}
		run, _, _ := ledger.RunOf(records[i].Entry.Body)
		if is := records[i].Entry.Body.Kind() + " " + run; is != what {
			w.violate("entry %d was acknowledged as %s, and is %s", i, what, is)
		}
	}
	open, err := w.db.OpenRuns()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range records {
		switch b := r.Entry.Body.(type) {
		case ledger.PasswordVoid:
			w.void[b.Escrow] = true
		case ledger.RootKeyVoid:
			w.void[b.Escrow] = true
		}
		if i := intentOf(r.Entry.Body); i != nil && i.escrow != "" {
			text, err := w.db.Escrow(i.escrow)
			if e := w.escrow[i.escrow]; err != nil || e == nil || !bytes.Equal(e.text, text) {
				w.violate("entry %d names escrow %s, and it is not the one that was sealed (%v)", r.Index, i.escrow, err)
			} else {
				e.durable = true
			}
		}
	}
	owner, chips := map[string]string{}, map[string]string{} // uid -> serial, and the other way
	for _, run := range ledger.Runs(records) {
		if known := slices.ContainsFunc(open, func(r ledger.Run) bool { return r.ID == run.ID }); known != run.Open() {
			w.violate("run %s of %s is open: %t, and the start knows it as open: %t", run.ID, run.Serial, run.Open(), known)
		}
		if run.Start != nil {
			w.boardOf(run.Serial).begun = true
		}
		if run.Start != nil && run.Outcome() == ledger.Pass {
			w.boardOf(run.Serial).passed = true
		}
		if serial, ok := w.passes[run.ID]; ok && (run.Outcome() != ledger.Pass || run.Serial != serial) {
			w.violate("%s was shown as PASS, and its run %s is %s", serial, run.ID, run.Outcome())
		}
		if run.Start == nil {
			continue
		}
		uid := run.Start.Chip.UID
		if s, ok := owner[uid]; ok && s != run.Serial {
			w.violate("chip %s is %s and %s", uid, s, run.Serial)
		}
		if u, ok := chips[run.Serial]; ok && u != uid {
			w.violate("%s is on the chips %s and %s", run.Serial, u, uid)
		}
		owner[uid], chips[run.Serial] = run.Serial, uid
	}
}

// checkEnd is the account of a seed: the checks that the product ships, and every chip against the ledger.
func (w *world) checkEnd() {
	w.checkStart()
	if err := w.db.Sign(ctx); err != nil {
		w.violate("signing: %v", err)
	}
	if err := w.db.Check(ctx); err != nil {
		w.violate("store check: %v", err)
	}
	v, err := note.NewVerifier(w.keys.VerifierKey())
	if err != nil {
		w.t.Fatal(err)
	}
	w.report, err = ledger.Verify(ctx, w.db, v)
	if err != nil || len(w.report.Findings) > 0 || w.report.Unsigned() > 0 {
		w.violate("the ledger does not verify: %+v, %v", w.report, err)
	}
	for _, b := range w.boards {
		w.reconcile(b)
	}
}

// checkMirror: the mirror is the ledger.
func (w *world) checkMirror() {
	of := w.report
	m, err := store.OpenReadOnly(filepath.Join(w.mirror, store.MirrorFile))
	if err != nil {
		w.violate("the mirror: %v", err)
		return
	}
	defer m.Close()
	v, err := note.NewVerifier(w.keys.VerifierKey())
	if err != nil {
		w.t.Fatal(err)
	}
	if r, err := ledger.Verify(ctx, m, v); err != nil || len(r.Findings) > 0 || r.Root != of.Root || r.Entries != of.Entries {
		w.violate("the mirror has %d entries with root %x, the ledger %d with %x (%+v, %v)", r.Entries, r.Root, of.Entries, of.Root, r.Findings, err)
	}
	if err := m.Check(ctx); err != nil {
		w.violate("the mirror: %v", err)
	}
}

// reconcile holds one chip against the account.
func (w *world) reconcile(b *board) {
	runs, err := w.db.Runs("", b.uid)
	if err != nil {
		w.violate("%v", err)
	}
	intents := map[string]uint64{} // by the chip's counter
	passed, failed, stuck := false, false, false
	for _, run := range runs {
		for _, r := range run.Records {
			switch i := intentOf(r.Entry.Body); {
			case i == nil:
			case i.kind == ledger.KindPasswordIntent:
				intents[nor.CountPassword]++
			case i.kind == ledger.KindRootKeyIntent:
				intents[nor.CountRootKey]++
			case i.kind == ledger.KindModeIntent:
				intents[nor.CountSectorProtection]++
			case i.what[:3] == "OTP":
				intents[nor.CountOTP]++
			default:
				intents[nor.CountIncrement]++
			}
		}
		if run.Start != nil {
			passed = passed || run.Outcome() == ledger.Pass
			failed = failed || run.Outcome() == ledger.Fail
			stuck = stuck || run.Stuck != nil && (run.Open() || run.Close != nil)
		}
	}
	counts := b.chip.Counters()
	if b.garbled == 0 {
		for name, n := range intents {
			if counts[name] > n {
				w.violate("board %d: %s took effect %d times under %d intents", b.n, name, counts[name], n)
			}
		}
		for name, most := range map[string]uint64{nor.CountPassword: 1, nor.CountSectorProtection: 1, nor.CountRootKey: uint64(w.rootKeys), nor.CountIncrement: uint64(w.counter)} {
			if b.born == "" && counts[name] > most {
				w.violate("board %d: %s took effect %d times", b.n, name, counts[name])
			}
		}
	}
	torn := b.torn()
	if torn && b.chip.SPR() == 0xFFFB && !b.noisy {
		w.violate("board %d: password mode is on, and a secret of the chip is in no escrow", b.n)
	}
	switch {
	case passed && failed:
		w.violate("board %d both passed and failed", b.n)
	case passed:
		w.checkChip(b, b.serial)
	case torn && !stuck && !failed && !b.noisy && !b.sick:
		w.violate("board %d has a torn secret, and the ledger does not say that a person must decide", b.n)
	case !b.excused():
		w.violate("board %d is good, and its unit did not pass", b.n)
	}
}
