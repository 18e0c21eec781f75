package flash

import (
	"bytes"
	"errors"
	"testing"

	"station/sim/nor"
)

// TestLook: what fits no profile tells its ID and SFDP, and nothing else is asked; a malformed SFDP is no reason to tell nothing.
func TestLook(t *testing.T) {
	w := newWire(t, "MT25QU256ABA-1SIT", nor.Options{})
	f, err := Look(t.Context(), w)
	must(t, err)
	if DeviceID(f.ID[:6]).String() != "20BB19104473" || f.SFDP == nil || f.SFDP.Size != 32<<20 || f.Err != nil {
		t.Errorf("%+v", f)
	}
	if rest := bytes.Trim(w.sent, "\x9F\x5A"); len(rest) > 0 {
		t.Errorf("sent % X", rest)
	}
	w.forge = func(out, in []byte) {
		if out[0] == 0x5A {
			in[0] = 'X'
		}
	}
	if f, err = Look(t.Context(), w); err != nil || f.SFDP != nil || !errors.Is(f.Err, ErrSFDP) || f.Raw[0] != 'X' {
		t.Errorf("malformed: %+v, %v", f, err)
	}
	n := 0
	w.forge = func(out, in []byte) {
		if n++; out[0] == 0x5A && n%4 == 0 {
			in[200] ^= 1
		}
	}
	var unstable *UnstableError
	if _, err = Look(t.Context(), w); !errors.As(err, &unstable) {
		t.Errorf("unstable: %v", err)
	}
	w.forge = func(_, in []byte) { copy(in, bytes.Repeat([]byte{0xFF}, len(in))) }
	if _, err = Look(t.Context(), w); !errors.Is(err, ErrAbsent) {
		t.Errorf("absent: %v", err)
	}
}

func TestNearest(t *testing.T) {
	for id, want := range map[DeviceID]string{
		{0x20, 0xBB, 0x19, 0x10, 0x44, 0x73}: "MT25QU256ABA",
		{0x20, 0xBA, 0x18, 0x10, 0x00, 0x00}: "MT25QL128ABA",
		{0x20, 0xBA, 0x18, 0x12, 0x00, 0x00}: "MT25QL128ABB",
		{0x20, 0xBB, 0x22, 0x10, 0x44, 0x00}: "MT25QU256ABA",
		{0xEF, 0x40, 0x18}:                   "",
	} {
		got := ""
		if p := Nearest(id, Parts()); p != nil {
			got = p.Name
		}
		if got != want {
			t.Errorf("%s is nearest to %q, want %q", id, got, want)
		}
	}
}

// TestMeasureID counts every reading that differs, and sends nothing but READ ID.
func TestMeasureID(t *testing.T) {
	w := newWire(t, "MT25QL256ABA", nor.Options{})
	var last, all int64
	m, err := MeasureID(t.Context(), w, 100, func(done, total int64) { last, all = done, total })
	must(t, err)
	if m.Err() != nil || m.IDs != 100 || last != 100 || all != 100 || [14]byte(m.ID[6:]) != w.chip.UID() {
		t.Errorf("%+v, %v, %d of %d", m, m.Err(), last, all)
	}
	n := 0
	w.forge = func(out, in []byte) {
		if out[0] != 0x9F || len(out) != 1 {
			t.Errorf("% x was sent", out)
		}
		if n++; n == 5 || n == 7 {
			in[19] ^= 1
		}
	}
	m, err = MeasureID(t.Context(), w, 100, nil)
	must(t, err)
	if m.OtherIDs != 2 || n != 100 || !errors.Is(m.Err(), ErrUnsteady) {
		t.Errorf("%+v after %d, %v", m, n, m.Err())
	}
	w.forge = func(_, in []byte) { clear(in) }
	if m, err = MeasureID(t.Context(), w, 3, nil); err != nil || !errors.Is(m.Err(), ErrAbsent) {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestMeasureContact counts every reading that differs, of each kind, and no other.
func TestMeasureContact(t *testing.T) {
	w := newWire(t, "MT25QL256ABA", nor.Options{})
	var last, all int64
	m, err := MeasureContact(t.Context(), w, 100, 10, func(done, total int64) { last, all = done, total })
	must(t, err)
	if m.Err() != nil || m.IDs != 100 || m.SFDPs != 10 || last != 110 || all != 110 || m.Status != [2]byte{0, 0x80} || m.Slowest < m.Median || m.Median < m.Fastest {
		t.Errorf("%+v, %v, %d of %d", m, m.Err(), last, all)
	}
	counts := map[byte]int{}
	w.forge = func(out, in []byte) {
		if counts[out[0]]++; counts[out[0]] == 5 || counts[out[0]] == 7 {
			in[0] ^= 0x40
		}
	}
	m, err = MeasureContact(t.Context(), w, 100, 10, nil)
	must(t, err)
	if m.OtherIDs != 2 || m.OtherSFDPs != 2 || m.Unstable != 2 || !errors.Is(m.Err(), ErrUnsteady) {
		t.Errorf("%+v, %v", m, m.Err())
	}
	w.forge = func(_, in []byte) { clear(in) }
	if m, err = MeasureContact(t.Context(), w, 3, 1, nil); err != nil || !errors.Is(m.Err(), ErrAbsent) {
		t.Errorf("%+v, %v", m, err)
	}
}
