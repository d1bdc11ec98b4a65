package persona

import "bytes"

// tooDeep returns the first line in which lists or mappings stand too deep in
// each other, 0 if there is none. It counts brackets in comments and quotes too.
func tooDeep(front []byte) int {
	brackets, number := 0, 0
	for line := range bytes.Lines(front) {
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
			if max(brackets, dashes) > maxDepth {
				return number
			}
		}
	}
	return 0
}
