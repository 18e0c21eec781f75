package kiosk

import "slices"

// Role is what a person is at the station.
type Role string

const (
	Operator   Role = "operator"   // loads slots and scans
	Supervisor Role = "supervisor" // also says what is made, and decides about units
	Auditor    Role = "auditor"    // looks at everything and changes nothing
	Admin      Role = "admin"      // says who may do what

	// Anyone is who asks over the socket of this PC, or an open station without people. Nobody signs in as it.
	Anyone Role = "anyone"
)

// Roles are all of them.
var Roles = []Role{Operator, Supervisor, Auditor, Admin}

// Action is something that somebody may or may not do. Its word stands in the ledger where it was refused.
type Action string

const (
	Anybody     Action = ""             // what nobody has to sign in for
	See         Action = "see"          // the line: the wall, what is made, the shift, the cards
	Scan        Action = "scan"         //
	Resume      Action = "resume"       // finish what broke off
	Cancel      Action = "cancel"       // give up what was scanned
	Acknowledge Action = "acknowledge"  // a FAIL
	Stop        Action = "stop"         // a run: ABORTED
	BeginShift  Action = "begin-shift"  //
	EndShift    Action = "end-shift"    //
	CloseJob    Action = "close-job"    //
	BeginJob    Action = "begin-job"    //
	Release     Action = "release"      // a slot that was stopped after three in a row
	CloseUnit   Action = "close-unit"   // a person's decision about an open run
	PermitUnit  Action = "permit-unit"  // rework
	SeeUnits    Action = "see-units"    // search, a unit's page and report
	VerifyAll   Action = "verify"       // recompute the ledger
	SeeUsers    Action = "see-users"    //
	ChangeUsers Action = "change-users" //
	RunDirectly Action = "run"          // a run without a job: over the socket of this PC only
)

// may says who may do what. Nobody may do what is not in it.
var may = map[Action][]Role{
	See:         Roles,
	SeeUnits:    Roles,
	Scan:        {Operator, Supervisor},
	Resume:      {Operator, Supervisor},
	Cancel:      {Operator, Supervisor},
	Acknowledge: {Operator, Supervisor},
	Stop:        {Operator, Supervisor},
	BeginShift:  {Operator, Supervisor},
	EndShift:    {Operator, Supervisor},
	CloseJob:    {Operator, Supervisor},
	BeginJob:    {Supervisor},
	Release:     {Supervisor},
	CloseUnit:   {Supervisor},
	PermitUnit:  {Supervisor},
	VerifyAll:   {Supervisor, Auditor, Admin},
	SeeUsers:    {Admin, Auditor},
	ChangeUsers: {Admin},
}

// May tells whether a role may do something. Who has none may do nothing.
func (r Role) May(a Action) bool { return r == Anyone || slices.Contains(may[a], r) }
