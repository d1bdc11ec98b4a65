package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// extent is how far a journal is sound.
type extent struct {
	end      int64 // of the last sound frame; what comes after it is torn
	records  int64 // end of the last record that is no mark
	synced   int64 // everything before it was on the disk, as far as marks tell
	finished bool  // what the last frame says, if it is a mark
}

// scan reads a journal of size bytes and calls each for its records, not for
// marks. It returns how far the journal is sound: less than size if its
// tail is torn, 0 if not even the header was ever on the disk. The error wraps
// ErrDamaged or ErrNewer, or is each's or the disk's; the extent is right then too.
func scan(file io.ReaderAt, size int64, each func(Record) error) (e extent, err error) {
	if size > MaxJournal {
		return e, fmt.Errorf("%w: it has %d bytes, none has more than %d", ErrDamaged, size, MaxJournal)
	}
	r := &frames{in: bufio.NewReaderSize(io.NewSectionReader(file, 0, size), 1<<16), left: size}
	sound, err := r.header()
	if err != nil {
		return e, err
	}
	if !sound {
		return e, wasSynced(file, 0, size)
	}
	e.end, e.records = headerSize, headerSize
	for e.end < size {
		kind, payload, err := r.next(e.end)
		if errors.Is(err, errTorn) {
			return e, wasSynced(file, e.end, size)
		}
		if err != nil {
			return e, err
		}
		record, err := decode(kind, payload)
		if err != nil {
			return e, fmt.Errorf("at byte %d: %w", e.end, err)
		}
		if err := e.take(record, int64(frameFront+len(payload)+frameEnd), each); err != nil {
			return e, err
		}
	}
	return e, nil
}

// take counts a sound record of size bytes in.
func (e *extent) take(record Record, size int64, each func(Record) error) error {
	m, isMark := record.(mark)
	switch {
	case isMark && m.Synced > e.end:
		return fmt.Errorf("%w: the mark at byte %d is of a place after it", ErrDamaged, e.end)
	case isMark:
		e.synced, e.finished = max(e.synced, m.Synced), m.Finished
	default:
		if err := each(record); err != nil {
			return fmt.Errorf("at byte %d: %w", e.end, err)
		}
		e.records, e.finished = e.end+size, false
	}
	e.end += size
	return nil
}

// errTorn means that there is no sound frame.
var errTorn = errors.New("torn")

// frames reads frames one after another.
type frames struct {
	in     *bufio.Reader
	left   int64 // bytes of the file that were not read
	buffer []byte
}

// header says whether there is one; false means that it never got to the disk,
// which is so if what is there of it is right or zero: it is all in one sector
// of a new block. Anything else is another's file or damage.
func (f *frames) header() (bool, error) {
	b := make([]byte, min(headerSize, f.left))
	if _, err := io.ReadFull(f.in, b); err != nil {
		return false, fmt.Errorf("read the header: %w", err)
	}
	f.left -= int64(len(b))
	if len(b) == headerSize {
		if err := checkHeader(b); err == nil || errors.Is(err, ErrNewer) {
			return err == nil, err
		}
	}
	for i, want := range header()[:len(b)] {
		if b[i] != want && b[i] != 0 {
			return false, fmt.Errorf("%w: it has no header", ErrDamaged)
		}
	}
	return false, nil
}

// next reads the frame at offset. The payload is good until the next call. An
// error of the disk is no torn frame.
func (f *frames) next(offset int64) (Kind, []byte, error) {
	if f.left < frameFront+frameEnd {
		return 0, nil, errTorn
	}
	front, err := f.in.Peek(frameFront)
	if err != nil {
		return 0, nil, fmt.Errorf("read at byte %d: %w", offset, err)
	}
	length := int64(little.Uint32(front))
	size := frameFront + length + frameEnd
	if length > MaxRecord || size > f.left {
		return 0, nil, errTorn
	}
	if int64(cap(f.buffer)) < size {
		f.buffer = make([]byte, size)
	}
	b := f.buffer[:size]
	if _, err := io.ReadFull(f.in, b); err != nil {
		return 0, nil, fmt.Errorf("read at byte %d: %w", offset, err)
	}
	f.left -= size
	body := b[:size-frameEnd]
	if little.Uint32(b[size-frameEnd:]) != checksum(offset, body) {
		return 0, nil, errTorn
	}
	return Kind(body[4]), body[frameFront:], nil
}

// wasSynced looks for a mark after offset, where there is no sound frame. One
// that says that more than offset was on the disk proves that no power cut
// tore the frame: then what follows must not be cut off.
func wasSynced(file io.ReaderAt, offset, size int64) error {
	pattern := []byte{markPayload, 0, 0, 0, byte(kindMark)}
	window := make([]byte, 1<<16)
	for at := offset; at+markSize <= size; {
		n, err := file.ReadAt(window[:min(int64(len(window)), size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read at byte %d: %w", at, err)
		}
		if n < markSize {
			return nil // the file became shorter
		}
		last := n - markSize // a mark that begins later is in the next window
		for i := 0; i <= last; i++ {
			j := bytes.Index(window[i:last+len(pattern)], pattern)
			if j < 0 {
				break
			}
			i += j
			if m, ok := markAt(at+int64(i), window[i:i+markSize]); ok && m.Synced > offset {
				return fmt.Errorf("%w: at byte %d there is no record, but there was one on the disk", ErrDamaged, offset)
			}
		}
		at += int64(last) + 1
	}
	return nil
}
