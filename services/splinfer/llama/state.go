package llama

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"unsafe"

	"runa/services/hint"
)

var (
	// ErrStateDamaged says that bytes are no state, or not all of one.
	ErrStateDamaged = errors.New("the saved state is damaged")
	// ErrStateForeign says that a state is whole but was computed by another
	// model, with other adapters, or saved by another version.
	ErrStateForeign = errors.New("the saved state belongs to something else")
)

// A state is a header, the tokens of the sequence (int32 each) and what
// llama_state_seq_get_data gave. Integers are little-endian:
//
//	offset size
//	     0    8 magic "RUNASTAT"
//	     8    4 version, 1
//	    12    4 1 if the data is of one stream, see oneStream; else 0
//	    16   32 identity of model and adapters
//	    48    8 number of tokens
//	    56    8 bytes of llama.cpp's data
//	    64    4 CRC-32C of tokens and data
//	    68    4 CRC-32C of the bytes 0 to 67
const (
	stateMagic   = "RUNASTAT"
	stateVersion = 1
	stateHeader  = 72

	stateOneStream = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// StateInfo is what a saved state says of itself.
type StateInfo struct {
	Identity Identity // of the model, and of the adapters if there were any
	Tokens   []Token
}

// SaveState returns the memory of a sequence and its tokens, to be given to
// RestoreState of any context with the same model, adapters and attention. It
// holds all that was decoded; logits are not in it, so decode at least one token after
// restoring.
func (c *Context) SaveState(sequence int) ([]byte, error) {
	if err := c.checkSequence(sequence); err != nil {
		return nil, fmt.Errorf("save state: %w", err)
	}
	tokens := c.tokens[sequence]
	if len(tokens) == 0 {
		return nil, fmt.Errorf("save state: sequence %d is empty", sequence)
	}
	front := stateHeader + 4*len(tokens)
	state, err := c.readState(sequence, front)
	if err != nil {
		return nil, fmt.Errorf("save state: %w", err)
	}
	flags := uint32(0)
	if skip, drop, ok := oneStream(state[front:]); ok {
		// The front moves up to the stream, not the stream down to it.
		copy(state[front+skip:], state[front:front+8])
		state = state[skip : len(state)-drop]
		binary.LittleEndian.PutUint32(state[front+8:], 1)
		flags = stateOneStream
	}
	for i, t := range tokens {
		binary.LittleEndian.PutUint32(state[stateHeader+4*i:], uint32(t))
	}
	identity := c.identity()
	copy(state, stateMagic)
	binary.LittleEndian.PutUint32(state[8:], stateVersion)
	binary.LittleEndian.PutUint32(state[12:], flags)
	copy(state[16:48], identity[:])
	binary.LittleEndian.PutUint64(state[48:], uint64(len(tokens)))
	binary.LittleEndian.PutUint64(state[56:], uint64(len(state)-front))
	binary.LittleEndian.PutUint32(state[64:], crc32.Checksum(state[stateHeader:], castagnoli))
	binary.LittleEndian.PutUint32(state[68:], crc32.Checksum(state[:68], castagnoli))
	return state, nil
}

// StateBytes is at most how many bytes SaveState would return now.
func (c *Context) StateBytes(sequence int) int {
	if c.Length(sequence) == 0 {
		return 0
	}
	return stateHeader + 4*c.Length(sequence) + int(c.model.library.c.stateSize(c.handle, int32(sequence)))
}

// readState returns llama.cpp's data of a sequence, after front bytes of room.
func (c *Context) readState(sequence, front int) ([]byte, error) {
	l := c.model.library
	size := l.c.stateSize(c.handle, int32(sequence))
	if size == 0 || size > maxCells {
		return nil, fmt.Errorf("llama.cpp says that the state of sequence %d has %d bytes", sequence, size)
	}
	state := make([]byte, front+int(size))
	written := l.c.stateGet(c.handle, &state[front], size, int32(sequence))
	if written == 0 || written > size {
		return nil, fmt.Errorf("llama.cpp wrote %d of %d bytes of sequence %d", written, size, sequence)
	}
	return state[:front+int(written)], nil
}

// writeState gives llama.cpp its own data back.
func (c *Context) writeState(sequence int, data []byte) error {
	var reason string
	restore := collectErrors(&reason)
	read := c.model.library.c.stateSet(c.handle, unsafe.SliceData(data), uintptr(len(data)), int32(sequence))
	restore()
	if read != uintptr(len(data)) {
		return fmt.Errorf("%w: llama.cpp read %d of %d bytes: %s", ErrStateForeign, read, len(data), reason)
	}
	return nil
}

// ReadStateInfo checks that a state is whole and returns what it says of itself.
func ReadStateInfo(state []byte) (StateInfo, error) {
	info, _, err := parseState(state)
	if err != nil {
		return StateInfo{}, fmt.Errorf("read state: %w", err)
	}
	return info, nil
}

// parseState checks everything that can be checked without a model; llama.cpp
// trusts its data.
func parseState(state []byte) (StateInfo, []byte, error) {
	switch {
	case len(state) < stateHeader:
		return StateInfo{}, nil, fmt.Errorf("%w: it has %d bytes, its header alone has %d", ErrStateDamaged, len(state), stateHeader)
	case !bytes.HasPrefix(state, []byte(stateMagic)):
		return StateInfo{}, nil, fmt.Errorf("%w: it does not begin with %s", ErrStateDamaged, stateMagic)
	case binary.LittleEndian.Uint32(state[68:]) != crc32.Checksum(state[:68], castagnoli):
		return StateInfo{}, nil, fmt.Errorf("%w: its header's checksum is wrong", ErrStateDamaged)
	case binary.LittleEndian.Uint32(state[8:]) != stateVersion:
		return StateInfo{}, nil, fmt.Errorf("%w: it is of version %d, this program reads %d", ErrStateForeign, binary.LittleEndian.Uint32(state[8:]), stateVersion)
	}
	body := state[stateHeader:]
	count, size := binary.LittleEndian.Uint64(state[48:]), binary.LittleEndian.Uint64(state[56:])
	if count > maxCells || size > maxCells || 4*count+size != uint64(len(body)) || count == 0 || size == 0 {
		return StateInfo{}, nil, fmt.Errorf("%w: it has %d bytes after its header, which promises %d tokens and %d bytes", ErrStateDamaged, len(body), count, size)
	}
	if binary.LittleEndian.Uint32(state[64:]) != crc32.Checksum(body, castagnoli) {
		return StateInfo{}, nil, fmt.Errorf("%w: its checksum is wrong", ErrStateDamaged)
	}
	info := StateInfo{Identity: Identity(state[16:48]), Tokens: make([]Token, count)}
	for i := range info.Tokens {
		info.Tokens[i] = Token(binary.LittleEndian.Uint32(body[4*i:]))
	}
	return info, body[4*count:], nil
}

// RestoreState makes a sequence what it was when SaveState was called. Errors
// wrap ErrStateDamaged, ErrStateForeign or ErrContextFull; the sequence is empty after an error.
func (c *Context) RestoreState(sequence int, state []byte) error {
	if err := c.checkSequence(sequence); err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	c.forget(sequence)
	if err := c.restore(sequence, state); err != nil {
		c.forget(sequence)
		return hint.New(fmt.Errorf("restore state: %w", err), "the conversation can be read again from its tokens")
	}
	return nil
}

func (c *Context) restore(sequence int, state []byte) error {
	info, data, err := parseState(state)
	if err != nil {
		return err
	}
	if info.Identity != c.identity() {
		return fmt.Errorf("%w: it was computed with weights %.8s, here are %.8s", ErrStateForeign, info.Identity, c.identity())
	}
	if len(info.Tokens) > c.size {
		return fmt.Errorf("%d tokens for a size of %d: %w", len(info.Tokens), c.size, ErrContextFull)
	}
	if i := slices.IndexFunc(info.Tokens, func(t Token) bool { return !c.model.valid(t) }); i >= 0 {
		return fmt.Errorf("%w: its token %d is not within the vocabulary", ErrStateDamaged, i)
	}
	if binary.LittleEndian.Uint32(state[12:]) == stateOneStream {
		if !checkStream(data, len(info.Tokens)) {
			return fmt.Errorf("%w: its cells contradict each other", ErrStateDamaged)
		}
		data = withStreams(data, c.streams())
	}
	if err := c.writeState(sequence, data); err != nil {
		return err
	}
	if got := c.lengthInC(sequence); got != len(info.Tokens) {
		return fmt.Errorf("%w: llama.cpp's data has %d tokens, the header %d", ErrStateDamaged, got, len(info.Tokens))
	}
	c.tokens[sequence] = info.Tokens
	c.used += len(info.Tokens)
	return nil
}

// streams is how many sets of cells llama.cpp has.
func (c *Context) streams() int {
	if c.options.Apart {
		return c.options.Sequences
	}
	return 1
}
