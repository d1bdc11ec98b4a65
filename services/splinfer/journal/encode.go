package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

var little = binary.LittleEndian

// appendPayload appends a record's payload to b.
func appendPayload(b []byte, r Record) ([]byte, error) {
	switch r := r.(type) {
	case Begin:
		return appendBegin(b, r)
	case Prompt:
		return appendTokens(b, r.Tokens)
	case Whisper:
		return appendTokens(b, r.Tokens)
	case Run:
		return appendRun(b, r.Tokens)
	case Mask:
		if r.ID < 0 || r.Index < 0 || int64(r.Index) > math.MaxUint32 {
			return b, fmt.Errorf("%w: a mask's token or index is out of range", ErrRecord)
		}
		return little.AppendUint32(little.AppendUint32(b, uint32(r.Index)), uint32(r.ID)), nil
	case Keep:
		if r.Tokens < 0 || int64(r.Tokens) > math.MaxUint32 {
			return b, fmt.Errorf("%w: a number of tokens to keep is out of range", ErrRecord)
		}
		return little.AppendUint32(b, uint32(r.Tokens)), nil
	case End:
		if len(r.Reason) > MaxReason || !utf8.ValidString(r.Reason) {
			return b, fmt.Errorf("%w: a reason is over %d bytes or not UTF-8", ErrRecord, MaxReason)
		}
		return append(b, r.Reason...), nil
	case mark:
		b = little.AppendUint64(b, uint64(r.Synced))
		if r.Finished {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	}
	return b, fmt.Errorf("%w: it is of type %T", ErrRecord, r)
}

func appendBegin(b []byte, r Begin) ([]byte, error) {
	parameters, err := Canonical(r.Parameters)
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	b = little.AppendUint64(b, r.Seed)
	for _, name := range []string{r.Model, r.Persona} {
		if len(name) > MaxName || !utf8.ValidString(name) {
			return b, fmt.Errorf("%w: the name of a model or persona is over %d bytes or not UTF-8", ErrRecord, MaxName)
		}
		b = little.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
	}
	return append(b, parameters...), nil
}

func appendTokens(b []byte, tokens []int32) ([]byte, error) {
	for i, t := range tokens {
		if t < 0 {
			return b, fmt.Errorf("%w: token %d of it is negative", ErrRecord, i)
		}
		b = little.AppendUint32(b, uint32(t))
	}
	return b, nil
}

func appendRun(b []byte, tokens []Drawn) ([]byte, error) {
	for i, t := range tokens {
		if t.ID < 0 {
			return b, fmt.Errorf("%w: token %d of it is negative", ErrRecord, i)
		}
		b = little.AppendUint32(b, uint32(t.ID))
		b = little.AppendUint32(b, oneNaN(t.LogProb))
	}
	return b, nil
}

// decode reads a payload whose checksum was right. The record shares no memory with it.
func decode(kind Kind, p []byte) (Record, error) {
	var r Record
	var err error
	switch kind {
	case KindBegin:
		r, err = decodeBegin(p)
	case KindPrompt:
		var tokens []int32
		tokens, err = decodeTokens(p)
		r = Prompt{tokens}
	case KindWhisper:
		var tokens []int32
		tokens, err = decodeTokens(p)
		r = Whisper{tokens}
	case KindRun:
		r, err = decodeRun(p)
	case KindMask:
		if len(p) != 8 || little.Uint32(p[4:]) > math.MaxInt32 {
			return nil, malformed(kind)
		}
		r = Mask{int(little.Uint32(p)), int32(little.Uint32(p[4:]))}
	case KindKeep:
		if len(p) != 4 {
			return nil, malformed(kind)
		}
		r = Keep{int(little.Uint32(p))}
	case KindEnd:
		if len(p) > MaxReason || !utf8.Valid(p) {
			return nil, malformed(kind)
		}
		r = End{string(p)}
	case kindMark:
		if len(p) != markPayload || p[8] > 1 || little.Uint64(p) > MaxJournal {
			return nil, malformed(kind)
		}
		r = mark{int64(little.Uint64(p)), p[8] == 1}
	default:
		return nil, fmt.Errorf("%w: it holds a record of %v", ErrNewer, kind)
	}
	return r, err
}

func malformed(kind Kind) error {
	return fmt.Errorf("%w: a record of kind %v breaks the rules of its kind", ErrDamaged, kind)
}

func decodeBegin(p []byte) (Record, error) {
	if len(p) < 8 {
		return nil, malformed(KindBegin)
	}
	r := Begin{Seed: little.Uint64(p)}
	p = p[8:]
	for _, name := range []*string{&r.Model, &r.Persona} {
		if len(p) < 2 {
			return nil, malformed(KindBegin)
		}
		n := int(little.Uint16(p))
		if p = p[2:]; n > len(p) || n > MaxName || !utf8.Valid(p[:n]) {
			return nil, malformed(KindBegin)
		}
		*name, p = string(p[:n]), p[n:]
	}
	canonical, err := Canonical(p)
	if err != nil || !bytes.Equal(canonical, p) {
		return nil, malformed(KindBegin)
	}
	r.Parameters = canonical
	return r, nil
}

func decodeTokens(p []byte) ([]int32, error) {
	if len(p)%4 != 0 {
		return nil, malformed(KindPrompt)
	}
	tokens := make([]int32, len(p)/4)
	for i := range tokens {
		if tokens[i] = int32(little.Uint32(p[4*i:])); tokens[i] < 0 {
			return nil, malformed(KindPrompt)
		}
	}
	return tokens, nil
}

func decodeRun(p []byte) (Record, error) {
	if len(p)%8 != 0 {
		return nil, malformed(KindRun)
	}
	tokens := make([]Drawn, len(p)/8)
	for i := range tokens {
		bits := little.Uint32(p[8*i+4:])
		tokens[i] = Drawn{int32(little.Uint32(p[8*i:])), math.Float32frombits(bits)}
		if tokens[i].ID < 0 || bits != oneNaN(tokens[i].LogProb) {
			return nil, malformed(KindRun)
		}
	}
	return Run{tokens}, nil
}
