package splinter

import "errors"

// What can be wrong; every error of this package wraps one of these or a system error.
var (
	// ErrNotFound means the key is not on the bus.
	ErrNotFound = errors.New("no such key")
	// ErrKey means a key is empty or over MaxKey bytes.
	ErrKey = errors.New("bad key")
	// ErrTooLarge means a value is over the bus's limit.
	ErrTooLarge = errors.New("value too large")
	// ErrFull means every slot, connection or endpoint of the bus is taken.
	ErrFull = errors.New("bus is full")
	// ErrName means a listener's name is empty or over MaxName bytes.
	ErrName = errors.New("bad name")
	// ErrInUse means a living process listens under the name.
	ErrInUse = errors.New("name is in use")
	// ErrNoListener means nobody alive listens under the name.
	ErrNoListener = errors.New("no listener")
	// ErrPeerDied means the peer's process ended without closing.
	ErrPeerDied = errors.New("peer died")
	// ErrClosed means this side or the peer has closed the connection, the
	// listener or the bus.
	ErrClosed = errors.New("closed")
	// ErrNotABus means the file's magic, version or geometry is not a bus's.
	ErrNotABus = errors.New("not a bus")
	// ErrCorrupt means the bus holds a value that no writer of ours can have left.
	ErrCorrupt = errors.New("bus is corrupt")
)
