package gguf

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// maxOffset bounds a tensor's offset and size, in bytes, so that sums of them can't overflow.
const maxOffset = 1 << 60

// tensors reads the tensor infos; offsets are still from the start of the data.
func (r *reader) tensors(f *File, count uint64) error {
	seen := map[string]bool{}
	for i := range count {
		t, err := r.tensor()
		if err != nil {
			return fmt.Errorf("tensor %d of %d: %w", i+1, count, err)
		}
		if t.Name == "" || len(t.Name) > maxTensorName || seen[t.Name] {
			return fmt.Errorf("%w: tensor %d has the name %s, empty, over %d bytes or there twice", ErrMalformed, i+1, quote(t.Name), maxTensorName)
		}
		seen[t.Name] = true
		if t.Size, err = t.bytes(); err != nil {
			return fmt.Errorf("%w: tensor %s: %w", ErrMalformed, quote(t.Name), err)
		}
		f.Tensors = append(f.Tensors, t)
	}
	return nil
}

func (r *reader) tensor() (Tensor, error) {
	var t Tensor
	var err error
	if t.Name, err = r.text(); err != nil {
		return t, fmt.Errorf("name: %w", err)
	}
	dimensions, err := r.number(4)
	if err != nil {
		return t, fmt.Errorf("dimensions: %w", err)
	}
	if dimensions == 0 || dimensions > maxDimensions {
		return t, fmt.Errorf("%w: %s has %d dimensions, want 1 to %d", ErrMalformed, quote(t.Name), dimensions, maxDimensions)
	}
	for range dimensions {
		n, err := r.number(8)
		if err != nil {
			return t, fmt.Errorf("shape: %w", err)
		}
		t.Shape = append(t.Shape, n)
	}
	kind, err := r.number(4)
	if err != nil {
		return t, fmt.Errorf("type: %w", err)
	}
	t.Type = TensorType(kind)
	if t.Offset, err = r.number(8); err != nil {
		return t, fmt.Errorf("offset: %w", err)
	}
	return t, nil
}

// bytes is the size of the tensor's data. It fails where shape and type don't go together.
func (t Tensor) bytes() (uint64, error) {
	l, known := tensorLayouts[t.Type]
	if !known {
		return 0, fmt.Errorf("tensor type %d is unknown", uint32(t.Type))
	}
	if t.Shape[0]%l.elements != 0 {
		return 0, fmt.Errorf("row of %d elements is not a whole number of %s blocks of %d", t.Shape[0], l.name, l.elements)
	}
	size := l.bytes
	for i, n := range t.Shape {
		if i == 0 {
			n /= l.elements
		}
		high, low := bits.Mul64(size, n)
		if n == 0 || high != 0 || low > maxOffset {
			return 0, fmt.Errorf("shape %v makes no size", t.Shape)
		}
		size = low
	}
	return size, nil
}

// place turns the tensors' offsets into offsets from the start of the file, whose header
// ends at end, and checks that all of them lie in the file, aligned and apart.
func (f *File) place(end uint64) error {
	f.DataOffset = alignUp(end, f.Alignment)
	order := make([]*Tensor, len(f.Tensors))
	for i := range f.Tensors {
		t := &f.Tensors[i]
		order[i] = t
		if t.Offset%f.Alignment != 0 || t.Offset > maxOffset {
			return fmt.Errorf("%w: tensor %s: offset %d is not aligned to %d bytes", ErrMalformed, quote(t.Name), t.Offset, f.Alignment)
		}
		t.Offset += f.DataOffset
	}
	slices.SortStableFunc(order, func(a, b *Tensor) int { return cmp.Compare(a.Offset, b.Offset) })
	for i, t := range order {
		if i > 0 && order[i-1].Offset+order[i-1].Size > t.Offset {
			return fmt.Errorf("%w: tensors %s and %s overlap", ErrMalformed, quote(order[i-1].Name), quote(t.Name))
		}
		if t.Offset > uint64(f.Size) || t.Size > uint64(f.Size)-t.Offset {
			last := order[len(order)-1]
			return fmt.Errorf("%w: tensor %s ends at %d but the file has %d bytes (the last, %s, ends at %d)",
				ErrTruncated, quote(t.Name), t.Offset+t.Size, f.Size, quote(last.Name), last.Offset+last.Size)
		}
	}
	return nil
}
