package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// Bounds of what a journal holds.
const (
	// MaxRecord bounds a record's payload in bytes: a prompt of a million tokens.
	MaxRecord = 4 << 20
	// MaxJournal bounds a journal in bytes: some ten million tokens.
	MaxJournal = 256 << 20
	// MaxName bounds the identity of a model and the name of a persona in bytes.
	MaxName = 1024
	// MaxReason bounds the reason of an End in bytes.
	MaxReason = 64
)

// Kind is the number that stands for a kind of record in the file.
type Kind uint8

// The kinds. Those from 128 are the journal's own and never seen outside.
const (
	KindBegin   Kind = 1
	KindPrompt  Kind = 2
	KindRun     Kind = 3
	KindMask    Kind = 4
	KindWhisper Kind = 5
	KindEnd     Kind = 6
	KindKeep    Kind = 7

	kindMark Kind = 128
)

var kindNames = map[Kind]string{
	KindBegin: "begin", KindPrompt: "prompt", KindRun: "run", KindMask: "mask",
	KindWhisper: "whisper", KindEnd: "end", KindKeep: "keep", kindMark: "mark",
}

// String returns the kind's name.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Record is one of Begin, Prompt, Run, Mask, Whisper, End and Keep. All that
// happened to a conversation is their sequence; its tokens are those of
// Prompts, Runs and Whispers in their order, changed by Masks and Keeps.
type Record interface {
	Kind() Kind
}

// Begin starts an answer: what it is computed with.
type Begin struct {
	Model      string          // identity of the weights, such as name and hash
	Persona    string          // name, or empty
	Parameters json.RawMessage // an object; nil is {}. It is written in canonical form, see Canonical
	Seed       uint64
}

// Prompt is what the model read: tokens at the end of the conversation.
type Prompt struct{ Tokens []int32 }

// Drawn is a token that the model drew.
type Drawn struct {
	ID      int32
	LogProb float32 // natural logarithm, the model's own; any NaN is the same NaN
}

// Run is tokens of an answer, as they were shown.
type Run struct{ Tokens []Drawn }

// Mask replaces the token at Index of the conversation (from 0, prompts and
// whispers counted) by ID.
type Mask struct {
	Index int
	ID    int32
}

// Whisper is tokens that the system put in, not the person nor the model.
type Whisper struct{ Tokens []int32 }

// End ends an answer.
type End struct{ Reason string }

// Keep says that the conversation goes on after its first Tokens tokens; the
// others are no part of it any more, such as when an answer is drawn again.
type Keep struct{ Tokens int }

func (Begin) Kind() Kind   { return KindBegin }
func (Prompt) Kind() Kind  { return KindPrompt }
func (Run) Kind() Kind     { return KindRun }
func (Mask) Kind() Kind    { return KindMask }
func (Whisper) Kind() Kind { return KindWhisper }
func (End) Kind() Kind     { return KindEnd }
func (Keep) Kind() Kind    { return KindKeep }

// mark says that everything before Synced was on the disk when it was written.
type mark struct {
	Synced   int64
	Finished bool // the last answer that began has ended
}

func (mark) Kind() Kind { return kindMark }

// contents is what the records up to some point come to.
type contents struct {
	tokens     []int32
	model      string // of the last Begin
	unfinished bool   // the last Begin has no End
}

// after returns how many tokens there would be after r where there are length
// now, or why r can't come here.
func after(r Record, length int) (int, error) {
	switch r := r.(type) {
	case Begin, End:
	case Prompt:
		length += len(r.Tokens)
	case Run:
		length += len(r.Tokens)
	case Whisper:
		length += len(r.Tokens)
	case Mask:
		if r.Index < 0 || r.Index >= length {
			return 0, fmt.Errorf("%w: a mask of token %d where there are %d", ErrRecord, r.Index, length)
		}
	case Keep:
		if r.Tokens < 0 || r.Tokens > length {
			return 0, fmt.Errorf("%w: %d tokens to keep where there are %d", ErrRecord, r.Tokens, length)
		}
		length = r.Tokens
	default:
		return 0, fmt.Errorf("%w: it is of type %T", ErrRecord, r)
	}
	return length, nil
}

// apply takes in a record that after allowed.
func (c *contents) apply(r Record) {
	switch r := r.(type) {
	case Begin:
		c.model, c.unfinished = r.Model, true
	case Prompt:
		c.tokens = append(c.tokens, r.Tokens...)
	case Run:
		for _, t := range r.Tokens {
			c.tokens = append(c.tokens, t.ID)
		}
	case Whisper:
		c.tokens = append(c.tokens, r.Tokens...)
	case Mask:
		c.tokens[r.Index] = r.ID
	case Keep:
		c.tokens = c.tokens[:r.Tokens]
	case End:
		c.unfinished = false
	}
}

// take takes in a record that was read. Append refused what can't come here.
func (c *contents) take(r Record) error {
	if _, err := after(r, len(c.tokens)); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	c.apply(r)
	return nil
}

// Canonical returns a JSON object in the one form that journals hold: keys
// sorted, no space between, numbers as they were written.
func Canonical(object []byte) (json.RawMessage, error) {
	if len(object) == 0 {
		return json.RawMessage("{}"), nil
	}
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	var values map[string]any
	// What the decoder says could quote the parameters, so it is not passed on.
	if d.Decode(&values) != nil || values == nil {
		return nil, errors.New("parameters are not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one JSON object of parameters")
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(values) != nil {
		return nil, errors.New("parameters can't be written as JSON")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// oneNaN makes every NaN the same, so that equal records are equal bytes.
func oneNaN(p float32) uint32 {
	if p != p {
		return 0x7fc00000
	}
	return math.Float32bits(p)
}
