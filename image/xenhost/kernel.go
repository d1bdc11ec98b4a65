package xenhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"runa/image/kernel"
	"runa/services/hint"
)

// unpackKernel writes the ELF program inside of the bzImage at from. The hypervisor
// could unpack it itself, but takes seconds for it at each start where it is emulated.
func unpackKernel(ctx context.Context, to, from string) error {
	image, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	start, end, err := kernel.Payload(image)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", from, err)
	}
	return write(to, func(w io.Writer) error {
		var said strings.Builder
		xz := exec.CommandContext(ctx, "xz", "--decompress", "--stdout")
		xz.Stdin, xz.Stdout, xz.Stderr = bytes.NewReader(image[start:end]), w, &said
		err := xz.Run()
		if errors.Is(err, exec.ErrNotFound) {
			return hint.New(fmt.Errorf("unpack %s: %w", from, err), "apt-get install xz-utils")
		}
		if err != nil {
			return fmt.Errorf("unpack %s: xz: %w: %s", from, err, strings.TrimSpace(said.String()))
		}
		return nil
	})
}
