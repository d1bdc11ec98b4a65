package qcow2

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// nextData returns where, from offset on, raw may hold data: behind the cluster
// that ends at size if only a hole is left, offset itself where nothing is known
// about holes.
func nextData(raw io.ReaderAt, offset, size int64) int64 {
	file, ok := raw.(*os.File)
	if !ok {
		return offset
	}
	data, err := file.Seek(offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size + clusterSize
	case err != nil:
		return offset
	}
	return data
}
