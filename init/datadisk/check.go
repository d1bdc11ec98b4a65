package datadisk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"runa/services/hint"
)

// Run starts the program at path, waits for it and returns what it printed on
// both streams and its exit status. err is for what kept it from running.
type Run func(ctx context.Context, path string, args ...string) (output string, status int, err error)

// Tools are the programs of e2fsprogs.
type Tools struct {
	Run  Run
	Fsck string // path of e2fsck
}

// The bits of e2fsck's exit status (e2fsck(8)).
const (
	fsckCorrected   = 1
	fsckReboot      = 2
	fsckUncorrected = 4
)

// Check lets e2fsck mend what can be mended without a question (-p) and says
// whether something was. device is a partition or a file, partition the same
// opened for reading. Nothing is written besides but the check sum of a superblock
// that is otherwise sound (see mendChecksum): when e2fsck gives up, the error says
// what was found and the hint what a person can do.
func (t Tools) Check(ctx context.Context, device string, partition io.ReaderAt) (repaired bool, err error) {
	output, status, err := t.Run(ctx, t.Fsck, "-p", device)
	if err != nil {
		return false, fmt.Errorf("check %s: %w", device, err)
	}
	mended := false
	if status&^(fsckCorrected|fsckReboot) != 0 {
		if mended, err = mendChecksum(device); err != nil {
			return false, fmt.Errorf("check %s: %w", device, err)
		}
	}
	if mended { // all of the file system shall agree with it
		if output, status, err = t.Run(ctx, t.Fsck, "-f", "-p", device); err != nil {
			return false, fmt.Errorf("check %s: %w", device, err)
		}
	}
	if status&^(fsckCorrected|fsckReboot) == 0 {
		return mended || status != 0, nil
	}
	if _, cause := ReadSuperblock(partition, superblockOffset); cause != nil {
		return false, diagnose(device, partition, cause)
	}
	if status&fsckUncorrected != 0 {
		changed := "nothing was changed"
		if mended {
			changed = "only the superblock's check sum was mended"
		}
		return false, hint.New(fmt.Errorf("check %s: the file system has errors that need a person's decision: %s", device, lastLine(output)),
			changed+"; copy the disk first, then boot with gilgul.console=root and run: e2fsck %s", device)
	}
	return false, fmt.Errorf("check %s: e2fsck ended with status %d: %s", device, status, lastLine(output))
}

// diagnose explains a superblock that can't be used.
func diagnose(device string, partition io.ReaderAt, cause error) error {
	if errors.Is(cause, ErrNoSuperblock) {
		cause = errors.New("the superblock is broken or overwritten")
	}
	backup, block, err := FindBackup(partition)
	if err != nil {
		return hint.New(fmt.Errorf("check %s: %w, and so is its first backup", device, cause),
			"nothing was changed; copy the disk before you try anything, or put the image on it again (which erases /data)")
	}
	return hint.New(fmt.Errorf("check %s: %w; a good copy is in block %d", device, cause, block),
		"nothing was changed; copy the disk first, then boot with gilgul.console=root and run: e2fsck -b %d -B %d %s", block, backup.BlockSize, device)
}

// worthGrowing is how much room, in bytes, a file system must be able to win.
const worthGrowing = 8 << 20

// Room says how many blocks the file system on partition would have if it
// filled partitionBytes, and whether that is worth growing for.
func Room(partition io.ReaderAt, partitionBytes int64) (blocks uint64, worth bool, err error) {
	s, err := ReadSuperblock(partition, superblockOffset)
	if err != nil {
		return 0, false, fmt.Errorf("compare the file system with its partition: %w", err)
	}
	return uint64(partitionBytes / s.BlockSize), partitionBytes-s.Bytes() >= worthGrowing, nil
}

// resizeRequest is EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64) (fs/ext4/ext4.h).
const resizeRequest = 1<<30 | 8<<16 | 'f'<<8 | 16

// growMounted lets the kernel enlarge the mounted file system, journalled, so
// that a power cut in the middle loses nothing. resize2fs asks for the same,
// but wants to write to the device itself, which the kernel forbids while it
// is mounted.
func growMounted(target string, blocks uint64) error {
	folder, err := os.Open(target)
	if err != nil {
		return fmt.Errorf("grow the file system: %w", err)
	}
	defer folder.Close()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, folder.Fd(), resizeRequest, uintptr(unsafe.Pointer(&blocks)))
	if errno != 0 {
		return fmt.Errorf("grow the file system at %s to %d blocks: %w", target, blocks, errno)
	}
	return nil
}

func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
