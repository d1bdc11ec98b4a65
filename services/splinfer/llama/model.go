package llama

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"runa/services/hint"
)

// Token is an index into a model's vocabulary.
type Token = int32

// Model is a loaded GGUF file: weights (memory-mapped) and vocabulary.
type Model struct {
	library  *Library
	handle   uintptr
	vocab    uintptr
	words    int32
	longest  int // bytes of the longest piece
	template string
	suppress []Token
	ends     []Token // end-of-generation tokens, in ascending order
	isEnd    []bool  // by token
	identity Identity
	breakers *breakers
}

// LoadOptions shape how a model is loaded.
type LoadOptions struct {
	// Progress, if set, is told the part of the weights that is loaded, 0 to 1.
	// It is called by the loading goroutine; when it returns false the load ends with
	// ErrAborted.
	Progress func(part float32) bool
}

// LoadModel is Load without options.
func (l *Library) LoadModel(path string) (*Model, error) { return l.Load(path, LoadOptions{}) }

// Load maps the GGUF file at path. It must be a model that generates text or
// embeds it; the caller has checked the file (see services/gguf), since libllama
// trusts what a header says.
func (l *Library) Load(path string, o LoadOptions) (*Model, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return nil, errors.New("load model: the path has a zero byte in it")
	}
	identity, err := fileIdentity(path)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	params := l.c.modelDefault()
	params.loadMode = loadModeMmap
	progress := beginProgress(o.Progress, &params)
	defer progress.end()
	var reason string
	restore := collectErrors(&reason)
	handle := l.c.modelLoad(path, params)
	restore()
	if handle == 0 && progress.aborted() {
		return nil, fmt.Errorf("load model %s: %w", path, ErrAborted)
	}
	if handle == 0 {
		return nil, fmt.Errorf("load model %s: llama.cpp refused it: %s", path, reason)
	}
	m := &Model{library: l, handle: handle, vocab: l.c.getVocab(handle), identity: identity, breakers: &breakers{}}
	if err := m.describe(path); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// describe reads what the rest of the package needs to know of a model.
func (m *Model) describe(path string) error {
	c := &m.library.c
	m.words = c.vocabSize(m.vocab)
	if m.words <= 0 || c.vocabType(m.vocab) == vocabNone {
		return fmt.Errorf("load model %s: it has no vocabulary", path)
	}
	if c.hasEncoder(m.handle) || !c.hasDecoder(m.handle) {
		err := fmt.Errorf("load model %s: it is no decoder-only model", path)
		return hint.New(err, "use a model made for text generation")
	}
	m.template = c.chatTemplate(m.handle, nil)
	var count int32
	if first := c.suppress(m.vocab, &count); first != nil && count > 0 {
		m.suppress = append(m.suppress, unsafe.Slice(first, count)...)
	}
	m.isEnd = make([]bool, m.words)
	for t := range m.words {
		if c.isEOG(m.vocab, t) {
			m.ends, m.isEnd[t] = append(m.ends, t), true
		}
		m.longest = max(m.longest, len(m.Piece(t, true)))
	}
	return nil
}

// Close frees the model. Its contexts must be closed before.
func (m *Model) Close() {
	if m.handle != 0 {
		m.library.c.modelFree(m.handle)
		m.handle, m.vocab = 0, 0
	}
}

// VocabularySize is the number of tokens the model knows.
func (m *Model) VocabularySize() int { return int(m.words) }

// LongestPiece is the length in bytes of the vocabulary's longest piece: a
// text of n bytes has at least about n/LongestPiece tokens.
func (m *Model) LongestPiece() int { return max(m.longest, 1) }

// ContextTrain is the context size in tokens that the model was trained with.
func (m *Model) ContextTrain() int { return int(m.library.c.ctxTrain(m.handle)) }

// Description is llama.cpp's own, e.g. "llama 1B Q4_0".
func (m *Model) Description() string {
	buffer := make([]byte, 256)
	n := m.library.c.modelDesc(m.handle, &buffer[0], uintptr(len(buffer)))
	if n < 0 {
		return ""
	}
	return string(buffer[:min(int(n), len(buffer)-1)])
}

// EndsGeneration tells whether t is an end-of-generation token of the model.
// It looks into a list made when the model was loaded: asking C for each token of
// an answer costs several per cent.
func (m *Model) EndsGeneration(t Token) bool { return m.valid(t) && m.isEnd[t] }

// EndTokens are the model's end-of-generation tokens, in ascending order.
func (m *Model) EndTokens() []Token { return slices.Clone(m.ends) }

// Identity tells this file of weights from any other.
func (m *Model) Identity() Identity { return m.identity }

// Bytes is the size of all tensors.
func (m *Model) Bytes() uint64 { return m.library.c.modelBytes(m.handle) }

// EmbeddingSize is how many numbers an embedding of the model has.
func (m *Model) EmbeddingSize() int { return int(m.library.c.embeddingN(m.handle)) }

// Recurrent tells whether the model keeps a state of constant size instead of,
// or, as hybrids do, beside the keys and values of every token. Such a state can't go
// back: see [ErrNoWayBack].
func (m *Model) Recurrent() bool {
	return m.library.c.recurrent(m.handle) || m.library.c.hybrid(m.handle)
}

func (m *Model) valid(t Token) bool { return t >= 0 && t < m.words }

// Tokenize turns text into tokens. addSpecial puts the model's begin (and end)
// tokens around it where the model wants them; parseSpecial reads the text of
// control tokens as those tokens.
func (m *Model) Tokenize(text string, addSpecial, parseSpecial bool) ([]Token, error) {
	if len(text) > math.MaxInt32/8 {
		return nil, fmt.Errorf("tokenize: the text has %d bytes, over %d", len(text), math.MaxInt32/8)
	}
	tokens := make([]Token, len(text)+8)
	first := unsafe.StringData(text)
	if len(text) == 0 {
		first = new(byte)
	}
	n := m.library.c.tokenize(m.vocab, first, int32(len(text)), &tokens[0], int32(len(tokens)), addSpecial, parseSpecial)
	if n < 0 && n != math.MinInt32 {
		tokens = make([]Token, -n)
		n = m.library.c.tokenize(m.vocab, first, int32(len(text)), &tokens[0], int32(len(tokens)), addSpecial, parseSpecial)
	}
	if n < 0 {
		return nil, fmt.Errorf("tokenize: llama_tokenize answered %d for %d bytes", n, len(text))
	}
	return tokens[:n], nil
}

// Piece returns the bytes of a token, which need not be whole UTF-8. Control
// tokens have none unless special is set.
func (m *Model) Piece(t Token, special bool) []byte {
	if !m.valid(t) {
		return nil
	}
	buffer := make([]byte, 64)
	n := m.library.c.toPiece(m.vocab, t, &buffer[0], int32(len(buffer)), 0, special)
	if n < 0 {
		buffer = make([]byte, -n)
		n = m.library.c.toPiece(m.vocab, t, &buffer[0], int32(len(buffer)), 0, special)
	}
	return buffer[:max(n, 0)]
}
