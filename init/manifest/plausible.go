package manifest

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"runa/init/servicename"
	"runa/services/yamlfile"
)

// plausible says, at next to no cost, whether a file may be a manifest. It says
// no only to what Parse would refuse, and need not say no to all of that: in a
// folder full of garbage it finds the files that are worth parsing.
func plausible(file string, data []byte) bool {
	if !servicename.Valid(strings.TrimSuffix(filepath.Base(file), ".yaml")) {
		return false
	}
	if len(data) > MaxBytes || !utf8.Valid(data) || !bytes.Contains(data, []byte("exec")) || yamlfile.TooDeep(data, maxDepth) > 0 {
		return false
	}
	open := 0 // brackets, within which a line need not begin with a key
	for line := range bytes.Lines(data) {
		if open <= 0 && !plausibleLine(line) {
			return false
		}
		open += depthOf(line)
	}
	return true
}

// plausibleLine says whether a line can stand at the top of a manifest: one that
// begins with a letter has to be a key.
func plausibleLine(line []byte) bool {
	if c := line[0]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
		return true
	}
	word, _, found := bytes.Cut(line, []byte(":"))
	return found && slices.ContainsFunc(topKeys, func(k key) bool { return k.name == string(bytes.TrimSpace(word)) })
}

func depthOf(line []byte) int {
	return bytes.Count(line, []byte("[")) + bytes.Count(line, []byte("{")) - bytes.Count(line, []byte("]")) - bytes.Count(line, []byte("}"))
}
