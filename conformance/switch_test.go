package conformance_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"station/sim/nor"
)

// Names of cases that the tests ask for.
const (
	whatE2     = "what E2 answers"
	frozenE3   = "what E3 does while frozen"
	frozenE4   = "what E4 does while frozen"
	firstCells = "what one volatile lock bit governs in the first sector"
	lastCells  = "what one volatile lock bit governs in the last sector"
	busy05     = "what 05 tells while one die is busy"
	bootLocks  = "volatile lock bits come back behind 66 99, those that are locked down too: 0, but on secure parts"
	behindOTP  = "what 4B goes on with behind the control byte"
	rescue     = "whether FF in a frame of its own ends quad protocol"
	rangeCRC   = "9B 27 FE checks a range: silent for the right CRC, bit 4 for a wrong one, which 96 then tells"
	lockedDown = "E5 on bits that are locked down changes nothing"
	longest    = "the longest wait for "
	gprr       = "96 answers the general-purpose read register"
)

// sides are what the simulator does with its zero options, where no source is sure.
var sides = map[string]string{
	"reading SFDP wraps at its end": "the area is 256 bytes",
	"81 needs WEL":                  "WEL is cleared by it",
	"61 needs WEL":                  "WEL is cleared by it",
	"C5 needs WEL":                  "WEL is cleared by it",
	"B7 needs WEL":                  "WEL is cleared by it",
	"E9 needs WEL":                  "WEL is cleared by it",
	"E5 needs WEL":                  "WEL is cleared by it",
	"E1 needs WEL":                  "WEL is cleared by it",
	"A6 needs WEL":                  "WEL is cleared by it",
	"what a program of more than 256 bytes keeps":               "the last 256",
	"what 66 and 99 do while busy":                              "they are ignored",
	"what a program elsewhere does while an erase is suspended": "it is not executed",
	"VCR and EVCR behind reset":                                 "VCR FB, EVCR FF",
	"what 01 does with no byte and with two":                    "05 reads 00 and then 00",
	gprr:                                                        "FF" + strings.Repeat(" 00", 15),
	"what the extended address does in 4-byte mode":             "nothing",
	whatE2: "FF free, 00 locked",
	"E5 on bits that are locked down changes nothing": "silent, WEL stays",
	firstCells: "4 KiB",
	lastCells:  "4 KiB",
	"what an erase does over one locked 4 KiB of its sector": "it is refused whole: error bits 1 5, WEL stays",
	frozenE3: "error bits 1 4, WEL stays",
	frozenE4: "error bits 1 5, WEL stays",
	"what a freeze does to volatile lock bits":               "nothing",
	"02 is refused by a nonvolatile lock bit":                "error bits 1 4, WEL stays",
	"02 is refused by a volatile lock bit":                   "error bits 1 4, WEL stays",
	"02 is refused by block protection":                      "error bits 1 4, WEL stays",
	"12 is refused by a nonvolatile lock bit":                "error bits 1 4, WEL stays",
	"12 is refused by a volatile lock bit":                   "error bits 1 4, WEL stays",
	"12 is refused by block protection":                      "error bits 1 4, WEL stays",
	"C7 is refused where one sector is locked":               "it is: error bits 1 5, WEL stays",
	"what 66 99 does to error bits":                          "silent, WEL clears",
	"in deep power-down only AB is accepted, and AB ends it": "only AB",
	"what power-up does to error bits":                       "silent, WEL clears",
	bootLocks:                                                "0",
	"what C4 does on a part of one die":                      "it is not executed: silent, WEL stays",
	"what E3 does with a data byte":                          "it is not executed: silent, WEL stays",
	"what A6 does with a data byte":                          "it is not executed: silent, WEL stays",
	"what a program of FF does to a locked sector":           "error bits 1 4, WEL stays",
	rescue: "one of 1 bytes does",
	"4B reads the same bytes each time, behind eight dummy clocks": "not locked",
	behindOTP:                             "the control byte again; there are 34 bytes before it, or more",
	rangeCRC:                              "reflected, 4 address bytes, the stop address is the last, 1 dummy bytes behind 96, no 06 before it",
	"what 70 tells while one die is busy": "each read tells of another die",
	busy05:                                "each read tells of all dies",
	"C7 and 60 are not executed on several dies":                               "silent, WEL stays",
	"what one volatile lock bit governs in the first sector of the second die": "64 KiB",
}

// switches are both sides of the simulator's options that show through frames, on a part that has them, and what the suite has to
// say then beside sides.
var switches = []struct {
	name, part string
	options    nor.Options
	observed   map[string]string
}{
	{"UnlockedReads01", "MT25QL256ABA", nor.Options{UnlockedReads01: true}, map[string]string{whatE2: "01 free, 00 locked"}},
	{"FrozenSilent", "MT25QL256ABA", nor.Options{FrozenSilent: true}, map[string]string{frozenE3: "silent, WEL stays", frozenE4: "silent, WEL stays"}},
	{"WholeSectorVLB", "MT25QL256ABA", nor.Options{WholeSectorVLB: true}, map[string]string{firstCells: "64 KiB", lastCells: "64 KiB"}},
	{"RefusedProgramBit1", "MT25QL256ABA", nor.Options{RefusedProgramBit1: true}, map[string]string{
		"02 is refused by a nonvolatile lock bit": "error bits 1, WEL stays", "02 is refused by a volatile lock bit": "error bits 1, WEL stays",
		"02 is refused by block protection": "error bits 1, WEL stays", "12 is refused by a nonvolatile lock bit": "error bits 1, WEL stays",
		"12 is refused by a volatile lock bit": "error bits 1, WEL stays", "12 is refused by block protection": "error bits 1, WEL stays",
		"what a program of FF does to a locked sector": "error bits 1, WEL stays"}},
	{"LockedDownRaises", "MT25QL256ABA", nor.Options{LockedDownRaises: true}, map[string]string{
		"E5 on bits that are locked down changes nothing": "error bits 1 4, WEL stays"}},
	{"DieWIP", "MT25QL01GBBB", nor.Options{DieWIP: true}, map[string]string{busy05: "each read tells of another die"}},
	{"LockedAtBoot", "MT25QU256ABA-1SIT", nor.Options{LockedAtBoot: true}, map[string]string{bootLocks: "1"}},
	{"OTPWraps", "MT25QL128ABA", nor.Options{OTPWraps: true}, map[string]string{behindOTP: "byte 0 again, behind 64 bytes and the control byte"}},
	{"NoRescue", "MT25QL128ABA", nor.Options{NoRescue: true}, map[string]string{rescue: "none of 1 and of 5 bytes does"}},
	{"CRC", "MT25QL256ABA", nor.Options{CRC: nor.CRC{Unreflected: true}}, map[string]string{
		rangeCRC: "not reflected, 4 address bytes, the stop address is the last, 1 dummy bytes behind 96, no 06 before it"}},
	{"CRC", "MT25QL256ABA", nor.Options{CRC: nor.CRC{ModeAddresses: true}}, map[string]string{
		rangeCRC: "reflected, 3 address bytes, the stop address is the last, 1 dummy bytes behind 96, no 06 before it"}},
	{"CRC", "MT25QL256ABA", nor.Options{CRC: nor.CRC{NoDummy: true}}, map[string]string{
		rangeCRC: "reflected, 4 address bytes, the stop address is the last, 0 dummy bytes behind 96, no 06 before it", gprr: "00" + strings.Repeat(" 00", 15)}},
}

// unseen are those that do not show, and why.
var unseen = map[string]string{
	"Pace": "not a fact of chips", "Seed": "not a fact of chips", "Faults": "TestBadChipsAreFound",
	"Scale": "the times of a chip, which are measured and not judged", "Spread": "the times of a chip, which are measured and not judged",
	"Size": "a part that nobody makes", "Permanent": "not a fact of chips",
	"SecondPassword":     "28 is permanent",
	"BlankPassword00":    "27 is a secret",
	"UndrivenReads00":    "password mode is permanent, and 27 a secret",
	"FirstDieProtection": "a lock bit that E4 does not reach is permanent; TestLockBitsThatStay",
	"LockedOTPSilent":    "42 is permanent",
	"RPMC":               "9B is permanent",
	"ACRTM":              "the map is invented: no data sheet has it",
}

func TestEverySwitchIsTried(t *testing.T) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[nor.Options]()) {
		seen := slices.ContainsFunc(switches, func(s struct {
			name, part string
			options    nor.Options
			observed   map[string]string
		}) bool {
			return s.name == f.Name
		})
		if _, ok := unseen[f.Name]; ok == seen {
			t.Errorf("nor.Options.%s is tried: %v, and said not to show: %v", f.Name, seen, ok)
		}
	}
}
