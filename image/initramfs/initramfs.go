// Package initramfs collects the files of the appliance's root file system and
// writes them as one cpio archive compressed with zstd, the form the kernel
// unpacks at boot. The same files give the same bytes: names are sorted, times
// are zero and everything belongs to root unless said otherwise.
package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
)

// Tree is a root file system in the making. Paths are relative to the root,
// without a leading slash. What is added later replaces what was there.
type Tree struct {
	records map[string]cpio.Record
}

// New returns a tree with the few device nodes that exist before devtmpfs does.
func New() *Tree {
	t := &Tree{records: map[string]cpio.Record{}}
	t.put(cpio.CharDev("dev/console", 0o600, 5, 1))
	t.put(cpio.CharDev("dev/null", 0o666, 1, 3))
	return t
}

// Directory adds an empty folder.
func (t *Tree) Directory(name string, mode fs.FileMode) {
	t.put(cpio.Directory(name, uint64(mode.Perm())))
}

// Symlink adds a symbolic link at name that points to target.
func (t *Tree) Symlink(name, target string) { t.put(cpio.Symlink(name, target)) }

// Bytes adds a file with the given content.
func (t *Tree) Bytes(name string, content []byte, mode fs.FileMode) {
	t.put(cpio.StaticFile(name, string(content), uint64(mode.Perm())))
}

// File adds a copy of the file at source on the build machine.
func (t *Tree) File(name, source string, mode fs.FileMode) error {
	content, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("add /%s to the root file system: %w", name, err)
	}
	t.Bytes(name, content, mode)
	return nil
}

// Overlay adds all files below dir under the same names. A file that its owner
// may execute is 0755, any other 0644, whatever the umask of the checkout was.
func (t *Tree) Overlay(dir string) error { return t.Folder("", dir) }

// Folder adds all files below dir under the same names below name, as Overlay does.
func (t *Tree) Folder(name, dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("lay %s over the root file system: %w", dir, err)
		}
		below, err := filepath.Rel(dir, p)
		if err != nil || below == "." {
			return err
		}
		name := path.Join(name, below)
		switch {
		case d.IsDir():
			t.Directory(name, 0o755)
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return fmt.Errorf("lay %s over the root file system: %w", dir, err)
			}
			t.Symlink(name, target)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("lay %s over the root file system: %w", dir, err)
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return t.File(name, p, mode)
	})
}

func (t *Tree) put(r cpio.Record) {
	r.Name = path.Clean(strings.TrimPrefix(r.Name, "/"))
	t.records[r.Name] = r
}

// Unpack writes the tree into the folder dir, which becomes its root and readable
// for all, without the device nodes: devtmpfs has them. Nothing may be in it yet.
func (t *Tree) Unpack(dir string) error {
	t.addParents()
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("unpack the root file system: %w", err)
	}
	for _, name := range t.names() {
		r, to := t.records[name], filepath.Join(dir, filepath.FromSlash(name))
		var content []byte
		var err error
		if r.ReaderAt != nil {
			content, err = io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		}
		switch mode := fs.FileMode(r.Mode & 0o777); r.Mode & cpio.S_IFMT {
		case cpio.S_IFDIR:
			err = errors.Join(err, os.Mkdir(to, 0o755), os.Chmod(to, mode))
		case cpio.S_IFLNK:
			err = errors.Join(err, os.Symlink(string(content), to))
		case cpio.S_IFREG:
			err = errors.Join(err, os.WriteFile(to, content, mode), os.Chmod(to, mode))
		}
		if err != nil {
			return fmt.Errorf("unpack the root file system: %w", err)
		}
	}
	return nil
}

// names are all paths, a folder before what it holds.
func (t *Tree) names() []string { return slices.Sorted(maps.Keys(t.records)) }

// Write writes the archive. level is zstd's own, 1 to 22.
func (t *Tree) Write(w io.Writer, level int) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("compress the root file system: %w", err)
	}
	if err := t.Archive(z); err != nil {
		return errors.Join(fmt.Errorf("write the root file system: %w", err), z.Close())
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress the root file system: %w", err)
	}
	return nil
}

// Archive writes the archive as it is, not compressed.
func (t *Tree) Archive(w io.Writer) error {
	t.addParents()
	out := cpio.Newc.Writer(w)
	for i, name := range t.names() {
		r := cpio.MakeReproducible(t.records[name])
		r.Ino = uint64(i) + 1 // equal numbers would read as hard links
		if err := out.WriteRecord(r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return cpio.WriteTrailer(out)
}

func (t *Tree) addParents() {
	for name := range t.records {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := t.records[dir]; !ok {
				t.records[dir] = cpio.Directory(dir, 0o755)
			}
		}
	}
}
