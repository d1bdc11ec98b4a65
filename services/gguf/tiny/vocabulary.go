package tiny

import "fmt"

// Token types of llama.cpp (llama.h, llama_token_type).
const (
	typeNormal  int32 = 1
	typeUnknown int32 = 2
	typeControl int32 = 3
	typeByte    int32 = 6
)

type vocabulary struct {
	tokens []string
	types  []int32
}

func (v *vocabulary) add(t int32, tokens ...string) {
	for _, token := range tokens {
		v.tokens, v.types = append(v.tokens, token), append(v.types, t)
	}
}

// addTo sets the metadata and returns the number of tokens.
func (v *vocabulary) addTo(b *builder, model string) int {
	b.set("tokenizer.ggml.model", model)
	b.set("tokenizer.ggml.tokens", v.tokens)
	b.set("tokenizer.ggml.token_type", v.types)
	return len(v.tokens)
}

// pieces adds a vocabulary as SentencePiece's: special tokens, all bytes, and printable
// text with and without a space before a letter.
func (b *builder) pieces() int {
	var v vocabulary
	v.add(typeUnknown, "<unk>")
	v.add(typeControl, "<s>", "</s>")
	for i := range 256 {
		v.add(typeByte, fmt.Sprintf("<0x%02X>", i))
	}
	for c := 'a'; c <= 'z'; c++ {
		v.add(typeNormal, "\u2581"+string(c))
	}
	v.add(typeNormal, "\u2581")
	for c := '!'; c <= '~'; c++ {
		v.add(typeNormal, string(c))
	}
	scores := make([]float32, len(v.tokens))
	for i := range scores {
		scores[i] = -float32(i)
	}
	b.set("tokenizer.ggml.scores", scores)
	b.count("tokenizer.ggml.bos_token_id", 1)
	b.count("tokenizer.ggml.eos_token_id", 2)
	return v.addTo(b, "llama")
}

// world adds a vocabulary as RWKV's: the token of the end, all bytes, and letters with a
// space before them. Bytes are escaped as Python does it.
func (b *builder) world() int {
	var v vocabulary
	v.add(typeControl, "<s>")
	for i := range 256 {
		switch c := byte(i); {
		case c == '\\':
			v.add(typeNormal, `\\`)
		case c > ' ' && c <= '~':
			v.add(typeNormal, string(c))
		default:
			v.add(typeNormal, fmt.Sprintf(`\x%02x`, c))
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		v.add(typeNormal, " "+string(c))
	}
	b.count("tokenizer.ggml.bos_token_id", 0)
	b.count("tokenizer.ggml.eos_token_id", 0)
	return v.addTo(b, "rwkv")
}

// words adds a vocabulary as BERT's WordPiece: special tokens, letters, digits and
// punctuation as whole words, letters and digits within one.
func (b *builder) words() int {
	var v vocabulary
	v.add(typeControl, "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
	for c := '!'; c <= '~'; c++ {
		if c >= 'A' && c <= 'Z' {
			continue // text is lowered before it is looked up
		}
		v.add(typeNormal, "\u2581"+string(c))
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			v.add(typeNormal, string(c))
		}
	}
	b.count("tokenizer.ggml.token_type_count", 2)
	for id, name := range []string{"padding", "unknown", "bos", "seperator", "mask"} { // so spelt
		b.count("tokenizer.ggml."+name+"_token_id", id)
	}
	return v.addTo(b, "bert")
}
