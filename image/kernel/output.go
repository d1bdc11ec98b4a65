package kernel

import (
	"bytes"
	"strings"
)

// lines calls each with every complete line written to it, without its newline.
type lines struct {
	each    func(line string)
	partial []byte
}

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			l.partial = append(l.partial, p...)
			return n, nil
		}
		l.each(string(append(l.partial, p[:end]...)))
		l.partial, p = l.partial[:0], p[end+1:]
	}
}

// stepCounter counts the steps of a kernel build by what make prints: one line
// "  CC      fs/ext4/inode.o" for each. How many there will be is known only
// from an earlier build of the same target.
type stepCounter struct {
	total  int // expected; 0: unknown
	done   int
	report func(done, total int)
	lines  lines
}

func (s *stepCounter) Write(p []byte) (int, error) {
	s.lines.each = s.line
	return s.lines.Write(p)
}

func (s *stepCounter) line(line string) {
	if !isStep(line) {
		return
	}
	s.done++
	// Past the expected total there is an unknown rest: the last step stays to be done.
	shown := s.done
	if s.total > 0 {
		shown = min(s.done, s.total-1)
	}
	s.report(shown, s.total)
}

// estimateHolds tells whether the expected total was within 2 % of the truth.
func (s *stepCounter) estimateHolds() bool {
	difference := s.done - s.total
	return max(difference, -difference)*50 <= s.done
}

// isStep recognises the kernel's short form of a command: two spaces, a word in
// capitals (CC, HOSTCC, LD, OBJTOOL, VDSO2C), spaces, a path.
func isStep(line string) bool {
	rest, ok := strings.CutPrefix(line, "  ")
	if !ok {
		return false
	}
	word, path, found := strings.Cut(rest, " ")
	if !found || word == "" || strings.TrimSpace(path) == "" {
		return false
	}
	for i, c := range word {
		capital := c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		if !capital && (i == 0 || !digit) {
			return false
		}
	}
	return true
}

// tailLines is how much of a failed program's output goes into the error.
const tailLines = 20

// tail keeps the last lines written to it.
type tail struct {
	kept  []string
	lines lines
}

func (t *tail) Write(p []byte) (int, error) {
	t.lines.each = func(line string) {
		t.kept = append(t.kept, line)
		if len(t.kept) > tailLines {
			t.kept = t.kept[1:]
		}
	}
	return t.lines.Write(p)
}

func (t *tail) String() string {
	kept := t.kept
	if len(t.lines.partial) > 0 {
		kept = append(kept, string(t.lines.partial))
	}
	return strings.Join(kept, "\n")
}
