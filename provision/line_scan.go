package provision

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"station/recipes"
)

// Codes that are not a unit's. Those that end with a colon go on with the name of a slot. They go before whatever a recipe takes for a serial.
const (
	CardResume  = "RESUME"   // finish the open runs whose boards are in slots
	CardCancel  = "CANCEL"   // give up what was scanned
	LabelSlot   = "SLOT:"    // the label of a slot: the next serial is for it
	CardRelease = "RELEASE:" // a stopped slot may go on
	CardReject  = "REJECT"   // of the reject bin: the board that came out first of those whose FAIL waits to be acknowledged is in it
)

// Codes that are not taken: by what they are, and by how the line stands, which may be otherwise at once. Slots that take no board are of the second kind.
var (
	wrongCodes   = []string{WordSerialElsewhere, WordTwoCodes, WordNotSerial, WordOtherCase, WordNotValue, WordNoSuchSlot, WordNoCancel, WordNotStopped, WordNoFail}
	wrongMoments = []string{WordNoSlotFree, WordWaitsBoard, WordWaitsFirst, WordTakeOutFirst, WordSlotStopped, WordSlotHeld, WordSlotUnseen, WordSlotOccupied, WordSlotRunning}
)

// Scan takes a code from the scanner.
func (l *Line) Scan(now time.Time, code string) []Decision {
	last := l.repeated(now, code)
	l.expire(now)
	before := len(l.out)
	switch {
	case last == nil, last.no != nil && slices.Contains(wrongMoments, last.no.Word):
		l.scan(now, code)
	case last.no != nil:
		l.do(*last.no)
	default:
		l.twice(code)
	}
	for _, d := range l.out[before:] {
		if slices.Contains(wrongCodes, d.Word) || slices.Contains(wrongMoments, d.Word) {
			d.Do = Tell
			l.read[len(l.read)-1].no = &d
		}
	}
	return l.decided()
}

// reading is one of a scanner.
type reading struct {
	code string
	at   time.Time
	no   *Decision // tells why it was not taken, nil where it was
}

// repeated keeps that a code was read, and returns the last time that it was, in the 3 s before, nil for none: a scanner that goes on and on is one scan, and so are two labels
// that are each read twice, in turn. A card or the label of a slot means something else after another code.
func (l *Line) repeated(now time.Time, code string) (last *reading) {
	var read []reading
	for i, r := range l.read {
		switch {
		case now.Sub(r.at) >= repeatTime:
		case r.code != code:
			read = append(read, r)
		case i == len(l.read)-1 || !l.isCard(code):
			last = &r
		}
	}
	l.read = append(read, reading{code: code, at: now})
	return last
}

// Cancel gives up what was scanned, as the card does.
func (l *Line) Cancel() []Decision {
	l.read = nil
	l.cancel()
	return l.decided()
}

// Release lets a stopped slot go on, as its card does.
func (l *Line) Release(slot string) []Decision {
	if s := l.named(slot); s != nil {
		l.release(s)
	}
	return l.decided()
}

func (l *Line) twice(code string) {
	l.told(nil, WordTwice, "", code+" was scanned twice: once is enough", "", "code", code)
}

func (l *Line) scan(now time.Time, code string) {
	s := l.waiting()
	if l.card(now, code) {
		return
	}
	serial := l.recipe.MatchSerial(code)
	if s == nil {
		s = l.next()
	}
	switch {
	case s == nil:
		l.told(nil, WordNoSlotFree, "", code+" was not taken: no slot is free", l.whyNot(), "code", code)
	case s.state == Scanned:
		l.value(now, s, code, serial)
	case !serial && l.two(code):
	case strings.HasPrefix(code, LabelSlot), strings.HasPrefix(code, CardRelease):
		_, name, _ := strings.Cut(code, ":")
		l.named(name)
	case !serial:
		l.noSerial(code)
	case s.state == Armed && code == s.serial && now.Sub(l.armed) < repeatTime:
		l.twice(code) // the first was followed by values
	case s.state == Armed && code == s.serial:
		l.begin(s)
	case s.state == Armed:
		l.told(s, WordWaitsBoard, s.serial, fmt.Sprintf("it waits for the board of %s, so %s was not taken", s.serial, code), fmt.Sprintf("Put the board of %s in, or scan %s.", s.serial, CardCancel), "code", code)
	default:
		l.serial(now, s, code)
	}
}

// serial is a serial for the slot s, which is free.
func (l *Line) serial(now time.Time, s *lineSlot, serial string) {
	if other := l.holder(serial); other != nil {
		l.refuse(s, WordSerialElsewhere, serial, "in-two-slots", fmt.Sprintf("serial %s is being provisioned in slot %s right now", serial, other.name), "Scan the label of the board that you want to put into slot "+s.name+".",
			"other", other.name)
		return
	}
	s.state, s.serial, s.values, s.there, s.uid, s.board = Scanned, serial, map[string]string{}, false, "", ""
	l.chosen, l.until = nil, now.Add(armTime)
	l.complete(now, s)
}

// complete arms a slot whose values are all there, and asks for the next one otherwise.
func (l *Line) complete(now time.Time, s *lineSlot) {
	l.until = now.Add(armTime)
	if l.missing(s) != "" {
		l.askValue(s)
		return
	}
	s.state, l.armed = Armed, now
	if s.there {
		l.meet(s)
		return
	}
	l.do(Decision{Do: Arm, Word: WordPutIn, Slot: s.name, Serial: s.serial, Message: "put the board of " + s.serial + " in"})
}

// noSerial tells of a code that is nothing here, and what may be behind it.
func (l *Line) noSerial(code string) {
	if other := otherCase(code); other != code && (l.known(other)) {
		l.notTaken(WordOtherCase, fmt.Sprintf("%s is nothing here, and %s would be", code, other), "Switch Caps Lock off, then scan it again.", "code", code, "other", other)
		return
	}
	v := wrongSerial(l.recipe, code)
	like := cmp.Or(l.recipe.SerialExample(), l.recipe.SerialPattern())
	l.notTaken(WordNotSerial, v.message, v.next+" It looks like "+like+".", "code", code, "like", like)
}

// otherCase is a code as it would be without Caps Lock.
func otherCase(code string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, code)
}

// value is a code that was scanned where a value was asked for.
func (l *Line) value(now time.Time, s *lineSlot, code string, serial bool) {
	name := l.missing(s)
	s.values[name] = code
	wrong := valueError(l.recipe, s.serial, s.values, name)
	if wrong == nil {
		l.complete(now, s)
		return
	}
	delete(s.values, name)
	if !serial {
		if !l.two(code) {
			l.told(nil, WordNotValue, s.serial, wrong.Error(), "", "code", code, "value", name, "why", wrong.Error())
		}
		l.askValue(s)
		return
	}
	l.giveUp()
	if l.takes(s) {
		l.serial(now, s, code)
	} else {
		l.scan(now, code)
	}
}

// askValue asks for the next value of a slot that is scanned.
func (l *Line) askValue(s *lineSlot) {
	if s.state == Scanned {
		name := l.missing(s)
		l.do(Decision{Do: Ask, Word: WordScanValue, Slot: s.name, Serial: s.serial, Facts: factsOf([]string{"value", name}), Message: fmt.Sprintf("%s of %s", name, s.serial)})
	}
}

// missing is the first value that a unit lacks, "" for none.
func (l *Line) missing(s *lineSlot) string {
	for _, v := range l.recipe.Values() {
		if _, is := s.values[v.Name]; !is && v.Hex == "" {
			return v.Name
		}
	}
	return ""
}

// card does what a card or a label says. It tells whether code is one.
func (l *Line) card(now time.Time, code string) bool {
	s := l.waiting()
	switch word, name, _ := strings.Cut(code, ":"); {
	case code == CardResume:
		l.do(Decision{Do: Recall})
	case code == CardCancel:
		l.read = l.read[len(l.read)-1:] // what is scanned now is meant
		l.cancel()
	case code == CardReject:
		l.reject()
	case l.slot(name) == nil:
		return false
	case word+":" == CardRelease:
		l.release(l.slot(name))
	case word+":" == LabelSlot && s != nil:
		l.told(s, WordWaitsFirst, s.serial, "it waits for "+s.serial, fmt.Sprintf("Finish that first, or scan %s.", CardCancel))
		l.askValue(s)
	case word+":" == LabelSlot:
		if s = l.slot(name); l.takes(s) {
			l.chosen, l.until, l.asked = s, now.Add(armTime), ""
		} else {
			word, next := l.whySlotNot(s)
			l.told(s, word, "", "it takes no board now", next)
		}
	default:
		return false
	}
	return true
}

func (l *Line) cancel() {
	if l.waiting() == nil && l.chosen == nil {
		l.told(nil, WordNoCancel, "", "nothing was scanned that could be given up", "")
	}
	l.giveUp()
	l.chosen, l.asked = nil, ""
}

func (l *Line) release(s *lineSlot) {
	if !s.stopped {
		l.told(s, WordNotStopped, "", "it is not stopped", "")
		return
	}
	s.stopped, s.bad = false, nil
	l.told(s, WordReleased, "", "it may go on", "")
}

// whyNot says what to do where no slot takes a serial.
func (l *Line) whyNot() string {
	var next []string
	for _, s := range l.slots {
		_, why := l.whySlotNot(s)
		next = append(next, "Slot "+s.name+": "+why)
	}
	return strings.Join(next, " ")
}

// whySlotNot says what to do so that a slot takes a serial.
func (l *Line) whySlotNot(s *lineSlot) (word, next string) {
	switch {
	case s.stopped:
		return WordSlotStopped, "Scan " + CardRelease + s.name + " when it is right again."
	case l.holds(s):
		return WordSlotHeld, "Put the board that failed into the reject bin, and scan " + CardReject + "."
	case s.state == Unseen:
		return WordSlotUnseen, "Nobody has seen yet whether it is empty: look at its programmer."
	case s.state == Occupied:
		return WordSlotOccupied, "Take the board out."
	}
	return WordSlotRunning, "Wait until its run has ended."
}

// notTaken tells why a code is none that the line knows. There is no unit that could be refused.
func (l *Line) notTaken(word, message, next string, facts ...string) {
	l.told(nil, word, "", message, next, facts...)
	l.asked = ""
}

// two tells of a code that is two.
func (l *Line) two(code string) bool {
	a, b, two := l.together(code)
	if two {
		l.notTaken(WordTwoCodes, fmt.Sprintf("%s and %s came as one code", a, b), "Scan them one after the other. If it happens again, set the scanner to end each code with Enter.", "code", a, "other", b)
	}
	return two
}

// together tells the two codes that one was made of, where the scanner did not end the first.
func (l *Line) together(code string) (first, second string, two bool) {
	for i := 1; i < len(code); i++ {
		a, b := code[:i], code[i:]
		switch known, next := l.known(a), l.known(b); {
		case known && next,
			l.recipe.MatchSerial(a) && l.isValue(a, b),
			l.recipe.MatchSerial(b) && l.isValue(b, a):
			return a, b, true
		}
	}
	return "", "", false
}

// known tells whether something is a code by itself.
func (l *Line) known(code string) bool { return l.isCard(code) || l.recipe.MatchSerial(code) }

// isCard tells whether a code is that of a card, or of the label of a slot.
func (l *Line) isCard(code string) bool {
	word, name, _ := strings.Cut(code, ":")
	return code == CardResume || code == CardCancel || code == CardReject || (word+":" == LabelSlot || word+":" == CardRelease) && l.slot(name) != nil
}

// isValue tells whether text is a value that the unit of a serial may have.
func (l *Line) isValue(serial, text string) bool {
	for _, v := range l.recipe.Values() {
		if v.Hex == "" && valueError(l.recipe, serial, map[string]string{v.Name: text}, v.Name) == nil {
			return true
		}
	}
	return false
}

// valueError is what the recipe says against one of the values, nil for nothing.
func valueError(recipe *recipes.Recipe, serial string, values map[string]string, name string) error {
	_, err := recipe.Bind(serial, values)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, err := range joined.Unwrap() {
		var e *recipes.ValueError
		if errors.As(err, &e) && e.Name == name {
			return e
		}
	}
	return nil
}
