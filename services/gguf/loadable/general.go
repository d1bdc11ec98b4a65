package loadable

// Bounds of hyper-parameters. Layers and experts are llama.cpp's own
// (LLAMA_MAX_LAYERS, LLAMA_MAX_EXPERTS), which it asserts; the rest keeps products of
// them within 64 bits and is far beyond any model.
const (
	mostLayers  = 512
	mostExperts = 1024
	mostWidth   = 1 << 20
	mostContext = 1 << 30 // llama.cpp hands it out as int32
	mostPooling = 4       // LLAMA_POOLING_TYPE_RANK
)

// embedders are the architectures that only embed.
var embedders = map[string]bool{
	"bert": true, "modern-bert": true, "nomic-bert": true, "nomic-bert-moe": true, "neo-bert": true,
	"jina-bert-v2": true, "jina-bert-v3": true, "eurobert": true, "gemma-embedding": true, "llama-embed": true, "t5encoder": true,
}

// general checks the hyper-parameters that all architectures have.
func (h *header) general(info *Info) {
	if h.architecture == "clip" {
		h.fail("it sees pictures for another model and can't say anything itself")
	}
	info.ContextTrain = h.number(".context_length", must, 1, mostContext)
	info.Width = h.number(".embedding_length", must, 1, mostWidth)
	info.Layers = h.number(".block_count", must, 1, mostLayers)
	h.number(".nextn_predict_layers", maybe, 0, info.Layers)
	if _, known := architectures[h.architecture]; known { // else more would be read than was computed
		h.number(".embedding_length_out", maybe, info.Width, info.Width)
	}
	h.number(".vocab_size", maybe, 0, 1<<32-1)
	h.number("general.file_type", maybe, 0, 1<<32-1)
	h.word("general.name", "")
	h.experts(info.Layers)
	h.rope()
	h.labels()
	causal := h.flag(".attention.causal", true)
	pooling := h.number(".pooling_type", maybe, 0, mostPooling) // another one ends the process
	info.EmbedsOnly = embedders[h.architecture] || !causal || pooling > 0
}

// experts checks what llama.cpp asserts of a mixture of experts.
func (h *header) experts(layers uint64) {
	experts := h.number(".expert_count", maybe, 0, mostExperts)
	var used uint64
	for _, n := range h.perLayer(".expert_used_count", layers, mostExperts) {
		used = max(used, n)
	}
	groups := h.number(".expert_group_count", maybe, 0, mostExperts)
	usedGroups := h.number(".expert_group_used_count", maybe, 0, mostExperts)
	switch {
	case experts == 0 && (used > 0 || groups > 0):
		h.fail("it uses %d experts in %d groups, but has none", used, groups)
	case experts > 0 && (used == 0 || used > experts):
		h.fail("it uses %d of %d experts", used, experts)
	case experts > 0 && groups >= experts,
		groups > 1 && (experts%groups != 0 || usedGroups == 0 || usedGroups >= groups):
		h.fail("its %d experts in %d groups, of which %d are used, do not divide", experts, groups, usedGroups)
	}
}

// rope checks the rotation of positions.
func (h *header) rope() {
	switch kind := h.word(".rope.scaling.type", "linear"); kind {
	case "none", "linear", "yarn", "longrope":
	default:
		h.fail("%s is %s, want none, linear, yarn or longrope", h.key(".rope.scaling.type"), quote(kind))
	}
	h.positive(".rope.freq_base", maybe)
	for _, name := range []string{".rope.scaling.factor", ".rope.scaling.attn_factor", ".rope.scale_linear"} {
		h.float(name, maybe)
	}
	for _, name := range []string{".rope.dimension_count", ".rope.dimension_count_swa", ".attention.key_length_swa", ".attention.value_length_swa"} {
		h.number(name, maybe, 0, mostWidth)
	}
	h.number(".rope.scaling.original_context_length", maybe, 1, mostContext)
}

// other takes from the header of an architecture without rules of its own what
// its context will take.
func (h *header) other(info *Info) {
	heads := h.perLayer(".attention.head_count", info.Layers, mostWidth)
	keyHeads := h.perLayer(".attention.head_count_kv", info.Layers, mostWidth)
	if keyHeads == nil {
		keyHeads = heads
	}
	var size uint64
	if heads != nil && heads[0] > 0 {
		size = info.Width / heads[0]
	}
	keys, values := h.number(".attention.key_length", maybe, 1, mostWidth), h.number(".attention.value_length", maybe, 1, mostWidth)
	if keys == 0 {
		keys = size
	}
	if values == 0 {
		values = size
	}
	for _, n := range keyHeads {
		info.TokenBytes = add(info.TokenBytes, cacheBytes(n, keys, values))
	}
	h.state(info)
	for _, name := range []string{"token_embd.weight", "output.weight"} {
		if t := h.tensors[name]; t != nil && !multiplied.fits(t.Type) {
			h.fail("tensor %s is of type %v, which can't be multiplied with activations", name, t.Type)
		}
	}
}

// cacheBytes is what a layer keeps of each token: keys and values of its heads, as f16.
func cacheBytes(heads, keys, values uint64) uint64 { return times(2*heads, keys+values) }

// state adds the recurrent state of one sequence, as f32, of the architectures that have one.
func (h *header) state(info *Info) {
	const bytesPerValue = 4
	var values uint64
	if size := h.number(".wkv.head_size", maybe, 1, mostWidth); size > 0 {
		shift := h.number(".token_shift_count", maybe, 1, 2)
		if shift == 0 {
			shift = 2
		}
		values = info.Width * (size + shift)
	}
	if inner := h.number(".ssm.inner_size", maybe, 0, mostWidth); inner > 0 {
		states := h.number(".ssm.state_size", must, 1, mostWidth)
		kernel := h.number(".ssm.conv_kernel", must, 1, mostWidth)
		groups := h.number(".ssm.group_count", maybe, 0, mostWidth)
		values = add(times(inner, states), times(kernel-min(kernel, 1), add(inner, times(2*groups, states))))
	}
	info.StateBytes = times(values, info.Layers*bytesPerValue)
	info.Recurrent = values > 0 && info.TokenBytes == 0
}
