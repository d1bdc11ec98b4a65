package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/go-dmverity/pkg/verity" // the tree of hashes that the kernel's dm-verity reads

	"runa/init/systemdisk"
)

// clusterBytes is how much of a file is compressed at once: more makes the system
// smaller (by a seventh against single blocks) and makes a small read longer.
const clusterBytes = "65536"

// WriteSystem makes the system's partition at path out of the files in the folder
// tree: a file system, and behind it the tree of hashes that systemdisk describes.
// All files belong to root and carry the time at; the same files give the same bytes.
// A zero time is Epoch.
func WriteSystem(ctx context.Context, tree, path string, at time.Time, tools Tools) (systemdisk.System, error) {
	s, err := writeSystem(ctx, tree, path, at, tools)
	if err != nil {
		os.Remove(path)
		return s, fmt.Errorf("make the system's partition: %w", err)
	}
	return s, nil
}

func writeSystem(ctx context.Context, tree, path string, at time.Time, tools Tools) (s systemdisk.System, err error) {
	if at.IsZero() {
		at = Epoch
	}
	if tree, err = filepath.Abs(tree); err != nil {
		return s, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return s, err
	}
	if err := os.RemoveAll(path); err != nil {
		return s, err
	}
	r := runner{Tools: tools, time: at, dir: filepath.Dir(path)}
	_, err = r.run(ctx, tools.MkfsErofs, "mkfs.erofs", "erofs-utils",
		"--quiet", "-zlz4hc,12", "-C"+clusterBytes, "-T"+fmt.Sprint(at.Unix()), "-U"+deriveGUID("runa", SystemName),
		"--all-root", "-x-1", path, tree)
	if err != nil {
		return s, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	s.Blocks = uint64(info.Size()+systemdisk.BlockSize-1) / systemdisk.BlockSize
	size := int64(s.Blocks) * systemdisk.BlockSize
	if err := os.Truncate(path, size); err != nil {
		return s, err
	}
	root, err := verity.Create(&verity.Params{
		HashName: "sha256", HashType: 1, DataBlockSize: systemdisk.BlockSize, HashBlockSize: systemdisk.BlockSize,
		DataBlocks: s.Blocks, HashAreaOffset: uint64(size), NoSuperblock: true,
	}, path, path)
	if err != nil {
		return s, fmt.Errorf("make its tree of hashes: %w", err)
	}
	if copy(s.Root[:], root) != len(s.Root) || len(root) != len(s.Root) {
		return s, fmt.Errorf("make its tree of hashes: the root has %d bytes", len(root))
	}
	return s, nil
}
