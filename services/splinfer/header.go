package splinfer

import (
	"errors"
	"math"
	"reflect"
)

// metadata looks a key of a model's header up.
type metadata func(key string) (any, bool)

// read takes from a header what is needed before a model is loaded. The keys
// are those of the GGUF specification.
func (m *modelFile) read(get metadata) error {
	value, _ := get("general.architecture")
	architecture, _ := value.(string)
	if architecture == "" {
		return errors.New("its header names no architecture (general.architecture)")
	}
	if _, found := get("tokenizer.ggml.model"); !found {
		return errors.New("it has no tokenizer (tokenizer.ggml.model), so it can't read or write text")
	}
	m.architecture = architecture
	number := func(key string) uint64 { return get.number(architecture + "." + key) }
	m.embeds = architecture == "bert" || number("pooling_type") > 0
	m.contextTrain = uint32(min(number("context_length"), math.MaxInt32))
	heads := number("attention.head_count")
	keyHeads := number("attention.head_count_kv")
	if keyHeads == 0 {
		keyHeads = heads
	}
	size := number("embedding_length") / max(heads, 1)
	keySize, valueSize := number("attention.key_length"), number("attention.value_length")
	if keySize == 0 {
		keySize = size
	}
	if valueSize == 0 {
		valueSize = size
	}
	const bytesPerValue = 2 // f16
	m.tokenBytes = number("block_count") * keyHeads * (keySize + valueSize) * bytesPerValue
	return nil
}

// number reads a count; of an array, with one for each layer, the largest. A
// count that no model has is cut, so that products of them stay in range.
func (get metadata) number(key string) uint64 {
	const most = 1 << 20
	value, _ := get(key)
	v := reflect.ValueOf(value)
	if v.Kind() == reflect.Slice {
		var largest uint64
		for i := range v.Len() {
			largest = max(largest, count(v.Index(i)))
		}
		return min(largest, most)
	}
	return min(count(v), most)
}

func count(v reflect.Value) uint64 {
	switch {
	case !v.IsValid():
		return 0
	case v.CanUint():
		return v.Uint()
	case v.CanInt():
		return uint64(max(v.Int(), 0))
	}
	return 0
}
