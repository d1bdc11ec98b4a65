package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// body is a value that proves itself: who wrote it, its number, and a checksum
// over all of it. It is filled from its own numbers, so no two look alike.
//
//	0 writer u64  8 number u64  16 length u64  24 filler ...  last 8: CRC-32C, which processors reckon as fast as they copy
type body struct {
	writer, number uint64
}

const bodyLeast = 40

var table = crc32.MakeTable(crc32.Castagnoli)

func (b body) bytes(dst []byte) []byte {
	binary.LittleEndian.PutUint64(dst, b.writer)
	binary.LittleEndian.PutUint64(dst[8:], b.number)
	binary.LittleEndian.PutUint64(dst[16:], uint64(len(dst)))
	word := b.writer<<56 ^ b.number*0x9E3779B97F4A7C15
	end := len(dst) - 8
	for i := 24; i < end; i += 8 {
		binary.LittleEndian.PutUint64(dst[min(i, end-8):], word+uint64(i)) // the last may overlap
	}
	binary.LittleEndian.PutUint64(dst[end:], uint64(crc32.Checksum(dst[:end], table)))
	return dst
}

var errTorn = errors.New("torn value")

func parse(data []byte) (body, error) {
	if len(data) < bodyLeast {
		return body{}, fmt.Errorf("%w: %d bytes", errTorn, len(data))
	}
	end := len(data) - 8
	b := body{binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])}
	if n := binary.LittleEndian.Uint64(data[16:]); n != uint64(len(data)) {
		return b, fmt.Errorf("%w: %d bytes where its writer %d put %d", errTorn, len(data), b.writer, n)
	}
	if sum := uint64(crc32.Checksum(data[:end], table)); sum != binary.LittleEndian.Uint64(data[end:]) {
		return b, fmt.Errorf("%w: checksum of number %d of writer %d, %d bytes", errTorn, b.number, b.writer, len(data))
	}
	return b, nil
}

// size draws a length from every size class: in the record, small and large blocks.
func size(random *rand.Rand) int {
	return bodyLeast + random.IntN(1<<random.IntN(17))
}
