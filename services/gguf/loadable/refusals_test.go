package loadable

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"runa/services/gguf"
	"runa/services/gguf/tiny"
)

// refusal is a change that llama.cpp would refuse, end over or never come back from.
type refusal struct {
	name  string
	model writer
	edit  change
	says  string
}

func generalRefusals() []refusal {
	two := func(a, b change) change {
		return func(t *testing.T, f *gguf.File) { a(t, f); b(t, f) }
	}
	return []refusal{
		{"no architecture", tiny.Llama, drop("general.architecture"), "general.architecture"},
		{"an architecture that is a number", tiny.Llama, set("general.architecture", uint32(1)), "general.architecture"},
		{"no tensors", tiny.Llama, func(_ *testing.T, f *gguf.File) { f.Tensors = nil }, "no tensors"},
		{"a narrow alignment", tiny.Llama, func(_ *testing.T, f *gguf.File) { f.Alignment = 16 }, "alignment"},
		{"a gap between tensors", tiny.Llama, tensor("output_norm.weight", func(t *gguf.Tensor) { t.Offset += 32 }), "output_norm"},
		{"a zero byte in a name", tiny.Llama, rename("output_norm.weight", "output_norm.weight\x00b"), "zero byte"},
		{"a zero byte in a key", tiny.Llama, set("a\x00b", "c"), "zero byte"},
		{"keys without end", tiny.Llama, func(t *testing.T, f *gguf.File) {
			f.Metadata = append(f.Metadata, make([]gguf.KeyValue, mostKeys)...)
		}, "metadata keys"},
		{"a part of a model", tiny.Llama, set("split.count", uint16(3)), "3 parts"},
		{"pictures", tiny.Llama, set("general.type", "mmproj"), "mmproj"},
		{"pictures, of old", tiny.Llama, set("general.architecture", "clip"), "pictures"},
		{"no context length", tiny.Llama, drop("llama.context_length"), "llama.context_length"},
		{"an endless context", tiny.Llama, set("llama.context_length", uint32(math.MaxUint32)), "llama.context_length"},
		{"a width of another type", tiny.Llama, set("llama.embedding_length", uint64(64)), "uint64"},
		{"no width", tiny.Llama, set("llama.embedding_length", uint32(0)), "llama.embedding_length"},
		{"no layers", tiny.Llama, set("llama.block_count", uint32(0)), "llama.block_count"},
		{"513 layers", tiny.Llama, set("llama.block_count", uint32(513)), "513"},
		{"an unknown pooling", tiny.BERT, set("bert.pooling_type", uint32(9)), "pooling_type"},
		{"an unknown rope scaling", tiny.Llama, set("llama.rope.scaling.type", "twisted"), "twisted"},
		{"a rope base of zero", tiny.Llama, set("llama.rope.freq_base", float32(0)), "freq_base"},
		{"a rope base that is no number", tiny.Llama, set("llama.rope.freq_base", float32(math.NaN())), "freq_base"},
		{"too many experts", tiny.Llama, set("llama.expert_count", uint32(1025)), "1025"},
		{"experts that nobody uses", tiny.Llama, set("llama.expert_count", uint32(4)), "0 of 4"},
		{"used experts that aren't there", tiny.Llama, set("llama.expert_used_count", uint32(2)), "has none"},
		{"groups of experts that don't divide", tiny.Llama, two(two(set("llama.expert_count", uint32(4)), set("llama.expert_used_count", uint32(2))), set("llama.expert_group_count", uint32(3))), "divide"},
		{"no tokenizer", tiny.Llama, drop("tokenizer.ggml.model"), "tokenizer.ggml.model"},
		{"a tokenizer that can't write", tiny.Llama, set("tokenizer.ggml.model", "none"), "tokenizer.ggml.model"},
		{"a tokenizer for llama.cpp's tests", tiny.Llama, set("tokenizer.ggml.model", "test"), "doesn't know"},
		{"no merges", tiny.Llama, set("tokenizer.ggml.model", "gpt2"), "merges"},
		{"merges that are numbers", tiny.Llama, two(set("tokenizer.ggml.model", "gpt2"), set("tokenizer.ggml.merges", []int32{1})), "merges"},
		{"suppressed tokens of another type", tiny.Llama, set("tokenizer.ggml.suppress_tokens", []string{"a"}), "suppress"},
		{"a byte where none can be", tiny.BERT, func(t *testing.T, f *gguf.File) {
			value, _ := f.Get("tokenizer.ggml.token_type")
			types := slices.Clone(value.([]int32))
			types[9] = 6
			set("tokenizer.ggml.token_type", types)(t, f)
		}, "token 9"},
		{"a byte without a number", tiny.Llama, tokens(func(s []string) { s[3+0x41] = "\u00e9" }), "token 68"},
		{"a name that is a number", tiny.Llama, set("general.name", uint32(7)), "general.name"},
		{"a factor of another type", tiny.Llama, set("llama.rope.scaling.factor", uint32(2)), "factor"},
		{"no tokens", tiny.Llama, drop(tokensKey), tokensKey},
		{"an empty vocabulary", tiny.Llama, set(tokensKey, []string{}), tokensKey},
		{"tokens that are numbers", tiny.Llama, set(tokensKey, []int32{1}), tokensKey},
		{"a token twice", tiny.Llama, tokens(func(s []string) { s[300] = s[301] }), "tokens 300 and 301"},
		{"a token named as an empty one", tiny.Llama, tokens(func(s []string) { s[300], s[301] = "", "[EMPTY_300]" }), "300 and 301"},
		{"a token without end", tiny.Llama, tokens(func(s []string) { s[300] = strings.Repeat("x", mostTokenBytes+1) }), "token 300"},
		{"a byte in another form", tiny.Llama, tokens(func(s []string) { s[3+0x41] = "other" }), ""},
		{"a byte is missing in every form", tiny.Llama, tokens(func(s []string) { s[3+0xff] = "other" }), "0xff"},
		{"a byte only begins others", tiny.RWKV7, tokens(func(s []string) { s[1+0x0a] = `\x0a\x0a` }), "0x0a"},
		{"few scores", tiny.Llama, set("tokenizer.ggml.scores", []float32{1}), "scores"},
		{"a score that is no number", tiny.Llama, func(t *testing.T, f *gguf.File) {
			value, _ := f.Get("tokenizer.ggml.scores")
			scores := slices.Clone(value.([]float32))
			scores[7] = float32(math.NaN())
			set("tokenizer.ggml.scores", scores)(t, f)
		}, "token 7"},
		{"few types", tiny.Llama, set("tokenizer.ggml.token_type", []int32{1}), "token_type"},
		{"types of another type", tiny.Llama, set("tokenizer.ggml.token_type", []uint32{1}), "token_type"},
		{"an end of another type", tiny.Llama, set("tokenizer.ggml.eos_token_id", int32(2)), "eos_token_id"},
		{"nothing to begin with", tiny.RWKV6, two(drop("tokenizer.ggml.bos_token_id"), set("tokenizer.ggml.add_bos_token", true)), "bos_token_id"},
		{"nothing to end with", tiny.RWKV6, two(drop("tokenizer.ggml.eos_token_id"), set("tokenizer.ggml.add_eos_token", true)), "eos_token_id"},
		{"no separator", tiny.BERT, two(drop("tokenizer.ggml.seperator_token_id"), set(tokensKey, []string{"[PAD]", "[UNK]", "[CLS]"})), "seperator"},
		{"a table of characters that leads out", tiny.Llama, two(set("tokenizer.ggml.model", "t5"), set("tokenizer.ggml.precompiled_charsmap", []uint8{4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'a', 0})), "leads out"},
		{"a table of characters cut off", tiny.Llama, two(set("tokenizer.ggml.model", "t5"), set("tokenizer.ggml.precompiled_charsmap", []uint8{4, 0, 0, 0})), "no room"},
	}
}

func architectureRefusals() []refusal {
	return []refusal{
		{"a wider output", tiny.BERT, set("bert.embedding_length_out", uint32(128)), "embedding_length_out"},
		{"no heads", tiny.Llama, drop("llama.attention.head_count"), "head_count"},
		{"zero heads", tiny.Llama, set("llama.attention.head_count", uint32(0)), "head_count"},
		{"key heads that don't divide", tiny.Llama, set("llama.attention.head_count_kv", uint32(3)), "3 key heads"},
		{"no key heads", tiny.Llama, set("llama.attention.head_count_kv", uint32(0)), "head_count_kv"},
		{"layers with other heads", tiny.Llama, set("llama.attention.head_count_kv", []uint32{4, 2}), "layer 1"},
		{"heads for other layers", tiny.Llama, set("llama.attention.head_count_kv", []int32{4}), "2 layers"},
		{"fewer than no heads", tiny.Llama, set("llama.attention.head_count_kv", []int32{-4, -4}), "-4"},
		{"keys and values of two sizes", tiny.Llama, set("llama.attention.value_length", uint32(8)), "the same"},
		{"half a rotation", tiny.Llama, set("llama.rope.dimension_count", uint32(8)), "8 are rotated"},
		{"no epsilon", tiny.Llama, drop("llama.attention.layer_norm_rms_epsilon"), "epsilon"},
		{"a negative epsilon", tiny.Llama, set("llama.attention.layer_norm_rms_epsilon", float32(-1)), "epsilon"},
		{"a smaller vocabulary", tiny.Llama, shape("token_embd.weight", 64, 100), "token_embd.weight"},
		{"a tensor is missing", tiny.Llama, rename("blk.1.ffn_up.weight", "blk.1.ffn_op.weight"), "blk.1.ffn_up.weight"},
		{"a layer is missing", tiny.Llama, set("llama.block_count", uint32(3)), "blk.2.attn_norm.weight"},
		{"a matrix of another shape", tiny.Llama, shape("blk.0.attn_k.weight", 64, 32), "blk.0.attn_k.weight"},
		{"a matrix of integers", tiny.Llama, kind("blk.0.attn_k.weight", 26), "I32"},
		{"a matrix of activations", tiny.Llama, kind("token_embd.weight", 9), "Q8_1"},
		{"a norm in halves", tiny.Llama, kind("output_norm.weight", gguf.F16), "output_norm.weight"},
		{"frequencies of another shape", tiny.Llama, rename("blk.1.ffn_norm.weight", "rope_freqs.weight"), "rope_freqs.weight"},
		{"a tensor too many", tiny.Llama, func(_ *testing.T, f *gguf.File) {
			last := f.Tensors[len(f.Tensors)-1]
			last.Name, last.Offset = "blk.0.attn_q_norm.weight", last.Offset+(last.Size+31)/32*32
			f.Tensors = append(f.Tensors, last)
		}, "no place"},
		{"experts without tensors", tiny.Llama, func(t *testing.T, f *gguf.File) {
			set("llama.expert_count", uint32(4))(t, f)
			set("llama.expert_used_count", uint32(2))(t, f)
		}, "ffn_gate_inp"},

		{"a bert without types", tiny.BERT, drop("tokenizer.ggml.token_type_count"), "token_type_count"},
		{"a bert of another width", tiny.BERT, set("bert.attention.key_length", uint32(8)), "the same"},
		{"a bert with few positions", tiny.BERT, set("bert.context_length", uint32(512)), "position_embd"},
		{"a bert with types in blocks", tiny.BERT, kind("token_types.weight", gguf.Q8_0), "token_types"},
		{"a bert without a norm's bias", tiny.BERT, rename("blk.0.layer_output_norm.bias", "x"), "layer_output_norm.bias"},

		{"heads of no size", tiny.RWKV6, set("rwkv6.wkv.head_size", uint32(0)), "head_size"},
		{"heads that don't fit", tiny.RWKV6, set("rwkv6.wkv.head_size", uint32(48)), "48"},
		{"narrow heads", tiny.RWKV7, set("rwkv7.wkv.head_size", uint32(32)), "multiple of 64"},
		{"attention in a model without", tiny.RWKV6, set("rwkv6.attention.head_count_kv", uint32(3)), "no attention"},
		{"another shift", tiny.RWKV7, set("rwkv7.token_shift_count", uint32(1)), "token_shift_count"},
		{"an epsilon from nowhere", tiny.RWKV7, drop("rwkv7.attention.layer_norm_epsilon"), "epsilon"},
		{"no mixing", tiny.RWKV6, rename("blk.1.time_mix_lerp_fused.weight", "blk.1.time_mix_lerp_w.weight"), "time_mix_lerp_w"},
		{"first weights in blocks", tiny.RWKV6, kind("blk.0.time_mix_first.weight", gguf.Q8_0), "time_mix_first"},
		{"no rank", tiny.RWKV6, drop("rwkv6.time_mix_extra_dim"), "time_mix_extra_dim"},
		{"another rank", tiny.RWKV7, set("rwkv7.attention.gate_lora_rank", uint32(16)), "time_mix_g1"},
		{"no output", tiny.RWKV7, rename("output.weight", "x"), "output.weight"},
	}
}

func TestWhatLlamaCppWouldFallOverIsRefused(t *testing.T) {
	for _, c := range slices.Concat(generalRefusals(), architectureRefusals()) {
		t.Run(c.name, func(t *testing.T) {
			f := parsed(t, c.model)
			c.edit(t, f)
			_, err := CheckHeader(f)
			if c.says == "" { // it looks bad, but is not
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrUnloadable) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want ErrUnloadable with %q", err, c.says)
			}
		})
	}
}
