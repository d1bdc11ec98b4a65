package xenhost

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
	got, err := payload(bzImage(3, 4+6, "...packedSIZErest"))
	if err != nil || string(got) != "packed" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAKernelWhoseHeaderIsWrongIsRefused(t *testing.T) {
	for name, image := range map[string][]byte{
		"empty": nil, "no kernel": make([]byte, 4096), "beyond the end": bzImage(3, 100, "packed"),
		"shorter than its size": bzImage(0, 3, "packed"), "far beyond": bzImage(1<<32-1, 1<<32-1, "packed"),
	} {
		if got, err := payload(image); err == nil {
			t.Errorf("%s: accepted, %d bytes", name, len(got))
		}
	}
}
