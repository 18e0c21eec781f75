package ledger

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// key takes an entry that names a key of the checkpoints.
func (w *walk) key(i int64, e Entry) error {
	next, err := w.chain.After(i, e.Station, e.Body)
	if err != nil {
		return err
	}
	w.chain = next
	k := Key{Link: next[len(next)-1]}
	if k.Lost {
		k.Alone = w.Signed
	}
	k.Pinned = slices.ContainsFunc(w.pinned, func(v note.Verifier) bool { return is(v, k.Key) })
	w.Keys = append(w.Keys, k)
	return nil
}

// signers are the keys that the next checkpoint has to be signed by. Where no entry names one it is the pinned ones.
func (w *walk) signers() ([]note.Verifier, error) {
	if len(w.chain) == 0 {
		return w.pinned, nil
	}
	var out []note.Verifier
	for _, key := range w.chain.Signers(w.Signed, w.kept) {
		v, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrCheckpoint, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// sign takes a good checkpoint.
func (w *walk) sign(size int64) {
	keys := w.chain.Signers(w.Signed, size)
	for k := range w.Keys {
		if slices.Contains(keys, w.Keys[k].Key) {
			w.Keys[k].Signed = size
		}
	}
	w.Signed = size
}

// is tells whether a verifier is that of a key.
func is(v note.Verifier, key string) bool {
	named, err := note.NewVerifier(key)
	return err == nil && named.Name() == v.Name() && named.KeyHash() == v.KeyHash()
}

// vouch holds the keys that signed against the pinned ones, between one loss of a key and the next.
func (w *walk) vouch() {
	if len(w.pinned) == 0 || len(w.Keys) == 0 {
		return
	}
	for _, v := range w.pinned {
		if !slices.ContainsFunc(w.chain, func(l Link) bool { return is(v, l.Key) }) {
			w.find(notNamed, 0, 1, "the ledger was begun with checkpoint key %s and changed it %d times, and none of them is %s+%08x", w.Keys[0].Key, len(w.Keys)-1, v.Name(), v.KeyHash())
		}
	}
	for from := 0; from < len(w.Keys); {
		to := from + 1
		for to < len(w.Keys) && !w.Keys[to].Lost {
			to++
		}
		w.vouchFor(w.Keys[from:to])
		if k := w.Keys[from]; to < len(w.Keys) && k.Pinned && k.Signed == 0 && w.Signed > k.Alone { // as if whoever has the next key had left out what this one signed
			w.find(notPinned, k.Alone, w.Signed, "nothing is there that the pinned key %s signed, and entry %d says that it was lost: entries %d to %d are vouched for by the key of then alone", k.Key, w.Keys[to].Index, k.Alone, w.Signed-1)
			w.Signed = min(w.Signed, k.Alone)
		}
		from = to
	}
}

// vouchFor is vouch for keys of which each signed with the next.
func (w *walk) vouchFor(keys []Key) {
	first := slices.IndexFunc(keys, func(k Key) bool { return k.Pinned })
	vouched, signed := keys[0].Alone, keys[0].Alone
	for i, k := range keys {
		signed = max(signed, k.Signed)
		if first >= 0 && i >= first {
			vouched = max(vouched, k.Signed)
		}
	}
	if vouched == signed {
		return
	}
	key, why := keys[len(keys)-1], ""
	if keys[0].Index > 0 {
		why = fmt.Sprintf(" The key before it was lost (entry %d): find out from whoever has the new one whether it is the station's, and pin it too.", keys[0].Index)
	}
	w.find(notPinned, vouched, signed, "entries %d to %d are vouched for by the key %s alone, and neither it nor one that vouches for it is pinned.%s", vouched, signed-1, key.Key, why)
	w.Signed = min(w.Signed, vouched)
}
