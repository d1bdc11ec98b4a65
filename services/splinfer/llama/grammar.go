package llama

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"runa/services/hint"
)

// ErrGrammar is wrapped by errors about a grammar that can't be used, and about
// tokens that a grammar does not allow.
var ErrGrammar = errors.New("grammar")

// llama.cpp's grammar parser recurses once per open bracket, so a grammar is
// bounded before it gets there.
const (
	maxGrammarBytes = 64 << 10
	maxGrammarDepth = 128
)

// parseGrammar compiles GBNF. llama.cpp prints a faulty grammar in full, so
// its log is muted and its standard error caught; the error carries only the
// place and the kind of the fault.
func (m *Model) parseGrammar(text string) (uintptr, error) {
	if err := checkGrammar(text); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrGrammar, err)
	}
	var handle uintptr
	restore := muteLog()
	printed, err := captureStandardError(func() { handle = m.library.c.grammar(m.vocab, text, "root") })
	restore()
	if handle != 0 {
		return handle, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrGrammar, err)
	}
	return 0, hint.New(fmt.Errorf("%w: %s", ErrGrammar, grammarFault(printed, text)), "grammars are written in llama.cpp's GBNF and need a rule named root")
}

// checkGrammar refuses text that would hurt llama.cpp's parser.
func checkGrammar(text string) error {
	if len(text) > maxGrammarBytes {
		return fmt.Errorf("it has %d bytes, at most %d are read", len(text), maxGrammarBytes)
	}
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("it is not plain UTF-8 text")
	}
	if strings.TrimSpace(text) == "" {
		return fmt.Errorf("it is empty")
	}
	if depth := bracketDepth(text); depth > maxGrammarDepth {
		return fmt.Errorf("its brackets are nested over %d deep", maxGrammarDepth)
	}
	return nil
}

// bracketDepth is the deepest nesting of round brackets outside of literals,
// character classes and comments.
func bracketDepth(text string) int {
	depth, deepest := 0, 0
	var closing byte // what ends the literal, class or comment we are in
	for i := 0; i < len(text); i++ {
		b := text[i]
		if closing != 0 {
			if b == '\\' && closing != '\n' {
				i++
			} else if b == closing {
				closing = 0
			}
			continue
		}
		switch b {
		case '"':
			closing = '"'
		case '[':
			closing = ']'
		case '#':
			closing = '\n'
		case '(':
			depth++
			deepest = max(deepest, depth)
		case ')':
			depth = max(0, depth-1)
		}
	}
	return deepest
}

// captureStandardError runs call while file descriptor 2 leads into a memory
// file, and returns what was written there. Other writers to descriptor 2 are
// caught too, so a program should log through a duplicate of it.
func captureStandardError(call func()) (string, error) {
	memory, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("catch llama.cpp's messages: %w", err)
	}
	file := os.NewFile(uintptr(memory), "stderr")
	defer file.Close()
	saved, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return "", fmt.Errorf("catch llama.cpp's messages: %w", err)
	}
	defer unix.Close(saved)
	if err := unix.Dup3(memory, 2, 0); err != nil {
		return "", fmt.Errorf("catch llama.cpp's messages: %w", err)
	}
	call()
	if err := unix.Dup3(saved, 2, 0); err != nil {
		return "", fmt.Errorf("restore standard error: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("read llama.cpp's messages: %w", err)
	}
	printed, err := io.ReadAll(io.LimitReader(file, 4*maxGrammarBytes))
	if err != nil {
		return "", fmt.Errorf("read llama.cpp's messages: %w", err)
	}
	return string(printed), nil
}

// grammarFault turns what llama.cpp printed, "...error parsing grammar: WHAT
// at REST", into WHAT with the line and column where REST begins.
func grammarFault(printed, text string) string {
	_, message, found := strings.Cut(printed, "error parsing grammar: ")
	if !found {
		return "it has no rule named root, or a rule that begins with itself"
	}
	message, _ = strings.CutSuffix(strings.TrimRight(message, "\n"), strings.TrimRight(text, "\n"))
	message = strings.TrimRight(message, "\n")
	what, rest, located := strings.Cut(message, " at ")
	if !located {
		return firstWords(what)
	}
	offset := max(0, len(strings.TrimRight(text, "\n"))-len(rest))
	before := text[:min(offset, len(text))]
	line := strings.Count(before, "\n") + 1
	column := offset - strings.LastIndex(before, "\n")
	return fmt.Sprintf("line %d, column %d: %s", line, column, what)
}

// firstWords keeps a message without what it quotes from the grammar.
func firstWords(message string) string {
	message, _, _ = strings.Cut(message, "'")
	return strings.ToLower(strings.TrimSpace(message))
}
