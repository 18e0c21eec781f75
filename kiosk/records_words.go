package kiosk

// Words of what Records refuse (Said.Word). Behind each are the facts that its sentence names. RecordsWords are all of them.
const (
	WordUnitNotOpen   = "unit-not-open"  // serial
	WordUnitRunning   = "unit-running"   // serial
	WordUnitOpen      = "unit-open"      // serial
	WordUnitNotBegun  = "unit-not-begun" // serial
	WordUnitPermitted = "unit-permitted" // serial, by
	WordReason        = "reason-wrong"   //
	WordNotPermitted  = "unit-no-permit" // serial
	WordCursor        = "cursor-wrong"   //
	WordUnitUnproven  = "unit-unproven"  // serial, why
)

var RecordsWords = []string{WordUnitNotOpen, WordUnitRunning, WordUnitOpen, WordUnitNotBegun, WordUnitPermitted, WordReason, WordNotPermitted, WordCursor, WordUnitUnproven}
