package splinfer

import (
	"errors"

	"runa/services/hint"
	"runa/services/rmp"
)

// Failure is why a request can't be answered, with the code that a program
// that asked can test.
type Failure struct {
	Code string // one of rmp's codes
	Err  error
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

func fail(code string, err error) error { return &Failure{Code: code, Err: err} }

// report turns any error into the message for the client. What isn't a Failure
// is a fault of ours.
func report(err error) rmp.Report {
	code := rmp.CodeInternal
	var failure *Failure
	if errors.As(err, &failure) {
		code = failure.Code
	}
	return rmp.Report{Code: code, Message: err.Error(), Hint: hint.Of(err)}
}
