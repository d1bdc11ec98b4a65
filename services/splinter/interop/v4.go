package interop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
)

// Layout of libsplinter's files, format version 4, in bytes.
const (
	v4Magic      = 0x534C4E54 // "SLNT"
	v4Version    = 4
	v4HeaderSize = 5440
	v4SlotSize   = 128
	v4Embedding  = 768 * 4
	v4KeySize    = 64 // with the final 0
	v4LargeSlot  = v4SlotSize + v4Embedding

	v4GroupMap      = 56
	v4EventFD       = 4352
	v4ScrubDefaults = 3 // core flags of a new store: clear a value's place before writing it
)

// ErrFormat means the file is none of the format's, or cut off, or damaged where
// nothing can be told any more.
var ErrFormat = errors.New("not a libsplinter version 4 store")

// typeNames are our names for the type flags, lowest bit first; an empty flag
// byte and the first flag (void) are no type. An unsigned integer of the library
// has the 8 bytes of our int.
var typeNames = [8]string{"", "bigint", "int", "json", "binary", "image", "audio", "text"}

const (
	embeddingPrefix = "embedding/"
	embeddingType   = "embedding"
)

// v4Slot is the part of a slot that both sizes have.
type v4Slot struct {
	Hash        uint64
	Epoch       uint64
	ValueOffset uint32
	ValueLength uint32
	Type, User  uint8
	_           [6]byte
	Watchers    uint64
	Created     uint64
	Used        uint64
	Labels      uint64
	Key         [v4KeySize]byte
}

var order = binary.LittleEndian

// fnv1a is the library's hash of a key.
func fnv1a(key string) uint64 {
	hash := uint64(14695981039346656037)
	for _, b := range []byte(key) {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return hash
}

func (s v4Slot) name() (string, bool) {
	end := bytes.IndexByte(s.Key[:], 0)
	if end < 0 {
		return string(s.Key[:]), false
	}
	return string(s.Key[:end]), true
}

// typeName is the name of the lowest flag that is a type.
func typeName(flags uint8) string {
	for bit, name := range typeNames {
		if bit > 0 && flags&(1<<bit) != 0 {
			return name
		}
	}
	return ""
}

func typeFlag(name string) (flag uint8, known bool) {
	for bit, n := range typeNames {
		if n == name {
			return 1 << bit, true
		}
	}
	return 1, false
}

// embeddingOf is the key that an embedding's own key belongs to.
func embeddingOf(e Entry) (string, bool) {
	key, ok := strings.CutPrefix(e.Key, embeddingPrefix)
	return key, ok && e.Type == embeddingType && len(e.Value) == v4Embedding && key != ""
}
