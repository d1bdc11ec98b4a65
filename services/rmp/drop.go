package rmp

import (
	"errors"
	"time"
)

// DropTTL is how long a drop notice lives.
const DropTTL = 5 * time.Second

// Reasons of drops, as drop notices and counters name them.
const (
	DropExpired      = "ttl_expired"
	DropDuplicate    = "duplicate"
	DropBackpressure = "backpressure_timeout"
	DropForbidden    = "forbidden"
	DropOverwritten  = "overwritten" // by declaration: a topic that drops its oldest
	DropInvalid      = "invalid"     // the frame does not decode
)

// DropNotice (schema 3007) tells that frames of a topic did not reach one
// subscriber. It carries nothing of what was in them.
type DropNotice struct {
	Topic      string `msgpack:"topic"`
	Reason     string `msgpack:"reason"`
	Count      uint64 `msgpack:"count"`      // frames since the notice before
	Subscriber uint32 `msgpack:"subscriber"` // its process, as that sees itself; 0: no subscriber was reached
	UID        uint32 `msgpack:"uid"`        // of the process that was to have the frames, or that was refused
	TraceID    []byte `msgpack:"trace_id"`   // of the last of them, 16 bytes
	MsgID      uint64 `msgpack:"msg_id"`     // of the last of them
}

// DropReason is the reason that a receiver's error is counted under.
func DropReason(err error) string {
	switch {
	case errors.Is(err, ErrExpired):
		return DropExpired
	case errors.Is(err, ErrDuplicate):
		return DropDuplicate
	case errors.Is(err, ErrForbidden):
		return DropForbidden
	case errors.Is(err, ErrBackpressureTimeout):
		return DropBackpressure
	default:
		return DropInvalid
	}
}
