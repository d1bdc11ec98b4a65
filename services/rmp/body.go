package rmp

import (
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// appendBody appends the map {type, payload, meta?}.
func appendBody(dst []byte, f Frame) ([]byte, error) {
	if err := wholeValue(f.Payload); err != nil {
		return dst, fmt.Errorf("payload: %w", err)
	}
	pairs := byte(2)
	if f.Meta != nil {
		if err := checkMeta(f.Meta); err != nil {
			return dst, fmt.Errorf("meta: %w", err)
		}
		pairs = 3
	}
	dst = append(dst, 0x80|pairs)
	dst = appendText(dst, "type")
	dst = appendText(dst, f.Type)
	dst = appendText(dst, "payload")
	dst = append(dst, f.Payload...)
	if f.Meta != nil {
		dst = appendText(dst, "meta")
		dst = append(dst, f.Meta...)
	}
	return dst, nil
}

// appendText appends a string of at most 255 bytes; keys and types are shorter.
func appendText(dst []byte, s string) []byte {
	if len(s) < 32 {
		dst = append(dst, 0xa0|byte(len(s)))
	} else {
		dst = append(dst, 0xd9, byte(len(s)))
	}
	return append(dst, s...)
}

func wholeValue(raw []byte) error {
	n, _, err := span(raw)
	if err != nil {
		return err
	}
	if n != len(raw) {
		return fmt.Errorf("%d bytes follow the value", len(raw)-n)
	}
	return nil
}

// decodeBody reads the body of a frame whose header has passed every check.
func decodeBody(h Header, body []byte) (Frame, error) {
	f := Frame{Header: h}
	name, err := splitBody(body, &f)
	if err != nil {
		return Frame{}, fmt.Errorf("%w: %w", ErrBodyDecode, err)
	}
	s, _ := LookupSchema(h.SchemaID)
	if string(name) != s.Type {
		return Frame{}, fmt.Errorf("schema %d is %s: %w", h.SchemaID, s.Type, ErrBodyTypeMismatch)
	}
	f.Type = s.Type
	return f, nil
}

// splitBody finds type, payload and meta in the body, in that order.
func splitBody(body []byte, f *Frame) (name []byte, err error) {
	pairs, rest, err := takeMap(body)
	if err != nil {
		return nil, err
	}
	if pairs != 2 && pairs != 3 {
		return nil, fmt.Errorf("a map of %d keys, 2 or 3 were expected", pairs)
	}
	if rest, err = takeKey(rest, "type"); err != nil {
		return nil, err
	}
	if name, rest, err = takeText(rest); err != nil {
		return nil, fmt.Errorf("type: %w", err)
	}
	if rest, err = takeKey(rest, "payload"); err != nil {
		return nil, err
	}
	var raw []byte
	if raw, rest, err = takeValue(rest); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	f.Payload = raw
	if pairs == 3 {
		if rest, err = takeKey(rest, "meta"); err != nil {
			return nil, err
		}
		if raw, rest, err = takeValue(rest); err != nil {
			return nil, fmt.Errorf("meta: %w", err)
		}
		if err = checkMeta(raw); err != nil {
			return nil, fmt.Errorf("meta: %w", err)
		}
		f.Meta = raw
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%d bytes follow the map", len(rest))
	}
	return name, nil
}

func takeKey(b []byte, want string) ([]byte, error) {
	key, rest, err := takeText(b)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", want, err)
	}
	if string(key) != want {
		return nil, fmt.Errorf("another key stands where %q was expected", want)
	}
	return rest, nil
}

// Meta holds the keys of a frame's meta that the specification knows.
type Meta struct {
	OpeningID [16]byte // big-endian; written as an integer if it fits 64 bits
	HasID     bool
	Priority  uint8
	Tags      msgpack.RawMessage // as it came; nil if there is none
}

// ReadMeta returns the known keys of the frame's meta; unknown ones are passed over.
func (f Frame) ReadMeta() (Meta, error) {
	if f.Meta == nil {
		return Meta{}, nil
	}
	m, err := readMeta(f.Meta)
	if err != nil {
		return Meta{}, fmt.Errorf("decode meta of %s: %w: %w", f.Type, ErrBodyDecode, err)
	}
	return m, nil
}

func checkMeta(raw []byte) error {
	if err := wholeValue(raw); err != nil {
		return err
	}
	_, err := readMeta(raw)
	return err
}

// readMeta reads a map of string keys; opening_id may be an integer or 16 bytes.
func readMeta(raw []byte) (m Meta, err error) {
	pairs, rest, err := takeMap(raw)
	if err != nil {
		return m, err
	}
	for ; pairs > 0; pairs-- {
		var key, value []byte
		if key, rest, err = takeText(rest); err != nil {
			return m, fmt.Errorf("a key: %w", err)
		}
		if value, rest, err = takeValue(rest); err != nil {
			return m, err
		}
		if err = m.set(string(key), value); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (m *Meta) set(key string, value []byte) error {
	kind, head, data, _, err := element(value)
	if err != nil {
		return err
	}
	switch key {
	case "opening_id":
		m.HasID, m.OpeningID = true, [16]byte{}
		if kind == binaryString && data == 16 {
			copy(m.OpeningID[:], value[head:])
			return nil
		}
		if kind != unsigned {
			return errors.New("opening_id is neither an unsigned integer nor 16 bytes")
		}
		n := unsignedValue(value)
		for i := 15; n > 0; i-- {
			m.OpeningID[i], n = byte(n), n>>8
		}
	case "priority":
		if kind != unsigned || unsignedValue(value) > 255 {
			return errors.New("priority is no integer from 0 to 255")
		}
		m.Priority = uint8(unsignedValue(value))
	case "tags":
		m.Tags = value
	}
	return nil
}
