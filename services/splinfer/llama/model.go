package llama

import (
	"errors"
	"fmt"
	"math"
	"os"
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
}

// LoadModel maps the GGUF file at path. It must be a model that generates
// text; the caller has checked the file (see services/gguf), since libllama
// trusts what a header says.
func (l *Library) LoadModel(path string) (*Model, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return nil, errors.New("load model: the path has a zero byte in it")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	params := l.c.modelDefault()
	params.loadMode = loadModeMmap
	var reason string
	restore := collectErrors(&reason)
	handle := l.c.modelLoad(path, params)
	restore()
	if handle == 0 {
		return nil, fmt.Errorf("load model %s: llama.cpp refused it: %s", path, reason)
	}
	m := &Model{library: l, handle: handle, vocab: l.c.getVocab(handle)}
	if err := m.describe(path); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// collectErrors keeps the last error line that llama.cpp prints while a model
// is loaded, beside passing all lines on.
func collectErrors(reason *string) (restore func()) {
	before := logSink.Load()
	*reason = "no reason given"
	collect := LogFunc(func(level int, line string) {
		if level >= 4 {
			*reason = line
		}
		if before != nil {
			(*before)(level, line)
		}
	})
	logSink.Store(&collect)
	return func() { logSink.Store(before) }
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
	for t := range m.words {
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
func (m *Model) EndsGeneration(t Token) bool {
	return m.valid(t) && m.library.c.isEOG(m.vocab, t)
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
