package llama

import (
	"fmt"
	"slices"
)

// Length is the number of tokens in a sequence; 0 for one that does not exist.
func (c *Context) Length(sequence int) int {
	if sequence < 0 || sequence >= len(c.tokens) {
		return 0
	}
	return len(c.tokens[sequence])
}

// Tokens are a sequence's tokens. The slice is the context's own: it must not be
// changed and is valid until the sequence changes.
func (c *Context) Tokens(sequence int) []Token {
	if sequence < 0 || sequence >= len(c.tokens) {
		return nil
	}
	return c.tokens[sequence]
}

// Remove forgets a sequence's tokens from position from on. A recurrent model
// can only forget all (from 0) or nothing: else the error wraps ErrNoWayBack.
func (c *Context) Remove(sequence, from int) error {
	if err := c.checkSequence(sequence); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	length := len(c.tokens[sequence])
	if from < 0 || from > length {
		return fmt.Errorf("remove: position %d is not within the %d tokens of sequence %d", from, length, sequence)
	}
	if from == 0 {
		c.forget(sequence)
		return nil
	}
	if c.lengthInC(sequence) == from {
		return nil
	}
	if !c.model.library.c.memoryRemove(c.memory, int32(sequence), int32(from), -1) {
		return fmt.Errorf("remove tokens from %d on of sequence %d: %w", from, sequence, ErrNoWayBack)
	}
	c.truncate(sequence, from)
	return nil
}

// forget empties a sequence.
func (c *Context) forget(sequence int) {
	if c.memory != 0 {
		c.model.library.c.memoryRemove(c.memory, int32(sequence), -1, -1)
	}
	c.truncate(sequence, 0)
}

// truncate notes that a sequence has lost its end.
func (c *Context) truncate(sequence, length int) {
	c.used -= len(c.tokens[sequence]) - length
	c.tokens[sequence] = c.tokens[sequence][:length]
	if length == 0 {
		c.tokens[sequence] = nil // a long conversation's slice need not stay
	}
}

// Keep forgets all sequences but one.
func (c *Context) Keep(sequence int) error {
	if err := c.checkSequence(sequence); err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	for other := range c.tokens {
		if other != sequence {
			c.forget(other)
		}
	}
	return nil
}

// Copy makes target begin with the first tokens of source, as if it had
// decoded them, and forget what it had. Where sequences share cells nothing is
// computed or moved; where they are apart their memory is copied. A recurrent
// model's state can only be copied whole, else the error wraps ErrNoWayBack.
func (c *Context) Copy(source, target, tokens int) error {
	for _, sequence := range []int{source, target} {
		if err := c.checkSequence(sequence); err != nil {
			return fmt.Errorf("copy: %w", err)
		}
	}
	length := len(c.tokens[source])
	switch {
	case source == target:
		return fmt.Errorf("copy: sequence %d onto itself", source)
	case tokens < 0 || tokens > length:
		return fmt.Errorf("copy: %d tokens of the %d in sequence %d", tokens, length, source)
	case tokens < length && c.model.Recurrent():
		return fmt.Errorf("copy %d of %d tokens: %w", tokens, length, ErrNoWayBack)
	}
	c.forget(target)
	if tokens == 0 {
		return nil
	}
	if err := c.copyMemory(source, target, tokens); err != nil {
		c.forget(target)
		return fmt.Errorf("copy: %w", err)
	}
	c.tokens[target] = slices.Clone(c.tokens[source][:tokens])
	c.used += tokens
	return nil
}

// copyMemory copies the cells of the first tokens of source. Between cells of
// their own llama.cpp only notes a copy and does it in the next decode; what
// is saved or restored until then would be wrong, so the state is moved through a
// buffer instead.
func (c *Context) copyMemory(source, target, tokens int) error {
	l := c.model.library
	if !c.options.Apart && !c.model.Recurrent() && c.options.Sequences > 1 {
		l.c.memoryCopy(c.memory, int32(source), int32(target), 0, int32(tokens))
		return nil
	}
	state, err := c.readState(source, 0)
	if err != nil {
		return err
	}
	if err := c.writeState(target, state); err != nil {
		return err
	}
	if tokens < len(c.tokens[source]) {
		l.c.memoryRemove(c.memory, int32(target), int32(tokens), -1)
	}
	return nil
}

// lengthInC is how many tokens of a sequence llama.cpp remembers.
func (c *Context) lengthInC(sequence int) int {
	return int(c.model.library.c.memoryLast(c.memory, int32(sequence))) + 1
}

func (c *Context) checkSequence(sequence int) error {
	if sequence < 0 || sequence >= len(c.tokens) {
		return fmt.Errorf("sequence %d is not within 0 to %d", sequence, len(c.tokens)-1)
	}
	return nil
}
