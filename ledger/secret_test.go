package ledger

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const secretRun = "00112233445566aa"

func sealedAs(id string) Sealed {
	return Sealed{ID: id, SHA256: zeros, Recipients: []Recipient{{Group: "audit", Fingerprint: "sha256:" + zeros}}}
}

// secretBodies go on behind vectorBodies: a run with every kind of entry about secrets, which a person closes.
func secretBodies() []Body {
	const run, serial, uid = secretRun, "GW-000002", "1102030405060708090a0b0c0d0e"
	start := vectorBodies()[1].(RunStart)
	start.Run, start.Serial, start.Chip.UID = run, serial, uid
	return []Body{
		start,
		RootKeyIntent{run, serial, uid, 0, "derive:line/root-2026", sealedAs("000000000000000a"), zeros, ""},
		RootKeyVoid{run, serial, 0, "000000000000000a"},
		RootKeyIntent{run, serial, uid, 0, "derive:line/root-2026", sealedAs("000000000000000b"), zeros, ""},
		RootKeyProven{run, serial, uid, 0, "derive:line/root-2026", 1<<32 - 1, "000000000000000b"},
		PermanentIntent{run, serial, uid, "counter 0: 4 to 5"},
		PasswordIntent{run, serial, uid, sealedAs("000000000000000c")},
		PasswordVoid{run, serial, "000000000000000c"},
		PasswordIntent{run, serial, uid, sealedAs("000000000000000d")},
		PasswordProven{run, serial, uid, "000000000000000d"},
		ModeIntent{run, serial, uid, PasswordMode},
		ModeIntent{run, serial, uid, PasswordMode},
		ModeProven{run, serial, uid, PasswordMode, "unlock exercised"},
		RunStuck{run, serial, "root-key-foreign", "Counter 1 holds a key that is not ours.", "Ask a supervisor."},
		UnitClose{run, serial, Scrapped, "dropped", "op-80", false},
	}
}

func allBodies() []Body { return slices.Concat(vectorBodies(), secretBodies(), reworkBodies()) }

// Every kind has a vector, comes back as what it was, and belongs to the run that it names.
func TestEveryKind(t *testing.T) {
	kinds := []string{KindStationInit, KindRunStart, KindRunResume, KindRunStep, KindRunEnd, KindPasswordIntent, KindPasswordVoid, KindPasswordProven,
		KindModeIntent, KindModeProven, KindRootKeyIntent, KindRootKeyVoid, KindRootKeyProven, KindPermanentIntent, KindRunStuck, KindUnitClose,
		KindReworkPermit, KindReworkWithdrawn, KindPasswordOpened, KindLocksErased}
	seen := map[string]bool{}
	for i, leaf := range newBook(t, allBodies()).leaves {
		want := allBodies()[i]
		e, err := Decode(leaf)
		if err != nil || !reflect.DeepEqual(e.Body, want) {
			t.Errorf("entry %d: %+v, %v", i, e.Body, err)
		}
		seen[e.Body.Kind()] = true
		v := reflect.ValueOf(want)
		ofRun := ""
		if f := v.FieldByName("Run"); f.IsValid() {
			ofRun = f.String()
		}
		if run, serial, _ := RunOf(want); want.Kind() != KindStationInit && (run != ofRun || serial != v.FieldByName("Serial").String()) {
			t.Errorf("%s belongs to run %q of %q", want.Kind(), run, serial)
		}
	}
	for _, k := range kinds {
		if !seen[k] {
			t.Errorf("no vector has the kind %s", k)
		}
	}
	if r := verify(t, newBook(t, allBodies(), 32)); len(r.Findings) != 0 || r.Entries != 32 || r.Signed != 32 {
		t.Errorf("%+v", r)
	}
}

func TestSecretGrammar(t *testing.T) {
	const run, serial, uid = secretRun, "S", "u1"
	start := RunStart{Run: run, Serial: serial, Chip: Chip{UID: uid}}
	resume := RunResume{Run: run, Serial: serial, Chip: Chip{UID: uid}}
	end := func(o Outcome) RunEnd { return RunEnd{Run: run, Serial: serial, Outcome: o, Touched: true} }
	id := func(n int) string { return fmt.Sprintf("%016x", n) }
	password := func(n int) PasswordIntent { return PasswordIntent{run, serial, uid, sealedAs(id(n))} }
	void := func(n int) PasswordVoid { return PasswordVoid{run, serial, id(n)} }
	proven := func(n int) PasswordProven { return PasswordProven{run, serial, uid, id(n)} }
	mode := func(m string) ModeIntent { return ModeIntent{run, serial, uid, m} }
	modeProven := func(m string) ModeProven { return ModeProven{run, serial, uid, m, "unlock exercised"} }
	key := func(i, n int) RootKeyIntent {
		return RootKeyIntent{run, serial, uid, i, "random", sealedAs(id(n)), zeros, ""}
	}
	keyVoid := func(i, n int) RootKeyVoid { return RootKeyVoid{run, serial, i, id(n)} }
	keyProven := func(i, n int) RootKeyProven { return RootKeyProven{run, serial, uid, i, "random", 0, id(n)} }
	permanent := PermanentIntent{run, serial, uid, "counter 0: 4 to 5"}
	stuck := RunStuck{run, serial, "c", "m", "n"}
	unitClose := UnitClose{run, serial, Lost, "never seen again", "op", false}
	sealedWrong := func(change func(*Sealed)) PasswordIntent {
		b := password(1)
		change(&b.Escrow)
		return b
	}
	for name, c := range map[string]struct {
		bodies []Body
		bad    int    // index of the body that may not stand there, -1 when all may
		left   string // what is unsettled at the end
	}{
		"whole password":               {[]Body{start, password(1), proven(1), mode(PasswordMode), modeProven(PasswordMode), end(Pass)}, -1, ""},
		"password after a void":        {[]Body{start, password(1), void(1), password(2), proven(2)}, -1, "the password mode"},
		"mode again":                   {[]Body{start, password(1), proven(1), mode(PasswordMode), mode(PasswordMode)}, -1, "a mode"},
		"two passwords":                {[]Body{start, password(1), password(2)}, 2, "a password"},
		"two proven passwords":         {[]Body{start, password(1), proven(1), password(2)}, 3, "the password mode"},
		"proven twice":                 {[]Body{start, password(1), proven(1), proven(1)}, 3, "the password mode"},
		"proven without intent":        {[]Body{start, proven(1)}, 1, ""},
		"proven by another escrow":     {[]Body{start, password(1), proven(2)}, 2, "a password"},
		"proven after a void":          {[]Body{start, password(1), void(1), proven(1)}, 3, ""},
		"void of another escrow":       {[]Body{start, password(1), void(2)}, 2, "a password"},
		"void of nothing":              {[]Body{start, PasswordVoid{run, serial, ""}}, 1, ""},
		"void after the proof":         {[]Body{start, password(1), proven(1), void(1)}, 3, "the password mode"},
		"mode before the proof":        {[]Body{start, password(1), mode(PasswordMode)}, 2, "a password"},
		"mode without password":        {[]Body{start, mode(PasswordMode)}, 1, ""},
		"mode proven without intent":   {[]Body{start, password(1), proven(1), modeProven(PasswordMode)}, 3, "the password mode"},
		"mode after its proof":         {[]Body{start, mode(PersistentMode), modeProven(PersistentMode), mode(PersistentMode)}, 3, ""},
		"both modes":                   {[]Body{start, password(1), proven(1), mode(PasswordMode), mode(PersistentMode)}, 4, "a mode"},
		"persistent after password":    {[]Body{start, password(1), mode(PersistentMode)}, 2, "a password"},
		"password after persistent":    {[]Body{start, mode(PersistentMode), password(1)}, 2, "a mode"},
		"another mode proven":          {[]Body{start, mode(PersistentMode), modeProven(PasswordMode)}, 2, "a mode"},
		"unknown mode":                 {[]Body{start, mode("both")}, 1, ""},
		"no escrow id":                 {[]Body{start, sealedWrong(func(s *Sealed) { s.ID = "" })}, 1, ""},
		"no escrow digest":             {[]Body{start, sealedWrong(func(s *Sealed) { s.SHA256 = strings.ToUpper("ab" + zeros[2:]) })}, 1, ""},
		"sealed to nobody":             {[]Body{start, sealedWrong(func(s *Sealed) { s.Recipients = nil })}, 1, ""},
		"whole root keys":              {[]Body{start, key(0, 1), keyProven(0, 1), key(3, 2), keyVoid(3, 2), key(3, 3), keyProven(3, 3), end(Pass)}, -1, ""},
		"two root keys at once":        {[]Body{start, key(0, 1), key(1, 2), keyProven(1, 2)}, -1, "root key 0"},
		"root key twice":               {[]Body{start, key(0, 1), key(0, 2)}, 2, "root key 0"},
		"root key after its proof":     {[]Body{start, key(0, 1), keyProven(0, 1), key(0, 2)}, 3, ""},
		"root key of another counter":  {[]Body{start, key(0, 1), keyProven(1, 1)}, 2, "root key 0"},
		"void of another counter":      {[]Body{start, key(0, 1), keyVoid(1, 1)}, 2, "root key 0"},
		"negative counter":             {[]Body{start, key(-1, 1)}, 1, ""},
		"root key without reply":       {[]Body{start, RootKeyIntent{run, serial, uid, 0, "random", sealedAs(id(1)), "", ""}}, 1, ""},
		"permanent":                    {[]Body{start, permanent, permanent, end(Pass)}, -1, ""},
		"intent to do nothing":         {[]Body{start, PermanentIntent{run, serial, uid, ""}}, 1, ""},
		"password before the start":    {[]Body{password(1)}, 0, ""},
		"root key before the start":    {[]Body{key(0, 1)}, 0, ""},
		"permanent before the start":   {[]Body{permanent}, 0, ""},
		"permanent after the end":      {[]Body{start, end(Pass), permanent}, 2, ""},
		"password on another chip":     {[]Body{start, PasswordIntent{run, serial, "u2", sealedAs(id(1))}}, 1, ""},
		"proven on another chip":       {[]Body{start, password(1), PasswordProven{run, serial, "u2", id(1)}}, 2, "a password"},
		"mode on another chip":         {[]Body{start, ModeIntent{run, serial, "u2", PersistentMode}}, 1, ""},
		"mode proven on another chip":  {[]Body{start, mode(PersistentMode), ModeProven{run, serial, "u2", PersistentMode, ""}}, 2, "a mode"},
		"root key on another chip":     {[]Body{start, RootKeyIntent{run, serial, "u2", 0, "random", sealedAs(id(1)), zeros, ""}}, 1, ""},
		"key proven on another chip":   {[]Body{start, key(0, 1), RootKeyProven{run, serial, "u2", 0, "random", 0, id(1)}}, 2, "root key 0"},
		"permanent on another chip":    {[]Body{start, PermanentIntent{run, serial, "u2", "x"}}, 1, ""},
		"other serial":                 {[]Body{start, PasswordIntent{run, "T", uid, sealedAs(id(1))}}, 1, ""},
		"pass with an open password":   {[]Body{start, password(1), end(Pass)}, 2, "a password"},
		"error with an open password":  {[]Body{start, password(1), end(Error)}, 2, "a password"},
		"error before the mode":        {[]Body{start, password(1), proven(1), end(Error)}, 3, "the password mode"},
		"abort with an open key":       {[]Body{start, key(2, 1), end(Aborted)}, 2, "root key 2"},
		"error after a void":           {[]Body{start, key(2, 1), keyVoid(2, 1), end(Error)}, -1, ""},
		"fail with an open password":   {[]Body{start, password(1), end(Fail)}, -1, "a password"},
		"stuck stays open":             {[]Body{start, key(0, 1), stuck, stuck}, -1, "root key 0"},
		"stuck and resumed":            {[]Body{start, key(0, 1), stuck, resume, keyProven(0, 1), end(Pass)}, -1, ""},
		"stuck and on":                 {[]Body{start, key(0, 1), stuck, keyProven(0, 1)}, 3, "root key 0"},
		"stuck and ended":              {[]Body{start, stuck, end(Fail)}, 2, ""},
		"stuck before the start":       {[]Body{stuck}, 0, ""},
		"stuck and closed":             {[]Body{start, password(1), stuck, unitClose}, -1, "a password"},
		"closed":                       {[]Body{start, unitClose}, -1, ""},
		"closed twice":                 {[]Body{start, unitClose, unitClose}, 2, ""},
		"closed and ended":             {[]Body{start, unitClose, end(Aborted)}, 2, ""},
		"closed and resumed":           {[]Body{start, unitClose, resume}, 2, ""},
		"ended and closed":             {[]Body{start, end(Aborted), unitClose}, 2, ""},
		"closed before the start":      {[]Body{unitClose}, 0, ""},
		"closed as something else":     {[]Body{start, UnitClose{run, serial, "passed", "r", "op", false}}, 1, ""},
		"closed without a reason":      {[]Body{start, UnitClose{run, serial, Scrapped, "", "op", false}}, 1, ""},
		"a station.init in the middle": {[]Body{start, StationInit{}}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := walkRun(t, c.bodies, c.bad)
			if p.Unsettled() != c.left {
				t.Errorf("unsettled: %q", p.Unsettled())
			}
			last := c.bodies[len(c.bodies)-1].Kind()
			if settled := last == KindRunEnd || last == KindUnitClose; c.bad < 0 && p.Open() == settled {
				t.Errorf("open is %t", p.Open())
			}
		})
	}
}

func TestRunsWithSecrets(t *testing.T) {
	var records []Record
	for i, b := range secretBodies() {
		records = append(records, Record{Index: int64(i), Entry: Entry{Body: b}})
	}
	whole := Runs(records)
	if len(whole) != 1 || len(whole[0].Records) != len(records) || whole[0].Serial != "GW-000002" || whole[0].Open() ||
		whole[0].Outcome() != Interrupted || whole[0].Close == nil || whole[0].Close.As != Scrapped || whole[0].Stuck == nil {
		t.Errorf("closed: %+v", whole)
	}
	stuck := records[:len(records)-1]
	if r := Runs(stuck)[0]; !r.Open() || r.Outcome() != Interrupted || r.Stuck.Cause != "root-key-foreign" || r.Close != nil {
		t.Errorf("stuck: %+v", r)
	}
	resumed := append(slices.Clone(stuck), Record{Entry: Entry{Body: RunResume{Run: secretRun, Serial: "GW-000002"}}})
	if r := Runs(resumed)[0]; !r.Open() || r.Stuck != nil {
		t.Errorf("resumed: %+v", r)
	}
}

// A ledger that says something was proven which was never intended is found, wherever it stands.
func TestVerifyFindsMisplacedSecrets(t *testing.T) {
	for drop, b := range secretBodies() {
		switch b.Kind() {
		case KindPermanentIntent, KindRunStuck, KindUnitClose, KindModeProven, KindRootKeyProven: // nothing after them depends on them
			continue
		case KindModeIntent: // it is there twice
			continue
		}
		bodies := slices.Delete(allBodies(), 7+drop, 7+drop+1)
		r := verify(t, newBook(t, bodies, int64(len(bodies))))
		if len(r.Findings) != 1 || r.Findings[0].From < int64(7+drop) || !strings.Contains(r.Findings[0].What, ErrGrammar.Error()) {
			t.Errorf("without %s at %d: %+v", b.Kind(), 7+drop, r.Findings)
		}
	}
}

// What has to be durable everywhere before a command is sent is exactly the intents.
func TestPermanent(t *testing.T) {
	for _, b := range allBodies() {
		if want := strings.HasSuffix(b.Kind(), ".intent"); Permanent(b) != want {
			t.Errorf("%s: permanent=%t", b.Kind(), Permanent(b))
		}
	}
	if Permanent(nil) {
		t.Error("nothing is permanent")
	}
}

// A close says that somebody checked who closed, and the closes of before anybody could are what they were.
func TestUnitCloseAuthenticated(t *testing.T) {
	c := UnitClose{"00112233445566aa", "GW-000002", Scrapped, "dropped", "op-80", true}
	for _, authenticated := range []bool{true, false} {
		c.Authenticated = authenticated
		leaf := newBook(t, []Body{c}).leaves[0]
		if e, err := Decode(leaf); err != nil || e.Body != Body(c) || bytes.Contains(leaf, []byte(`"authenticated":true`)) != authenticated {
			t.Errorf("%s: %+v, %v", leaf, e.Body, err)
		}
	}
}

// Who ran a unit is written down as checked where it was; an entry where it was not is byte for byte one of before anybody could.
func TestRunAuthenticated(t *testing.T) {
	for _, authenticated := range []bool{true, false} {
		for _, body := range []Body{
			RunStart{Run: "00112233aabbccdd", Serial: "S", Operator: "op-7", Authenticated: authenticated, Images: []Image{}, Regions: []Region{}, Values: []Fact{}},
			RunResume{Run: "00112233aabbccdd", Serial: "S", Operator: "op-7", Authenticated: authenticated},
			RunEnd{Run: "00112233aabbccdd", Serial: "S", Operator: "op-7", Authenticated: authenticated, Proven: []RegionProof{}},
		} {
			leaf := newBook(t, []Body{body}).leaves[0]
			e, err := Decode(leaf)
			if err != nil || !reflect.DeepEqual(e.Body, body) || bytes.Contains(leaf, []byte(`"authenticated":true`)) != authenticated || bytes.Contains(leaf, []byte("authenticated")) != authenticated {
				t.Errorf("%s: %+v, %v", leaf, e.Body, err)
			}
		}
	}
}
