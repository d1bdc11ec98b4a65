// Package hint lets an error carry what a person can do about it, so that the
// one place that prints errors can print a "hint:" line below them. It owns no
// wording of its own and must never be used to change what an error means.
package hint

import (
	"errors"
	"fmt"
	"io"
)

type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// New returns err with a hint attached; nil stays nil.
func New(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// Of returns the outermost hint in err's chain, or "".
func Of(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

// Print writes err to w the way every command of Runa reports one: a line
// "error: ..." and, if there is one, a line "hint: ...".
func Print(w io.Writer, err error) {
	fmt.Fprintf(w, "error: %v\n", err)
	if h := Of(err); h != "" {
		fmt.Fprintf(w, "hint: %s\n", h)
	}
}
