package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"station/store"
)

// askBoards asks each board of the demo through a fixture of another kind, with plain frames: what the recipe promises for ever holds after
// the supply was away, and what the auditor gets out of the escrow with a program that knows nothing of the station opens it.
func (p *position) askBoards(t *testing.T, serials []string) {
	age := judge(t, "age")
	db, err := store.OpenReadOnly(ledgerFile(p.data()))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, serial := range serials {
		t.Run(serial, func(t *testing.T) {
			all, err := db.EscrowsOf(serial)
			if err != nil {
				t.Fatal(err)
			}
			secrets := map[string][]byte{}
			for _, e := range all {
				text, err := db.Escrow(e.ID)
				if err != nil || !e.Proven || e.Void {
					t.Fatalf("escrow %s of %s: proven %t, void %t, %v", e.ID, e.Kind, e.Proven, e.Void, err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				c := exec.CommandContext(ctx, age, "-d", "-i", identityFile(p.data()))
				c.Stdin = bytes.NewReader(text)
				secret, err := c.Output()
				cancel()
				if err != nil {
					t.Fatalf("age -d of escrow %s: %v", e.ID, err)
				}
				secrets[e.Kind] = secret
			}
			if len(all) != 2 || len(secrets["password"]) != 8 || len(secrets["root_key"]) != 32 {
				t.Fatalf("%d escrows, want a password of 8 bytes and a root key of 32", len(all))
			}
			addr, stop := p.serve(p.board(serial))
			defer stop()
			w := dialSerprog(t, addr)
			defer w.Close()
			w.isLocked()
			w.opens(secrets["password"])
			w.knows(secrets["root_key"])
		})
	}
}

// isLocked wants what outlasts power-off: the chip tells no password, is in password mode and frozen, and refuses a write to its first sector.
func (w *wire) isLocked() {
	w.t.Helper()
	if told := w.spi(8, 0x27); !bytes.Equal(told, bytes.Repeat([]byte{0xFF}, 8)) {
		w.t.Error("27 tells something") // and no log tells what
	}
	if spr := w.spi(2, 0x2D); !bytes.Equal(spr, []byte{0xFB, 0xFF}) {
		w.t.Errorf("2D reads %X, want FBFF", spr)
	}
	if freeze := w.spi(1, 0xA7)[0]; freeze != 0 {
		w.t.Errorf("A7 reads %02X after power-up, want 00: frozen", freeze)
	}
	before := w.spi(4, read3(0x03, 0)...)
	w.spi(0, 0x50)
	w.spi(0, 0x06)
	w.spi(0, append(read3(0x02, 0), 0, 0, 0, 0)...)
	if flags, after := w.spi(1, 0x70)[0], w.spi(4, read3(0x03, 0)...); flags&0x12 != 0x12 || !bytes.Equal(before, after) {
		w.t.Errorf("a page program of a locked sector: flag status %02X, %X -> %X, want it refused", flags, before, after)
	}
	w.spi(0, 0x04)
	// Frozen lock bits do not go away either.
	w.spi(0, 0x50)
	w.spi(0, 0x06)
	w.spi(0, 0xE4)
	if bit := w.spi(1, read4(0xE2, 0)...)[0]; bit&1 != 0 {
		w.t.Errorf("E4 of a frozen chip: the lock bit of sector 0 reads %02X", bit)
	}
	w.spi(0, 0x04)
	w.spi(0, 0x50)
}

// opens wants the password, and no other, to open the chip's lock bits (29).
func (w *wire) opens(password []byte) {
	w.t.Helper()
	wrong := bytes.Clone(password)
	wrong[3] ^= 0x10
	w.spi(0, append([]byte{0x29}, wrong...)...)
	if flags, freeze := w.spi(1, 0x70)[0], w.spi(1, 0xA7)[0]; flags&0x10 == 0 || freeze != 0 {
		w.t.Errorf("29 with one bit wrong: flag status %02X, A7 reads %02X, want it refused", flags, freeze)
	}
	w.spi(0, 0x50)
	w.spi(0, append([]byte{0x29}, password...)...)
	if flags, freeze := w.spi(1, 0x70)[0], w.spi(1, 0xA7)[0]; flags&0x10 != 0 || freeze != 1 {
		w.t.Errorf("29 with the password of the escrow: flag status %02X, A7 reads %02X, want 01: open", flags, freeze)
	}
}

// knows wants counter 0 to sign with a root key (JESD260, commands 01 and 03).
func (w *wire) knows(key []byte) {
	w.t.Helper()
	data := []byte{1, 2, 3, 4}
	session := sign(key, data)
	update := append([]byte{0x9B, 1, 0, 0}, data...)
	w.spi(0, append(update, sign(session, update)...)...)
	if status := w.spi(1, 0x96, 0)[0]; status != 0x80 {
		w.t.Errorf("update HMAC key with the root key of the escrow: extended status %02X, want 80", status)
	}
	tag := []byte("twelve bytes")
	request := append([]byte{0x9B, 3, 0, 0}, tag...)
	w.spi(0, append(request, sign(session, request)...)...)
	reply := w.spi(49, 0x96, 0)
	if reply[0] != 0x80 || !bytes.Equal(reply[1:13], tag) || binary.BigEndian.Uint32(reply[13:]) != 0 || !hmac.Equal(reply[17:], sign(session, reply[1:17])) {
		w.t.Errorf("request counter 0: %X", reply)
	}
}

func sign(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

// read3 is an opcode with a three-byte address.
func read3(op byte, addr uint32) []byte {
	return append([]byte{op}, binary.BigEndian.AppendUint32(nil, addr)[1:]...)
}

// opened is what `station escrow open` prints of a unit. It is kept out of what is searched for secrets: this is where they belong.
func (p *position) opened(serial, group string) []escrowJSON {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	c := p.command(ctx, "escrow", "open", serial, "--identity", group+".txt", "--json")
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	p.output.WriteString(errs.String())
	if err != nil {
		p.t.Fatalf("escrow open %s: %v\n%s", serial, err, &errs)
	}
	var list []escrowJSON
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var e escrowJSON
		if err := dec.Decode(&e); err != nil {
			p.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// reconcile holds a chip against the escrow of its unit: every secret on it is there once as proven, and what the chip never learned is not on it.
func (p *position) reconcile(serial string, secrets map[string][]byte) {
	p.t.Helper()
	proven := map[string]string{}
	for _, e := range p.opened(serial, "audit") {
		name := e.Kind
		if name == "root_key" {
			name = fmt.Sprintf("root_key %d", e.Index)
		}
		onChip := hex.EncodeToString(secrets[name])
		switch {
		case e.State == "proven" && proven[name] == "":
			proven[name] = e.Secret
			if e.Secret != onChip {
				p.t.Errorf("%s: the %s of escrow %s is not on the chip", serial, name, e.Escrow)
			}
		case e.State != "never learned":
			p.t.Errorf("%s: escrow %s of the %s is %q", serial, e.Escrow, name, e.State)
		case e.Secret == onChip && name != "root_key 0": // which is derived, so the same each time
			p.t.Errorf("%s: the %s of escrow %s is on the chip, which never learned it", serial, name, e.Escrow)
		}
	}
	if len(proven) != len(secrets) || len(secrets) != 3 {
		p.t.Errorf("%s: %d secrets on the chip, %d in proven escrows, want 3", serial, len(secrets), len(proven))
	}
}

// TestEscrowMatch asks whether a password is the one of a unit: the station can tell while the unit's run is open, and afterwards only who holds an identity.
func TestEscrowMatch(t *testing.T) {
	t.Parallel()
	p := newAudited(t)
	defer p.close()
	args := append([]string{"run", "secret.yaml", "--slot", "1=TB-0001"}, secretRun...)
	r := p.launch(args...)
	r.await("8/10 freeze")
	r.cmd.Process.Kill()
	r.wait()
	chip := openBoard(t, p.board("TB-0001"))
	password := chipSecrets(chip)["password"]
	chip.Close()
	wrong := bytes.Clone(password)
	wrong[7] ^= 1
	for _, c := range []struct {
		password []byte
		options  []string
		code     int
		answer   string
	}{
		{password, nil, exitDone, "yes\n"},
		{wrong, nil, exitNo, "no\n"},
		{password, []string{"--identity", "audit.txt"}, exitDone, "yes\n"},
		{wrong, []string{"--identity", "audit.txt"}, exitNo, "no\n"},
		{password, []string{"--identity", "owner.txt"}, exitNo, ""},
	} {
		if code, out := p.match(c.password, c.options...); code != c.code || out != c.answer {
			t.Errorf("escrow match %q, right %t: exit %d, %q, want %d, %q", c.options, bytes.Equal(c.password, password), code, out, c.code, c.answer)
		}
	}
	p.expect(exitDone, args...)
	if code, out := p.match(password); code != exitRefused || out != "" {
		t.Errorf("escrow match after the run was settled: exit %d, %q", code, out)
	}
	if code, out := p.match(password, "--identity", "audit.txt"); code != exitDone || out != "yes\n" {
		t.Errorf("escrow match with an identity after the run was settled: exit %d, %q", code, out)
	}
}

// match is `station escrow match` of TB-0001 with a password on standard input.
func (p *position) match(password []byte, options ...string) (code int, stdout string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	c := p.command(ctx, append([]string{"escrow", "match", "TB-0001"}, options...)...)
	c.Stdin = strings.NewReader(hex.EncodeToString(password) + "\n")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if c.ProcessState == nil {
		p.t.Fatal(err)
	}
	p.output.Write(out.Bytes())
	p.output.Write(errs.Bytes())
	return c.ProcessState.ExitCode(), out.String()
}
