package journal

import (
	"bytes"
	"fmt"
	"hash/crc32"
)

// The header of a journal: magic, version, checksum of both.
const (
	magic      = "RUNAJRNL"
	version    = 1
	headerSize = 16
)

// A frame is a record in the file: length of the payload, kind, payload,
// checksum.
const (
	frameFront  = 5
	frameEnd    = 4
	markPayload = 9
	markSize    = frameFront + markPayload + frameEnd
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func header() []byte {
	b := little.AppendUint32([]byte(magic), version)
	return little.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// checkHeader says whether b, the first headerSize bytes, is a header.
func checkHeader(b []byte) error {
	switch {
	case bytes.Equal(b, header()):
		return nil
	case !bytes.HasPrefix(b, []byte(magic)) || little.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli):
		return fmt.Errorf("%w: it has no header", ErrDamaged)
	}
	return fmt.Errorf("%w: it is of version %d, this program reads %d", ErrNewer, little.Uint32(b[8:]), version)
}

// checksum is that of a frame's front and payload at an offset of the file. The
// offset is part of it, so that a block that the disk put at a wrong
// place, or an old one that came back, is no record.
func checksum(offset int64, frame []byte) uint32 {
	var place [8]byte
	little.PutUint64(place[:], uint64(offset))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, frame)
}

// appendFrame appends a record to b, whose end will be at offset of the file.
func appendFrame(b []byte, offset int64, r Record) ([]byte, error) {
	start := len(b)
	framed, err := appendPayload(append(b, 0, 0, 0, 0, byte(r.Kind())), r)
	if err != nil {
		return b, err
	}
	length := len(framed) - start - frameFront
	if length > MaxRecord {
		return b, fmt.Errorf("%w: a record of kind %v has %d bytes, at most %d are allowed", ErrRecord, r.Kind(), length, MaxRecord)
	}
	little.PutUint32(framed[start:], uint32(length))
	return little.AppendUint32(framed, checksum(offset, framed[start:])), nil
}

// markAt reads the mark in b, markSize bytes from offset of the file.
func markAt(offset int64, b []byte) (mark, bool) {
	if little.Uint32(b) != markPayload || Kind(b[4]) != kindMark ||
		little.Uint32(b[markSize-frameEnd:]) != checksum(offset, b[:markSize-frameEnd]) {
		return mark{}, false
	}
	r, err := decode(kindMark, b[frameFront:markSize-frameEnd])
	if err != nil {
		return mark{}, false
	}
	return r.(mark), true
}
