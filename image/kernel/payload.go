package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Places in a bzImage's header, from the kernel's Documentation/arch/x86/boot.rst.
const (
	setupSectors  = 0x1f1 // of 512 bytes, u8, without the first
	magic         = 0x202 // "HdrS"
	payloadOffset = 0x248 // u32, from the end of the setup sectors
	payloadLength = 0x24c // u32
	headerEnd     = 0x250
)

// Payload returns where in a bzImage the compressed kernel is, without the four bytes
// behind it that say how large it will be.
func Payload(image []byte) (start, end int, err error) {
	if len(image) < headerEnd || string(image[magic:magic+4]) != "HdrS" {
		return 0, 0, errors.New("it is no bzImage")
	}
	start = (int(image[setupSectors])+1)*512 + int(binary.LittleEndian.Uint32(image[payloadOffset:]))
	end = start + int(binary.LittleEndian.Uint32(image[payloadLength:])) - 4
	if start > end || end > len(image) {
		return 0, 0, fmt.Errorf("its header says that the kernel is in bytes %d to %d of %d", start, end, len(image))
	}
	return start, end, nil
}
