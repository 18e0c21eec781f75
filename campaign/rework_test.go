package campaign

import (
	"station/keyring"
	"station/ledger"
	"station/provision"
)

func (k *work) OpenUnlock(sealed []byte, use func(provision.UnlockOf, []byte) error) error {
	return k.keys.OpenUnlock(sealed, func(of keyring.Unlock, password []byte) error { return use(provision.UnlockOf(of), password) })
}

func (w *world) Master(name string) (fingerprint string, used bool, err error) {
	if w.dead.Load() {
		return "", false, errDead
	}
	return w.db.Master(name)
}

func (w *world) Permissions(serial string) ([]ledger.Record, error) {
	if w.dead.Load() {
		return nil, errDead
	}
	return w.db.Permissions(serial)
}

func (w *world) Room() error { return w.db.Room() }
