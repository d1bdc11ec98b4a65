package systemdisk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What Find can fail with.
var (
	ErrNone  = errors.New("no disk has a partition " + PartitionName)
	ErrOther = errors.New("it is not the system that belongs to this kernel, or it was changed")
)

// Find returns the device, below the folder dev, of the partition that holds s. It
// looks at the partitions below sysBlock (/sys/class/block) that have the right
// name; where another disk carries one too, the root of its tree tells them apart.
// The error wraps ErrNone or ErrOther.
func Find(sysBlock, dev string, s System) (device string, err error) {
	entries, err := os.ReadDir(sysBlock)
	if err != nil {
		return "", fmt.Errorf("list disks: %w", err)
	}
	failed := ErrNone
	for _, e := range entries {
		said, err := os.ReadFile(filepath.Join(sysBlock, e.Name(), "uevent"))
		if err != nil || !strings.Contains("\n"+string(said), "\nPARTNAME="+PartitionName+"\n") {
			continue
		}
		device := filepath.Join(dev, e.Name())
		if err := s.isOn(device); err != nil {
			failed = fmt.Errorf("%s: %w", device, err)
			continue
		}
		return device, nil
	}
	return "", failed
}

// isOn checks the block at the top of a device's tree.
func (s System) isOn(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer f.Close()
	top := make([]byte, BlockSize)
	if _, err := f.ReadAt(top, int64(s.Blocks)*BlockSize); err != nil {
		return errors.Join(ErrOther, err)
	}
	if sha256.Sum256(top) != s.Root {
		return ErrOther
	}
	return nil
}
