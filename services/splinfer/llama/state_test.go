package llama

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"runa/services/gguf"
)

// seal writes the checksums of a state that was changed.
func seal(state []byte) []byte {
	binary.LittleEndian.PutUint32(state[64:], crc32.Checksum(state[stateHeader:], castagnoli))
	binary.LittleEndian.PutUint32(state[68:], crc32.Checksum(state[:68], castagnoli))
	return state
}

func TestADamagedOrForeignStateIsRefused(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0))
	c := apart(t, m, 2)
	feed(t, c, 0, someTokens(m, 1, 20), 20)
	good, err := c.SaveState(0)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(state []byte) []byte) []byte { return change(bytes.Clone(good)) }
	at := func(i int) func([]byte) []byte {
		return func(state []byte) []byte { state[i] ^= 4; return state }
	}
	number := func(offset int, value uint64) func([]byte) []byte {
		return func(state []byte) []byte {
			binary.LittleEndian.PutUint64(state[offset:], value)
			return seal(state)
		}
	}
	for name, one := range map[string]struct {
		state []byte
		want  error
	}{
		"nothing":         {nil, ErrStateDamaged},
		"half a header":   {good[:30], ErrStateDamaged},
		"only a header":   {good[:stateHeader], ErrStateDamaged},
		"half":            {good[:len(good)/2], ErrStateDamaged},
		"a byte less":     {good[:len(good)-1], ErrStateDamaged},
		"a byte more":     {append(bytes.Clone(good), 0), ErrStateDamaged},
		"magic":           {changed(at(0)), ErrStateDamaged},
		"identity":        {changed(at(20)), ErrStateDamaged},
		"a token":         {changed(at(stateHeader + 5)), ErrStateDamaged},
		"data":            {changed(at(len(good) - 100)), ErrStateDamaged},
		"no tokens":       {changed(number(48, 0)), ErrStateDamaged},
		"endless tokens":  {changed(number(48, 1<<62)), ErrStateDamaged},
		"endless data":    {changed(number(56, 1<<63)), ErrStateDamaged},
		"another model":   {changed(func(s []byte) []byte { return seal(at(20)(s)) }), ErrStateForeign},
		"another version": {changed(func(s []byte) []byte { return seal(at(8)(s)) }), ErrStateForeign},
		"no such token":   {changed(func(s []byte) []byte { s[stateHeader+3] = 0x7f; return seal(s) }), ErrStateDamaged},
		"llama.cpp's own": {changed(func(s []byte) []byte { s[stateHeader+80] ^= 1; return seal(s) }), ErrStateForeign},
	} {
		if err := c.RestoreState(1, one.state); !errors.Is(err, one.want) || c.Length(1) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := ReadStateInfo(good); err != nil || info.Identity != m.Identity() || !slices.Equal(info.Tokens, c.Tokens(0)) {
		t.Errorf("info %+v, %v", info, err)
	}
	small := contextWith(t, m, ContextOptions{Size: 10, Sequences: 1, Apart: true})
	if err := small.RestoreState(0, good); !errors.Is(err, ErrContextFull) {
		t.Errorf("a context that is too small: %v", err)
	}
	other := load(t, tinyLlama(t, 2, gguf.Q8_0))
	if err := apart(t, other, 1).RestoreState(0, good); !errors.Is(err, ErrStateForeign) {
		t.Errorf("another model of the same shape: %v", err)
	}
	if err := c.RestoreState(1, good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestAStateMovesBetweenContextsOfAnyNumberOfSequences(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0))
	before, after := someTokens(m, 1, 30), someTokens(m, 2, 5)
	want := feed(t, apart(t, m, 1), 0, slices.Concat(before, after), 35)
	var states [][]byte
	for _, from := range []struct{ sequences, sequence int }{{1, 0}, {2, 1}, {5, 0}, {5, 2}, {5, 4}} {
		c := apart(t, m, from.sequences)
		feed(t, c, from.sequence, before, 30)
		state, err := c.SaveState(from.sequence)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, state)
	}
	for _, state := range states {
		for _, to := range []struct{ sequences, sequence int }{{1, 0}, {3, 2}, {5, 1}} {
			c := apart(t, m, to.sequences)
			if err := c.RestoreState(to.sequence, state); err != nil {
				t.Fatal(err)
			}
			same(t, "restored", feed(t, c, to.sequence, after, 5), want)
		}
	}
}

func TestAStateOfOneStreamIsFoundInAnyData(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing": nil, "short": make([]byte, 9), "zeros": make([]byte, 400), "ones": bytes.Repeat([]byte{0xff}, 400),
		"too many cells": binary.LittleEndian.AppendUint32(append(make([]byte, 8), 1, 0, 0, 0), 1<<31),
	} {
		if _, _, ok := oneStream(data); ok {
			t.Errorf("%s was read", name)
		}
	}
}

// FuzzRestoreState feeds bytes that nobody saved: each is refused or taken,
// and the conversation beside it goes on.
func FuzzRestoreState(f *testing.F) {
	m := load(f, tinyLlama(f, 1, gguf.Q8_0))
	c := apart(f, m, 2)
	feed(f, c, 0, someTokens(m, 1, 6), 6)
	good, err := c.SaveState(0)
	if err != nil {
		f.Fatal(err)
	}
	want := slices.Clone(c.Logits())
	f.Add(good)
	f.Add(good[:len(good)-7])
	f.Add(good[:stateHeader])
	f.Add([]byte(stateMagic))
	f.Fuzz(func(t *testing.T, state []byte) {
		err := c.RestoreState(1, state)
		if err == nil != (c.Length(1) > 0) {
			t.Fatalf("%v, and %d tokens", err, c.Length(1))
		}
		if err := c.Remove(0, 4); err != nil {
			t.Fatal(err)
		}
		same(t, "the conversation beside it", feed(t, c, 0, someTokens(m, 1, 6)[4:], 6), want)
	})
}

// FuzzOneStream reads any bytes as llama.cpp's data of a sequence.
func FuzzOneStream(f *testing.F) {
	m := load(f, tinyLlama(f, 1, gguf.Q8_0))
	c := apart(f, m, 3)
	feed(f, c, 1, someTokens(m, 1, 6), 6)
	data, err := c.readState(1, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		if skip, drop, ok := oneStream(data); ok && (skip < 0 || drop < 0 || skip+drop+16 > len(data)) {
			t.Fatalf("%d and %d of %d bytes", skip, drop, len(data))
		}
	})
}

// FuzzSealedState changes what only llama.cpp can check: the checksums are right.
func FuzzSealedState(f *testing.F) {
	m := load(f, tinyLlama(f, 1, gguf.Q8_0))
	c := apart(f, m, 2)
	feed(f, c, 0, someTokens(m, 1, 2), 2)
	good, err := c.SaveState(0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(80), uint32(7), uint16(0))
	f.Add(uint16(84), uint32(1<<31), uint16(9))
	f.Add(uint16(92), uint32(0xffffffff), uint16(0))
	f.Fuzz(func(t *testing.T, at uint16, value uint32, cut uint16) {
		state := bytes.Clone(good[:len(good)-int(cut)%(len(good)-stateHeader-12)])
		binary.LittleEndian.PutUint32(state[stateHeader+int(at)%(len(state)-stateHeader-4):], value)
		binary.LittleEndian.PutUint64(state[56:], uint64(len(state)-stateHeader-8))
		err := c.RestoreState(1, seal(state))
		if err == nil != (c.Length(1) > 0) {
			t.Fatalf("%v, and %d tokens", err, c.Length(1))
		}
		if err == nil {
			feed(t, c, 1, someTokens(m, 5, 2), 2)
		}
	})
}
