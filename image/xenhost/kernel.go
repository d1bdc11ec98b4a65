package xenhost

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"runa/services/hint"
)

// unpackKernel writes the ELF program inside of the bzImage at from. The hypervisor
// could unpack it itself, but takes seconds for it at each start where it is emulated.
func unpackKernel(ctx context.Context, to, from string) error {
	image, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	packed, err := payload(image)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", from, err)
	}
	return write(to, func(w io.Writer) error {
		var said strings.Builder
		xz := exec.CommandContext(ctx, "xz", "--decompress", "--stdout")
		xz.Stdin, xz.Stdout, xz.Stderr = bytes.NewReader(packed), w, &said
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

// Places in a bzImage's header, from the kernel's Documentation/arch/x86/boot.rst.
const (
	setupSectors  = 0x1f1 // of 512 bytes, u8, without the first
	magic         = 0x202 // "HdrS"
	payloadOffset = 0x248 // u32, from the end of the setup sectors
	payloadLength = 0x24c // u32
	headerEnd     = 0x250
)

// payload returns the compressed kernel in a bzImage, without the four bytes behind it
// that say how large it will be.
func payload(image []byte) ([]byte, error) {
	if len(image) < headerEnd || string(image[magic:magic+4]) != "HdrS" {
		return nil, errors.New("it is no bzImage")
	}
	start := (int64(image[setupSectors])+1)*512 + int64(binary.LittleEndian.Uint32(image[payloadOffset:]))
	end := start + int64(binary.LittleEndian.Uint32(image[payloadLength:])) - 4
	if start > end || end > int64(len(image)) {
		return nil, fmt.Errorf("its header says that the kernel is in bytes %d to %d of %d", start, end, len(image))
	}
	return image[start:end], nil
}
