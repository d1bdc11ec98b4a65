package rmp

import (
	"encoding/binary"
	"fmt"
)

// MaxBinaryHead is the most bytes that AppendBinaryHead appends.
const MaxBinaryHead = 192

// AppendBinaryHead appends all of a frame that comes before its payload, for a
// payload that is a binary string of size bytes: the caller puts those bytes
// behind it and has the whole frame. This is how a payload is sent from where it
// was made. The frame has no meta.
func AppendBinaryHead(dst []byte, h Header, size int) ([]byte, error) {
	if err := h.checkLife(); err != nil {
		return dst, fmt.Errorf("encode frame: %w", err)
	}
	s, ok := LookupSchema(h.SchemaID)
	if !ok {
		return dst, fmt.Errorf("encode frame: schema %d: %w", h.SchemaID, ErrUnknownSchema)
	}
	start := len(dst)
	out := appendHeader(dst, h)
	out = append(out, 0x82)
	out = appendText(out, "type")
	out = appendText(out, s.Type)
	out = appendText(out, "payload")
	switch {
	case size < 0 || size > MaxBody-MaxBinaryHead:
		return dst, fmt.Errorf("encode frame %s: %d bytes, at most %d: %w", s.Type, size, MaxBody-MaxBinaryHead, ErrBodyTooLarge)
	case size < 1<<8:
		out = append(out, 0xc4, byte(size))
	case size < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 0xc5), uint16(size))
	default:
		out = binary.BigEndian.AppendUint32(append(out, 0xc6), uint32(size))
	}
	body := len(out) - start - PrefixSize - HeaderSize + size
	binary.BigEndian.PutUint32(out[start:], uint32(HeaderSize+body))
	binary.BigEndian.PutUint32(out[start+PrefixSize+16:], uint32(body))
	return out, nil
}

// Binary returns the bytes of a payload that is a binary string, where they
// stand. The error wraps ErrBodyDecode.
func (f Frame) Binary() ([]byte, error) {
	kind, head, data, _, err := element(f.Payload)
	switch {
	case err != nil:
	case kind != binaryString:
		err = fmt.Errorf("byte 0x%02x begins no binary string", f.Payload[0])
	case uint64(len(f.Payload)-head) != data:
		err = fmt.Errorf("%d bytes where %d were expected", len(f.Payload)-head, data)
	default:
		return f.Payload[head:], nil
	}
	return nil, fmt.Errorf("decode payload of %s: %w: %w", f.Type, ErrBodyDecode, err)
}
