package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
)

// v4File is an open store whose header agrees with its size.
type v4File struct {
	r        io.ReaderAt
	slots    uint32
	valueMax uint32
	slotSize int64
}

// ReadV4 reads a store of size bytes, of either slot size, and returns its keys
// sorted. The library may be writing it meanwhile: a key is taken when its epoch
// was even and the same before and after. What cannot be told for sure is left
// out and is a Problem: a key whose writer died in the middle, whose value lies
// outside of the store, that was cut to 63 bytes (the library cannot find it
// either), or a second copy of a key (the library reads the first).
func ReadV4(r io.ReaderAt, size int64) ([]Entry, []Problem, error) {
	f, err := openV4(r, size)
	if err != nil {
		return nil, nil, fmt.Errorf("read libsplinter store: %w", err)
	}
	read := v4Reading{v4File: f, best: map[string]found{}}
	// Slots are read some at a time: the file may be large and nearly empty.
	buffer := make([]byte, f.slotSize*int64(min(f.slots, 256)))
	for first := uint32(0); first < f.slots; {
		n := min(uint32(int64(len(buffer))/f.slotSize), f.slots-first)
		part := buffer[:int64(n)*f.slotSize]
		if _, err := r.ReadAt(part, f.slotAt(first)); err != nil {
			return nil, nil, fmt.Errorf("read libsplinter store: slots from %d: %w", first, err)
		}
		for i := range n {
			if err := read.slot(first+i, part[int64(i)*f.slotSize:][:f.slotSize]); err != nil {
				return nil, nil, fmt.Errorf("read libsplinter store: slot %d: %w", first+i, err)
			}
		}
		first += n
	}
	return read.entries(), read.problems, nil
}

func openV4(r io.ReaderAt, size int64) (v4File, error) {
	head := make([]byte, v4HeaderSize)
	if size < v4HeaderSize {
		return v4File{}, fmt.Errorf("%w: %d bytes, the header alone has %d", ErrFormat, size, v4HeaderSize)
	}
	if _, err := r.ReadAt(head, 0); err != nil {
		return v4File{}, fmt.Errorf("header: %w", err)
	}
	magic, version := order.Uint32(head), order.Uint32(head[4:])
	f := v4File{r: r, slots: order.Uint32(head[8:]), valueMax: order.Uint32(head[12:])}
	switch {
	case magic != v4Magic:
		return f, fmt.Errorf("%w: magic %#x at byte 0, expected %#x", ErrFormat, magic, v4Magic)
	case version != v4Version:
		return f, fmt.Errorf("%w: version %d at byte 4, expected %d", ErrFormat, version, v4Version)
	case f.slots == 0 || f.valueMax == 0:
		return f, fmt.Errorf("%w: %d slots with values to %d bytes", ErrFormat, f.slots, f.valueMax)
	}
	for _, f.slotSize = range []int64{v4SlotSize, v4LargeSlot} {
		if rest := size - f.arenaAt(); rest >= 0 && uint64(rest) == uint64(f.slots)*uint64(f.valueMax) {
			return f, nil
		}
	}
	return f, fmt.Errorf("%w: %d slots with values to %d bytes make no file of %d bytes, neither with slots of %d nor of %d",
		ErrFormat, f.slots, f.valueMax, size, v4SlotSize, v4LargeSlot)
}

func (f v4File) slotAt(i uint32) int64 { return v4HeaderSize + int64(i)*f.slotSize }
func (f v4File) arenaAt() int64        { return f.slotAt(f.slots) }

// found is an entry and how far from its first place it was.
type found struct {
	Entry
	distance  uint32
	embedding []byte
}

type v4Reading struct {
	v4File
	best     map[string]found
	problems []Problem
}

func (r *v4Reading) problem(key, format string, args ...any) {
	r.problems = append(r.problems, Problem{Key: key, Reason: fmt.Sprintf(format, args...)})
}

// slot takes up what the slot's bytes hold. An error is one of reading.
func (r *v4Reading) slot(i uint32, data []byte) error {
	for range 10 {
		var s v4Slot
		if _, err := binary.Decode(data, order, &s); err != nil {
			return err
		}
		if s.Hash == 0 {
			return nil
		}
		key, sound := r.checkSlot(i, s)
		if !sound {
			return nil
		}
		value := make([]byte, s.ValueLength)
		if _, err := r.r.ReadAt(value, r.arenaAt()+int64(s.ValueOffset)); err != nil {
			return fmt.Errorf("value of %q: %w", key, err)
		}
		embedding := bytes.Clone(data[v4SlotSize:])
		again := make([]byte, r.slotSize)
		if _, err := r.r.ReadAt(again, r.slotAt(i)); err != nil {
			return err
		}
		if bytes.Equal(again[:v4SlotSize], data[:v4SlotSize]) {
			r.take(i, s, key, value, embedding)
			return nil
		}
		data = again
	}
	r.problem("", "slot %d: it was written ten times while it was read", i)
	return nil
}

func (r *v4Reading) checkSlot(i uint32, s v4Slot) (key string, sound bool) {
	key, terminated := s.name()
	arena := uint64(r.slots) * uint64(r.valueMax)
	switch {
	case !terminated || key == "":
		r.problem(key, "slot %d: its key is empty or has no end", i)
	case s.Epoch&1 != 0:
		r.problem(key, "slot %d: its writer did not finish, so its value may be mixed", i)
	case s.Hash != fnv1a(key):
		r.problem(key, "slot %d: the hash is another key's; a key of 64 bytes or more was cut to this", i)
	case s.ValueLength > r.valueMax || uint64(s.ValueOffset)+uint64(s.ValueLength) > arena:
		r.problem(key, "slot %d: %d bytes at %d are outside of the values", i, s.ValueLength, s.ValueOffset)
	default:
		return key, true
	}
	return key, false
}

// take keeps the copy of a key that the library would find: the first from the
// place its hash gives.
func (r *v4Reading) take(i uint32, s v4Slot, key string, value, embedding []byte) {
	home := uint32(s.Hash % uint64(r.slots))
	distance := uint32((uint64(i) + uint64(r.slots) - uint64(home)) % uint64(r.slots))
	f := found{distance: distance, embedding: embedding, Entry: Entry{
		Key: key, Value: value, Version: s.Epoch / 2, Type: typeName(s.Type), Labels: s.Labels,
	}}
	if f.Type == "int" && len(value) != 8 {
		f.Type = ""
		r.problem(key, "slot %d: typed as an integer but has %d bytes; taken without a type", i, len(value))
	}
	if old, twice := r.best[key]; twice {
		r.problem(key, "slot %d: the key is there twice; the copy that the library reads was taken", i)
		if old.distance < distance {
			return
		}
	}
	r.best[key] = f
}

func (r *v4Reading) entries() []Entry {
	all := make([]Entry, 0, len(r.best))
	for key, f := range r.best {
		all = append(all, f.Entry)
		if len(bytes.Trim(f.embedding, "\x00")) == 0 {
			continue
		}
		own := embeddingPrefix + key
		if _, taken := r.best[own]; taken {
			r.problem(key, "its embedding is left out: there is a key %q", own)
			continue
		}
		all = append(all, Entry{Key: own, Value: f.embedding, Version: f.Version, Type: embeddingType})
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	slices.SortFunc(r.problems, func(a, b Problem) int { return strings.Compare(a.Key+"\x00"+a.Reason, b.Key+"\x00"+b.Reason) })
	return all
}
