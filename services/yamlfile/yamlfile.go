// Package yamlfile is what the readers of YAML files that people write by hand
// share: how deep one may be, and how to name what was written. It reads no file
// and knows no key.
package yamlfile

import (
	"bytes"

	"github.com/goccy/go-yaml/ast"
)

// TooDeep returns the first line in which lists or mappings stand more than
// most deep in each other, 0 if there is none. It counts brackets in comments and
// quotes too. The YAML library takes time that grows with the square of the depth, so
// who reads a file of unknown origin asks this first.
func TooDeep(data []byte, most int) int {
	brackets, number := 0, 0
	for line := range bytes.Lines(data) {
		number++
		dashes := 0
		for i, c := range line {
			switch c {
			case '[', '{':
				brackets++
			case ']', '}':
				brackets = max(0, brackets-1)
			case '-', '?', ':': // "- - -" is a list in a list in a list
				if i+1 < len(line) && (line[i+1] == ' ' || line[i+1] == '\t') {
					dashes++
				}
			case ' ', '\t':
			default:
				dashes = 0
			}
			if max(brackets, dashes) > most {
				return number
			}
		}
	}
	return 0
}

// Kind names what a person wrote, for "X expected, not Y".
func Kind(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias"
	case *ast.TagNode:
		return "a tag"
	}
	return "something else"
}
