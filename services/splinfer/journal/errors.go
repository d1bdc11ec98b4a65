package journal

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"runa/services/hint"
)

// What can be wrong; every error of this package wraps one of these or a system error.
var (
	// ErrBusy means that somebody has the folder or the conversation open, or
	// that its state is being saved or loaded.
	ErrBusy = errors.New("in use")
	// ErrFull means that the disk has no room, even without states.
	ErrFull = errors.New("no room on the disk")
	// ErrID means that a conversation's name is not of [a-zA-Z0-9_-]{1,64}.
	ErrID = errors.New("bad name of a conversation")
	// ErrNotFound means that there is no such conversation.
	ErrNotFound = errors.New("no such conversation")
	// ErrRecord means that a record breaks a rule of its kind.
	ErrRecord = errors.New("bad record")
	// ErrTooLarge means that a journal would be over MaxJournal, or a state over the budget.
	ErrTooLarge = errors.New("too large")
	// ErrDamaged means that what was on the disk is not what was written.
	ErrDamaged = errors.New("journal is damaged")
	// ErrNewer means that a later version of this program wrote the file.
	ErrNewer = errors.New("journal is of a later version")
	// ErrNoState means that there is no state that can be used.
	ErrNoState = errors.New("no state")
	// ErrClosed means that the store, the conversation or the reader was closed.
	ErrClosed = errors.New("closed")
)

// fault adds to a system error which of ours it is.
func fault(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrFull):
		return err
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return hint.New(fmt.Errorf("%w: %w", ErrFull, err), "delete what is not needed under /data; conversations go on when there is room")
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
