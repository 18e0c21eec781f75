package ledger

import (
	"fmt"
	"slices"
)

// Entries about the people at the line, and what they were at: shifts, jobs, sign-ins. They belong to no run. Their order is written at Floor.After.

const (
	KindShiftBegin       = "shift.begin"
	KindShiftEnd         = "shift.end"
	KindJobBegin         = "job.begin"
	KindJobEnd           = "job.end"
	KindFailAcknowledged = "fail.acknowledged"
	KindUserChanged      = "user.changed"
	KindUserSession      = "user.session"
	KindAccessRefused    = "access.refused"
)

// FloorEntry is one of these.
type FloorEntry interface {
	Body
	// Check wraps ErrGrammar where the entry is not what it should be by itself.
	Check() error
	floor()
}

// Floor is what the people at the line are at. The zero value is nothing.
type Floor struct {
	Job     string `json:"job"`      // id of the open one, "" for none
	JobAt   int64  `json:"job_at"`   // index of its job.begin, 0 for none
	ShiftAt int64  `json:"shift_at"` // index of the open shift's shift.begin, 0 for none
}

// After returns what they are at after one more entry, at index i. One job is open at a time, from job.begin to the job.end of the same id; a shift is open from
// shift.begin to shift.end, or to the shift.begin of the next one. A job outlasts shifts, and neither ends with the program. Errors wrap ErrGrammar.
func (f Floor) After(i int64, b FloorEntry) (Floor, error) {
	if err := b.Check(); err != nil {
		return f, err
	}
	switch b := b.(type) {
	case JobBegin:
		if f.Job != "" {
			return f, fmt.Errorf("%w: %s of %s while job %s is open", ErrGrammar, b.Kind(), b.Job, f.Job)
		}
		f.Job, f.JobAt = b.Job, i
	case JobEnd:
		if f.Job != b.Job {
			return f, fmt.Errorf("%w: %s of %s, and the open job is %q", ErrGrammar, b.Kind(), b.Job, f.Job)
		}
		f.Job, f.JobAt = "", 0
	case ShiftBegin:
		f.ShiftAt = i
	case ShiftEnd:
		if f.ShiftAt == 0 {
			return f, fmt.Errorf("%w: %s, and no shift is open", ErrGrammar, b.Kind())
		}
		f.ShiftAt = 0
	}
	return f, nil
}

// ShiftBegin says who begins to work, and what the station found of itself then.
type ShiftBegin struct {
	By            string  `json:"by"` // pseudonymous id
	Authenticated bool    `json:"authenticated"`
	Checks        []Check `json:"checks"`
}

// Check is one thing that was looked at.
type Check struct {
	Name string `json:"name"` // "slot 1", "mirror", "checkpoint"
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// ShiftEnd says who stops working, and names the units that are not settled.
type ShiftEnd struct {
	By            string   `json:"by"`
	Authenticated bool     `json:"authenticated"`
	Open          []string `json:"open"` // serials of open runs
	Held          []string `json:"held"` // serials of FAILs that nobody acknowledged
}

// JobBegin says what is made from now on. One job is open at a time.
type JobBegin struct {
	Job           string `json:"job"` // 16 hex digits, random
	By            string `json:"by"`
	Authenticated bool   `json:"authenticated"`
	File          string `json:"file"` // name of the recipe's file
	Recipe        Recipe `json:"recipe"`
	Quantity      int    `json:"quantity"` // units that are to pass; 0 for as many as come
	Trial         bool   `json:"trial"`
}

// JobEnd says that no more is made of it.
type JobEnd struct {
	Job           string   `json:"job"`
	By            string   `json:"by"`
	Authenticated bool     `json:"authenticated"`
	Passed        int      `json:"passed"` // units
	Failed        int      `json:"failed"`
	Open          []string `json:"open"` // serials of its open runs
}

// FailAcknowledged says that a person saw a FAIL.
type FailAcknowledged struct {
	Run           string `json:"run"`
	Serial        string `json:"serial"`
	Slot          string `json:"slot"`
	By            string `json:"by"`
	Authenticated bool   `json:"authenticated"`
	How           string `json:"how"` // "button" or "card"
}

// UserChanged says that somebody may do other things from now on. Names are never here.
type UserChanged struct {
	User          string `json:"user"` // pseudonymous id
	What          string `json:"what"` // one of the User constants
	Role          string `json:"role"` // from now on, "" when removed
	By            string `json:"by"`   // "setup" for the first user, "station" for a lock
	Authenticated bool   `json:"authenticated"`
}

const (
	UserAdded   = "added"
	UserRole    = "role"
	UserPIN     = "pin"
	UserBadge   = "badge"
	UserRemoved = "removed"
	UserLocked  = "locked" // after too many wrong PINs
	UserFreed   = "freed"
)

// UserSession says that somebody signed in or out.
type UserSession struct {
	User string `json:"user"`
	In   bool   `json:"in"`
	How  string `json:"how"` // "badge", "pin", "card", "button", "expired", "removed", "changed" for another PIN or badge
}

// AccessRefused says that somebody who was signed in wanted what is not theirs.
type AccessRefused struct {
	User   string `json:"user"`
	Role   string `json:"role"`
	Action string `json:"action"`
}

func (ShiftBegin) Kind() string       { return KindShiftBegin }
func (ShiftEnd) Kind() string         { return KindShiftEnd }
func (JobBegin) Kind() string         { return KindJobBegin }
func (JobEnd) Kind() string           { return KindJobEnd }
func (FailAcknowledged) Kind() string { return KindFailAcknowledged }
func (UserChanged) Kind() string      { return KindUserChanged }
func (UserSession) Kind() string      { return KindUserSession }
func (AccessRefused) Kind() string    { return KindAccessRefused }

func (ShiftBegin) floor()       {}
func (ShiftEnd) floor()         {}
func (JobBegin) floor()         {}
func (JobEnd) floor()           {}
func (FailAcknowledged) floor() {}
func (UserChanged) floor()      {}
func (UserSession) floor()      {}
func (AccessRefused) floor()    {}

func (b ShiftBegin) Check() error { return floorCheck(b, b.By != "") }
func (b ShiftEnd) Check() error   { return floorCheck(b, b.By != "") }
func (b JobBegin) Check() error {
	return floorCheck(b, b.By != "" && validRun(b.Job) && b.File != "" && b.Recipe.Digest != "" && b.Quantity >= 0)
}
func (b JobEnd) Check() error {
	return floorCheck(b, b.By != "" && validRun(b.Job) && b.Passed >= 0 && b.Failed >= 0)
}
func (b FailAcknowledged) Check() error {
	return floorCheck(b, b.By != "" && validRun(b.Run) && b.Serial != "" && b.Slot != "" && (b.How == "button" || b.How == "card"))
}
func (b UserChanged) Check() error {
	known := slices.Contains([]string{UserAdded, UserRole, UserPIN, UserBadge, UserRemoved, UserLocked, UserFreed}, b.What)
	return floorCheck(b, b.User != "" && b.By != "" && known && (b.Role == "") == (b.What == UserRemoved))
}
func (b UserSession) Check() error   { return floorCheck(b, b.User != "" && b.How != "") }
func (b AccessRefused) Check() error { return floorCheck(b, b.User != "" && b.Action != "") }

func floorCheck(b Body, ok bool) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%w: %s: a field is empty, or says what it cannot", ErrGrammar, b.Kind())
}

// decodeFloor is decodeBody for these kinds; nil for others.
func decodeFloor(kind string, b []byte) (Body, error) {
	switch kind {
	case KindShiftBegin:
		return unmarshal[ShiftBegin](b)
	case KindShiftEnd:
		return unmarshal[ShiftEnd](b)
	case KindJobBegin:
		return unmarshal[JobBegin](b)
	case KindJobEnd:
		return unmarshal[JobEnd](b)
	case KindFailAcknowledged:
		return unmarshal[FailAcknowledged](b)
	case KindUserChanged:
		return unmarshal[UserChanged](b)
	case KindUserSession:
		return unmarshal[UserSession](b)
	case KindAccessRefused:
		return unmarshal[AccessRefused](b)
	}
	return nil, nil
}
