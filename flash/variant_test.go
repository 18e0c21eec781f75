package flash

import (
	"strings"
	"testing"

	"station/sim/nor"
)

func TestVariant(t *testing.T) {
	for id, want := range map[string]string{
		"20BA19104400": "standard", "20BB19104473": "secure", "20BA1812008C": "Authenta", "20BA19104401": "", "20BB18100000": "standard",
	} {
		var d DeviceID
		must(t, d.UnmarshalText([]byte(id)))
		if got := Variant(d); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}

// A wrong variant is told in words, with what it means; a wrong density is not called a variant.
func TestWrongPartTellsVariant(t *testing.T) {
	for _, x := range []struct {
		got, want string // what is in the socket, what the recipe wants
		says      []string
	}{
		{"20BB19104473", "MT25QU256ABA", []string{"secure variant of the MT25QU256ABA", "Security Addendum", "NDA", "profile of your own"}},
		{"20BA1812008C", "MT25QL128ABA", []string{"Authenta variant of the MT25QL128ABA", "9B and 96"}},
		{"20BA18104400", "MT25QL128ABB", []string{"standard variant of the MT25QL128ABB", "counters"}},
		{"20BA19100000", "MT25QL256ABA", []string{"density and voltage of MT25QL256ABA", "another variant or revision", "N25Q"}},
		{"20BA19104455", "MT25QL256ABA", []string{"density and voltage of MT25QL256ABA"}},
		{"20BA20104473", "MT25QL256ABA", nil},
		{"20BB19104400", "MT25QL256ABA", nil},
	} {
		p, err := partNamed(x.want)
		must(t, err)
		var id DeviceID
		must(t, id.UnmarshalText([]byte(x.got)))
		w := newWire(t, x.want, nor.Options{Faults: nor.Faults{ID: id[:]}})
		_, err = Identify(t.Context(), w, p)
		text := as[*WrongPartError](t, err).Error()
		if !strings.HasPrefix(text, "wrong part: ID is "+x.got+", want "+p.ID.String()+" ("+x.want+")") {
			t.Error(text)
		}
		for _, s := range x.says {
			if !strings.Contains(text, s) {
				t.Errorf("%s lacks %q", text, s)
			}
		}
		if x.says == nil && !strings.HasSuffix(text, ")") {
			t.Errorf("%s: that is no variant", text)
		}
	}
	// Among all shipped parts the one of its density is named.
	w := newWire(t, "MT25QU256ABA-1SIT", nor.Options{})
	_, err := Identify(t.Context(), w)
	if text := as[*WrongPartError](t, err).Error(); !strings.Contains(text, "secure variant of the MT25QU256ABA:") {
		t.Error(text)
	}
}

// A profile of one's own for a secure part works as any other, and says so.
func TestSecurePartWithProfile(t *testing.T) {
	p, err := partNamed("MT25QU256ABA")
	must(t, err)
	p.Name, p.ID[5], p.User = "MT25QU256ABA-1SIT", 0x73, true
	c, w := identified(t, "MT25QU256ABA-1SIT", nor.Options{}, p)
	write(t, c, Extent{0, 4096, []byte("secure")})
	w.idle(t)
	// Its blocks may be locked from power-up on: that is read, and not forgotten.
	c, _ = identified(t, "MT25QU256ABA-1SIT", nor.Options{LockedAtBoot: true}, p)
	got, err := c.Protection(t.Context())
	must(t, err)
	if !got.Locked(0, p.Size) {
		t.Errorf("locked %v", got.LockedRanges())
	}
	as[*ProtectedError](t, c.Apply(t.Context(), mustPlan(t, c, nil, Extent{0, 4096, nil}), nil))
}
