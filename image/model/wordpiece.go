package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"runa/services/gguf"
)

// wordPieces is a BERT vocabulary as llama.cpp wants it: a piece that begins a word
// has U+2581 before it, one within a word nothing.
type wordPieces struct {
	pieces []string
	types  []int32
	ids    map[string]uint32 // of the special tokens
}

// wordPieceSpecials are the special tokens and llama.cpp's names of them, one misspelt there.
var wordPieceSpecials = [][2]string{
	{"[CLS]", "bos"}, {"[SEP]", "seperator"}, {"[UNK]", "unknown"}, {"[PAD]", "padding"}, {"[MASK]", "mask"},
}

// tokenizerFile is the part of Hugging Face's tokenizer.json that decides what text becomes.
type tokenizerFile struct {
	Normalizer struct {
		Type         string `json:"type"`
		CleanText    bool   `json:"clean_text"`
		Chinese      bool   `json:"handle_chinese_chars"`
		StripAccents *bool  `json:"strip_accents"`
		Lowercase    bool   `json:"lowercase"`
	} `json:"normalizer"`
	PreTokenizer struct {
		Type string `json:"type"`
	} `json:"pre_tokenizer"`
	Model struct {
		Type       string            `json:"type"`
		Unknown    string            `json:"unk_token"`
		Within     string            `json:"continuing_subword_prefix"`
		Vocabulary map[string]uint32 `json:"vocab"`
	} `json:"model"`
	Added []struct {
		ID      uint32 `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
}

// readWordPieces reads a tokenizer.json that makes of text what llama.cpp's
// tokenizer for BERT makes of it, and refuses any other. size is the number of tokens.
func readWordPieces(data []byte, size int) (*wordPieces, error) {
	var file tokenizerFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("read tokenizer.json: %w", err)
	}
	n, m := file.Normalizer, file.Model
	if m.Type != "WordPiece" || m.Unknown != "[UNK]" || m.Within != "##" || file.PreTokenizer.Type != "BertPreTokenizer" {
		return nil, fmt.Errorf("read tokenizer.json: it is a %.40q with %.40q, want BERT's WordPiece", m.Type, file.PreTokenizer.Type)
	}
	if n.Type != "BertNormalizer" || !n.CleanText || !n.Chinese || !n.Lowercase || n.StripAccents != nil && !*n.StripAccents {
		return nil, errors.New("read tokenizer.json: its normaliser does not lower text and strip accents as BERT's")
	}
	special := map[string]bool{}
	for _, t := range file.Added {
		if id, found := m.Vocabulary[t.Content]; !found || id != t.ID || !t.Special {
			return nil, fmt.Errorf("read tokenizer.json: added token %.40q is not special, or not token %d of the vocabulary", t.Content, t.ID)
		}
		special[t.Content] = true
	}
	v, err := orderWordPieces(m.Vocabulary, special, size)
	if err != nil {
		return nil, fmt.Errorf("read tokenizer.json: %w", err)
	}
	for _, s := range wordPieceSpecials {
		if !special[s[0]] {
			return nil, fmt.Errorf("read tokenizer.json: it has no special token %s", s[0])
		}
		v.ids[s[1]] = m.Vocabulary[s[0]]
	}
	return v, nil
}

// orderWordPieces sorts the vocabulary by its ids, which must be all from 0 to size-1.
func orderWordPieces(vocabulary map[string]uint32, special map[string]bool, size int) (*wordPieces, error) {
	if len(vocabulary) != size {
		return nil, fmt.Errorf("%d tokens for %d embeddings", len(vocabulary), size)
	}
	v := &wordPieces{pieces: make([]string, size), types: make([]int32, size), ids: map[string]uint32{}}
	seen := make(map[string]bool, size)
	for text, id := range vocabulary {
		piece, kind := "\u2581"+text, tokenNormal
		if special[text] {
			piece, kind = text, tokenControl
		} else if within, is := strings.CutPrefix(text, "##"); is {
			piece = within
		}
		if uint64(id) >= uint64(size) || v.types[id] != 0 {
			return nil, fmt.Errorf("token %.40q has the id %d, which is another's or not below %d", text, id, size)
		}
		if piece == "" || seen[piece] {
			return nil, fmt.Errorf("token %.40q is empty or the same as another within or at the beginning of a word", text)
		}
		seen[piece] = true
		v.pieces[id], v.types[id] = piece, kind
	}
	return v, nil
}

func (v *wordPieces) addTo(w *gguf.Writer, tokenTypes int) error {
	entries := []gguf.KeyValue{
		{Key: "tokenizer.ggml.model", Value: "bert"},
		{Key: "tokenizer.ggml.token_type_count", Value: uint32(tokenTypes)},
		{Key: "tokenizer.ggml.tokens", Value: v.pieces},
		{Key: "tokenizer.ggml.token_type", Value: v.types},
	}
	for _, s := range wordPieceSpecials {
		entries = append(entries, gguf.KeyValue{Key: "tokenizer.ggml." + s[1] + "_token_id", Value: v.ids[s[1]]})
	}
	return setAll(w, entries)
}
