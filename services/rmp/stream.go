package rmp

import (
	"errors"
	"fmt"
	"io"
)

// readChunk bounds what a Reader allocates ahead of bytes that have arrived.
const readChunk = 64 << 10

// Reader takes frames off a byte stream. It asks the stream for no byte beyond
// the frame it is reading, and what it has of an unfinished frame it keeps: after
// an error of the stream that passes (a deadline) ReadFrame may be called again.
type Reader struct {
	r    io.Reader
	part []byte // what has arrived of the frame
	want int    // bytes of the frame, 0 while its prefix is incomplete
}

// NewReader returns a Reader of r's frames.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// ReadFrame returns the next frame, which owns its bytes. At the end of the
// stream it returns io.EOF between frames and io.ErrUnexpectedEOF inside one.
// After an error of the taxonomy the next frame can be read, except after
// ErrBodyTooLarge, where the stream has lost its frame boundaries.
func (r *Reader) ReadFrame() (Frame, error) {
	if r.want == 0 {
		if err := r.fill(PrefixSize); err != nil {
			return Frame{}, err
		}
		n, err := FrameSize(r.part)
		if err != nil {
			return Frame{}, fmt.Errorf("read frame: %w", err)
		}
		r.want = n
	}
	if err := r.fill(r.want); err != nil {
		return Frame{}, err
	}
	b := r.part
	r.part, r.want = nil, 0
	return Decode(b)
}

// fill reads until part holds n bytes, growing it only as bytes arrive.
func (r *Reader) fill(n int) error {
	for len(r.part) < n {
		if len(r.part) == cap(r.part) {
			r.grow(n)
		}
		end := min(n, cap(r.part))
		got, err := r.r.Read(r.part[len(r.part):end])
		r.part = r.part[:len(r.part)+got]
		if err == nil || len(r.part) >= n {
			continue
		}
		if errors.Is(err, io.EOF) && len(r.part) > 0 {
			return fmt.Errorf("read frame: %d bytes of it came: %w", len(r.part), io.ErrUnexpectedEOF)
		}
		return err
	}
	return nil
}

func (r *Reader) grow(n int) {
	size := min(n, max(2*cap(r.part), readChunk))
	if n <= PrefixSize {
		size = 512 // most frames fit; saves a second allocation
	}
	part := make([]byte, len(r.part), size)
	copy(part, r.part)
	r.part = part
}

// WriteFrame writes the frame to w in one call.
func WriteFrame(w io.Writer, f Frame) error {
	b, err := Encode(f)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write frame %s: %w", f.Type, err)
	}
	return nil
}
