package loadable

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// mostTokenBytes bounds a token's text. llama.cpp's tries descend once for each byte, on the stack.
const mostTokenBytes = 4096

const tokensKey = "tokenizer.ggml.tokens"

// vocabulary checks the tokenizer.
func (h *header) vocabulary(info *Info) {
	model := h.word("tokenizer.ggml.model", "")
	switch model {
	case "llama", "bert", "t5", "rwkv", "plamo2":
	case "gpt2", "gemma4", "hybriddna", "whitespace":
		h.texts("tokenizer.ggml.merges", need(h.word("tokenizer.ggml.pre", "") != "kimi-k2"))
	case "", "none", "no_vocab":
		h.fail("it has no tokenizer (tokenizer.ggml.model), so it can't read or write text")
	default:
		h.fail("its tokenizer is %s (tokenizer.ggml.model), which llama.cpp doesn't know", quote(model))
	}
	h.word("tokenizer.ggml.pre", "")
	tokens, ok := h.value(tokensKey, must).([]string)
	if h.err != nil {
		return
	}
	if !ok || len(tokens) == 0 || len(tokens) > math.MaxInt32 {
		h.fail("%s is no array of texts, or an empty one", tokensKey)
		return
	}
	info.Vocabulary = uint64(len(tokens))
	ids := h.distinct(tokens)
	h.beside(model, tokens)
	h.specials(model, len(tokens))
	switch model {
	case "llama":
		h.pieceBytes(ids)
	case "rwkv":
		h.worldBytes(tokens)
	case "t5":
		h.charsmap()
	}
}

// distinct checks that no two tokens are the same, which llama.cpp asserts, and
// returns their ids. An empty one is known as [EMPTY_id].
func (h *header) distinct(tokens []string) map[string]int {
	ids := make(map[string]int, len(tokens))
	for id, text := range tokens {
		if len(text) > mostTokenBytes {
			h.fail("token %d has %d bytes, at most %d are plausible", id, len(text), mostTokenBytes)
			break
		}
		if text == "" {
			text = fmt.Sprintf("[EMPTY_%d]", id)
		}
		if other, twice := ids[text]; twice {
			h.fail("tokens %d and %d are both %s", other, id, quote(text))
			break
		}
		ids[text] = id
	}
	return ids
}

// texts checks that a key has an array of texts.
func (h *header) texts(key string, n need) {
	value := h.value(key, n)
	if _, ok := value.([]string); !ok && value != nil {
		h.fail("%s is of type %T, want an array of texts", key, value)
	}
}

// beside checks the arrays that go with the tokens.
func (h *header) beside(model string, tokens []string) {
	const scores, types, suppressed = "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.suppress_tokens"
	short := func(key string, n int) {
		if n < len(tokens) {
			h.fail("%s has %d elements for %d tokens", key, n, len(tokens))
		}
	}
	switch v := h.values[scores].(type) {
	case nil:
	case []int32:
		short(scores, len(v))
	case []float32:
		short(scores, len(v))
		if id := slices.IndexFunc(v, func(score float32) bool { return score != score }); id >= 0 {
			h.fail("%s: that of token %d is not a number", scores, id)
		}
	default:
		h.fail("%s is of type %T, want an array of float32", scores, v)
	}
	switch v := h.values[types].(type) {
	case nil:
	case []int32:
		if short(types, len(v)); h.err == nil {
			h.byteTokens(model, tokens, v)
		}
	default:
		h.fail("%s is of type %T, want an array of int32", types, v)
	}
	if v, found := h.values[suppressed]; found {
		if _, ok := v.([]int32); !ok {
			h.fail("%s is of type %T, want an array of int32", suppressed, v)
		}
	}
}

// byteTokens checks the tokens that say they are a byte, whose text is <0xHH>. BERT
// has none: llama.cpp ends the process over one.
func (h *header) byteTokens(model string, tokens []string, types []int32) {
	const typeByte = 6 // LLAMA_TOKEN_TYPE_BYTE
	if model == "rwkv" || model == "plamo2" {
		return // they look at the text alone
	}
	for id, text := range tokens {
		if types[id] == typeByte && (model == "bert" || len(text) < len("<0x")) {
			h.fail("token %d, %s, is of the type of bytes, but none", id, quote(text))
			return
		}
	}
}

// standards are the special tokens that a tokenizer takes when its file names none
// (-1: none), and which of them it puts around a text unless told otherwise.
var standards = map[string]struct {
	begin, end, separator, unknown int
	putsBegin, putsEnd             bool
}{
	"llama": {1, 2, -1, 0, true, false},
	"bert":  {101, -1, 102, 100, true, false},
	"t5":    {-1, 1, -1, 2, false, true},
	"rwkv":  {-1, -1, -1, -1, false, false},
}

// specials checks the special tokens. llama.cpp ignores one beyond the vocabulary,
// but ends the process when it has none to put where it must put one.
func (h *header) specials(model string, tokens int) {
	id := func(name string, standard int) int {
		if standard >= tokens {
			standard = -1
		}
		key := "tokenizer.ggml." + name + "_token_id"
		if h.values[key] == nil {
			return standard
		}
		if given := h.number(key, maybe, 0, math.MaxUint32); given < uint64(tokens) {
			return int(given)
		}
		return standard
	}
	s, known := standards[model]
	if !known {
		s.begin, s.end, s.separator, s.unknown = 11, 11, -1, -1 // as gpt2
		s.putsBegin = true                                      // some kinds of it do
	}
	begin, end, separator, unknown := id("bos", s.begin), id("eos", s.end), id("seperator", s.separator), id("unknown", s.unknown)
	for _, name := range []string{"eot", "eom", "padding", "mask"} {
		id(name, -1)
	}
	if h.flag("tokenizer.ggml.add_bos_token", s.putsBegin) && begin < 0 {
		h.fail("it puts a token before a text, but names none (tokenizer.ggml.bos_token_id)")
	}
	if h.flag("tokenizer.ggml.add_eos_token", s.putsEnd) && end < 0 {
		h.fail("it puts a token after a text, but names none (tokenizer.ggml.eos_token_id)")
	}
	if model == "bert" && (begin < 0 || separator < 0 || unknown < 0) {
		h.fail("it lacks one of the tokens that stand before, after and for unknown text (tokenizer.ggml.bos_token_id, seperator_token_id, unknown_token_id)")
	}
	for _, name := range []string{"add_sep_token", "add_space_prefix", "remove_extra_whitespaces"} {
		h.flag("tokenizer.ggml."+name, false)
	}
}

// pieceBytes checks that SentencePiece's vocabulary has all bytes. Text that no piece
// fits is written in bytes, and one that is missing ends the process.
func (h *header) pieceBytes(ids map[string]int) {
	h.allBytes(func(b byte) bool {
		_, escaped := ids[fmt.Sprintf("<0x%02X>", b)]
		_, plain := ids[string([]byte{b})]
		return escaped || plain
	})
}

// worldBytes checks that RWKV's vocabulary has all bytes. At one that only begins longer tokens
// llama.cpp goes round for ever; without a newline it ends the process.
func (h *header) worldBytes(tokens []string) {
	var have [256]bool
	for _, text := range tokens {
		if b, one := worldByte(text); one {
			have[b] = true
		}
	}
	h.allBytes(func(b byte) bool { return have[b] })
}

func (h *header) allBytes(have func(byte) bool) {
	for b := range 256 {
		if !have(byte(b)) {
			h.fail("%s has none for the byte %#02x, so it can't read every text", tokensKey, b)
			return
		}
	}
}

// worldByte returns the byte that a token of RWKV's vocabulary stands for, if it is
// one alone. Tokens are escaped as Python escapes bytes.
func worldByte(text string) (b byte, one bool) {
	const digits = "0123456789abcdef"
	switch {
	case len(text) == 1:
		return text[0], text[0] != '\\'
	case len(text) == 4 && text[:2] == `\x`:
		high, low := strings.IndexByte(digits, text[2]), strings.IndexByte(digits, text[3])
		return byte(high<<4 | low), high >= 0 && low >= 0
	case len(text) != 2 || text[0] != '\\':
		return 0, false
	}
	switch text[1] {
	case 't':
		return '\t', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	}
	return text[1], text[1] != 'x'
}
