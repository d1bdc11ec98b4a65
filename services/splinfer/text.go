package splinfer

import (
	"strings"
	"unicode/utf8"
)

// characters joins the bytes of tokens into whole UTF-8 characters: a token
// may end, or consist of nothing but, a part of a character.
type characters struct {
	held []byte // at most 3 bytes of a character that isn't whole yet
}

// push adds a token's bytes and returns the text that is whole now. Bytes that
// can't become a character are returned as U+FFFD.
func (c *characters) push(piece []byte) string {
	c.held = append(c.held, piece...)
	whole := len(c.held) - incomplete(c.held)
	text := strings.ToValidUTF8(string(c.held[:whole]), "\uFFFD")
	c.held = append(c.held[:0], c.held[whole:]...)
	return text
}

// incomplete is the number of bytes at the end that begin a character which
// needs more bytes.
func incomplete(text []byte) int {
	for back := 1; back <= min(3, len(text)); back++ {
		tail := text[len(text)-back:]
		if utf8.RuneStart(tail[0]) {
			if tail[0] >= utf8.RuneSelf && !utf8.FullRune(tail) {
				return back
			}
			return 0
		}
	}
	return 0
}
