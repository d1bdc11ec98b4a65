package systemdisk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ErrDamaged says that a block is not what the tree of hashes says.
var ErrDamaged = errors.New("it was changed or is damaged")

// pieceSize is how much Check reads at once, in bytes.
const pieceSize = 256 << 10

// Check reads all of a checked device, so that damage in a part that is rarely used
// is known too. Before each piece it calls pause, which may end the work by an error.
// The error wraps ErrDamaged and names the first bad block.
func Check(ctx context.Context, device string, pause func(context.Context) error) (bytes int64, err error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	piece := make([]byte, pieceSize)
	for at := int64(0); ; {
		if err := pause(ctx); err != nil {
			return at, err
		}
		n, err := f.ReadAt(piece, at)
		// What was read for this is needed for nothing else.
		_ = unix.Fadvise(int(f.Fd()), at, int64(n), unix.FADV_DONTNEED)
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return at, nil
		case errors.Is(err, unix.EIO):
			return at, fmt.Errorf("block %d: %w", at/BlockSize, ErrDamaged)
		case err != nil:
			return at, err
		}
	}
}
