package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestWhatAnImageHoldsIsComparedByTheInventorysPaths(t *testing.T) {
	spec := testSpec(t)
	image, layout := buildImage(t, spec)
	contents, err := OpenContents(image, layout)
	if err != nil {
		t.Fatal(err)
	}
	for path, source := range map[string]string{"esp:" + KernelPath: spec.Kernel, PartitionPath(SystemName): spec.System, PartitionPath(ChromeName): spec.Chrome} {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		hash := fmt.Sprintf("%x", sha256.Sum256(content))
		size := int64(len(content))
		if err := contents.Check(path, size, hash); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for name, err := range map[string]error{
			"another hash": contents.Check(path, size, strings.Repeat("0", 64)), "shorter": contents.Check(path, size-1, hash),
			"negative": contents.Check(path, -1, hash), "longer than the disk": contents.Check(path, 1<<60, hash),
		} {
			if err == nil || errors.Is(err, ErrElsewhere) {
				t.Errorf("%s, %s: %v", path, name, err)
			}
		}
	}
	for _, path := range []string{"esp:/nowhere", PartitionPath("nowhere")} {
		if err := contents.Check(path, 1, ""); err == nil || errors.Is(err, ErrElsewhere) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"", "system:/bin/gilgul", "kernel:/init", "disk:boot sector and partition " + BIOSName} {
		if err := contents.Check(path, 1, ""); !errors.Is(err, ErrElsewhere) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
