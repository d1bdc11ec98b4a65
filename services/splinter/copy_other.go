//go:build !amd64

package splinter

import "sync/atomic"

func copyOut(dst, src []byte) { wordsOut(dst, src) }

func copyIn(dst, src []byte) { wordsIn(dst, src) }

func sameBytes(mem []byte, key string) bool {
	var buffer [MaxKey + 1]byte
	wordsOut(buffer[:len(mem)], mem)
	return string(buffer[:len(mem)]) == key
}

func load(word *uint64) uint64 { return atomic.LoadUint64(word) }

func store(word *uint64, v uint64) { atomic.StoreUint64(word, v) }
