package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pieceBytes is the longest a piece can be; most are far shorter, as most files are.
const pieceBytes = 24 << 10

// source is what a piece's length and bytes are drawn from, in this order.
func source(name string, number int) (*rand.Rand, int) {
	random := rand.New(rand.NewPCG(uint64(number), uint64(name[0])))
	return random, 16 + random.IntN(pieceBytes>>random.IntN(8))
}

// piece is what number stands for in a kind: its number and length, then bytes
// that follow from both, so that a piece that is not whole is known by itself.
func piece(name string, number int) []byte {
	random, length := source(name, number)
	content := make([]byte, 0, length+8)
	content = binary.LittleEndian.AppendUint64(content, uint64(number))
	content = binary.LittleEndian.AppendUint64(content, uint64(length))
	for len(content) < length {
		content = binary.LittleEndian.AppendUint64(content, random.Uint64())
	}
	return content[:length]
}

// sync flushes a file or a folder.
func sync(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// replace puts a whole new file in the place of path: written beside it,
// flushed, renamed, and the folder flushed.
func replace(path string, content []byte) error {
	beside := path + ".new"
	file, err := os.Create(beside)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return err
	}
	return sync(filepath.Dir(path))
}

// notes are many small files in a folder, each renamed into its place.
type notes struct{ folder string }

func (n notes) path(number int) string { return filepath.Join(n.folder, strconv.Itoa(number)) }

func (n notes) add(number int) error { return replace(n.path(number), piece("notes", number)) }

func (n notes) last() (int, error) {
	entries, err := os.ReadDir(n.folder)
	if err != nil {
		return 0, err
	}
	there := 0
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".new") {
			there++
		}
	}
	for number := 1; number <= there; number++ {
		content, err := os.ReadFile(n.path(number))
		if errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("there are %d, but number %d is missing", there, number)
		}
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(content, piece("notes", number)) {
			return 0, fmt.Errorf("number %d is not whole: %d bytes, some of them wrong", number, len(content))
		}
	}
	return there, nil
}

// journal is one file that pieces are appended to. A last piece that is cut off
// or garbled was never safe: the next one is written over it.
type journal struct{ path string }

func (j journal) end(number int) (end int64) {
	for i := 1; i <= number; i++ {
		_, length := source("journal", i)
		end += int64(length)
	}
	return end
}

func (j journal) add(number int) error {
	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	at := j.end(number - 1)
	_, err = file.WriteAt(piece("journal", number), at)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil && number == 1 {
		err = sync(filepath.Dir(j.path)) // the file's own name
	}
	return err
}

func (j journal) last() (int, error) {
	content, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for number := 1; err == nil; number++ {
		next := piece("journal", number)
		if !bytes.HasPrefix(content, next) {
			return number - 1, nil
		}
		content = content[len(next):]
	}
	return 0, err
}

// page is one file that is replaced by its next version again and again.
type page struct{ path string }

func (p page) add(number int) error { return replace(p.path, piece("page", number)) }

func (p page) last() (int, error) {
	content, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(content) < 16 {
		return 0, fmt.Errorf("it is not whole: %d bytes", len(content))
	}
	number := int(binary.LittleEndian.Uint64(content))
	if number < 1 || number > 1<<30 || !bytes.Equal(content, piece("page", number)) {
		return 0, fmt.Errorf("version %d is not whole: %d bytes, some of them wrong", number, len(content))
	}
	return number, nil
}
