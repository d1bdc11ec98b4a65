package kernel

import (
	"encoding/binary"
	"testing"
)

// bzImage is a kernel of one setup sector with a payload at offset behind it.
func bzImage(offset, length uint32, rest string) []byte {
	image := make([]byte, 2*512, 2*512+len(rest))
	image[setupSectors] = 1
	copy(image[magic:], "HdrS")
	binary.LittleEndian.PutUint32(image[payloadOffset:], offset)
	binary.LittleEndian.PutUint32(image[payloadLength:], length)
	return append(image, rest...)
}

func TestThePayloadOfAKernelIsFoundByItsHeader(t *testing.T) {
	image := bzImage(3, 4+6, "...packedSIZErest")
	start, end, err := Payload(image)
	if err != nil || string(image[start:end]) != "packed" {
		t.Errorf("%d to %d, %v", start, end, err)
	}
}

func TestAKernelWhoseHeaderIsWrongIsRefused(t *testing.T) {
	for name, image := range map[string][]byte{
		"empty": nil, "no kernel": make([]byte, 4096), "beyond the end": bzImage(3, 100, "packed"),
		"shorter than its size": bzImage(0, 3, "packed"), "far beyond": bzImage(1<<32-1, 1<<32-1, "packed"),
	} {
		if start, end, err := Payload(image); err == nil {
			t.Errorf("%s: accepted, bytes %d to %d", name, start, end)
		}
	}
}
