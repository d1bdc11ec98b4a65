package flash

import (
	"fmt"
	"io"
	"os"

	"runa/image/qcow2"
	"runa/services/hint"
)

// source is what an image or a disk is read from.
type source struct {
	io.ReaderAt
	size  int64 // of the disk that it is or holds
	close func() error
}

// open opens a disk, a raw image or a qcow2 image for reading. A disk is read
// past the page cache, so that what is seen is what is on it.
func open(path string) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return source{}, err
	}
	switch {
	case info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0:
		d, err := openDevice(path, false)
		if err != nil {
			return source{}, hint.New(err, "reading a disk needs root: sudo runa-image ...")
		}
		return source{d, d.size, d.Close}, nil
	case !info.Mode().IsRegular():
		return source{}, hint.New(fmt.Errorf("%s is neither a file nor a disk", path), "name an image or a disk, as in /dev/sdb")
	}
	return openFile(path)
}

func openFile(path string) (source, error) {
	f, err := os.Open(path)
	if err != nil {
		return source{}, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return source{}, err
	}
	var magic [4]byte
	if n, err := f.ReadAt(magic[:], 0); n < len(magic) {
		f.Close()
		return source{}, hint.New(fmt.Errorf("read %s: %w", path, err), "images are made by `runa-image build`")
	}
	if string(magic[:]) != "QFI\xfb" {
		return source{f, info.Size(), f.Close}, nil
	}
	q, err := qcow2.Open(f, info.Size())
	if err != nil {
		f.Close()
		return source{}, err
	}
	return source{q, q.Size(), f.Close}, nil
}
