package provision

import (
	"fmt"
	"runtime/debug"
)

// PanicError is a fault of this program that came up within one run: an ERROR of its slot, while the neighbours go on.
type PanicError struct {
	Value any
	Stack []byte // where it came up, as the runtime tells it: without what strings and slices hold
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Caught does something; a panic of it, in this goroutine, is a *PanicError.
func Caught(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	return do()
}
