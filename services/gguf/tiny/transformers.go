package tiny

import (
	"io"

	"runa/services/gguf"
)

// The shape of transformers: rows are whole Q8_0 blocks, and heads are even.
const (
	width  = 64
	hidden = 128
	heads  = 4
)

func (b *builder) transformer() {
	b.count(".context_length", b.context)
	b.count(".embedding_length", width)
	b.count(".block_count", b.layers)
	b.count(".feed_forward_length", hidden)
	b.count(".attention.head_count", heads)
	b.count(".attention.head_count_kv", heads)
}

// Llama writes a model of architecture llama: about 150 KiB.
func Llama(out io.Writer, seed uint64, options ...Option) error {
	b := start("llama", seed, options)
	b.transformer()
	b.count(".rope.dimension_count", width/heads)
	b.set(".attention.layer_norm_rms_epsilon", float32(1e-5))
	b.weights("token_embd", width, b.pieces())
	b.scale("output_norm", width)
	b.each(func(name func(string) string) {
		b.scale(name("attn_norm"), width)
		for _, s := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			b.weights(name(s), width, width)
		}
		b.scale(name("ffn_norm"), width)
		b.weights(name("ffn_gate"), width, hidden)
		b.weights(name("ffn_up"), width, hidden)
		b.weights(name("ffn_down"), hidden, width)
	})
	return b.write(out)
}

// Adapter writes a LoRA adapter for a model that Llama wrote with as many layers.
func Adapter(out io.Writer, seed uint64, options ...Option) error {
	const rank = 8
	b := start("llama", seed, options)
	b.set("general.type", "adapter")
	b.set("adapter.type", "lora")
	b.set("adapter.lora.alpha", float32(rank))
	b.each(func(name func(string) string) {
		b.draw(name("attn_q.weight.lora_a"), gguf.F32, 0, 0.5, width, rank)
		b.draw(name("attn_q.weight.lora_b"), gguf.F32, 0, 0.5, rank, width)
	})
	return b.write(out)
}

// BERT writes a model that only embeds, with mean pooling and 64 dimensions.
func BERT(out io.Writer, seed uint64, options ...Option) error {
	b := start("bert", seed, options)
	b.transformer()
	b.set(".attention.layer_norm_epsilon", float32(1e-12))
	b.set(".attention.causal", false)
	b.count(".pooling_type", 1)
	both := func(name string, columns, rows int) {
		b.weights(name, columns, rows)
		b.bias(name, rows)
	}
	b.weights("token_embd", width, b.words())
	b.draw("position_embd.weight", gguf.F32, 0, 0.1, width, b.context)
	b.draw("token_types.weight", gguf.F32, 0, 0.1, width, 2)
	b.norm("token_embd_norm", width)
	b.each(func(name func(string) string) {
		for _, s := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			both(name(s), width, width)
		}
		b.norm(name("attn_output_norm"), width)
		both(name("ffn_up"), width, hidden)
		both(name("ffn_down"), hidden, width)
		b.norm(name("layer_output_norm"), width)
	})
	return b.write(out)
}
