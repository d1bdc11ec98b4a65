package flash

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"runa/image/disk"
)

const (
	mebibyte   = 1 << 20
	sectorSize = 512

	headSize = mebibyte // the tables and the record; the first partition comes later
	tailSize = mebibyte // the second copy of the table
	firstEnd = 4096     // of what is written last: boot code, the table's header and first entries

	recordAt   = 64 << 10
	recordSize = headSize - recordAt // most it may take

	bootCodeSize = 440 // of sector 0; the disk's signature and the protective MBR follow

	chunkSize     = 64 << 10 // what has a hash, unless that would be more than
	maximumChunks = 8192     // hashes in one record
)

// recordMagic begins a record: 16 bytes. The length of the JSON that follows, 4 bytes
// little-endian, and its SHA-256 are behind it.
const recordMagic = "runa flash v1\n\x00\x00"

const recordHeader = len(recordMagic) + 4 + sha256.Size

type state string

const (
	begun  state = "begun"  // writing has begun: what follows is no image yet
	sealed state = "sealed" // the hashes are those of a whole image
)

// record is what an image or a disk says of itself. See the package's page.
type record struct {
	State    state        `json:"state"`
	Size     int64        `json:"size"` // of the image in bytes
	BootCode []byte       `json:"boot_code,omitempty"`
	Chunk    int64        `json:"chunk,omitempty"` // bytes that each hash is of; the last of a part may be shorter
	Parts    []recordPart `json:"parts,omitempty"`
}

// recordPart is a partition; Hashes are the SHA-256 of its chunks one behind the
// other, none for the data partition.
type recordPart struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	GUID   string `json:"guid"`
	Start  int64  `json:"start"`
	Size   int64  `json:"size"`
	Hashes []byte `json:"hashes,omitempty"`
}

var errNoRecord = errors.New("no record")

// encode returns the record's bytes, recordSize of them.
func (r record) encode() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if recordHeader+len(text) > recordSize {
		return nil, fmt.Errorf("record of %d bytes: there is room for %d", len(text), recordSize-recordHeader)
	}
	out := make([]byte, recordSize)
	at := copy(out, recordMagic)
	binary.LittleEndian.PutUint32(out[at:], uint32(len(text)))
	hash := sha256.Sum256(text)
	copy(out[at+4:], hash[:])
	copy(out[recordHeader:], text)
	return out, nil
}

// parseRecord reads what encode wrote and trusts none of it. errNoRecord tells a
// place in which nothing is.
func parseRecord(data []byte) (record, error) {
	if len(bytes.Trim(data, "\x00")) == 0 {
		return record{}, errNoRecord
	}
	if len(data) < recordHeader || string(data[:len(recordMagic)]) != recordMagic {
		return record{}, errors.New("it doesn't begin as one")
	}
	length := int64(binary.LittleEndian.Uint32(data[len(recordMagic):]))
	if length > int64(len(data)-recordHeader) {
		return record{}, fmt.Errorf("%d bytes, more than there is room for", length)
	}
	text := data[recordHeader:][:length]
	if hash := sha256.Sum256(text); !bytes.Equal(hash[:], data[len(recordMagic)+4:recordHeader]) {
		return record{}, errors.New("its checksum is wrong")
	}
	if len(bytes.Trim(data[recordHeader+int(length):], "\x00")) != 0 {
		return record{}, errors.New("something follows its end")
	}
	var r record
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return record{}, err
	}
	return r, r.check()
}

func (r record) check() error {
	if r.State == begun {
		return nil
	}
	if r.State != sealed || r.Chunk < chunkSize || r.Chunk > 1<<40 {
		return fmt.Errorf("state %q, chunks of %d bytes: unknown", r.State, r.Chunk)
	}
	for _, p := range r.Parts {
		if p.Start < 0 || p.Size <= 0 || p.Size > 1<<56 || p.Start > 1<<56 {
			return fmt.Errorf("%s has %d bytes from byte %d on: impossible", p.Name, p.Size, p.Start)
		}
		if p.Name != disk.DataName && int64(len(p.Hashes)) != (p.Size+r.Chunk-1)/r.Chunk*sha256.Size {
			return fmt.Errorf("%s has %d bytes of hashes: not those of its %d bytes", p.Name, len(p.Hashes), p.Size)
		}
	}
	return nil
}

// readRecord reads the record of a disk or image of size bytes.
func readRecord(r io.ReaderAt, size int64) (record, error) {
	if size < headSize {
		return record{}, errNoRecord
	}
	data := make([]byte, recordSize)
	if _, err := r.ReadAt(data, recordAt); err != nil {
		return record{}, fmt.Errorf("read it: %w", err)
	}
	return parseRecord(data)
}
