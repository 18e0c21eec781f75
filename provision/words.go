package provision

// Words of what a line says (Decision.Word): stable names of its sentences, for whoever says them in other languages. Behind each is what its sentence names: slot and
// serial are in the Decision, all else is in Decision.Facts. "other" is another slot, or another code.
const (
	// To be scanned, put in or taken out.
	WordScanSerial = "scan-serial"   // slot
	WordScanValue  = "scan-value"    // slot, serial, value: the value's name
	WordPutIn      = "put-in"        // slot, serial
	WordDone       = "done"          // slot, serial, outcome
	WordOpenHere   = "open-run-here" // slot, serial
	WordFound      = "board-found"   // slot
	WordNotScanned = "not-scanned"   // slot
	WordSwapped    = "board-swapped" // slot
	WordLeftIn     = "left-in"       // slot, serial

	// Refused.
	WordSerialElsewhere = "serial-elsewhere" // slot, serial, other
	WordChipElsewhere   = "chip-elsewhere"   // slot, serial, uid, other
	WordNoBoard         = "no-board"         // slot, serial, why: an English sentence

	// Of codes.
	WordTwice      = "twice"           // code
	WordTwoCodes   = "two-codes"       // code, other
	WordNotSerial  = "not-a-serial"    // code, like: an example of a serial, or the recipe's pattern
	WordOtherCase  = "other-case"      // code, other: what it would be without Caps Lock
	WordNotValue   = "not-a-value"     // serial, code, value, why: an English sentence
	WordNoSuchSlot = "no-such-slot"    // other
	WordNoSlotFree = "no-slot-free"    // code
	WordWaitsBoard = "waits-for-board" // slot, serial, code
	WordWaitsFirst = "finish-first"    // slot, serial
	WordGivenUp    = "given-up"        // serial
	WordNoValue    = "given-up-value"  // serial, value
	WordNoCancel   = "nothing-to-cancel"

	// Why a slot takes no board.
	WordSlotStopped  = "slot-stopped"  // slot
	WordSlotHeld     = "slot-held"     // slot
	WordSlotUnseen   = "slot-unseen"   // slot
	WordSlotOccupied = "slot-occupied" // slot
	WordSlotRunning  = "slot-running"  // slot

	// Of a board that is taken out while its run is under way, and of one that is found to have been.
	WordOutRunning = "taken-out-running" // slot, serial
	WordOutLost    = "taken-out-lost"    // slot, serial

	// Of a slot that was stopped, by what is likely. results: "SERIAL OUTCOME (CAUSE)" of each, with ", " between them.
	WordStoppedBoards   = "stopped-boards"   // slot, count, results
	WordStoppedContacts = "stopped-contacts" // slot, count, results
	WordStoppedFixture  = "stopped-fixture"  // slot, count, results
	WordReleased        = "released"         // slot
	WordNotStopped      = "not-stopped"      // slot

	// Of FAILs that wait to be acknowledged.
	WordAcknowledged = "acknowledged"    // slot, serial, run, how
	WordTakeOutFirst = "take-out-first"  // slot, serial
	WordNoFail       = "nothing-to-bin"  //
	WordSlotNoFail   = "no-fail-in-slot" // slot

	// Of runs that are open.
	WordOpenPerson  = "open-person"    // slot or none, serial, why and do: English sentences
	WordOpenRecipe  = "open-recipe"    // slot or none, serial, recipe, version
	WordOpenScanned = "open-scanned"   // slot, serial
	WordOpenNowhere = "open-nowhere"   // serial, other
	WordOpenStopped = "open-stopped"   // slot, serial
	WordOpenHeld    = "open-held"      // slot, serial
	WordOpenWaits   = "open-not-alone" // slot, serial
	WordNoOpen      = "no-open-run"    //
	WordAllRunning  = "all-under-way"  //
)

// Words are all of them.
var Words = []string{
	WordScanSerial, WordScanValue, WordPutIn, WordDone, WordOpenHere, WordFound, WordNotScanned, WordSwapped, WordLeftIn,
	WordSerialElsewhere, WordChipElsewhere, WordNoBoard,
	WordTwice, WordTwoCodes, WordNotSerial, WordOtherCase, WordNotValue, WordNoSuchSlot, WordNoSlotFree, WordWaitsBoard, WordWaitsFirst, WordGivenUp, WordNoValue, WordNoCancel,
	WordSlotStopped, WordSlotHeld, WordSlotUnseen, WordSlotOccupied, WordSlotRunning,
	WordOutRunning, WordOutLost,
	WordStoppedBoards, WordStoppedContacts, WordStoppedFixture, WordReleased, WordNotStopped,
	WordAcknowledged, WordTakeOutFirst, WordNoFail, WordSlotNoFail,
	WordOpenPerson, WordOpenRecipe, WordOpenScanned, WordOpenNowhere, WordOpenStopped, WordOpenHeld, WordOpenWaits, WordNoOpen, WordAllRunning,
}

// factsOf makes facts of names and values in turn.
func factsOf(pairs []string) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	facts := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		facts[pairs[i]] = pairs[i+1]
	}
	return facts
}
