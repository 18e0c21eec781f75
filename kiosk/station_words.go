package kiosk

// Words of what a Station says itself (Said.Word), besides provision.Words. Behind each are the facts that its sentence names; "why" is an English sentence.
const (
	WordNoJob          = "no-job"             //
	WordJobOpen        = "job-open"           // recipe: its title
	WordJobFull        = "job-full"           // code, passed, running, quantity: of units
	WordJobBegun       = "job-begun"          // recipe
	WordJobClosed      = "job-closed"         // recipe, passed, failed
	WordCloseAgain     = "close-again"        // passed, quantity, card
	WordCloseAgainOpen = "close-again-open"   // passed, card: the job is for as many as come
	WordJobLost        = "job-closed-lost"    // recipe, passed, failed, serial: was scanned and not put in
	WordJobGone        = "job-recipe-gone"    // file, why
	WordJobChanged     = "job-recipe-changed" // file
	WordJobNotReady    = "job-not-ready"      // file, why
	WordJobWaits       = "job-waits"          // file, why
	WordNoRecipe       = "no-such-recipe"     // file
	WordBadRecipe      = "recipe-wrong"       // file, why
	WordBadQuantity    = "quantity-wrong"     // quantity
	WordUnderWay       = "runs-under-way"     // slots: their names
	WordFailsWait      = "fails-wait"         // serials
	WordShiftBegun     = "shift-begun"        //
	WordShiftFound     = "shift-found"        // why: what was found that is not in order
	WordShiftEnded     = "shift-ended"        //
	WordShiftLeft      = "shift-left"         // serials: of the units that are not settled; slots with boards; recipe of the open job; each only where there is one
	WordShiftAgain     = "shift-again"        // likewise, and card
	WordNoShift        = "no-shift"           //
	WordBegun          = "begun"              // slot, serial
	WordGoOn           = "runs-go-on"         // count
	WordStops          = "run-stops"          // slot, serial
	WordNotRunning     = "not-running"        // slot
	WordTaken          = "taken"              // code
	WordUnreadable     = "unreadable"         // why
	WordHands          = "hands"              // why: of the hands of a simulated station
	WordCannotLook     = "cannot-look"        // slot, why
	WordTrouble        = "trouble"            // why
	WordEnds           = "station-ends"       //
	WordUnwritten      = "unwritten"          // why: the ledger did not take it
	WordLedgerBroken   = "ledger-broken"      // why: the ledger takes nothing before the program is started again
	WordBusy           = "busy"               // with another deed, or with runs without a job
)

// StationWords are all of them.
var StationWords = []string{
	WordNoJob, WordJobOpen, WordJobFull, WordJobBegun, WordJobClosed, WordCloseAgain, WordCloseAgainOpen, WordJobLost, WordJobGone, WordJobChanged, WordJobNotReady, WordJobWaits, WordNoRecipe, WordBadRecipe, WordBadQuantity,
	WordUnderWay, WordFailsWait,
	WordShiftBegun, WordShiftFound, WordShiftEnded, WordShiftLeft, WordShiftAgain, WordNoShift,
	WordBegun, WordGoOn, WordStops, WordNotRunning, WordTaken, WordUnreadable, WordHands,
	WordCannotLook, WordTrouble, WordEnds, WordUnwritten, WordLedgerBroken, WordBusy,
}
