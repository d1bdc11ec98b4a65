package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// maxDamaged bounds how many damaged files of one conversation are kept.
const maxDamaged = 9

// Salvage makes a damaged conversation one that can be opened: it keeps the
// records before the damage, and the whole file under another name. It
// returns how many bytes were not kept. A sound conversation is left alone.
func (s *Store) Salvage(id string) (lost int64, err error) {
	if err := s.claim(id); err != nil {
		return 0, naming("salvage", id, err)
	}
	defer s.release(id)
	if lost, err = s.salvage(id); err != nil {
		return 0, naming("salvage", id, err)
	}
	return lost, nil
}

func (s *Store) salvage(id string) (int64, error) {
	f, err := s.disk.open(id+journalSuffix, present)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.size()
	if err != nil {
		return 0, err
	}
	var held contents
	if _, err := scan(f, size, held.take); !errors.Is(err, ErrDamaged) {
		return 0, err
	}
	// Each record proves its own place, so a bad header alone costs nothing.
	held = contents{}
	e, err := scan(withHeader{f}, min(size, MaxJournal), held.take)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return 0, err
	}
	end := max(e.end, headerSize)
	if err := s.copySound(id+journalSuffix+tempSuffix, f, end); err != nil {
		return 0, err
	}
	if err := s.keepDamaged(id); err != nil {
		return 0, err
	}
	if err := s.disk.rename(id+journalSuffix+tempSuffix, id+journalSuffix); err != nil {
		return 0, err
	}
	s.log.Warn("a damaged conversation was salvaged", "conversation", id, "kept", end, "lost", size-end)
	return max(size-end, 0), s.disk.sync()
}

// withHeader is a journal as if its header was sound.
type withHeader struct{ io.ReaderAt }

func (w withHeader) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.ReaderAt.ReadAt(p, at)
	if at < headerSize {
		copy(p[:n], header()[at:])
	}
	return n, err
}

// copySound writes a journal of what from has before end, whose header may be damaged.
func (s *Store) copySound(name string, from io.ReaderAt, end int64) (err error) {
	to, err := s.disk.open(name, emptied)
	if err != nil {
		return err
	}
	defer func() {
		to.Close()
		if err != nil {
			_ = s.disk.remove(name) // Open does it if this fails
		}
	}()
	if _, err := to.WriteAt(header(), 0); err != nil {
		return err
	}
	in := io.NewSectionReader(from, headerSize, end-headerSize)
	if _, err := io.Copy(io.NewOffsetWriter(to, headerSize), in); err != nil {
		return err
	}
	return to.Sync()
}

// keepDamaged gives the damaged file a second name.
func (s *Store) keepDamaged(id string) error {
	for n := 1; n <= maxDamaged; n++ {
		err := s.disk.link(id+journalSuffix, fmt.Sprintf("%s.%d%s", id, n, damagedSuffix))
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("%w: %d damaged files of it are kept already", ErrTooLarge, maxDamaged)
}
