package loadable

// attention is the shape of a transformer's layers.
type attention struct {
	heads, keyHeads, headWidth, hidden uint64
}

// attention reads the shape that llama and bert share and checks what ggml asserts when
// it reshapes activations. llama.cpp takes the first layer's shape for all tensors but
// each layer's own for its cache, so the layers must be alike.
func (h *header) attention(info *Info) attention {
	var a attention
	a.heads = h.same(".attention.head_count", info.Layers)
	if a.keyHeads = a.heads; h.values[h.key(".attention.head_count_kv")] != nil {
		a.keyHeads = h.same(".attention.head_count_kv", info.Layers)
	}
	a.hidden = h.same(".feed_forward_length", info.Layers)
	if h.err != nil {
		return a
	}
	if a.heads%a.keyHeads != 0 {
		h.fail("%d heads do not divide into %d key heads", a.heads, a.keyHeads)
	}
	a.headWidth = info.Width / a.heads
	keys, values := h.number(".attention.key_length", maybe, 1, mostWidth), h.number(".attention.value_length", maybe, 1, mostWidth)
	if keys == 0 {
		keys = a.headWidth
	}
	if values == 0 {
		values = a.headWidth
	}
	if keys != values || keys == 0 {
		h.fail("the heads' keys have %d values, their values %d, want the same", keys, values)
	}
	a.headWidth = keys
	info.TokenBytes = times(info.Layers, cacheBytes(a.keyHeads, keys, values))
	return a
}

// same reads a count of 1 or more that must be the same in each layer.
func (h *header) same(name string, layers uint64) uint64 {
	numbers := h.perLayer(name, layers, mostWidth)
	if numbers == nil {
		h.fail("it has no %s", h.key(name))
		return 0
	}
	for i, n := range numbers {
		if n == 0 || n != numbers[0] {
			h.fail("%s is %d in layer %d and %d in the first, want one number above 0", h.key(name), n, i, numbers[0])
			return 0
		}
	}
	return numbers[0]
}

// projections checks the tensors of Q, K and V, which may be fused in one.
func (l layer) projections(a attention, width uint64) {
	queries, keys := a.heads*a.headWidth, a.keyHeads*a.headWidth
	if l.optional("attn_qkv.weight", multiplied, width, queries+2*keys) {
		l.optional("attn_qkv.bias", plain, queries+2*keys)
	} else {
		l.tensor("attn_q.weight", multiplied, width, queries)
		l.tensor("attn_k.weight", multiplied, width, keys)
		l.tensor("attn_v.weight", multiplied, width, keys)
	}
	l.optional("attn_q.bias", plain, queries)
	l.optional("attn_k.bias", plain, keys)
	l.optional("attn_v.bias", plain, keys)
	l.tensor("attn_output.weight", multiplied, queries, width)
	l.optional("attn_output.bias", plain, width)
	for _, name := range []string{"attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output"} {
		l.scales(name, 1)
	}
}

// scales checks the factors that some types keep beside a tensor.
func (l layer) scales(name string, count uint64) {
	l.optional(name+".scale", plain, count)
	l.optional(name+".input_scale", plain, count)
}

// llama checks architecture llama: llama-model.cpp and models/llama.cpp.
func (h *header) llama(info *Info) {
	a := h.attention(info)
	h.positive(".attention.layer_norm_rms_epsilon", must)
	if h.err != nil {
		return
	}
	rotated := h.number(".rope.dimension_count", maybe, 1, mostWidth)
	if rotated != 0 && rotated != a.headWidth || a.headWidth%2 != 0 {
		h.fail("of each head's %d values %d are rotated, want all, and an even number", a.headWidth, rotated)
	}
	h.tensor("token_embd.weight", multiplied, info.Width, info.Vocabulary)
	h.tensor("output_norm.weight", plain, info.Width)
	h.optional("output.weight", multiplied, info.Width, info.Vocabulary)
	h.optional("output.scale", plain, 1)
	h.optional("output.input_scale", plain, 1)
	for _, name := range []string{"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"} {
		h.optional(name, plain, a.headWidth/2)
	}
	experts := h.number(".expert_count", maybe, 0, mostExperts)
	h.layers(info.Layers, func(l layer) {
		l.tensor("attn_norm.weight", plain, info.Width)
		l.projections(a, info.Width)
		l.tensor("ffn_norm.weight", plain, info.Width)
		if experts == 0 {
			l.feedForward(info.Width, a.hidden)
		} else {
			l.experts(info.Width, a.hidden, experts)
		}
	})
}

func (l layer) feedForward(width, hidden uint64) {
	l.tensor("ffn_gate.weight", multiplied, width, hidden)
	l.tensor("ffn_down.weight", multiplied, hidden, width)
	l.tensor("ffn_up.weight", multiplied, width, hidden)
	l.optional("ffn_gate.bias", plain, hidden)
	l.optional("ffn_down.bias", plain, width)
	l.optional("ffn_up.bias", plain, hidden)
	for _, name := range []string{"ffn_gate", "ffn_down", "ffn_up"} {
		l.scales(name, 1)
	}
}

func (l layer) experts(width, hidden, experts uint64) {
	l.tensor("ffn_gate_inp.weight", multiplied, width, experts)
	l.tensor("ffn_gate_exps.weight", multiplied, width, hidden, experts)
	l.tensor("ffn_down_exps.weight", multiplied, hidden, width, experts)
	l.tensor("ffn_up_exps.weight", multiplied, width, hidden, experts)
	for _, name := range []string{"ffn_gate_exps", "ffn_down_exps", "ffn_up_exps"} {
		l.scales(name, experts)
	}
}

// bert checks architecture bert: models/bert.cpp.
func (h *header) bert(info *Info) {
	a := h.attention(info)
	h.positive(".attention.layer_norm_epsilon", must)
	types := h.number("tokenizer.ggml.token_type_count", must, 1, mostWidth)
	if h.err != nil {
		return
	}
	if a.heads*a.headWidth != info.Width {
		h.fail("%d heads of %d values do not make a width of %d", a.heads, a.headWidth, info.Width)
	}
	info.TokenBytes = 0 // it reads a text at once and keeps nothing
	h.tensor("token_embd.weight", multiplied, info.Width, info.Vocabulary)
	h.tensor("position_embd.weight", multiplied, info.Width, info.ContextTrain)
	h.optional("token_types.weight", plain, info.Width, types)
	h.norm("token_embd_norm", info.Width)
	h.optional("cls.weight", multiplied, info.Width, info.Width)
	h.optional("cls.bias", plain, info.Width)
	labels := h.labels()
	h.optional("cls.output.weight", multiplied, info.Width, labels)
	h.optional("cls.output.bias", plain, labels)
	h.layers(info.Layers, func(l layer) {
		l.projections(a, info.Width)
		l.norm("attn_output_norm", info.Width)
		l.tensor("ffn_up.weight", multiplied, info.Width, a.hidden)
		l.optional("ffn_up.bias", plain, a.hidden)
		l.tensor("ffn_down.weight", multiplied, a.hidden, info.Width)
		l.optional("ffn_down.bias", plain, info.Width)
		l.norm("layer_output_norm", info.Width)
		l.scales("ffn_up", 1)
		l.scales("ffn_down", 1)
	})
}

// labels is the number of classes that a classifier tells apart.
func (h *header) labels() uint64 {
	key := h.key(".classifier.output_labels")
	h.texts(key, maybe)
	labels, _ := h.values[key].([]string)
	return max(uint64(len(labels)), 1)
}
