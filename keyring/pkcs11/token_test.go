//go:build cgo

package pkcs11

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"station/keyring"
)

// TestMain is, where a test says so, another process with the token: it makes the keys, and prints which it made and a MAC.
func TestMain(m *testing.M) {
	if path := os.Getenv("OTHER_PROCESS"); path != "" {
		p, err := Open(path, testLabel, []byte(testPIN))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for i := range 5 {
			for kind, err := range map[string]error{"mac": p.CreateMAC(fmt.Sprintf("master-%d", i), nil), "signing": p.CreateSigning(fmt.Sprintf("checkpoint-%d", i))} {
				if err == nil {
					fmt.Println("made", kind, i)
				} else if !errors.Is(err, keyring.ErrExists) {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
			mac, err := p.MAC(fmt.Sprintf("master-%d", i), nil)
			public, perr := p.Public(fmt.Sprintf("checkpoint-%d", i))
			if err := errors.Join(err, perr); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Printf("key %d %x %x\n", i, mac, public)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// shim is SoftHSM with faults, which files in faults say.
func shim(t *testing.T) (path, faults string) {
	t.Helper()
	module, dir := softHSM(t)
	faults, path = filepath.Join(dir, "../faults"), filepath.Join(dir, "../shim.so")
	if err := os.Mkdir(faults, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", path, "testdata/shim.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("SHIM_DIR", faults)
	t.Setenv("SHIM_MODULE", module)
	return path, faults
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func logins(t *testing.T, faults string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(faults, "logins"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

// Keys say themselves that they never come out, and do not, whatever asks for them: neither one that was made nor one that was brought in.
func TestKeysStayInTheToken(t *testing.T) {
	path, dir := softHSM(t)
	p := openToken(t, path)
	value := bytes.Repeat([]byte{0xC3, 0x5A}, 16)
	if err := errors.Join(p.CreateMAC("verifier", nil), p.CreateMAC("master-m", value), p.CreateSigning("checkpoint")); err != nil {
		t.Fatal(err)
	}
	_, err := ask(p, true, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) (struct{}, error) {
		wrapping, err := c.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_WRAP, true), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false)})
		if err != nil {
			return struct{}{}, err
		}
		for name, class := range map[string]uint{"verifier": pkcs11.CKO_SECRET_KEY, "master-m": pkcs11.CKO_SECRET_KEY, "checkpoint": pkcs11.CKO_PRIVATE_KEY} {
			key, err := p.one(c, s, class, name)
			if err != nil {
				return struct{}{}, err
			}
			want := map[uint]byte{pkcs11.CKA_SENSITIVE: 1, pkcs11.CKA_EXTRACTABLE: 0, pkcs11.CKA_PRIVATE: 1, pkcs11.CKA_TOKEN: 1}
			if class == pkcs11.CKO_SECRET_KEY {
				for _, use := range []uint{pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT, pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_DERIVE} {
					want[use] = 0
				}
			}
			if name != "master-m" { // which was outside once
				want[pkcs11.CKA_NEVER_EXTRACTABLE], want[pkcs11.CKA_ALWAYS_SENSITIVE] = 1, 1
			}
			for attribute, want := range want {
				a, err := c.GetAttributeValue(s, key, []*pkcs11.Attribute{pkcs11.NewAttribute(attribute, nil)})
				if err != nil || !bytes.Equal(a[0].Value, []byte{want}) {
					t.Errorf("%s: attribute %#x is %v, %v", name, attribute, a, err)
				}
			}
			if a, err := c.GetAttributeValue(s, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)}); !errors.Is(err, pkcs11.Error(pkcs11.CKR_ATTRIBUTE_SENSITIVE)) {
				t.Errorf("%s: the value is %v, %v", name, a, err)
			}
			if text, err := c.WrapKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_WRAP, nil)}, wrapping, key); !errors.Is(err, pkcs11.Error(pkcs11.CKR_KEY_UNEXTRACTABLE)) {
				t.Errorf("%s: wrapped as %x, %v", name, text, err)
			}
			if err := c.SetAttributeValue(s, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true)}); err == nil {
				t.Errorf("%s was made extractable", name)
			}
		}
		return struct{}{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The token's own files hold what was brought in encrypted.
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, value) || bytes.Contains(text, []byte(testPIN)) {
			t.Errorf("%s holds the key or the PIN", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if shown := fmt.Sprintf(verb+verb, p, *p); strings.Contains(shown, testPIN) {
			t.Errorf("%s shows the PIN: %s", verb, shown)
		}
	}
}

// A key that somebody else made with the name of one of ours, and that could be read out, is none; nor are two of a name.
func TestForeignKeys(t *testing.T) {
	path, _ := softHSM(t)
	p := openToken(t, path)
	plant := func(name string, extractable bool) {
		t.Helper()
		_, err := ask(p, false, func(c *pkcs11.Ctx, s pkcs11.SessionHandle) (pkcs11.ObjectHandle, error) {
			return c.CreateObject(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label(name)),
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
				pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, extractable), pkcs11.NewAttribute(pkcs11.CKA_VALUE, make([]byte, 32))})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	plant("master-open", true)
	if _, err := p.MAC("master-open", nil); !errors.Is(err, keyring.ErrKey) || !strings.Contains(err.Error(), "give it away") {
		t.Errorf("an extractable key: %v", err)
	}
	plant("master-two", false)
	if _, err := p.MAC("master-two", nil); err != nil {
		t.Errorf("a key that was brought in by another program: %v", err)
	}
	plant("master-two", false)
	if _, err := p.MAC("master-two", nil); !errors.Is(err, keyring.ErrKey) {
		t.Errorf("two keys of a name: %v", err)
	}
	if err := p.CreateMAC("master-two", nil); !errors.Is(err, keyring.ErrExists) {
		t.Errorf("a third: %v", err)
	}
}

// A wrong PIN is given once, whoever asks how often; a token that says that it is locked, or at the next wrong one will be, is given none.
func TestWrongPIN(t *testing.T) {
	path, faults := shim(t)
	for i := range 3 {
		_, err := Open(path, testLabel, []byte("314159"))
		if !errors.Is(err, keyring.ErrProvider) || !strings.Contains(err.Error(), "does not take the PIN") || strings.Contains(err.Error(), "314159") {
			t.Errorf("a wrong PIN: %v", err)
		}
		if n := logins(t, faults); n != i+1 {
			t.Errorf("%d logins after %d times open", n, i+1)
		}
	}
	for flag, says := range map[string]string{"40000": "has locked itself", "20000": "next wrong PIN"} {
		write(t, filepath.Join(faults, "flags"), flag)
		if _, err := Open(path, testLabel, []byte(testPIN)); !errors.Is(err, keyring.ErrProvider) || !strings.Contains(err.Error(), says) {
			t.Errorf("flag %s: %v", flag, err)
		}
	}
	if n := logins(t, faults); n != 3 {
		t.Errorf("%d logins; a locked token was given the PIN", n)
	}
	if err := os.Remove(filepath.Join(faults, "flags")); err != nil {
		t.Fatal(err)
	}
	// In mid-run: the PIN is changed, and the token goes away and comes back. Every question after that fails, and one of them was a login.
	p := openToken(t, path)
	if err := p.CreateMAC("verifier", nil); err != nil {
		t.Fatal(err)
	}
	p.pin = func() string { return "314159" }
	write(t, filepath.Join(faults, "removed"), "")
	before := logins(t, faults)
	for range 5 {
		if _, err := p.MAC("verifier", nil); !errors.Is(err, keyring.ErrProvider) {
			t.Errorf("%v", err)
		}
	}
	if n := logins(t, faults) - before; n != 1 {
		t.Errorf("the wrong PIN was given %d times", n)
	}
}

// A token that is taken away answers nothing that is wrong, is asked to let in once for each question, and works again when it is back.
func TestTokenThatIsTakenAway(t *testing.T) {
	path, dir := softHSM(t)
	p := openToken(t, path)
	if err := errors.Join(p.CreateMAC("verifier", nil), p.CreateSigning("checkpoint")); err != nil {
		t.Fatal(err)
	}
	want, err := p.MAC("verifier", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			_, mac := p.MAC("verifier", []byte("x"))
			_, sign := p.Sign("checkpoint", []byte("x"))
			_, public := p.Public("checkpoint")
			_, names := p.Names()
			for what, err := range map[string]error{"mac": mac, "sign": sign, "public": public, "names": names, "create": p.CreateMAC("master-m", nil), "signing": p.CreateSigning("ca"), "destroy": p.Destroy("verifier")} {
				if !errors.Is(err, keyring.ErrProvider) || errors.Is(err, keyring.ErrMissing) {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		if got, err := p.MAC("verifier", []byte("x")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("back again: %x, %v", got, err)
		}
	}
}

// A token that says so itself is logged in to once more for each question, and no oftener.
func TestTokenThatSaysItWasRemoved(t *testing.T) {
	path, faults := shim(t)
	p := openToken(t, path)
	if err := p.CreateMAC("verifier", nil); err != nil {
		t.Fatal(err)
	}
	removed := filepath.Join(faults, "removed")
	write(t, removed, "")
	for i := range 3 {
		before := logins(t, faults)
		if _, err := p.MAC("verifier", nil); !errors.Is(err, keyring.ErrProvider) {
			t.Errorf("%v", err)
		}
		if n := logins(t, faults) - before; n != 1 {
			t.Errorf("question %d: %d logins", i, n)
		}
	}
	if err := os.Remove(removed); err != nil {
		t.Fatal(err)
	}
	if _, err := p.MAC("verifier", nil); err != nil {
		t.Error(err)
	}
}

// A module that hangs keeps nobody waiting longer than the limit, and nobody at all from then on; other tokens go on.
func TestModuleThatHangs(t *testing.T) {
	path, faults := shim(t)
	p := openToken(t, path)
	other := openToken(t, os.Getenv("SHIM_MODULE"))
	if err := p.CreateMAC("verifier", nil); err != nil {
		t.Fatal(err)
	}
	defer func(before time.Duration) { limit = before }(limit)
	limit = 300 * time.Millisecond
	hang := filepath.Join(faults, "hang")
	write(t, hang, "")
	defer os.Remove(hang) // lets the thread go
	start := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := p.MAC("verifier", nil); !errors.Is(err, keyring.ErrProvider) {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if d := time.Since(start); d < limit || d > 10*limit {
		t.Errorf("four questions took %s, and the limit is %s", d, limit)
	}
	start = time.Now()
	for range 100 {
		if _, err := p.Sign("checkpoint", nil); !errors.Is(err, keyring.ErrProvider) || !strings.Contains(err.Error(), "is not asked again") {
			t.Errorf("%v", err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > limit {
		t.Errorf("100 questions to a module that hung took %s", d)
	}
	if _, err := Open(path, testLabel, []byte(testPIN)); !errors.Is(err, keyring.ErrProvider) {
		t.Errorf("opened again: %v", err)
	}
	if _, err := other.MAC("verifier", nil); err != nil {
		t.Errorf("another module: %v", err)
	}
}

// Of several processes that make the same keys at once, one makes each, and all then use the same.
func TestProcesses(t *testing.T) {
	path, _ := softHSM(t)
	outs := make([]bytes.Buffer, 4)
	var wg sync.WaitGroup
	for i := range outs {
		wg.Go(func() {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "OTHER_PROCESS="+path)
			c.Stdout = &outs[i]
			var errs bytes.Buffer
			c.Stderr = &errs
			if err := c.Run(); err != nil {
				t.Errorf("%v: %s", err, &errs)
			}
		})
	}
	wg.Wait()
	made, keys := map[string]int{}, map[string]int{}
	for i := range outs {
		for line := range strings.Lines(outs[i].String()) {
			if strings.HasPrefix(line, "made") {
				made[line]++
			} else {
				keys[line]++
			}
		}
	}
	if len(made) != 10 || len(keys) != 5 {
		t.Fatalf("made %v, used %v", made, keys)
	}
	for line, n := range made {
		if n != 1 {
			t.Errorf("%d processes %s", n, line)
		}
	}
	// This process, which had the token open all the time, sees what others make and destroy.
	p := openToken(t, path)
	names, err := p.Names()
	if err != nil || len(names) != 10 {
		t.Fatalf("%q, %v", names, err)
	}
	if err := p.Destroy("master-0"); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "OTHER_PROCESS="+path)
	out, err := c.Output()
	if err != nil || !strings.Contains(string(out), "made mac 0\n") {
		t.Fatalf("%s, %v", out, err)
	}
	mac, err := p.MAC("master-0", nil)
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("key 0 %x ", mac)) {
		t.Errorf("the key that another process made: %x, %v; it says %s", mac, err, out)
	}
}

// Whatever is wrong with module and token is said in a sentence.
func TestWhatCannotBeOpened(t *testing.T) {
	path, faults := shim(t)
	none := filepath.Join(t.TempDir(), "none.so")
	write(t, none, "no library")
	for _, c := range []struct{ module, label, says string }{
		{none + ".absent", testLabel, "no such file"},
		{none, testLabel, "is no PKCS#11 module"},
		{path, "line-4", `no token "line-4"`},
		{path, "line-4", `only "line-3"`},
		{path, "", `no token ""`},
	} {
		if _, err := Open(c.module, c.label, []byte(testPIN)); !errors.Is(err, keyring.ErrProvider) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %q: %v", c.module, c.label, err)
		}
	}
	write(t, filepath.Join(faults, "nomech"), "")
	if _, err := Open(path, testLabel, []byte(testPIN)); !errors.Is(err, keyring.ErrProvider) || !strings.Contains(err.Error(), "CKM_EDDSA") {
		t.Errorf("a token without Ed25519: %v", err)
	}
	if err := os.Remove(filepath.Join(faults, "nomech")); err != nil {
		t.Fatal(err)
	}
	// A token that makes keys which it would give away is not used, and does not keep the key.
	p := openToken(t, path)
	write(t, filepath.Join(faults, "open"), "")
	if err := p.CreateMAC("verifier", nil); !errors.Is(err, keyring.ErrKey) {
		t.Errorf("a key that came out extractable: %v", err)
	}
	if err := os.Remove(filepath.Join(faults, "open")); err != nil {
		t.Fatal(err)
	}
	if names, err := p.Names(); err != nil || len(names) != 0 {
		t.Errorf("it left %q, %v", names, err)
	}
	p.Close()
	initToken(t, testLabel)
	if _, err := Open(path, testLabel, []byte(testPIN)); !errors.Is(err, keyring.ErrProvider) || !strings.Contains(err.Error(), "there are 2 tokens") {
		t.Errorf("two tokens of a label: %v", err)
	}
}
