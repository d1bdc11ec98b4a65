package tiny

import (
	"io"

	"runa/services/gguf"
)

// The shape of recurrent models. Their heads are 64 wide: llama.cpp's kernel for
// RWKV-7 takes 64 values at once with AVX-512 and reads beyond narrower ones.
const (
	stateWidth  = 128
	stateHidden = 256
	stateHead   = 64
	rank        = 32
)

// recurrent adds what RWKV-6 and RWKV-7 share.
func (b *builder) recurrent() {
	b.count(".context_length", b.context)
	b.count(".embedding_length", stateWidth)
	b.count(".block_count", b.layers)
	b.count(".feed_forward_length", stateHidden)
	b.count(".attention.head_count", 0)
	b.count(".wkv.head_size", stateHead)
	b.set(".attention.layer_norm_epsilon", float32(1e-5))
	tokens := b.world()
	b.weights("token_embd", stateWidth, tokens)
	b.norm("token_embd_norm", stateWidth)
	b.norm("output_norm", stateWidth)
	b.weights("output", stateWidth, tokens)
}

// vector adds a vector of F32, or several in one tensor.
func (b *builder) vector(name string, middle, spread float32, shape ...int) {
	b.draw(name+".weight", gguf.F32, middle, spread, shape...)
}

// thin adds a matrix of low rank, which llama.cpp keeps as F32.
func (b *builder) thin(name string, shape ...int) { b.vector(name, 0, 0.1, shape...) }

// RWKV6 writes a recurrent model of architecture rwkv6, about 450 KiB. Each sequence keeps
// a state of 68 KiB for each layer.
func RWKV6(out io.Writer, seed uint64, options ...Option) error {
	b := start("rwkv6", seed, options)
	b.recurrent()
	b.count(".time_mix_extra_dim", rank)
	b.count(".time_decay_extra_dim", rank)
	b.count(".rescale_every_n_layers", 0)
	b.each(func(name func(string) string) {
		b.norm(name("attn_norm"), stateWidth)
		b.norm(name("attn_norm_2"), stateWidth)
		b.thin(name("time_mix_w1"), stateWidth, 5*rank)
		b.thin(name("time_mix_w2"), rank, stateWidth, 5)
		b.vector(name("time_mix_lerp_x"), 0.5, 0.5, stateWidth)
		b.vector(name("time_mix_lerp_fused"), 0.5, 0.5, stateWidth, 1, 1, 5)
		b.vector(name("time_mix_first"), 0, 0.5, stateHead, stateWidth/stateHead)
		b.vector(name("time_mix_decay"), -3, 2, stateWidth)
		b.thin(name("time_mix_decay_w1"), stateWidth, rank)
		b.thin(name("time_mix_decay_w2"), rank, stateWidth)
		for _, s := range []string{"key", "value", "receptance", "gate", "output"} {
			b.weights(name("time_mix_"+s), stateWidth, stateWidth)
		}
		b.norm(name("time_mix_ln"), stateWidth)
		b.vector(name("channel_mix_lerp_k"), 0.5, 0.5, stateWidth)
		b.vector(name("channel_mix_lerp_r"), 0.5, 0.5, stateWidth)
		b.weights(name("channel_mix_key"), stateWidth, stateHidden)
		b.weights(name("channel_mix_value"), stateHidden, stateWidth)
		b.weights(name("channel_mix_receptance"), stateWidth, stateWidth)
	})
	return b.write(out)
}

// RWKV7 writes a recurrent model of architecture rwkv7, about 550 KiB. Each sequence keeps
// a state of 66 KiB for each layer.
func RWKV7(out io.Writer, seed uint64, options ...Option) error {
	b := start("rwkv7", seed, options)
	b.recurrent()
	for _, s := range []string{"decay", "iclr", "value_residual_mix", "gate"} {
		b.count(".attention."+s+"_lora_rank", rank)
	}
	b.each(func(name func(string) string) {
		b.norm(name("attn_norm"), stateWidth)
		b.norm(name("attn_norm_2"), stateWidth)
		for _, s := range []string{"w", "a", "v", "g"} {
			if s != "g" {
				b.vector(name("time_mix_"+s+"0"), 0, 0.1, stateWidth)
			}
			b.thin(name("time_mix_"+s+"1"), stateWidth, rank)
			b.thin(name("time_mix_"+s+"2"), rank, stateWidth)
		}
		b.vector(name("time_mix_lerp_fused"), 0.5, 0.5, stateWidth, 1, 1, 6)
		for _, s := range []string{"k_k", "k_a", "r_k"} {
			b.vector(name("time_mix_"+s), 0, 0.1, stateWidth)
		}
		for _, s := range []string{"key", "value", "receptance", "output"} {
			b.weights(name("time_mix_"+s), stateWidth, stateWidth)
		}
		b.norm(name("time_mix_ln"), stateWidth)
		b.vector(name("channel_mix_lerp_k"), 0.5, 0.5, stateWidth)
		b.weights(name("channel_mix_key"), stateWidth, stateHidden)
		b.weights(name("channel_mix_value"), stateHidden, stateWidth)
	})
	return b.write(out)
}
