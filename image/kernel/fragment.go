package kernel

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Symbol is one line "CONFIG_NAME=value" of a fragment.
type Symbol struct {
	Name  string // with CONFIG_
	Value string // y, n, a number or a string in double quotes, as it is written
	File  string // the fragment's file name
	Line  int    // 1-based
}

func (s Symbol) String() string { return s.Name + "=" + s.Value }

// Place is where the symbol is asked for, as "file:line".
func (s Symbol) Place() string { return s.File + ":" + strconv.Itoa(s.Line) }

// parseFragment reads a fragment: lines CONFIG_NAME=value, empty lines and lines
// that begin with #. Unlike the kernel's own parser it takes no other form, so
// that "# CONFIG_X is not set" (a comment that the kernel obeys) and CONFIG_X=m
// (there are no modules) can't be meant one way and read another.
func parseFragment(file string, text []byte) ([]Symbol, error) {
	var symbols []Symbol
	for i, raw := range bytes.Split(text, []byte("\n")) {
		line := strings.TrimRight(string(raw), " \t\r")
		at := fmt.Sprintf("%s:%d", file, i+1)
		if strings.HasPrefix(line, "# CONFIG_") && strings.HasSuffix(line, " is not set") {
			name := strings.TrimSuffix(strings.TrimPrefix(line, "# "), " is not set")
			return nil, fmt.Errorf("%s: write %s=n instead of a comment", at, name)
		}
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found {
			return nil, fmt.Errorf("%s: expected CONFIG_NAME=value, found %q", at, line)
		}
		if !isSymbolName(name) {
			return nil, fmt.Errorf("%s: %q is not a symbol's name (CONFIG_ and letters, digits, underscores)", at, name)
		}
		if err := checkValue(value); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", at, name, err)
		}
		symbols = append(symbols, Symbol{Name: name, Value: value, File: file, Line: i + 1})
	}
	return symbols, nil
}

func isSymbolName(name string) bool {
	rest, ok := strings.CutPrefix(name, "CONFIG_")
	if !ok || rest == "" {
		return false
	}
	for _, c := range rest {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func checkValue(value string) error {
	if value == "y" || value == "n" {
		return nil
	}
	if value == "m" {
		return fmt.Errorf("a module (m) was asked for: the kernel has none, write y")
	}
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		if strings.ContainsAny(value[1:len(value)-1], "\"\\\x00") {
			return fmt.Errorf("the string %s holds a quote, a backslash or a zero byte", value)
		}
		return nil
	}
	// Kconfig writes an int back as it was given and a hex with 0x in front; asking in
	// those forms lets the checker compare the texts.
	if digits, hex := strings.CutPrefix(value, "0x"); hex {
		if _, err := strconv.ParseUint(digits, 16, 64); err == nil {
			return nil
		}
	} else if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return nil
	}
	return fmt.Errorf("the value %q is neither y, n, a number nor a string in double quotes", value)
}
