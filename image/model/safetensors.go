package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// safetensors is a file of named weights: a little-endian uint64 with the length of a
// JSON object, the object (name to type, shape and place), then the data. The format
// is described in the README of huggingface/safetensors.
type safetensors struct {
	tensors map[string]storedTensor
	data    []byte
}

type storedTensor struct {
	Type  string    `json:"dtype"`
	Shape []uint64  `json:"shape"`
	Place [2]uint64 `json:"data_offsets"` // begin and end, in bytes from the start of the data
}

// Bounds that keep products within 64 bits and a hostile header small.
const (
	mostSafetensorsHeader = 4 << 20 // bytes
	mostDimensions        = 8
	mostValues            = 1 << 40
)

// safetensorsTypes are the bytes of one value; others are refused.
var safetensorsTypes = map[string]uint64{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

// readSafetensors reads the header and checks that the tensors fill the data, one behind
// the other, without a gap.
func readSafetensors(file []byte) (*safetensors, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("read safetensors: %d bytes are too few for a header", len(file))
	}
	length := binary.LittleEndian.Uint64(file)
	if length > mostSafetensorsHeader || length > uint64(len(file)-8) {
		return nil, fmt.Errorf("read safetensors: a header of %d bytes, want at most %d of %d", length, mostSafetensorsHeader, len(file))
	}
	s := &safetensors{tensors: map[string]storedTensor{}, data: file[8+length:]}
	if err := s.readHeader(file[8 : 8+length]); err != nil {
		return nil, fmt.Errorf("read safetensors: header: %w", err)
	}
	return s, s.checkPlaces()
}

// readHeader reads the object key by key, since a map would hide a name that is
// there twice.
func (s *safetensors) readHeader(header []byte) error {
	in := json.NewDecoder(bytes.NewReader(header))
	in.DisallowUnknownFields()
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return errors.Join(errors.New("it is no JSON object"), err)
	}
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return err
		}
		name := key.(string) // or More and Token would have failed
		if name == "__metadata__" {
			var texts map[string]string
			if err := in.Decode(&texts); err != nil {
				return fmt.Errorf("__metadata__: %w", err)
			}
			continue
		}
		var t storedTensor
		if err := in.Decode(&t); err != nil {
			return fmt.Errorf("tensor %.80q: %w", name, err)
		}
		if _, twice := s.tensors[name]; twice {
			return fmt.Errorf("tensor %.80q is there twice", name)
		}
		s.tensors[name] = t
	}
	if _, err := in.Token(); err != nil {
		return err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

func (s *safetensors) checkPlaces() error {
	type placed struct {
		name string
		storedTensor
	}
	var order []placed
	for name, t := range s.tensors {
		order = append(order, placed{name, t})
	}
	slices.SortFunc(order, func(a, b placed) int { return slices.Compare(a.Place[:], b.Place[:]) })
	var next uint64
	for _, t := range order {
		size, err := t.size()
		if err != nil {
			return fmt.Errorf("read safetensors: tensor %.80q: %w", t.name, err)
		}
		if t.Place[0] != next || t.Place[1] < t.Place[0] || t.Place[1]-t.Place[0] != size {
			return fmt.Errorf("read safetensors: tensor %.80q: bytes %d to %d, want %d from %d on", t.name, t.Place[0], t.Place[1], size, next)
		}
		next = t.Place[1]
	}
	if next != uint64(len(s.data)) {
		return fmt.Errorf("read safetensors: the tensors take %d bytes, the file has %d", next, len(s.data))
	}
	return nil
}

// size is the number of bytes the tensor's data must have.
func (t storedTensor) size() (uint64, error) {
	each, known := safetensorsTypes[t.Type]
	if !known {
		return 0, fmt.Errorf("type %.20q is unknown", t.Type)
	}
	if len(t.Shape) > mostDimensions {
		return 0, fmt.Errorf("%d dimensions, want at most %d", len(t.Shape), mostDimensions)
	}
	count := uint64(1)
	for _, n := range t.Shape {
		if n > mostValues || count*n > mostValues {
			return 0, fmt.Errorf("shape %v is too large", t.Shape)
		}
		count *= n
	}
	return count * each, nil
}

// take returns the weights of a tensor of that shape and forgets it. They must be F16 or
// F32 and finite.
func (s *safetensors) take(name string, shape ...int) ([]float32, error) {
	t, found := s.tensors[name]
	if !found {
		return nil, fmt.Errorf("it has no tensor %s", name)
	}
	delete(s.tensors, name)
	same := len(t.Shape) == len(shape)
	for i := range shape {
		same = same && t.Shape[i] == uint64(shape[i])
	}
	if !same {
		return nil, fmt.Errorf("tensor %s has the shape %v, want %v", name, t.Shape, shape)
	}
	data := s.data[t.Place[0]:t.Place[1]]
	var values []float32
	switch t.Type {
	case "F16":
		values = make([]float32, len(data)/2)
		for i := range values {
			values[i] = fromHalf(binary.LittleEndian.Uint16(data[2*i:]))
		}
	case "F32":
		values = make([]float32, len(data)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	default:
		return nil, fmt.Errorf("tensor %s is of type %s, want F16 or F32", name, t.Type)
	}
	for i, v := range values {
		if v-v != 0 { // infinite or not a number
			return nil, fmt.Errorf("tensor %s: weight %d is %v", name, i, v)
		}
	}
	return values, nil
}

// fromHalf widens an IEEE 754 half, without loss.
func fromHalf(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0: // zero or subnormal: fraction steps of 2 to the power of -24
		return math.Float32frombits(math.Float32bits(float32(fraction)*0x1p-24) | sign)
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}
