//go:build !amd64

package splinter

func copyOut(dst, src []byte) { wordsOut(dst, src) }

func copyIn(dst, src []byte) { wordsIn(dst, src) }

func sameBytes(mem []byte, key string) bool {
	var buffer [MaxKey + 1]byte
	wordsOut(buffer[:len(mem)], mem)
	return string(buffer[:len(mem)]) == key
}
