package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// walk goes once through a folder that its owner may be changing, and copies it
// if there is somewhere to copy it to.
type walk struct {
	ctx        context.Context
	disk       disk
	seed       maphash.Seed
	entries    int   // still allowed
	bytes      int64 // still allowed
	noRoom     bool  // bytes is what the disk has, not what a snapshot may be
	depth      int   // still allowed
	owner      uint32
	device     uint64
	giveTo     uint32 // the owner of what is made
	buffer     []byte
	leftOut    int    // entries that can't be copied
	firstLeft  string // the first of them
	made       int
	print      uint64    // of everything seen: equal prints mean that nothing changed
	newest     time.Time // when the latest change was
	incomplete bool      // something went away while it was looked at
}

// entryCost is what an entry counts beside its content, in bytes.
const entryCost = 4096

// chunk is how much is copied between two looks at the context, in bytes.
const chunk = 256 << 10

// start begins at a folder: what belongs to its owner and is on its disk is
// gone through. into is nil to look only.
func (w *walk) start(source handle, into *handle) error {
	st, err := source.statSelf()
	if err != nil {
		return err
	}
	w.owner, w.device = st.Uid, st.Dev
	if into != nil {
		w.buffer = make([]byte, chunk)
	}
	if err := w.folder(source, st, into); err != nil {
		return err
	}
	if into == nil {
		return nil
	}
	st.Uid = w.giveTo
	return w.disk.attributes(*into, st, folderPermissions)
}

// folder goes through one folder; st was read before what is in it.
func (w *walk) folder(source handle, st unix.Stat_t, into *handle) error {
	w.note(source.path, st)
	for {
		names, err := source.Readdirnames(256)
		for _, name := range names {
			if err := w.entry(source, name, into); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read folder %q: %w", source.path, err)
		}
	}
}

func (w *walk) entry(source handle, name string, into *handle) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	st, err := source.stat(name)
	if errors.Is(err, unix.ENOENT) {
		w.incomplete = true
		return nil
	}
	if err != nil {
		return err
	}
	path := filepath.Join(source.path, name)
	if w.entries--; w.entries < 0 {
		return fmt.Errorf("%w: it has too many files", ErrTooLarge)
	}
	if err := w.spend(entryCost); err != nil {
		return err
	}
	w.note(path, st)
	if st.Uid != w.owner || st.Dev != w.device {
		w.leave(path)
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return w.within(source, name, st, into)
	case unix.S_IFREG:
		return w.file(source, name, st, into)
	case unix.S_IFLNK:
		return w.link(source, name, st, into)
	}
	w.leave(path)
	return nil
}

// leave counts an entry that is not copied.
func (w *walk) leave(path string) {
	if w.leftOut++; w.leftOut == 1 {
		w.firstLeft = path
	}
}

func (w *walk) spend(bytes int64) error {
	if w.bytes -= bytes; w.bytes < 0 && w.noRoom {
		return ErrNoRoom
	} else if w.bytes < 0 {
		return fmt.Errorf("%w: it is too large", ErrTooLarge)
	}
	return nil
}

// note adds an entry to the print. The order of entries doesn't matter, for a
// file system may give them in any.
func (w *walk) note(path string, st unix.Stat_t) {
	var h maphash.Hash
	h.SetSeed(w.seed)
	h.WriteString(path)
	for _, v := range []uint64{
		st.Ino, uint64(st.Mode), uint64(st.Uid), uint64(st.Gid), uint64(st.Size),
		uint64(st.Mtim.Nano()), uint64(st.Ctim.Nano()),
	} {
		h.Write(binary.LittleEndian.AppendUint64(nil, v))
	}
	w.print += h.Sum64()
	if changed := time.Unix(st.Ctim.Unix()); changed.After(w.newest) {
		w.newest = changed
	}
}

// within goes through a folder in a folder.
func (w *walk) within(source handle, name string, st unix.Stat_t, into *handle) error {
	if w.depth--; w.depth < 0 {
		return fmt.Errorf("%w: its folders are too deep within each other", ErrTooLarge)
	}
	defer func() { w.depth++ }()
	below, ok, err := w.openSame(source, name, st, unix.O_DIRECTORY)
	if !ok || err != nil {
		return err
	}
	defer below.close()
	if into == nil {
		return w.folder(below, st, nil)
	}
	copied, err := w.disk.mkdir(*into, name)
	if err != nil {
		return err
	}
	defer copied.close()
	w.made++
	if err := w.folder(below, st, &copied); err != nil {
		return err
	}
	st.Uid = w.giveTo
	return w.disk.attributes(copied, st, folderPermissions)
}

// openSame opens an entry if it is still what st tells of.
func (w *walk) openSame(source handle, name string, st unix.Stat_t, flags int) (opened handle, ok bool, err error) {
	path := filepath.Join(source.path, name)
	fd, err := openRetry(source.fd(), name, openFlags|flags, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR),
		errors.Is(err, unix.ENXIO), errors.Is(err, unix.EWOULDBLOCK): // replaced, or a lease is held on it
		w.incomplete = true
		return handle{}, false, nil
	case err != nil:
		return handle{}, false, fmt.Errorf("open %q: %w", path, err)
	}
	opened = newHandle(fd, path)
	now, err := opened.statSelf()
	if err == nil && now.Ino == st.Ino && now.Dev == st.Dev && now.Mode&unix.S_IFMT == st.Mode&unix.S_IFMT {
		return opened, true, nil
	}
	opened.close()
	w.incomplete = true
	return handle{}, false, err
}

func (w *walk) link(source handle, name string, st unix.Stat_t, into *handle) error {
	if into == nil {
		return nil
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(source.fd(), name, target)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // gone, or replaced
		w.incomplete = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read link %q: %w", filepath.Join(source.path, name), err)
	}
	if err := w.disk.symlink(*into, name, string(target[:n])); err != nil {
		return err
	}
	w.made++
	st.Uid = w.giveTo
	return w.disk.ownLink(*into, name, st)
}

func (w *walk) file(source handle, name string, st unix.Stat_t, into *handle) error {
	if into == nil {
		return nil
	}
	from, ok, err := w.openSame(source, name, st, 0)
	if !ok || err != nil {
		return err
	}
	defer from.close()
	to, err := w.disk.create(*into, name)
	if err != nil {
		return err
	}
	defer to.close()
	w.made++
	if err := w.content(from, to, st.Size); err != nil {
		return err
	}
	st.Uid = w.giveTo
	return w.disk.attributes(to, st, filePermissions)
}

// content copies what was written of the first size bytes; holes stay holes.
func (w *walk) content(from, to handle, size int64) error {
	for offset := int64(0); offset < size; {
		data, err := from.Seek(offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		end := size
		if err != nil {
			data = offset // a file system that knows no holes
		} else if hole, err := from.Seek(data, unix.SEEK_HOLE); err == nil {
			end = min(hole, size)
		}
		for offset = data; offset < end; {
			n, err := w.piece(from, to, offset, end)
			if err != nil {
				return err
			}
			if n == 0 { // it was cut off meanwhile
				w.incomplete = true
				return nil
			}
			offset += n
		}
	}
	return w.disk.resize(to, size)
}

func (w *walk) piece(from, to handle, offset, end int64) (int64, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := from.ReadAt(w.buffer[:min(chunk, end-offset)], offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read %q: %w", from.path, err)
	}
	if n == 0 {
		return 0, nil
	}
	if err := w.spend(int64(n)); err != nil {
		return 0, err
	}
	return int64(n), w.disk.writeAt(to, w.buffer[:n], offset)
}
