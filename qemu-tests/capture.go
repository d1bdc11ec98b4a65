package qemutests

import (
	"encoding/binary"
	"fmt"
	"os"
)

// Frames counts the frames in a capture file of QEMU's filter-dump: the classic
// pcap format in the host's byte order, a 24-byte header, then for each frame
// 16 bytes (seconds, microseconds, bytes kept, bytes on the wire) and its data.
// A file without a proper header is an error, not "no frames".
func Frames(path string) (int, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the packet capture: %w", err)
	}
	if len(content) < 24 || binary.NativeEndian.Uint32(content) != 0xa1b2c3d4 {
		return 0, fmt.Errorf("read the packet capture %s: it is not a pcap file", path)
	}
	frames := 0
	for rest := content[24:]; len(rest) > 0; frames++ {
		if len(rest) < 16 {
			return 0, fmt.Errorf("read the packet capture %s: frame %d is cut off", path, frames+1)
		}
		kept := int(binary.NativeEndian.Uint32(rest[8:]))
		if len(rest)-16 < kept {
			return 0, fmt.Errorf("read the packet capture %s: frame %d is cut off", path, frames+1)
		}
		rest = rest[16+kept:]
	}
	return frames, nil
}
