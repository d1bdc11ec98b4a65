package flash

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"runa/image/progress"
	"runa/services/hint"
)

// blockSize is how much is written at once. Flash memory likes large writes.
const blockSize = 4 * mebibyte

// medium is what an image is written to.
type medium interface {
	ReaderWriterAt
	Sync() error // waits until it is kept, and forgets what a cache has of it
}

// writing is an image on its way to a medium.
type writing struct {
	image  io.ReaderAt
	size   int64 // of the image
	medium medium
	room   int64 // of the medium
	name   string
	print  *progress.Printer
}

// run writes, reads back and compares. After an error the medium can't be taken
// for one that boots.
func (w writing) run(ctx context.Context) error {
	if w.size%sectorSize != 0 || w.size < headSize+tailSize+blockSize || w.size > w.room {
		return refuse("is it cut off? build it again", "image of %d bytes: expected whole sectors of %d, at least %d and at most %d",
			w.size, sectorSize, headSize+tailSize+blockSize, w.room)
	}
	sealed, err := makeRecord(ctx, w.image, w.size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := w.steps(ctx, sealed); err != nil {
		err = fmt.Errorf("write to %s: %w; it is %w", w.name, err, ErrUnusable)
		return hint.New(err, "flash it again; if that fails too, the medium may be worn out: take another one")
	}
	return nil
}

func (w writing) steps(ctx context.Context, sealed record) error {
	if err := w.wipe(); err != nil {
		return fmt.Errorf("remove the old partition table: %w", err)
	}
	if err := w.body(ctx); err != nil {
		return err
	}
	if err := w.medium.Sync(); err != nil {
		return err
	}
	if err := w.readBack(ctx); err != nil {
		return err
	}
	return w.ends(sealed)
}

// wipe removes what lets a disk be taken for one with partitions, at both ends,
// and says that writing has begun.
func (w writing) wipe() error {
	record, err := record{State: begun, Size: w.size}.encode()
	if err != nil {
		return err
	}
	head, tail := aligned(headSize), aligned(tailSize)
	copy(head[recordAt:], record)
	for _, step := range []struct {
		data []byte
		at   int64
	}{{head[:firstEnd], 0}, {head[firstEnd:], firstEnd}, {tail, (w.room - tailSize) / sectorSize * sectorSize}} {
		if _, err := w.medium.WriteAt(step.data, step.at); err != nil {
			return err
		}
		if err := w.medium.Sync(); err != nil {
			return err
		}
	}
	if r, ok := w.medium.(interface{ Reread() error }); ok {
		_ = r.Reread() // only so that nobody is offered the old partitions
	}
	return nil
}

// body writes all but the ends.
func (w writing) body(ctx context.Context) error {
	task := w.print.Task("writing to " + w.name)
	buffer := aligned(blockSize)
	for at, end := int64(headSize), w.size-tailSize; at < end; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped at %d of %d MiB: %w", at/mebibyte, w.size/mebibyte, err)
		}
		block := buffer[:min(blockSize, end-at)]
		if err := readFull(w.image, block, at); err != nil {
			return fmt.Errorf("read the image: %w", err)
		}
		if _, err := w.medium.WriteAt(block, at); err != nil {
			return fmt.Errorf("at byte %d: %w", at, err)
		}
		at += int64(len(block))
		task.Set(at, w.size, "bytes")
	}
	task.Done()
	return nil
}

// readBack compares what the medium has now with the image.
func (w writing) readBack(ctx context.Context) error {
	task := w.print.Task("reading back from " + w.name)
	want, got := aligned(blockSize), aligned(blockSize)
	for at, end := int64(headSize), w.size-tailSize; at < end; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped while reading it back: %w", err)
		}
		length := min(blockSize, end-at)
		if err := readFull(w.image, want[:length], at); err != nil {
			return fmt.Errorf("read the image: %w", err)
		}
		if err := w.same(want[:length], got[:length], at); err != nil {
			return err
		}
		at += length
		task.Set(at, w.size, "bytes")
	}
	task.Done()
	return nil
}

// same reads into got what must be want.
func (w writing) same(want, got []byte, at int64) error {
	if err := readFull(w.medium, got, at); err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if bytes.Equal(want, got) {
		return nil
	}
	i := 0
	for want[i] == got[i] {
		i++
	}
	return fmt.Errorf("byte %d reads back as %#02x, %#02x was written", at+int64(i), got[i], want[i])
}

// ends writes what was held back: the end, then the record and most of the table, and
// the first sectors last. It isn't interrupted, as it takes no time.
func (w writing) ends(sealed record) error {
	record, err := sealed.encode()
	if err != nil {
		return err
	}
	head, tail, got := aligned(headSize), aligned(tailSize), aligned(headSize)
	if err := readFull(w.image, head, 0); err != nil {
		return fmt.Errorf("read the image: %w", err)
	}
	if err := readFull(w.image, tail, w.size-tailSize); err != nil {
		return fmt.Errorf("read the image: %w", err)
	}
	copy(head[recordAt:], record)
	for _, step := range []struct {
		data []byte
		at   int64
	}{{tail, w.size - tailSize}, {head[firstEnd:], firstEnd}, {head[:firstEnd], 0}} {
		if _, err := w.medium.WriteAt(step.data, step.at); err != nil {
			return fmt.Errorf("at byte %d: %w", step.at, err)
		}
		if err := w.medium.Sync(); err != nil {
			return err
		}
		if err := w.same(step.data, got[:len(step.data)], step.at); err != nil {
			return err
		}
	}
	return nil
}
