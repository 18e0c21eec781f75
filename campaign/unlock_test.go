package campaign

import (
	"station/keyring"
	"station/provision"
)

func (b *bench) OpenUnlock(sealed []byte, use func(provision.UnlockOf, []byte) error) error {
	return b.keys.OpenUnlock(sealed, func(of keyring.Unlock, password []byte) error { return use(provision.UnlockOf(of), password) })
}
