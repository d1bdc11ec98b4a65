package splinter

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// Where the processor may reorder plain accesses every word is read by a
// load-acquire and written by a store-release (what Go's atomics compile to), so
// they stay in order between the reads and writes of the epoch. Mapped slices
// begin at a multiple of 8 and own the bytes up to the next one.

func word(mem []byte, i int) *uint64 { return (*uint64)(unsafe.Pointer(&mem[i])) }

func wordsOut(dst, src []byte) {
	i := 0
	for ; i+8 <= len(src); i += 8 {
		binary.LittleEndian.PutUint64(dst[i:], atomic.LoadUint64(word(src, i)))
	}
	if i < len(src) {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], atomic.LoadUint64(word(src, i)))
		copy(dst[i:], last[:len(src)-i])
	}
}

func wordsIn(dst, src []byte) {
	i := 0
	for ; i+8 <= len(src); i += 8 {
		atomic.StoreUint64(word(dst, i), binary.LittleEndian.Uint64(src[i:]))
	}
	if i < len(src) {
		var last [8]byte
		copy(last[:], src[i:])
		atomic.StoreUint64(word(dst, i), binary.LittleEndian.Uint64(last[:]))
	}
}
