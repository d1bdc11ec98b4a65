package llama

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"runa/services/gguf"
)

// builder writes a model of random weights; the same calls give the same bytes.
type builder struct {
	t      testing.TB
	w      gguf.Writer
	random *rand.Rand
	matrix gguf.TensorType
}

func newBuilder(t testing.TB, seed uint64, architecture string) *builder {
	b := &builder{t: t, random: rand.New(rand.NewPCG(seed, 1)), matrix: gguf.Q8_0}
	b.set("general.architecture", architecture)
	return b
}

func (b *builder) set(key string, value any) {
	b.t.Helper()
	if err := b.w.Set(key, value); err != nil {
		b.t.Fatal(err)
	}
}

// add adds a tensor with values drawn from middle-spread to middle+spread.
func (b *builder) add(name string, kind gguf.TensorType, middle, spread float32, shape ...uint64) {
	b.t.Helper()
	n := uint64(1)
	for _, s := range shape {
		n *= s
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = middle + spread*(2*b.random.Float32()-1)
	}
	if err := b.w.Add(name, shape, kind, values); err != nil {
		b.t.Fatal(err)
	}
}

func (b *builder) weights(name string, shape ...uint64) { b.add(name, b.matrix, 0, 1, shape...) }
func (b *builder) ones(name string, n uint64)           { b.add(name, gguf.F32, 1, 0, n) }
func (b *builder) small(name string, n uint64)          { b.add(name, gguf.F32, 0, 0.1, n) }

func (b *builder) file() string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "model.gguf")
	var out bytes.Buffer
	if _, err := b.w.WriteTo(&out); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// bytesVocabulary adds SentencePiece's special tokens, all bytes and the letters.
func (b *builder) bytesVocabulary() uint64 {
	pieces, types := []string{"<unk>", "<s>", "</s>"}, []int32{2, 3, 3}
	for i := range 256 {
		pieces, types = append(pieces, fmt.Sprintf("<0x%02X>", i)), append(types, 6)
	}
	for c := ' '; c <= '~'; c++ {
		text := string(c)
		if c == ' ' {
			text = "\u2581"
		}
		pieces, types = append(pieces, text), append(types, 1)
	}
	scores := make([]float32, len(pieces))
	for i := range scores {
		scores[i] = -float32(i)
	}
	b.set("tokenizer.ggml.model", "llama")
	b.set("tokenizer.ggml.tokens", pieces)
	b.set("tokenizer.ggml.scores", scores)
	b.set("tokenizer.ggml.token_type", types)
	b.set("tokenizer.ggml.bos_token_id", uint32(1))
	b.set("tokenizer.ggml.eos_token_id", uint32(2))
	return uint64(len(pieces))
}

const tinyWidth, tinyHidden, tinyHeads, tinyContext = 64, 128, 4, 1024

// tinyLlama writes a model of architecture llama with two layers.
func tinyLlama(t testing.TB, seed uint64, matrix gguf.TensorType) string {
	b := newBuilder(t, seed, "llama")
	b.matrix = matrix
	b.set("llama.context_length", uint32(tinyContext))
	b.set("llama.embedding_length", uint32(tinyWidth))
	b.set("llama.block_count", uint32(2))
	b.set("llama.feed_forward_length", uint32(tinyHidden))
	b.set("llama.attention.head_count", uint32(tinyHeads))
	b.set("llama.attention.head_count_kv", uint32(tinyHeads))
	b.set("llama.attention.layer_norm_rms_epsilon", float32(1e-5))
	words := b.bytesVocabulary()
	b.weights("token_embd.weight", tinyWidth, words)
	b.ones("output_norm.weight", tinyWidth)
	for layer := range 2 {
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", layer, s) }
		b.ones(name("attn_norm"), tinyWidth)
		b.ones(name("ffn_norm"), tinyWidth)
		for _, s := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			b.weights(name(s), tinyWidth, tinyWidth)
		}
		b.weights(name("ffn_gate"), tinyWidth, tinyHidden)
		b.weights(name("ffn_up"), tinyWidth, tinyHidden)
		b.weights(name("ffn_down"), tinyHidden, tinyWidth)
	}
	return b.file()
}

// tinyRWKV7 writes a recurrent model of architecture rwkv7. Its heads are 64
// wide: with AVX-512 llama.cpp's kernel reads past the end of narrower ones.
func tinyRWKV7(t testing.TB, seed uint64) string {
	const width, hidden, head, rank = 128, 256, 64, 32
	b := newBuilder(t, seed, "rwkv7")
	b.set("rwkv7.context_length", uint32(256))
	b.set("rwkv7.embedding_length", uint32(width))
	b.set("rwkv7.block_count", uint32(2))
	b.set("rwkv7.feed_forward_length", uint32(hidden))
	b.set("rwkv7.attention.head_count", uint32(0))
	b.set("rwkv7.attention.layer_norm_epsilon", float32(1e-5))
	b.set("rwkv7.wkv.head_size", uint32(head))
	for _, s := range []string{"decay", "iclr", "value_residual_mix", "gate"} {
		b.set("rwkv7.attention."+s+"_lora_rank", uint32(rank))
	}
	words := b.bytesVocabulary()
	norm := func(name string) {
		b.ones(name+".weight", width)
		b.small(name+".bias", width)
	}
	b.weights("token_embd.weight", width, words)
	b.weights("output.weight", width, words)
	norm("token_embd_norm")
	norm("output_norm")
	for layer := range 2 {
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s", layer, s) }
		norm(name("attn_norm"))
		norm(name("attn_norm_2"))
		norm(name("time_mix_ln"))
		b.add(name("time_mix_lerp_fused.weight"), gguf.F32, 0.5, 0.5, width, 1, 1, 6)
		for _, s := range []string{"w", "a", "v", "g"} {
			if s != "g" {
				b.small(name("time_mix_"+s+"0.weight"), width)
			}
			b.add(name("time_mix_"+s+"1.weight"), gguf.F32, 0, 0.1, width, rank)
			b.add(name("time_mix_"+s+"2.weight"), gguf.F32, 0, 0.1, rank, width)
		}
		for _, s := range []string{"k_k", "k_a", "r_k"} {
			b.small(name("time_mix_"+s+".weight"), width)
		}
		for _, s := range []string{"key", "value", "receptance", "output"} {
			b.weights(name("time_mix_"+s+".weight"), width, width)
		}
		b.add(name("channel_mix_lerp_k.weight"), gguf.F32, 0.5, 0.5, width, 1, 1)
		b.weights(name("channel_mix_key.weight"), width, hidden)
		b.weights(name("channel_mix_value.weight"), hidden, width)
	}
	return b.file()
}

// tinyBERT writes a model that only embeds.
func tinyBERT(t testing.TB, seed uint64) string {
	b := newBuilder(t, seed, "bert")
	b.set("bert.context_length", uint32(128))
	b.set("bert.embedding_length", uint32(tinyWidth))
	b.set("bert.block_count", uint32(2))
	b.set("bert.feed_forward_length", uint32(tinyHidden))
	b.set("bert.attention.head_count", uint32(tinyHeads))
	b.set("bert.attention.layer_norm_epsilon", float32(1e-12))
	b.set("bert.attention.causal", false)
	b.set("bert.pooling_type", uint32(1))
	pieces, types := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, []int32{3, 3, 3, 3, 3}
	for c := 'a'; c <= 'z'; c++ {
		pieces, types = append(pieces, "\u2581"+string(c), string(c)), append(types, 1, 1)
	}
	b.set("tokenizer.ggml.model", "bert")
	b.set("tokenizer.ggml.pre", "jina-v2-en")
	b.set("tokenizer.ggml.token_type_count", uint32(2))
	b.set("tokenizer.ggml.tokens", pieces)
	b.set("tokenizer.ggml.token_type", types)
	for _, key := range []struct {
		name string
		id   uint32
	}{{"padding", 0}, {"unknown", 1}, {"bos", 2}, {"seperator", 3}, {"eos", 3}, {"mask", 4}} {
		b.set("tokenizer.ggml."+key.name+"_token_id", key.id)
	}
	return b.bertTensors(uint64(len(pieces)))
}

func (b *builder) bertTensors(words uint64) string {
	pair := func(name string, shape ...uint64) {
		if len(shape) == 1 {
			b.ones(name+".weight", shape[0])
		} else {
			b.weights(name+".weight", shape...)
		}
		b.small(name+".bias", shape[len(shape)-1])
	}
	b.weights("token_embd.weight", tinyWidth, words)
	b.add("token_types.weight", gguf.F32, 0, 0.1, tinyWidth, 2)
	b.add("position_embd.weight", gguf.F32, 0, 0.1, tinyWidth, 128)
	pair("token_embd_norm", tinyWidth)
	for layer := range 2 {
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s", layer, s) }
		for _, s := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			pair(name(s), tinyWidth, tinyWidth)
		}
		pair(name("attn_output_norm"), tinyWidth)
		pair(name("ffn_up"), tinyWidth, tinyHidden)
		pair(name("ffn_down"), tinyHidden, tinyWidth)
		pair(name("layer_output_norm"), tinyWidth)
	}
	return b.file()
}

// tinyAdapter writes a LoRA adapter for tinyLlama.
func tinyAdapter(t testing.TB, seed uint64) string {
	b := newBuilder(t, seed, "llama")
	b.set("general.type", "adapter")
	b.set("adapter.type", "lora")
	b.set("adapter.lora.alpha", float32(8))
	for layer := range 2 {
		b.add(fmt.Sprintf("blk.%d.attn_q.weight.lora_a", layer), gguf.F32, 0, 0.5, tinyWidth, 8)
		b.add(fmt.Sprintf("blk.%d.attn_q.weight.lora_b", layer), gguf.F32, 0, 0.5, 8, tinyWidth)
	}
	return b.file()
}

// load opens the library and loads the model at path for one test.
func load(t testing.TB, path string) *Model {
	t.Helper()
	library, _ := open(t)
	m, err := library.LoadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// contextWith makes a context of one thread that lives as long as the test.
func contextWith(t testing.TB, m *Model, o ContextOptions) *Context {
	t.Helper()
	if o.Threads == 0 {
		o.Threads = 1
	}
	c, err := m.NewContext(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// someTokens are n tokens that differ with start.
func someTokens(m *Model, start, n int) []Token {
	tokens := make([]Token, n)
	for i := range tokens {
		tokens[i] = Token((start*7919+i*31+i*i*7)%(m.VocabularySize()-3) + 3)
	}
	return tokens
}
