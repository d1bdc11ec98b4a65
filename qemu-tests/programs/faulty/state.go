package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// errCorrupt means that the service's own state can't be trusted.
var errCorrupt = errors.New("the state is corrupt")

// The files of the data folder.
const (
	stateFile        = "state"        // something with a checksum, read at every start
	acknowledgedFile = "acknowledged" // the last count that the world was promised
	savedFile        = "saved"        // what save writes
)

// state is the data folder.
type state struct {
	folder       string
	journal      *os.File
	acknowledged uint64
}

// openState reads the folder and makes what is missing, as at the first start.
func openState(folder string) (*state, error) {
	s := &state{folder: folder}
	if err := s.check(); err != nil {
		return nil, err
	}
	var err error
	if s.journal, err = os.OpenFile(s.path(acknowledgedFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(s.journal)
	if err != nil || len(text) == 0 {
		return s, err
	}
	if s.acknowledged, err = strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64); err != nil {
		return nil, fmt.Errorf("%w: %s holds %q", errCorrupt, acknowledgedFile, text)
	}
	return s, nil
}

func (s *state) path(name string) string { return filepath.Join(s.folder, name) }

// check reads the state: any text, a space, and the checksum of the text.
func (s *state) check() error {
	content, err := os.ReadFile(s.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s.replace(stateFile, sealed("this service has learned nothing yet"))
	}
	if err != nil {
		return err
	}
	at := bytes.LastIndexByte(content, ' ')
	if at < 0 || !bytes.Equal(content, sealed(string(content[:at]))) {
		return fmt.Errorf("%w: %s has a wrong checksum", errCorrupt, stateFile)
	}
	return nil
}

func sealed(text string) []byte {
	return fmt.Appendf(nil, "%s %08x\n", text, crc32.ChecksumIEEE([]byte(text)))
}

// acknowledge promises that the count is on the bus. The record has always the
// same length and place, so that it needs no space on a full disk.
func (s *state) acknowledge(count uint64) error {
	if _, err := s.journal.WriteAt(fmt.Appendf(nil, "%020d\n", count), 0); err != nil {
		return err
	}
	if err := s.journal.Sync(); err != nil {
		return err
	}
	s.acknowledged = count
	return nil
}

// save writes a file of 256 KiB anew: whole or not at all.
func (s *state) save() error {
	return s.replace(savedFile, bytes.Repeat([]byte("something to keep "), 256<<10/18))
}

func (s *state) replace(name string, content []byte) error {
	next := s.path(name + ".next")
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(next, s.path(name))
	}
	if err != nil {
		os.Remove(next)
	}
	return err
}
