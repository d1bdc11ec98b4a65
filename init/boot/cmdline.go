package boot

import (
	"strconv"
	"strings"
)

// Option is one word of the kernel's command line.
type Option struct {
	Name  string
	Value string // "" when there is no "="
}

// CommandLine is the kernel's command line, in order.
type CommandLine []Option

// ParseCommandLine splits text as the kernel does (lib/cmdline.c, next_arg):
// at white space outside of double quotes; quotes around a value or a whole
// word fall away; words after a lone "--" are meant for init and kept too. Any
// text gives a result, for there is nobody to send an error to at that time.
func ParseCommandLine(text string) CommandLine {
	var line CommandLine
	for _, word := range splitWords(text) {
		if word == "--" {
			continue
		}
		if len(word) >= 2 && word[0] == '"' && word[len(word)-1] == '"' {
			word = word[1 : len(word)-1]
		}
		name, value, _ := strings.Cut(word, "=")
		value = strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
		if name != "" {
			line = append(line, Option{Name: name, Value: value})
		}
	}
	return line
}

func splitWords(text string) []string {
	var words []string
	start, quoted := -1, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		space := c == ' ' || (c >= '\t' && c <= '\r') || c == 0
		if c == '"' {
			quoted = !quoted
		}
		switch {
		case space && !quoted && start >= 0:
			words, start = append(words, text[start:i]), -1
		case !space && start < 0:
			start = i
		}
	}
	if start >= 0 {
		words = append(words, text[start:])
	}
	return words
}

// Value returns the last value given for name, as the kernel lets the last
// one win, and whether name is there at all. "-" and "_" are the same in names.
func (c CommandLine) Value(name string) (string, bool) {
	value, found := "", false
	for _, o := range c {
		if sameName(o.Name, name) {
			value, found = o.Value, true
		}
	}
	return value, found
}

func sameName(a, b string) bool {
	return strings.ReplaceAll(a, "-", "_") == strings.ReplaceAll(b, "-", "_")
}

// Terminal is one console the command line names.
type Terminal struct {
	Name string // of the device below /dev: ttyS0
	Baud int    // bits per second, 0 where not given
}

// Consoles returns what console= names, each once, in the order of their first
// mention. tty0 stands for the screen in front, whose first terminal is tty1.
func (c CommandLine) Consoles() []Terminal {
	var terminals []Terminal
	seen := map[string]bool{}
	for _, o := range c {
		if o.Name != "console" {
			continue
		}
		name, settings, _ := strings.Cut(o.Value, ",")
		if name == "tty0" || name == "tty" {
			name = "tty1"
		}
		if !deviceName(name) || seen[name] {
			continue
		}
		seen[name] = true
		terminals = append(terminals, Terminal{Name: name, Baud: leadingNumber(settings)})
	}
	return terminals
}

// deviceName keeps what the command line says from naming a file elsewhere.
func deviceName(name string) bool {
	if name == "" || len(name) > 32 || name == "null" {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter {
			return false
		}
	}
	return true
}

func leadingNumber(s string) int {
	end := 0
	for end < len(s) && end < 8 && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0
	}
	return n
}
