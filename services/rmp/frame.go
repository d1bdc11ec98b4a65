package rmp

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

const (
	// PrefixSize and HeaderSize are bytes before and in the header.
	PrefixSize = 4
	HeaderSize = 64
	// MaxBody is the largest body, in bytes.
	MaxBody = 8 << 20
	// MaxFrame is the largest frame on the wire, its length prefix included.
	MaxFrame = PrefixSize + HeaderSize + MaxBody
	// DefaultTTL is how long a frame made by New lives.
	DefaultTTL = 30 * time.Second
)

const magic = 0x524D5030 // "RMP0"

// Header is what a frame says about itself.
type Header struct {
	SchemaID    uint16
	CreatedAtMs uint64 // sender's clock, milliseconds since 1970
	TTLMs       uint64 // milliseconds, not 0
	TraceID     [16]byte
	MsgID       uint64 // monotonic per publisher
}

// Frame is one message. Payload and Meta are MsgPack as it stands on the wire;
// Meta is nil if there is none.
type Frame struct {
	Header
	Type    string
	Payload msgpack.RawMessage
	Meta    msgpack.RawMessage
}

// New makes a frame of the given schema around payload, created now, living
// DefaultTTL. It fails with ErrUnknownSchema or if payload has no MsgPack form.
func New(schema uint16, now time.Time, trace [16]byte, msgID uint64, payload any) (Frame, error) {
	s, ok := LookupSchema(schema)
	if !ok {
		return Frame{}, fmt.Errorf("make frame: schema %d: %w", schema, ErrUnknownSchema)
	}
	raw, err := Marshal(payload)
	if err != nil {
		return Frame{}, fmt.Errorf("make frame %s: %w", s.Type, err)
	}
	h := Header{SchemaID: schema, CreatedAtMs: uint64(now.UnixMilli()), TTLMs: uint64(DefaultTTL.Milliseconds()), TraceID: trace, MsgID: msgID}
	return Frame{Header: h, Type: s.Type, Payload: raw}, nil
}

// Unmarshal decodes the payload into v. The error wraps ErrBodyDecode.
func (f Frame) Unmarshal(v any) error {
	size, items, err := span(f.Payload)
	switch {
	case err != nil:
	case size != len(f.Payload):
		err = fmt.Errorf("%d bytes follow the value", len(f.Payload)-size)
	case items > MaxItems:
		err = fmt.Errorf("%d values, at most %d are read", items, MaxItems)
	default:
		err = msgpack.Unmarshal(f.Payload, v)
	}
	if err != nil {
		return fmt.Errorf("decode payload of %s: %w: %w", f.Type, ErrBodyDecode, err)
	}
	return nil
}

// Expired says whether the frame's life has ended at now: now >= created + ttl,
// the sum taken in 128 bits so that it cannot wrap.
func (h Header) Expired(now time.Time) bool {
	sum, carry := bits.Add64(h.CreatedAtMs, h.TTLMs, 0)
	ms := now.UnixMilli()
	return carry == 0 && ms >= 0 && uint64(ms) >= sum
}

func (h Header) checkLife() error {
	if h.TTLMs == 0 {
		return ErrInvalidTTL
	}
	if _, carry := bits.Add64(h.CreatedAtMs, h.TTLMs, 0); carry != 0 {
		return ErrInvalidExpiry
	}
	return nil
}

// Encode returns the frame on the wire. A frame that Decode would refuse is
// refused here with the same error.
func Encode(f Frame) ([]byte, error) {
	return AppendFrame(make([]byte, 0, PrefixSize+HeaderSize+64+len(f.Payload)+len(f.Meta)), f)
}

// AppendFrame appends the frame on the wire to dst; on an error dst comes back as it was.
func AppendFrame(dst []byte, f Frame) ([]byte, error) {
	if err := f.checkLife(); err != nil {
		return dst, fmt.Errorf("encode frame %s: %w", f.Type, err)
	}
	s, ok := LookupSchema(f.SchemaID)
	if !ok {
		return dst, fmt.Errorf("encode frame: schema %d: %w", f.SchemaID, ErrUnknownSchema)
	}
	if f.Type != s.Type {
		return dst, fmt.Errorf("encode frame: type %q for schema %d (%s): %w", f.Type, f.SchemaID, s.Type, ErrBodyTypeMismatch)
	}
	start := len(dst)
	out := appendHeader(dst, f.Header)
	out, err := appendBody(out, f)
	if err != nil {
		return dst, fmt.Errorf("encode frame %s: %w: %w", f.Type, ErrBodyDecode, err)
	}
	body := len(out) - start - PrefixSize - HeaderSize
	if body > MaxBody {
		return dst, fmt.Errorf("encode frame %s: %d bytes, at most %d: %w", f.Type, body, MaxBody, ErrBodyTooLarge)
	}
	binary.BigEndian.PutUint32(out[start:], uint32(HeaderSize+body))
	binary.BigEndian.PutUint32(out[start+PrefixSize+16:], uint32(body))
	return out, nil
}

// appendHeader appends prefix and header with both lengths still 0.
func appendHeader(dst []byte, h Header) []byte {
	be := binary.BigEndian
	dst = be.AppendUint32(dst, 0)
	dst = be.AppendUint32(dst, magic)
	dst = be.AppendUint16(dst, 0)
	dst = be.AppendUint16(dst, HeaderSize)
	dst = be.AppendUint32(dst, 0)
	dst = be.AppendUint16(dst, h.SchemaID)
	dst = be.AppendUint16(dst, 0)
	dst = be.AppendUint32(dst, 0)
	dst = be.AppendUint64(dst, h.CreatedAtMs)
	dst = be.AppendUint64(dst, h.TTLMs)
	dst = append(dst, h.TraceID[:]...)
	dst = be.AppendUint64(dst, h.MsgID)
	return be.AppendUint32(dst, 0)
}

// Checks are what a receiver adds to the checks every frame meets. The zero
// value adds nothing.
type Checks struct {
	Allow     func(Header) bool // false: ErrForbidden
	Now       time.Time         // if not zero, frames whose life has ended are ErrExpired
	Duplicate func(Header) bool // true: ErrDuplicate
}

// Decode reads exactly one frame without extra checks; see Checks.Decode.
func Decode(b []byte) (Frame, error) { return Checks{}.Decode(b) }

// Decode reads exactly one frame, checking in the order of the specification.
// The frame's Payload and Meta are parts of b. Too few bytes are ErrIncomplete.
func (c Checks) Decode(b []byte) (Frame, error) {
	f, err := c.decode(b)
	if err != nil {
		return Frame{}, fmt.Errorf("decode frame: %w", err)
	}
	return f, nil
}

func (c Checks) decode(b []byte) (Frame, error) {
	n, err := FrameSize(b)
	if err != nil {
		return Frame{}, err
	}
	if len(b) < n {
		return Frame{}, fmt.Errorf("%d of %d bytes: %w", len(b), n, ErrIncomplete)
	}
	if n < PrefixSize+HeaderSize {
		return Frame{}, fmt.Errorf("frame_len is %d: %w", n-PrefixSize, ErrTruncatedHeader)
	}
	h, bodyLen, err := decodeHeader(b[PrefixSize:])
	if err != nil {
		return Frame{}, err
	}
	if uint64(bodyLen) != uint64(n-PrefixSize-HeaderSize) || len(b) != n {
		return Frame{}, fmt.Errorf("body_len %d, frame_len %d, %d bytes: %w", bodyLen, n-PrefixSize, len(b), ErrLengthMismatch)
	}
	if err := c.check(h); err != nil {
		return Frame{}, err
	}
	return decodeBody(h, b[PrefixSize+HeaderSize:n])
}

// FrameSize says from its first four bytes how long the frame is on the wire,
// prefix included. An oversize frame is refused here, from the prefix alone.
func FrameSize(b []byte) (int, error) {
	if len(b) < PrefixSize {
		return 0, fmt.Errorf("%d of %d bytes: %w", len(b), PrefixSize, ErrIncomplete)
	}
	n := binary.BigEndian.Uint32(b)
	if n > HeaderSize+MaxBody {
		return 0, fmt.Errorf("frame_len %d, at most %d: %w", n, HeaderSize+MaxBody, ErrBodyTooLarge)
	}
	return PrefixSize + int(n), nil
}

// decodeHeader reads magic, version, flags and reserved fields in that order.
func decodeHeader(b []byte) (h Header, bodyLen uint32, err error) {
	be := binary.BigEndian
	if got := be.Uint32(b); got != magic {
		return h, 0, fmt.Errorf("0x%08x: %w", got, ErrInvalidMagic)
	}
	if version, length := be.Uint16(b[4:]), be.Uint16(b[6:]); version != 0 || length != HeaderSize {
		return h, 0, fmt.Errorf("header version %d of %d bytes: %w", version, length, ErrUnsupportedVersion)
	}
	if flags := be.Uint32(b[8:]); flags != 0 {
		return h, 0, fmt.Errorf("flags 0x%08x: %w", flags, ErrInvalidHeaderFlags)
	}
	if be.Uint16(b[14:]) != 0 || be.Uint32(b[60:]) != 0 {
		return h, 0, fmt.Errorf("a reserved field is set: %w", ErrInvalidHeaderFlags)
	}
	h = Header{SchemaID: be.Uint16(b[12:]), CreatedAtMs: be.Uint64(b[20:]), TTLMs: be.Uint64(b[28:]), MsgID: be.Uint64(b[52:])}
	copy(h.TraceID[:], b[36:52])
	return h, be.Uint32(b[16:]), nil
}

func (c Checks) check(h Header) error {
	if err := h.checkLife(); err != nil {
		return err
	}
	if c.Allow != nil && !c.Allow(h) {
		return ErrForbidden
	}
	if !c.Now.IsZero() && h.Expired(c.Now) {
		return ErrExpired
	}
	if c.Duplicate != nil && c.Duplicate(h) {
		return ErrDuplicate
	}
	if _, ok := LookupSchema(h.SchemaID); !ok {
		return fmt.Errorf("schema %d: %w", h.SchemaID, ErrUnknownSchema)
	}
	return nil
}
