package loadable

import "encoding/binary"

// charsmap checks SentencePiece's table of normalisations, which llama.cpp walks for each text:
// a little-endian uint32 with the size of a double array in bytes, the array (entries of
// 32 bits), then replacements that end with a zero byte. A step out of the array or a
// replacement without an end ends the process, so every state that a text can reach is visited.
func (h *header) charsmap() {
	const key = "tokenizer.ggml.precompiled_charsmap"
	var data []byte
	switch v := h.values[key].(type) {
	case nil:
		return
	case []uint8:
		data = v
	case []int8:
		for _, b := range v {
			data = append(data, byte(b))
		}
	default:
		h.fail("%s is of type %T, want an array of bytes", key, v)
		return
	}
	if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data))+4 >= uint64(len(data)) {
		h.fail("%s of %d bytes has no room for its table", key, len(data))
		return
	}
	size := binary.LittleEndian.Uint32(data)
	if !walk(data[4:4+size], data[4+size:]) {
		h.fail("%s leads out of its table", key)
	}
}

// walk visits the states of a double array (Kanda 2018): of an entry, bits 10 to 30 are
// BASE (shifted by 8 if bit 9 is set), bits 0 to 7 the label, bit 8 says that a
// replacement ends here.
func walk(array, replacements []byte) bool {
	count := uint32(len(array) / 4)
	entry := func(i uint32) uint32 { return binary.LittleEndian.Uint32(array[4*i:]) }
	base := func(e uint32) uint32 { return e >> 10 << (e & (1 << 9) >> 6) }
	if count == 0 {
		return true
	}
	end := len(replacements)
	for end > 0 && replacements[end-1] != 0 {
		end--
	}
	seen := map[uint32]bool{}
	for stack := []uint32{base(entry(0))}; len(stack) > 0; {
		state := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[state] {
			continue
		}
		seen[state] = true
		for c := uint32(1); c < 256; c++ {
			next := state ^ c
			if next >= count {
				return false
			}
			e := entry(next)
			if e&(1<<31|0xff) != c {
				continue
			}
			next ^= base(e)
			if e>>8&1 == 1 && (next >= count || entry(next)&(1<<31-1) >= uint32(end)) {
				return false
			}
			stack = append(stack, next)
		}
	}
	return true
}
