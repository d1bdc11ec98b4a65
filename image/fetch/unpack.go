package fetch

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"runa/image/progress"
)

// unpackTgz unpacks an npm archive below dir without its first folder. Only
// regular files and folders are taken, only with local names, so nothing lands elsewhere.
func unpackTgz(archive, dir string, task *progress.Task) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	entries := tar.NewReader(unzipped)
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = unpackEntry(root, entry, entries)
		}
		if err != nil {
			return err
		}
		if read, err := file.Seek(0, io.SeekCurrent); err == nil {
			task.Set(read, info.Size(), "bytes")
		}
	}
}

func unpackEntry(root *os.Root, entry *tar.Header, content io.Reader) error {
	name := entry.Name
	if !filepath.IsLocal(name) {
		return fmt.Errorf("entry %q leads out of the archive", name)
	}
	_, name, inside := strings.Cut(path.Clean(name), "/")
	switch entry.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		if !inside {
			return nil
		}
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		if !inside {
			return fmt.Errorf("entry %q lies outside of the archive's one folder", entry.Name)
		}
	default:
		return fmt.Errorf("entry %q is neither a file nor a folder (type %q)", entry.Name, entry.Typeflag)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if entry.Mode&0o111 != 0 {
		mode = 0o755
	}
	out, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, content)
	return errors.Join(err, out.Close())
}
