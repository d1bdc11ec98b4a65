package rmp

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

const (
	// MaxDepth is how deep maps and arrays of a body may nest.
	MaxDepth = 64
	// MaxItems is how many values (map keys included) a payload may hold to be
	// turned into Go values by Frame.Unmarshal. Long vectors travel as binary strings.
	MaxItems = 1 << 18
)

// span measures the one MsgPack value at the start of b without recursion or
// allocation: its size in bytes and the number of values in it.
func span(b []byte) (size, items int, err error) {
	var open [MaxDepth]uint64 // values still to come at each level
	depth := 0
	for {
		kind, head, data, children, err := element(b[size:])
		if err != nil {
			return 0, 0, fmt.Errorf("at byte %d: %w", size, err)
		}
		if uint64(head)+data > uint64(len(b)-size) {
			return 0, 0, fmt.Errorf("at byte %d: %d bytes are missing", size, uint64(head)+data-uint64(len(b)-size))
		}
		size += head + int(data)
		items++
		if kind == container && children > 0 {
			if children > uint64(len(b)-size) {
				return 0, 0, fmt.Errorf("at byte %d: %d values are claimed in %d bytes", size, children, len(b)-size)
			}
			if depth == MaxDepth {
				return 0, 0, fmt.Errorf("at byte %d: nested deeper than %d", size, MaxDepth)
			}
			open[depth] = children
			depth++
			continue
		}
		for depth > 0 {
			if open[depth-1]--; open[depth-1] > 0 {
				break
			}
			depth--
		}
		if depth == 0 {
			return size, items, nil
		}
	}
}

type elementKind uint8

const (
	scalar elementKind = iota
	text
	binaryString
	unsigned
	container
)

// element reads the head of a MsgPack value: its kind, the length of the head,
// the bytes of data that follow it and, for containers, the values inside.
func element(b []byte) (kind elementKind, head int, data, children uint64, err error) {
	if len(b) == 0 {
		return 0, 0, 0, 0, fmt.Errorf("a value is missing")
	}
	c := b[0]
	switch {
	case c <= 0x7f:
		return unsigned, 1, 0, 0, nil
	case c <= 0x8f:
		return container, 1, 0, 2 * uint64(c&0x0f), nil
	case c <= 0x9f:
		return container, 1, 0, uint64(c & 0x0f), nil
	case c <= 0xbf:
		return text, 1, uint64(c & 0x1f), 0, nil
	case c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3:
		return scalar, 1, 0, 0, nil
	case c == 0xc1:
		return 0, 0, 0, 0, fmt.Errorf("byte 0xc1 is no MsgPack")
	case c >= 0xca && c <= 0xcb: // float 32, 64
		return scalar, 1, 4 << (c - 0xca), 0, nil
	case c >= 0xcc && c <= 0xcf: // uint 8 to 64
		return unsigned, 1, 1 << (c - 0xcc), 0, nil
	case c >= 0xd0 && c <= 0xd3: // int 8 to 64
		return scalar, 1, 1 << (c - 0xd0), 0, nil
	case c >= 0xd4 && c <= 0xd8: // fixext: a type byte and 1 to 16 bytes
		return scalar, 1, 1 + 1<<(c-0xd4), 0, nil
	}
	return lengthElement(b)
}

// lengthWidth is how many bytes of length follow a first byte.
var lengthWidth = [256]uint8{
	0xc4: 1, 0xc5: 2, 0xc6: 4, 0xc7: 1, 0xc8: 2, 0xc9: 4,
	0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4,
}

// lengthElement is element for the forms with a length of 1, 2 or 4 bytes.
func lengthElement(b []byte) (kind elementKind, head int, data, children uint64, err error) {
	width := int(lengthWidth[b[0]])
	if len(b) < 1+width {
		return 0, 0, 0, 0, fmt.Errorf("a length is cut off")
	}
	var n uint64
	for _, c := range b[1 : 1+width] {
		n = n<<8 | uint64(c)
	}
	switch c := b[0]; {
	case c <= 0xc6:
		return binaryString, 1 + width, n, 0, nil
	case c <= 0xc9: // ext: a type byte comes before the data
		return scalar, 1 + width, n + 1, 0, nil
	case c <= 0xdb:
		return text, 1 + width, n, 0, nil
	case c <= 0xdd:
		return container, 1 + width, 0, n, nil
	default:
		return container, 1 + width, 0, 2 * n, nil
	}
}

// takeText reads the string at the start of b and returns what follows it.
func takeText(b []byte) (s, rest []byte, err error) {
	kind, head, data, _, err := element(b)
	if err != nil {
		return nil, nil, err
	}
	if kind != text {
		return nil, nil, fmt.Errorf("byte 0x%02x begins no string", b[0])
	}
	if data > uint64(len(b)-head) {
		return nil, nil, fmt.Errorf("a string is cut off")
	}
	end := head + int(data)
	return b[head:end], b[end:], nil
}

// takeMap reads the head of the map at the start of b: the number of its pairs.
func takeMap(b []byte) (pairs uint64, rest []byte, err error) {
	kind, head, _, children, err := element(b)
	if err != nil {
		return 0, nil, err
	}
	isMap := b[0]&0xf0 == 0x80 || b[0] == 0xde || b[0] == 0xdf
	if kind != container || !isMap {
		return 0, nil, fmt.Errorf("byte 0x%02x begins no map", b[0])
	}
	return children / 2, b[head:], nil
}

// takeValue reads the value at the start of b as the bytes it is made of.
func takeValue(b []byte) (raw, rest []byte, err error) {
	n, _, err := span(b)
	if err != nil {
		return nil, nil, err
	}
	return b[:n:n], b[n:], nil
}

// unsignedValue is the value of an integer that element called unsigned.
func unsignedValue(raw []byte) uint64 {
	if len(raw) == 1 {
		return uint64(raw[0])
	}
	var wide [8]byte
	copy(wide[8-len(raw[1:]):], raw[1:])
	return binary.BigEndian.Uint64(wide[:])
}

// Marshal encodes v as every payload of Runa is encoded: shortest integers, map
// keys sorted.
func Marshal(v any) (msgpack.RawMessage, error) {
	var out bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&out)
	enc.UseCompactInts(true)
	enc.SetSortMapKeys(true)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
