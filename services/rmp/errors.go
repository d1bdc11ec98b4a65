package rmp

import "errors"

// The error taxonomy of RMP version 0, in the order in which a frame is checked.
// Decode wraps exactly one of them; test with errors.Is.
var (
	// ErrIncomplete is the state of a stream, not a fault of the frame: more
	// bytes are needed before anything can be said.
	ErrIncomplete = errors.New("frame is incomplete")
	// ErrTruncatedHeader means frame_len is below the 64 bytes of a header.
	ErrTruncatedHeader = errors.New("truncated header")
	// ErrInvalidMagic means the frame does not begin with "RMP0".
	ErrInvalidMagic = errors.New("invalid magic")
	// ErrUnsupportedVersion means header_version is not 0 or header_len not 64.
	ErrUnsupportedVersion = errors.New("unsupported version")
	// ErrInvalidHeaderFlags means flags or a reserved field is not 0.
	ErrInvalidHeaderFlags = errors.New("invalid header flags")
	// ErrLengthMismatch means body_len is not frame_len - 64, or bytes follow the frame.
	ErrLengthMismatch = errors.New("length mismatch")
	// ErrBodyTooLarge means the body is over MaxBody.
	ErrBodyTooLarge = errors.New("body too large")
	// ErrInvalidTTL means ttl_ms is 0.
	ErrInvalidTTL = errors.New("invalid ttl")
	// ErrInvalidExpiry means created_at_ms + ttl_ms is over 2^64-1.
	ErrInvalidExpiry = errors.New("invalid expiry")
	// ErrForbidden means the receiver's rights refuse the frame.
	ErrForbidden = errors.New("forbidden")
	// ErrExpired means now is at or past created_at_ms + ttl_ms.
	ErrExpired = errors.New("expired")
	// ErrDuplicate means (trace_id, msg_id) was seen before.
	ErrDuplicate = errors.New("duplicate")
	// ErrUnknownSchema means schema_id is not in the registry.
	ErrUnknownSchema = errors.New("unknown schema")
	// ErrBodyDecode means the body is not the map {type, payload, meta?}.
	ErrBodyDecode = errors.New("body does not decode")
	// ErrBodyTypeMismatch means the body's type is not the one of schema_id.
	ErrBodyTypeMismatch = errors.New("body type mismatch")
	// ErrBackpressureTimeout means a full receiver blocked its sender too long.
	ErrBackpressureTimeout = errors.New("back-pressure timeout")
)
