package confine

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// longestInterpreter bounds the path of an interpreter, as the kernel does.
const longestInterpreter = 255

// interpreters returns the programs that the kernel starts to run the one at
// path: the loader of a dynamic program, and what the first line of a script
// names with what that needs. None for a static program.
func interpreters(path string) ([]string, error) {
	var all []string
	for range 4 { // as many as the kernel follows
		next, err := interpreter(path)
		if err != nil {
			return nil, err
		}
		if next == "" {
			return all, nil
		}
		all = append(all, next)
		path = next
	}
	return nil, fmt.Errorf("%s: %w", path, errors.New("one interpreter starts the other without end"))
}

func interpreter(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, longestInterpreter+1)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the program %s: %w", path, err)
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		line, _, _ := bytes.Cut(head[2:], []byte{'\n'})
		words := strings.Fields(string(line))
		if len(words) == 0 || !strings.HasPrefix(words[0], "/") {
			return "", fmt.Errorf("%s: its first line names no interpreter", path)
		}
		return words[0], nil
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return loader(f, head)
	}
	return "", nil // exec tells what is wrong with it
}

// loader returns the dynamic loader that a 64-bit program asks for, "" for
// none (the format: elf(5)). debug/elf would read all of its sections.
func loader(f *os.File, head []byte) (string, error) {
	const headerSize, segmentSize, mostSegments = 64, 56, 256
	if len(head) < headerSize || head[elf.EI_CLASS] != byte(elf.ELFCLASS64) || head[elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
		return "", nil // exec tells what is wrong with it
	}
	offset, size, count := binary.LittleEndian.Uint64(head[32:]), binary.LittleEndian.Uint16(head[54:]), binary.LittleEndian.Uint16(head[56:])
	if size != segmentSize || count > mostSegments || offset > 1<<32 {
		return "", nil
	}
	segments := make([]byte, int(count)*segmentSize)
	if _, err := f.ReadAt(segments, int64(offset)); err != nil {
		return "", fmt.Errorf("read the program %s: %w", f.Name(), err)
	}
	for ; len(segments) > 0; segments = segments[segmentSize:] {
		if elf.ProgType(binary.LittleEndian.Uint32(segments)) != elf.PT_INTERP {
			continue
		}
		at, length := binary.LittleEndian.Uint64(segments[8:]), binary.LittleEndian.Uint64(segments[32:])
		if length == 0 || length > longestInterpreter || at > 1<<40 {
			return "", fmt.Errorf("%s: its loader's name has %d bytes at %d", f.Name(), length, at)
		}
		name := make([]byte, length)
		if _, err := f.ReadAt(name, int64(at)); err != nil {
			return "", fmt.Errorf("read the program %s: %w", f.Name(), err)
		}
		return string(bytes.TrimRight(name, "\x00")), nil
	}
	return "", nil
}
