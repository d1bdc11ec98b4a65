package loadable

// recurrent checks what RWKV-6 and 7 share. Theirs is no attention, but llama.cpp
// reshapes keys by the number of key heads if there is one.
func (h *header) recurrent(info *Info) (headSize, hidden uint64) {
	for _, name := range []string{".attention.head_count", ".attention.head_count_kv"} {
		for _, n := range h.perLayer(name, info.Layers, mostWidth) {
			if n != 0 {
				h.fail("%s is %d, want 0: it has no attention", h.key(name), n)
			}
		}
	}
	h.float(".attention.layer_norm_rms_epsilon", maybe)
	h.positive(".attention.layer_norm_epsilon", must) // llama.cpp would take what its memory holds
	hidden = h.same(".feed_forward_length", info.Layers)
	headSize = h.number(".wkv.head_size", must, 1, mostWidth)
	h.number(".token_shift_count", maybe, 2, 2)
	if h.err != nil {
		return headSize, hidden
	}
	if info.Width%headSize != 0 {
		h.fail("a width of %d is no whole number of heads of %d", info.Width, headSize)
	}
	h.state(info)
	h.tensor("token_embd.weight", multiplied, info.Width, info.Vocabulary)
	h.tensor("output.weight", multiplied, info.Width, info.Vocabulary)
	h.norm("token_embd_norm", info.Width)
	h.norm("output_norm", info.Width)
	return headSize, hidden
}

// rwkv6 checks architecture rwkv6: models/rwkv6.cpp.
func (h *header) rwkv6(info *Info) {
	size, hidden := h.recurrent(info)
	mix := h.number(".time_mix_extra_dim", must, 1, mostWidth)
	decay := h.number(".time_decay_extra_dim", must, 1, mostWidth)
	h.number(".rescale_every_n_layers", maybe, 0, mostLayers)
	width := info.Width
	h.layers(info.Layers, func(l layer) {
		l.norm("attn_norm", width)
		l.norm("attn_norm_2", width)
		l.tensor("time_mix_w1.weight", multiplied, width, 5*mix)
		l.tensor("time_mix_w2.weight", multiplied, mix, width, 5)
		l.tensor("time_mix_lerp_x.weight", plain, width)
		l.lerps(width)
		l.tensor("time_mix_first.weight", plain, size, width/size)
		l.tensor("time_mix_decay.weight", plain, width)
		l.tensor("time_mix_decay_w1.weight", multiplied, width, decay)
		l.tensor("time_mix_decay_w2.weight", multiplied, decay, width)
		l.square(width, "time_mix_key", "time_mix_value", "time_mix_receptance", "time_mix_gate", "time_mix_output", "channel_mix_receptance")
		l.norm("time_mix_ln", width)
		l.tensor("channel_mix_lerp_k.weight", plain, width)
		l.tensor("channel_mix_lerp_r.weight", plain, width)
		l.tensor("channel_mix_key.weight", multiplied, width, hidden)
		l.tensor("channel_mix_value.weight", multiplied, hidden, width)
	})
}

// lerps checks how RWKV-6 mixes a token with the one before: five vectors, fused or each for itself.
// With some of them missing llama.cpp would follow a null pointer.
func (l layer) lerps(width uint64) {
	check := l.tensor
	if l.optional("time_mix_lerp_fused.weight", plain, width, 1, 1, 5) {
		check = func(name string, u use, shape ...uint64) { l.optional(name, u, shape...) }
	}
	for _, name := range []string{"w", "k", "v", "r", "g"} {
		check("time_mix_lerp_"+name+".weight", plain, width)
	}
}

func (l layer) square(width uint64, names ...string) {
	for _, name := range names {
		l.tensor(name+".weight", multiplied, width, width)
	}
}

// kernelStep is the number of values that ggml's kernel of RWKV-7 takes at once with
// AVX-512. It reads and writes beyond the end of heads that are no multiple of it.
const kernelStep = 64

// rwkv7 checks architecture rwkv7: models/rwkv7.cpp.
func (h *header) rwkv7(info *Info) {
	size, hidden := h.recurrent(info)
	if size%kernelStep != 0 {
		h.fail("%s is %d, want a multiple of %d", h.key(".wkv.head_size"), size, kernelStep)
	}
	rank := func(name string) uint64 { return h.number(".attention."+name+"_lora_rank", must, 1, mostWidth) }
	decay, rate, gate, residual := rank("decay"), rank("iclr"), rank("gate"), rank("value_residual_mix")
	width := info.Width
	h.layers(info.Layers, func(l layer) {
		l.norm("attn_norm", width)
		l.norm("attn_norm_2", width)
		l.lowRank("w", decay, width)
		l.lowRank("a", rate, width)
		if l.index == 0 { // there for symmetry, not used
			l.lowRank("v", rate, width)
		} else {
			l.lowRank("v", residual, width)
		}
		l.tensor("time_mix_g1.weight", multiplied, width, gate)
		l.tensor("time_mix_g2.weight", multiplied, gate, width)
		l.tensor("time_mix_lerp_fused.weight", plain, width, 1, 1, 6)
		for _, name := range []string{"k_k", "k_a", "r_k"} {
			l.tensor("time_mix_"+name+".weight", plain, width)
		}
		l.square(width, "time_mix_key", "time_mix_value", "time_mix_receptance", "time_mix_output")
		l.norm("time_mix_ln", width)
		l.tensor("channel_mix_lerp_k.weight", plain, width)
		l.tensor("channel_mix_key.weight", multiplied, width, hidden)
		l.tensor("channel_mix_value.weight", multiplied, hidden, width)
	})
}

// lowRank checks a vector and the two thin matrices whose product changes it.
func (l layer) lowRank(name string, rank, width uint64) {
	l.tensor("time_mix_"+name+"0.weight", plain, width)
	l.tensor("time_mix_"+name+"1.weight", multiplied, width, rank)
	l.tensor("time_mix_"+name+"2.weight", multiplied, rank, width)
}
