package systemdisk

import (
	"fmt"
	"io"
	"os"

	"github.com/containerd/go-dmverity/pkg/dm" // device-mapper's ioctls, without libdevmapper
	"golang.org/x/sys/unix"
)

// mapping is the name of the device that the kernel checks what it reads for.
const mapping = "runa-system"

// Device is where the checked system can be read. It is the first device of
// device-mapper, for the system is mapped before anything else runs.
const Device = "/dev/dm-0"

// FileSystem is the type of the system's file system.
const FileSystem = "erofs"

// Mount mounts the system that is on device at target; from then on each block is
// checked when it is read, and one that was changed is an input/output error.
func (s System) Mount(device, target string) error {
	if err := s.mapAs(mapping, device); err != nil {
		return fmt.Errorf("check %s: %w", device, err)
	}
	if err := unix.Mount(Device, target, FileSystem, unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount the system on %s: %w", device, err)
	}
	return nil
}

// mapAs makes the checked device.
func (s System) mapAs(name, device string) error {
	parameters, err := dm.BuildTargetParams(dm.OpenArgs{
		Version: 1, DataDevice: device, HashDevice: device, DataBlockSize: BlockSize, HashBlockSize: BlockSize,
		DataBlocks: s.Blocks, HashName: "sha256", RootDigest: s.Root[:], HashStartBytes: s.Blocks * BlockSize,
	})
	if err != nil {
		return err
	}
	control, err := dm.Open()
	if err != nil {
		return err
	}
	defer control.Close()
	if _, err := control.CreateDevice(name); err != nil {
		return err
	}
	table := []dm.Target{{Length: s.Blocks * (BlockSize / 512), Type: "verity", Params: parameters}}
	if err := control.LoadTable(name, table); err != nil {
		return err
	}
	return control.SuspendDevice(name, false) // resumed: it begins to answer
}

// ReadThrough reads a file to its end, so that a changed block of it is found now.
func ReadThrough(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// io.Discard itself would ask for 8 KiB at a time, which takes a fifth longer.
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, pieceSize))
	return err
}
