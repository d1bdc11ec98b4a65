package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"runa/image/disk"
	"runa/services/hint"
)

// ReaderWriterAt is a raw image that can be read and written.
type ReaderWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Seal puts the record of its boot code and partitions into a raw image of size
// bytes that disk.Build made, so that Verify can check all of it. The same image
// gets the same record.
func Seal(ctx context.Context, image ReaderWriterAt, size int64) error {
	r, err := makeRecord(ctx, image, size)
	if err != nil {
		return fmt.Errorf("seal the image: %w", err)
	}
	data, err := r.encode()
	if err != nil {
		return fmt.Errorf("seal the image: %w", err)
	}
	if _, err := image.WriteAt(data, recordAt); err != nil {
		return fmt.Errorf("seal the image: %w", err)
	}
	return nil
}

// makeRecord reads an image and hashes what must not change.
func makeRecord(ctx context.Context, image io.ReaderAt, size int64) (record, error) {
	layout, err := readLayout(image, size)
	if err != nil {
		return record{}, err
	}
	code, err := hashBytes(image, 0, bootCodeSize)
	if err != nil {
		return record{}, err
	}
	r := record{State: sealed, Size: size, BootCode: code, Chunk: chunkFor(layout)}
	for _, p := range layout.Parts {
		one := recordPart{Number: p.Number, Name: p.Name, Type: p.Type, GUID: p.GUID, Start: p.Start, Size: p.Size}
		if p.Name != disk.DataName {
			err := eachChunk(ctx, image, one, r.Chunk, func(_ int64, hash []byte) {
				one.Hashes = append(one.Hashes, hash...)
			})
			if err != nil {
				return record{}, err
			}
		}
		r.Parts = append(r.Parts, one)
	}
	return r, nil
}

// readLayout reads the partition table of what must be an image of Runa.
func readLayout(image io.ReaderAt, size int64) (disk.Layout, error) {
	layout, err := disk.Read(image, size)
	if err != nil {
		return disk.Layout{}, hint.New(err, "images are made by `runa-image build`")
	}
	for _, name := range []string{disk.BootName, disk.DataName} {
		if _, ok := layout.Part(name); !ok {
			return disk.Layout{}, hint.New(fmt.Errorf("no partition named %s", name), "is it an image of Runa?")
		}
	}
	for _, p := range layout.Parts {
		if p.Start < headSize {
			return disk.Layout{}, fmt.Errorf("partition %d begins in the first mebibyte, which is kept for tables", p.Number)
		}
	}
	return layout, nil
}

// chunkFor is how many bytes each hash is of, so that the record has room.
func chunkFor(layout disk.Layout) int64 {
	var total int64
	for _, p := range layout.Parts {
		if p.Name != disk.DataName {
			total += p.Size
		}
	}
	chunk := int64(chunkSize)
	for total/chunk > maximumChunks-int64(len(layout.Parts)) {
		chunk *= 2
	}
	return chunk
}

// eachChunk reads a partition and calls f with the hash of each of its chunks and
// where in the partition that begins.
func eachChunk(ctx context.Context, r io.ReaderAt, p recordPart, chunk int64, f func(at int64, hash []byte)) error {
	buffer := aligned(chunk)
	for at := int64(0); at < p.Size; at += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := buffer[:min(chunk, p.Size-at)]
		if err := readFull(r, piece, p.Start+at); err != nil {
			return fmt.Errorf("read %s: %w", p.Name, err)
		}
		hash := sha256.Sum256(piece)
		f(at, hash[:])
	}
	return nil
}

func hashBytes(r io.ReaderAt, at, length int64) ([]byte, error) {
	data := make([]byte, length)
	if err := readFull(r, data, at); err != nil {
		return nil, err
	}
	hash := sha256.Sum256(data)
	return hash[:], nil
}

// readFull fills p; that the last byte is the source's last is no error.
func readFull(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("byte %d: %w", at+int64(n), err)
}

// compare says what a disk has that its record doesn't, and where.
func (r record) compare(ctx context.Context, image io.ReaderAt, layout disk.Layout, report func(done int64)) (differences []error, err error) {
	code, err := hashBytes(image, 0, bootCodeSize)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(code, r.BootCode) {
		differences = append(differences, fmt.Errorf("the boot code in sector 0 is %w", ErrDiffers))
	}
	for _, p := range r.Parts {
		if err := samePlace(p, layout); err != nil {
			differences = append(differences, err)
			continue
		}
		if len(p.Hashes) == 0 {
			continue
		}
		wrong := ranges{}
		err := eachChunk(ctx, image, p, r.Chunk, func(at int64, hash []byte) {
			if !bytes.Equal(hash, p.Hashes[at/r.Chunk*sha256.Size:][:sha256.Size]) {
				wrong.add(at, min(at+r.Chunk, p.Size))
			}
			report(min(r.Chunk, p.Size-at))
		})
		if err != nil {
			return differences, err
		}
		if len(wrong) > 0 {
			differences = append(differences, changedPart{p.Name, wrong})
		}
	}
	for _, p := range layout.Parts {
		if !slices.ContainsFunc(r.Parts, func(q recordPart) bool { return q.Number == p.Number }) {
			differences = append(differences, fmt.Errorf("partition %d (%q) is %w: there was none", p.Number, p.Name, ErrDiffers))
		}
	}
	return differences, nil
}

// samePlace compares a partition with the table's entry. The data partition may
// have grown.
func samePlace(p recordPart, layout disk.Layout) error {
	for _, q := range layout.Parts {
		if q.Number != p.Number {
			continue
		}
		grown := p.Name == disk.DataName && q.Size > p.Size
		if q.Name != p.Name || q.Type != p.Type || q.GUID != p.GUID || q.Start != p.Start || q.Size != p.Size && !grown {
			return fmt.Errorf("the table's entry of partition %d (%s) is %w: %q, %d bytes from byte %d on; expected %d from %d on",
				p.Number, p.Name, ErrDiffers, q.Name, q.Size, q.Start, p.Size, p.Start)
		}
		return nil
	}
	return fmt.Errorf("partition %d (%s) is gone: %w", p.Number, p.Name, ErrDiffers)
}

// changedPart tells which bytes of a partition are not what was built.
type changedPart struct {
	name  string
	where ranges
}

func (c changedPart) Error() string {
	return fmt.Sprintf("partition %s is %v: bytes %s of it", c.name, ErrDiffers, c.where)
}

func (c changedPart) Unwrap() error { return ErrDiffers }

// ranges are byte ranges, in order; those that touch are joined.
type ranges [][2]int64

func (r *ranges) add(from, to int64) {
	if last := len(*r) - 1; last >= 0 && (*r)[last][1] == from {
		(*r)[last][1] = to
		return
	}
	*r = append(*r, [2]int64{from, to})
}

func (r ranges) String() string {
	const shown = 4
	var b bytes.Buffer
	for i, one := range r {
		if i == shown {
			fmt.Fprintf(&b, " and %d more places", len(r)-shown)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d to %d", one[0], one[1]-1)
	}
	return b.String()
}
