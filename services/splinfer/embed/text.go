package embed

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"runa/services/hint"
	"runa/services/splinfer/llama"
)

var (
	// ErrText says that a text is empty, or no text.
	ErrText = errors.New("not a text that can be embedded")
	// ErrTooLong says that a text has more tokens than the model reads.
	ErrTooLong = errors.New("too long for the model")
)

// slack is how many times as many bytes as its tokens have at most a text may have: white
// space that the tokenizer drops. More is not read at all, since that could take long.
const slack = 4

// Tokenize turns texts into tokens, with those that the model wants around each. An error
// wraps ErrText or ErrTooLong and names the text by its index from 0. Text of a special
// token, such as [CLS], is plain text.
//
// It reads the vocabulary alone, so unlike the rest it may be called from any goroutine
// if Options.Progress may.
func (e *Embedder) Tokenize(texts []string) ([][]llama.Token, error) {
	lists := make([][]llama.Token, len(texts))
	for i, text := range texts {
		tokens, err := e.tokenize(text)
		if err != nil {
			return nil, fmt.Errorf("embed text %d: %w", i, err)
		}
		lists[i] = tokens
	}
	return lists, nil
}

func (e *Embedder) tokenize(text string) ([]llama.Token, error) {
	switch most := e.limit * e.model.LongestPiece() * slack; {
	case text == "":
		return nil, fmt.Errorf("it is empty: %w", ErrText)
	case len(text) > most:
		return nil, tooLong("it has %d bytes, at most %d are read", len(text), most)
	case !utf8.ValidString(text):
		return nil, fmt.Errorf("it is not UTF-8: %w", ErrText)
	case strings.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("it has a zero byte in it: %w", ErrText)
	}
	e.progress(0)
	tokens, err := e.model.Tokenize(text, true, false)
	switch {
	case err != nil:
		return nil, err
	case len(tokens) == 0:
		return nil, fmt.Errorf("it has no tokens: %w", ErrText)
	case len(tokens) > e.limit:
		return nil, tooLong("it has %d tokens, the model reads at most %d", len(tokens), e.limit)
	}
	return tokens, nil
}

func tooLong(format string, has, most int) error {
	return hint.New(fmt.Errorf(format+": %w", has, most, ErrTooLong), "cut the text into shorter ones")
}
