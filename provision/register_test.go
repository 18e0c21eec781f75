package provision

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"station/ledger"
	"station/recipes"
	"station/sim/nor"
	"station/spi"
)

// otpSteps program the serial, padded with blanks, and lock the area.
const otpSteps = `  - write: {region: boot, image: boot}
  - otp: {fields: [{text: serial, size: 8, pad: 0x20}], lock: true}
permanent: [otp]
`

func otpOf(c *nor.Chip) (data [64]byte, locked bool) {
	in := make([]byte, 65)
	c.Select()
	c.Shift([]byte{0x4B, 0, 0, 0, 0}, nil)
	c.Shift(nil, in)
	c.Deselect()
	return [64]byte(in), in[64]&1 == 0
}

func TestOTPPasses(t *testing.T) {
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	l.socket.put("1", chip)
	r := recipe(t, 1, otpSteps)
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	data, locked := otpOf(chip)
	if want := append([]byte("S1      "), bytes.Repeat([]byte{0xFF}, 56)...); !bytes.Equal(data[:], want) || !locked {
		t.Errorf("OTP area %X, locked %t", data, locked)
	}
	run := l.books.all()[0]
	if s := run.Steps[1]; s.Proof != "readback" || s.Result != ledger.Done || !s.Permanent || count[ledger.PermanentIntent](run) != 2 {
		t.Errorf("%+v, %d intents", s, count[ledger.PermanentIntent](run))
	}
	before := chip.Counters()[nor.CountOTP]
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	if chip.Counters()[nor.CountOTP] != before {
		t.Error("the OTP area of a unit that had passed was programmed again")
	}
}

// What is there already decides: a part of it is completed, something else is never touched.
func TestOTPThatIsNotBlank(t *testing.T) {
	program := func(at byte, b ...byte) []byte { return append([]byte{0x42, 0, 0, at}, b...) }
	lock := program(64, 0xFE)
	for _, c := range []struct {
		name    string
		there   [][]byte
		outcome ledger.Outcome
		cause   string
		intents int
	}{
		{"part of it", [][]byte{program(0, 'S')}, ledger.Pass, "", 2},
		{"all of it", [][]byte{program(0, []byte("S1      ")...)}, ledger.Pass, "", 1},
		{"all of it, locked", [][]byte{program(0, []byte("S1      ")...), {0x06}, lock}, ledger.Pass, "", 0},
		{"something else behind it", [][]byte{program(20, 'X')}, ledger.Pass, "", 2},
		{"something else", [][]byte{program(3, 0x00)}, ledger.Refused, "otp-foreign", 0},
		{"locked and blank", [][]byte{lock}, ledger.Refused, "otp-foreign", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(t, Options{})
			chip := fresh(t, 1, nor.Options{})
			l.socket.put("1", chip)
			frames(chip, append([][]byte{{0x06}}, c.there...)...)
			before, _ := otpOf(chip)
			l.want(l.run(recipe(t, 1, otpSteps), "1", "S1"), c.outcome, c.cause)
			data, locked := otpOf(chip)
			if pass := c.outcome == ledger.Pass; pass != (bytes.HasPrefix(data[:], []byte("S1      ")) && locked) || !pass && data != before {
				t.Errorf("OTP area %X, locked %t", data, locked)
			}
			if n := count[ledger.PermanentIntent](l.books.all()[0]); n != c.intents {
				t.Errorf("%d intents, want %d", n, c.intents)
			}
		})
	}
}

// The station dies at every point, and the power goes within each program: the area is completed, never overwritten, and each program
// has an intent of its own.
func TestOTPDeath(t *testing.T) {
	r := recipe(t, 1, otpSteps)
	for _, cut := range []bool{false, true} {
		for at := 1; ; at++ {
			done := false
			synctest.Test(t, func(t *testing.T) {
				l := newTimedLine(t, Options{})
				chip := fresh(t, 1, nor.Options{Pace: nor.Real, Seed: uint64(at)})
				l.socket.put("1", chip)
				n, dead := 0, false
				l.socket.after = func(_ string, f spi.Frame) error {
					if f.Out[0] == 0x42 || f.Out[0] == 0x4B || f.Out[0] == 0x06 {
						if n++; n == at {
							dead = true
							if cut {
								chip.Power(false)
								chip.Power(true)
							}
						}
					}
					if dead {
						return errDead
					}
					return nil
				}
				l.books.before = func(ledger.Change) error {
					if dead {
						return errDead
					}
					return nil
				}
				l.run(r, "1", "S1")
				if !dead {
					if n < 20 {
						t.Fatalf("only %d points", n)
					}
					done = true
					return
				}
				l.revive()
				time.Sleep(time.Millisecond) // after power-up it does not listen at once
				l.want(l.run(r, "1", "S1"), ledger.Pass, "")
				data, locked := otpOf(chip)
				if !bytes.HasPrefix(data[:], []byte("S1      ")) || !locked {
					t.Errorf("point %d, power cut %t: OTP area %X, locked %t", at, cut, data, locked)
				}
				if n, intents := chip.Counters()[nor.CountOTP], count[ledger.PermanentIntent](l.books.all()[0]); n > uint64(intents) || !cut && n != 2 {
					t.Errorf("point %d, power cut %t: programmed %d times under %d intents", at, cut, n, intents)
				}
			})
			if done || t.Failed() {
				break
			}
		}
	}
}

func TestConfig(t *testing.T) {
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	l.socket.put("1", chip)
	r := recipe(t, 1, "  - write: {region: boot, image: boot}\n  - config: {nvcr: 0xFFEE}\n  - reset\n  - check: {frozen: false}\n")
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	var nvcr [2]byte
	chip.Select()
	chip.Shift([]byte{0xB5}, nil)
	chip.Shift(nil, nvcr[:])
	chip.Deselect()
	if nvcr != [2]byte{0xEE, 0xFF} {
		t.Errorf("NVCR %X", nvcr)
	}
	if s := l.books.all()[0].Steps[1]; s.Proof != "register read back" || s.Result != ledger.Done || s.Facts[0].Value != "FFEE, was FFFF" {
		t.Errorf("%+v", s)
	}
	// The chip comes up in 4-byte mode now, and is written and read as well as before.
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	l.socket.put("1", fresh(t, 2, nor.Options{Faults: nor.Faults{FailProgram: true}}))
	l.want(l.run(recipe(t, 2, "  - erase: {regions: [boot]}\n  - config: {nvcr: 0xFFFE}\n"), "1", "S2"), ledger.Fail, "operation-failed")
}

func TestBlockProtectionAndLockDown(t *testing.T) {
	l := newLine(t, Options{})
	chip := fresh(t, 1, nor.Options{})
	l.socket.put("1", chip)
	steps := "  - write: {region: low, image: boot}\n  - erase: {regions: [high]}\n  - lock: {regions: [low], bits: block}\n" +
		"  - lock: {regions: [high], bits: volatile, lock_down: true}\n  - check: {locked: [low, high]}\n"
	r := regionsRecipe(t, "  low: {at: 0, size: 128KiB}\n  high: {at: 0x1FFF000, size: 4KiB}\n", steps)
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	end := l.books.all()[0].End
	if len(end.After.BlockProtect) != 1 || end.After.BlockProtect[0] != (ledger.Range{At: 0, Size: 128 << 10}) || end.Proven[0].Lock != "block" || end.Proven[0].Region != "low" {
		t.Errorf("%+v", end)
	}
	if chip.Bytes(0, 1)[0] != image()[0] {
		t.Error("the image is not there")
	}
	frames(chip, []byte{0x06}, []byte{0xE1, 0x01, 0xFF, 0xF0, 0x00, 0x00}) // nothing opens the cell that is locked down
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	again := regionsRecipe(t, "  low: {at: 0, size: 128KiB}\n  high: {at: 0x1FFF000, size: 4KiB}\n", strings.Replace(steps, "[low, high]}", "[high]}", 1))
	l.want(l.run(again, "1", "S2"), ledger.Refused, "chip-known")
}

// regionsRecipe is recipe with regions of its own.
func regionsRecipe(t *testing.T, regions, steps string) *recipes.Recipe {
	t.Helper()
	return editedRecipe(t, "MT25QL256ABA", steps, "  boot: {at: 0x10000, size: 128KiB}\n", regions)
}

func TestVerifyByCRC(t *testing.T) {
	r := recipe(t, 1, "  - write: {region: boot, image: boot, verify: crc}\n")
	for _, c := range []struct {
		name    string
		o       nor.Options
		outcome ledger.Outcome
		cause   string
		proof   string
	}{
		{"right", nor.Options{}, ledger.Pass, "", "crc"},
		{"a cell that reads wrong", nor.Options{Faults: nor.Faults{Flip: map[uint32]byte{0x10010: 4}}}, ledger.Fail, "verify-mismatch", ""},
		{"another bit order than the profile's", nor.Options{CRC: nor.CRC{Unreflected: true}}, ledger.Error, "profile", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(t, Options{})
			l.socket.put("1", fresh(t, 1, c.o))
			l.want(l.run(r, "1", "S1"), c.outcome, c.cause)
			run := l.books.all()[0]
			if c.proof != "" && (run.Steps[0].Proof != c.proof || run.End.Proven[0].Proof != c.proof) {
				t.Errorf("proven by %q and %q", run.Steps[0].Proof, run.End.Proven[0].Proof)
			}
		})
	}
	l := newLine(t, Options{})
	l.socket.put("1", fresh(t, 1, nor.Options{}))
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	l.books.records = l.books.records[:1] // the account stops behind run.start
	l.want(l.run(r, "1", "S1"), ledger.Pass, "")
	if s := l.books.all()[0].Steps[0]; s.Result != ledger.Already || s.Proof != "readback" {
		t.Errorf("what was only read is %+v", s)
	}
}

func TestRaw(t *testing.T) {
	steps := "  - write: {region: boot, image: boot}\n  - raw: {send: %q, %s}\n"
	for _, c := range []struct {
		name, send, rest string
		outcome          ledger.Outcome
		cause            string
		proof, fact      string
	}{
		{"expected", "85", `expect: "FB"`, ledger.Pass, "", "answer as expected", "FB"},
		{"recorded", "B5", "read: 2", ledger.Pass, "", "not proven", "FFFF"},
		{"other", "85", `expect: "FA"`, ledger.Fail, "raw-answer", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := recipe(t, 1, fmt.Sprintf(steps, c.send, c.rest))
			l := newLine(t, Options{})
			chip := fresh(t, 1, nor.Options{})
			l.socket.put("1", chip)
			l.want(l.run(r, "1", "S1"), ledger.Refused, "raw-not-allowed")
			if chip.Counters()[nor.CountProgram] != 0 {
				t.Error("a recipe that was refused wrote")
			}
			l = newLine(t, Options{AllowRaw: true})
			l.socket.put("1", chip)
			l.want(l.run(r, "1", "S1"), c.outcome, c.cause)
			s := l.books.all()[0].Steps[1]
			if s.Proof != c.proof || c.fact != "" && s.Facts[1].Value != c.fact {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A board that was left in another state than the station needs is brought out of it, and the person is told.
func TestLeftAsideIsRecovered(t *testing.T) {
	for want, left := range map[string][][]byte{
		"deep power-down":       {{0xB9}},
		"quad or dual protocol": {{0x35}},
		"4-byte mode":           {{0x06}, {0xB7}},
	} {
		t.Run(want, func(t *testing.T) {
			l := newLine(t, Options{})
			chip := fresh(t, 1, nor.Options{})
			l.socket.put("1", chip)
			frames(chip, left...)
			l.want(l.run(recipe(t, 1, full), "1", "S1"), ledger.Pass, "")
			if title := l.events[0].Title; l.events[0].Kind != Identified || !strings.HasSuffix(title, ", recovered from "+want) {
				t.Errorf("told %q", title)
			}
		})
	}
}

// A profile that is wrong about the volatile cells locks nothing that it cannot see, and the unit is not blamed.
func TestProfileThatDoesNotFit(t *testing.T) {
	l := newLine(t, Options{})
	l.socket.put("1", fresh(t, 1, nor.Options{WholeSectorVLB: true}))
	r := regionsRecipe(t, "  high: {at: 0x1FFF000, size: 4KiB}\n", "  - erase: {regions: [high]}\n  - lock: {regions: [high], bits: volatile}\n")
	l.want(l.run(r, "1", "S1"), ledger.Error, "profile")
}

// A chip that locks more than it was told to, of whichever kind, fails; one that brings block protection along keeps it.
func TestStrayLocks(t *testing.T) {
	const regions = "  low: {at: 0, size: 64KiB}\n"
	for _, c := range []struct {
		bits   string
		sent   byte   // from this command on
		answer []byte // frames that begin so
		tells  byte
	}{
		{"nonvolatile", 0xE3, []byte{0xE2, 0, 5}, 0x00},
		{"volatile", 0xE1, []byte{0xE0, 0, 5}, 0x01},
		{"block", 0x01, []byte{0x05}, 0x28}, // two sectors from the bottom
	} {
		t.Run(c.bits, func(t *testing.T) {
			l := newLine(t, Options{})
			l.socket.put("1", fresh(t, 1, nor.Options{}))
			sent := false
			l.socket.after = func(_ string, f spi.Frame) error {
				sent = sent || f.Out[0] == c.sent
				if sent && bytes.HasPrefix(f.Out, c.answer) {
					for i := range f.In {
						f.In[i] = c.tells
					}
				}
				return nil
			}
			r := regionsRecipe(t, regions, "  - erase: {regions: [low]}\n  - lock: {regions: [low], bits: "+c.bits+"}\n")
			res := l.run(r, "1", "S1")
			if want := map[string]string{"block": "no-effect"}[c.bits]; res.Outcome != ledger.Fail || res.Cause != "stray-lock" && res.Cause != want {
				t.Errorf("%s %s (%v)", res.Outcome, res.Cause, res.Err)
			}
		})
	}
	t.Run("block protection from elsewhere", func(t *testing.T) {
		l := newLine(t, Options{})
		chip := fresh(t, 1, nor.Options{})
		l.socket.put("1", chip)
		frames(chip, []byte{0x06}, []byte{0x01, 0x60}) // the bottom 8 MiB
		high := regionsRecipe(t, "  high: {at: 0x1FF0000, size: 64KiB}\n", "  - erase: {regions: [high]}\n  - lock: {regions: [high], bits: block}\n")
		l.want(l.run(high, "1", "S1"), ledger.Refused, "locked-before")
		frames(chip, []byte{0x06}, []byte{0x01, 0x00})
		l.socket.before = func(_ string, f spi.Frame) error { // it comes once the run has begun
			if len(l.books.records) > 1 && f.Out[0] != 0x06 {
				l.socket.before = nil
				frames(chip, []byte{0x06}, []byte{0x01, 0x60})
			}
			return nil
		}
		l.want(l.run(high, "1", "S1"), ledger.Fail, "stray-lock")
		var sr [1]byte
		chip.Select()
		chip.Shift([]byte{0x05}, nil)
		chip.Shift(nil, sr[:])
		chip.Deselect()
		if sr[0] != 0x60 {
			t.Errorf("status register %02X: what was protected is not any more", sr[0])
		}
	})
}
