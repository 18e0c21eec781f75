//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"

	"station/keyring"
)

const keySize = 32 // bytes of an HMAC key

// curves are the names of Ed25519 that tokens know, in DER: the object identifier (RFC 8410) and the name of PKCS#11 3.0.
var curves = [][]byte{{0x06, 0x03, 0x2B, 0x65, 0x70}, []byte("\x13\x0Cedwards25519")}

// shut are the attributes of a key that is never given away.
func shut(class uint, name string) []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label(name)), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
	}
}

// onlyMAC are the attributes of an HMAC key, which tokens would else let encrypt, derive and wrap.
func onlyMAC(name string) []*pkcs11.Attribute {
	template := append(shut(pkcs11.CKO_SECRET_KEY, name), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET))
	for _, use := range []uint{pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT, pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_DERIVE} {
		template = append(template, pkcs11.NewAttribute(use, false))
	}
	return template
}

func label(name string) string { return labelPrefix + name }

func (t *Token) MAC(name string, message []byte) ([]byte, error) {
	return ask(t, true, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) ([]byte, error) {
		return t.sign(c, s, pkcs11.CKO_SECRET_KEY, pkcs11.CKM_SHA256_HMAC, name, message, keySize)
	})
}

func (t *Token) Sign(name string, message []byte) ([]byte, error) {
	return ask(t, true, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) ([]byte, error) {
		return t.sign(c, s, pkcs11.CKO_PRIVATE_KEY, ckmEdDSA, name, message, ed25519.SignatureSize)
	})
}

func (t *Token) sign(c *pkcs11.Ctx, s pkcs11.SessionHandle, class, mechanism uint, name string, message []byte, size int) ([]byte, error) {
	key, err := t.shutKey(c, s, class, name)
	if err != nil {
		return nil, err
	}
	if err := c.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, key); err != nil {
		return nil, err
	}
	out, err := c.Sign(s, message)
	if err == nil && len(out) != size {
		err = fmt.Errorf("%s: %s: %w: %d bytes came of it", t, name, keyring.ErrKey, len(out))
	}
	return out, err
}

func (t *Token) Public(name string) (ed25519.PublicKey, error) {
	return ask(t, true, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) (ed25519.PublicKey, error) { return t.public(c, s, name) })
}

func (t *Token) public(c *pkcs11.Ctx, s pkcs11.SessionHandle, name string) (ed25519.PublicKey, error) {
	if _, err := t.shutKey(c, s, pkcs11.CKO_PRIVATE_KEY, name); err != nil {
		return nil, err
	}
	key, err := t.one(c, s, pkcs11.CKO_PUBLIC_KEY, name)
	if err != nil {
		return nil, err
	}
	a, err := c.GetAttributeValue(s, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		return nil, err
	}
	point := bytes.TrimPrefix(a[0].Value, []byte{0x04, ed25519.PublicKeySize}) // an OCTET STRING, at most tokens
	if len(point) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%s: %s: %w: its point has %d bytes", t, name, keyring.ErrKey, len(point))
	}
	return point, nil
}

// Random is the token's own.
func (t *Token) Random(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	out, err := ask(t, true, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) ([]byte, error) { return c.GenerateRandom(s, len(b)) })
	if err != nil {
		return err
	}
	defer clear(out)
	if copy(b, out) < len(b) {
		return fmt.Errorf("%s gave %d random bytes of %d: %w", t, len(out), len(b), keyring.ErrProvider)
	}
	return nil
}

func (t *Token) CreateMAC(name string, value []byte) error {
	if value != nil && len(value) != keySize {
		return fmt.Errorf("%w: a key has %d bytes, not %d", keyring.ErrKey, keySize, len(value))
	}
	return t.create(name, pkcs11.CKO_SECRET_KEY, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) error {
		template := onlyMAC(name)
		if value != nil {
			_, err := c.CreateObject(s, append(template, pkcs11.NewAttribute(pkcs11.CKA_VALUE, value)))
			return err
		}
		_, err := c.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN, nil)}, append(template, pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, keySize)))
		return err
	})
}

func (t *Token) CreateSigning(name string) error {
	return t.create(name, pkcs11.CKO_PRIVATE_KEY, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) (err error) {
		private := append(shut(pkcs11.CKO_PRIVATE_KEY, name), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, ckkEdwards))
		for _, curve := range curves {
			public := []*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label(name)), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
				pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, ckkEdwards), pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, curve),
			}
			if _, _, err = c.GenerateKeyPair(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(ckmEdwardsGen, nil)}, public, private); err == nil {
				return nil
			}
		}
		return err
	})
}

// create makes a key where there is none of that name, and wants it to be shut and to work.
func (t *Token) create(name string, class uint, make func(*pkcs11.Ctx, pkcs11.SessionHandle) error) error {
	_, err := ask(t, false, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) (struct{}, error) {
		return struct{}{}, t.m.exclusive(func() error {
			there, err := t.all(c, s, name)
			if err != nil {
				return err
			}
			if len(there) > 0 {
				return fmt.Errorf("%s: %s: %w and is never overwritten", t, name, keyring.ErrExists)
			}
			err = make(c, s)
			if err == nil {
				_, err = t.shutKey(c, s, class, name)
			}
			if err == nil && class == pkcs11.CKO_PRIVATE_KEY {
				err = t.try(c, s, name)
			}
			if err != nil { // a key that does not do is none
				there, _ := t.all(c, s, name)
				for _, o := range there {
					c.DestroyObject(s, o)
				}
			}
			if errors.Is(err, keyring.ErrMissing) {
				return fmt.Errorf("%s took the key %s and does not have it: %w", t, name, keyring.ErrProvider)
			}
			return err
		})
	})
	return err
}

// try wants a signature of a signing key to be one.
func (t *Token) try(c *pkcs11.Ctx, s pkcs11.SessionHandle, name string) error {
	public, err := t.public(c, s, name)
	if err != nil {
		return err
	}
	message := []byte(label(name))
	signature, err := t.sign(c, s, pkcs11.CKO_PRIVATE_KEY, ckmEdDSA, name, message, ed25519.SignatureSize)
	if err == nil && !ed25519.Verify(public, message, signature) {
		err = fmt.Errorf("%s: %s: %w: what it signs does not verify", t, name, keyring.ErrKey)
	}
	return err
}

func (t *Token) Destroy(name string) error {
	_, err := ask(t, true, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) (struct{}, error) {
		there, err := t.all(c, s, name)
		if err == nil && len(there) == 0 {
			err = t.missing(name)
		}
		for _, o := range there {
			if err == nil {
				err = c.DestroyObject(s, o)
			}
		}
		return struct{}{}, err
	})
	return err
}

// Names are the labels, without their prefix. An empty token is looked at again as one that is away is.
func (t *Token) Names() ([]string, error) {
	names, err := ask(t, true, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) ([]string, error) {
		names := []string{}
		for _, class := range []uint{pkcs11.CKO_SECRET_KEY, pkcs11.CKO_PRIVATE_KEY} {
			keys, err := find(c, s, pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true))
			if err != nil {
				return nil, err
			}
			for _, key := range keys {
				a, err := c.GetAttributeValue(s, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil)})
				if err != nil {
					return nil, err
				}
				if name, ok := strings.CutPrefix(string(a[0].Value), labelPrefix); ok && name != "" {
					names = append(names, name)
				}
			}
		}
		if len(names) == 0 {
			return nil, keyring.ErrMissing
		}
		slices.Sort(names)
		return slices.Compact(names), nil
	})
	if errors.Is(err, keyring.ErrMissing) {
		return []string{}, nil
	}
	return names, err
}

// shutKey is the one key of a name, which has to be one that is never given away.
func (t *Token) shutKey(c *pkcs11.Ctx, s pkcs11.SessionHandle, class uint, name string) (pkcs11.ObjectHandle, error) {
	key, err := t.one(c, s, class, name)
	if err != nil {
		return 0, err
	}
	a, err := c.GetAttributeValue(s, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil)})
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(a[0].Value, []byte{1}) || !bytes.Equal(a[1].Value, []byte{0}) {
		return 0, fmt.Errorf("%s: %s: %w: the token would give it away", t, name, keyring.ErrKey)
	}
	return key, nil
}

// one is the one object of a class and a name.
func (t *Token) one(c *pkcs11.Ctx, s pkcs11.SessionHandle, class uint, name string) (pkcs11.ObjectHandle, error) {
	found, err := find(c, s, pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label(name)), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true))
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, t.missing(name)
	case len(found) > 1:
		return 0, fmt.Errorf("%s: %s: %w: there are several of that name, and nobody can tell which counts", t, name, keyring.ErrKey)
	}
	return found[0], nil
}

// all are the objects of a name, of any class.
func (t *Token) all(c *pkcs11.Ctx, s pkcs11.SessionHandle, name string) ([]pkcs11.ObjectHandle, error) {
	return find(c, s, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label(name)), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true))
}

func (t *Token) missing(name string) error {
	return fmt.Errorf("%s: %s: %w", t, label(name), keyring.ErrMissing)
}

func find(c *pkcs11.Ctx, s pkcs11.SessionHandle, template ...*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	if err := c.FindObjectsInit(s, template); err != nil {
		return nil, err
	}
	var all []pkcs11.ObjectHandle
	for {
		some, _, err := c.FindObjects(s, 64)
		if err != nil || len(some) == 0 {
			return all, errors.Join(err, c.FindObjectsFinal(s))
		}
		all = append(all, some...)
	}
}
