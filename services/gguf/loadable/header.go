package loadable

import (
	"fmt"
	"math"
	"strings"

	"runa/services/gguf"
)

// header looks keys and tensors up by name and remembers the first thing that is wrong.
type header struct {
	file         *gguf.File
	architecture string
	values       map[string]any
	tensors      map[string]*gguf.Tensor
	known        map[string]bool // names of tensors that were checked
	err          error
}

func newHeader(f *gguf.File) *header {
	h := &header{file: f, values: make(map[string]any, len(f.Metadata)), tensors: make(map[string]*gguf.Tensor, len(f.Tensors)), known: map[string]bool{}}
	for _, entry := range f.Metadata {
		h.values[entry.Key] = entry.Value
		if strings.ContainsRune(entry.Key, 0) {
			h.fail("metadata key %s has a zero byte, where C ends it", quote(entry.Key))
		}
	}
	for i := range f.Tensors {
		t := &f.Tensors[i]
		h.tensors[t.Name] = t
		if strings.ContainsRune(t.Name, 0) {
			h.fail("tensor name %s has a zero byte, where C ends it", quote(t.Name))
		}
	}
	h.architecture = h.word("general.architecture", "")
	return h
}

// fail notes what is wrong, unless something was before.
func (h *header) fail(format string, args ...any) {
	if h.err == nil {
		h.err = fmt.Errorf("%w: %s", ErrUnloadable, fmt.Sprintf(format, args...))
	}
}

// key completes a key that begins with a full stop by the architecture.
func (h *header) key(name string) string {
	if strings.HasPrefix(name, ".") {
		return h.architecture + name
	}
	return name
}

// need says whether a key must be there.
type need bool

const (
	must  need = true
	maybe need = false
)

// value returns the value of a key, nil if there is none.
func (h *header) value(key string, n need) any {
	value, found := h.values[key]
	if !found && n == must {
		h.fail("it has no %s", key)
	}
	return value
}

// number reads a count from least to most; 0 if it may be missing and is. llama.cpp takes
// uint32 alone, and of a few keys uint16.
func (h *header) number(name string, n need, least, most uint64) uint64 {
	key := h.key(name)
	var number uint64
	switch v := h.value(key, n).(type) {
	case nil:
		return 0
	case uint16:
		if key != "split.count" {
			h.fail("%s is a number of type uint16, want uint32", key)
		}
		number = uint64(v)
	case uint32:
		number = uint64(v)
	default:
		h.fail("%s is of type %T, want uint32", key, v)
		return 0
	}
	if number < least || number > most {
		h.fail("%s is %d, want %d to %d", key, number, least, most)
		return 0
	}
	return number
}

// perLayer reads a count that a file gives once for all layers or once for each;
// nil if there is none.
func (h *header) perLayer(name string, layers, most uint64) []uint64 {
	key := h.key(name)
	numbers := make([]uint64, layers)
	set := func(i int, n int64) {
		if n < 0 || uint64(n) > most {
			h.fail("%s is %d, want 0 to %d", key, n, most)
			n = 0
		}
		numbers[i] = uint64(n)
	}
	switch v := h.values[key].(type) {
	case nil:
		return nil
	case uint32:
		for i := range numbers {
			set(i, int64(v))
		}
	case []uint32:
		h.each(key, len(v), layers, func(i int) { set(i, int64(v[i])) })
	case []int32:
		h.each(key, len(v), layers, func(i int) { set(i, int64(v[i])) })
	default:
		h.fail("%s is of type %T, want uint32 or an array of %d of them", key, v, layers)
	}
	return numbers
}

func (h *header) each(key string, count int, layers uint64, set func(i int)) {
	if uint64(count) != layers {
		h.fail("%s has %d elements, want one for each of %d layers", key, count, layers)
		return
	}
	for i := range count {
		set(i)
	}
}

// positive checks a float that llama.cpp would divide by or take the logarithm of.
func (h *header) positive(name string, n need) {
	if v, found := h.float(name, n); found && (!(v > 0) || math.IsInf(float64(v), 0)) {
		h.fail("%s is %v, want a number above 0", h.key(name), v)
	}
}

// float reads a float32, whatever its value.
func (h *header) float(name string, n need) (v float32, found bool) {
	key := h.key(name)
	value := h.value(key, n)
	v, found = value.(float32)
	if !found && value != nil {
		h.fail("%s is of type %T, want float32", key, value)
	}
	return v, found
}

// word reads a text.
func (h *header) word(name, fallback string) string {
	key := h.key(name)
	value, found := h.values[key]
	if !found {
		return fallback
	}
	text, ok := value.(string)
	if !ok {
		h.fail("%s is of type %T, want a text", key, value)
	}
	return text
}

// flag reads a truth value.
func (h *header) flag(name string, fallback bool) bool {
	key := h.key(name)
	value, found := h.values[key]
	if !found {
		return fallback
	}
	is, ok := value.(bool)
	if !ok {
		h.fail("%s is of type %T, want true or false", key, value)
	}
	return is
}

// quote shows bytes of a file in an error, at most 80 of them.
func quote(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%q...", s[:80])
	}
	return fmt.Sprintf("%q", s)
}
