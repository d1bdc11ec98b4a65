package llama

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// llama.cpp's grammar parser recurses once per open bracket, so a grammar is
// bounded before it gets there.
const (
	maxGrammarBytes = 64 << 10
	maxGrammarDepth = 128
)

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
