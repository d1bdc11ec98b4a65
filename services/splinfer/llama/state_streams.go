package llama

import "encoding/binary"

// llama.cpp's data of a sequence depends on how many sequences a context has: it
// lists the cells of every stream, of which all but the sequence's own are none.
// In a saved state there is one stream, so that a context with another
// number of sequences can take it. The format, of llama_kv_cache::state_write
// in v0.5.0:
//
//	u32 magic, u32 version, u32 streams, then for each stream:
//	u32 cells; if there are any:
//	  cells times: i32 position, u32 sequences (1), i32 sequence
//	  u32 whether values are transposed, u32 layers
//	  keys of each layer: i32 type, u64 bytes of a row, cells rows
//	  values of each layer the same; if transposed: i32 type, u32 bytes of an
//	  element, u32 elements of a row, elements times cells elements
//
// Memory of another kind (recurrent states, sliding windows) does not read so and
// is kept as it came.
const streamsFront = 12 // bytes before the first stream

// oneStream finds in the data of a sequence its only stream that has cells:
// before it and after it stand skip and drop bytes of empty ones. It is false for
// data that does not read so.
func oneStream(data []byte) (skip, drop int, ok bool) {
	r := streamReader{data: data, ok: true}
	r.skip(8)
	streams := r.uint32()
	cells := uint64(0)
	for cells == 0 && streams > 0 && r.ok {
		streams--
		cells = r.uint32()
	}
	skip = r.at - streamsFront - 4
	r.cells(cells)
	drop = len(data) - r.at
	for range drop / 4 {
		ok = r.uint32() == 0
		if !ok {
			return 0, 0, false
		}
	}
	return skip, drop, r.ok && skip >= 0 && cells > 0 && uint64(drop) == 4*streams
}

// checkStream tells whether data of one stream has the cells of so many tokens
// from position 0 on, all of them and nothing else. llama.cpp can hang or abort
// over cells that contradict each other; types and sizes it checks itself.
func checkStream(data []byte, tokens int) bool {
	r := streamReader{data: data, ok: true}
	r.skip(8)
	if r.uint32() != 1 || r.uint32() != uint64(tokens) {
		return false
	}
	first := r.at
	r.cells(uint64(tokens))
	if !r.ok || r.at != len(data) {
		return false
	}
	r.at = first
	for position := range tokens {
		if r.uint32() != uint64(position) || r.uint32() != 1 {
			return false
		}
		r.skip(4) // the sequence it was, which llama.cpp ignores
	}
	return true
}

// withStreams returns the data of one stream as a context with n streams reads
// it; which of them has the cells does not matter.
func withStreams(data []byte, n int) []byte {
	if n == 1 {
		return data
	}
	out := make([]byte, len(data)+4*(n-1))
	copy(out, data)
	binary.LittleEndian.PutUint32(out[8:], uint32(n))
	return out
}

// streamReader walks over data; ok turns false at its end.
type streamReader struct {
	data []byte
	at   int
	ok   bool
}

func (r *streamReader) skip(n uint64) {
	if !r.ok || n > uint64(len(r.data)-r.at) {
		r.ok = false
		return
	}
	r.at += int(n)
}

func (r *streamReader) uint32() uint64 {
	from := r.at
	r.skip(4)
	if !r.ok {
		return 0
	}
	return uint64(binary.LittleEndian.Uint32(r.data[from:]))
}

// product is a times b, or more than any data has.
func (r *streamReader) product(a, b uint64) uint64 {
	if a > maxCells || b > maxCells {
		return 1 << 62
	}
	return a * b
}

// cells walks over the cells of a stream and their keys and values.
func (r *streamReader) cells(n uint64) {
	r.skip(r.product(n, 12))
	transposed, layers := r.uint32(), r.uint32()
	rows := func() {
		for i := uint64(0); i < layers && r.ok; i++ {
			r.uint32()
			low, high := r.uint32(), r.uint32()
			r.skip(r.product(low|high<<32, n))
		}
	}
	rows()
	if transposed == 0 {
		rows()
		return
	}
	for i := uint64(0); i < layers && r.ok; i++ {
		r.uint32()
		bytes, elements := r.uint32(), r.uint32()
		r.skip(r.product(r.product(bytes, elements), n))
	}
}
