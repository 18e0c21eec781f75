package keyring_test

import (
	"path/filepath"
	"testing"

	"station/keyring"
	"station/keyring/providertest"
)

func TestFileProvider(t *testing.T) {
	for name, passphrase := range map[string][]byte{"plain": nil, "encrypted": []byte("correct horse")} {
		t.Run(name, func(t *testing.T) {
			dirs := map[keyring.Provider]string{}
			fresh := func(t *testing.T) keyring.Provider {
				dir := filepath.Join(t.TempDir(), "keys")
				f, err := keyring.CreateFile(dir, passphrase)
				if err != nil {
					t.Fatal(err)
				}
				dirs[f] = dir
				return f
			}
			providertest.Run(t, fresh, func(t *testing.T, of keyring.Provider) keyring.Provider {
				f, err := keyring.OpenFile(dirs[of], passphrase)
				if err != nil {
					t.Fatal(err)
				}
				return f
			})
		})
	}
}
