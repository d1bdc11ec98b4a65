// Package datadisk owns /data, the one place of the appliance that lasts: it
// finds the partition by its type and name, grows it to the disk, checks it,
// mounts it and, at the end, unmounts it.
//
// It never formats anything and never writes to a file system that e2fsck can't
// mend by itself, but for a check sum (see mendChecksum): a defect ends in an error that says what was found, with a
// hint at what a person can do. A power cut at any instant leaves a disk that
// the next start can use.
package datadisk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"runa/services/hint"
)

// Config says where things are. All paths are absolute.
type Config struct {
	SysBlock string        // /sys/class/block
	Dev      string        // /dev
	Target   string        // where to mount: /data
	Wait     time.Duration // how long a disk may take to appear
	Tools    Tools
	Log      hclog.Logger
}

// Data is the mounted file system.
type Data struct {
	Device string // /dev/vda4
	target string
}

// Open does everything from finding the partition to mounting it. Each error
// means that nothing is mounted.
func Open(ctx context.Context, c Config) (*Data, error) {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	events, err := watchDisks(watch)
	if err != nil {
		return nil, err
	}
	candidate, err := await(ctx, c.SysBlock, c.Dev, c.Wait, events)
	if err != nil {
		return nil, err
	}
	if err := c.fitToDisk(&candidate); err != nil {
		// An old size is no reason to do without the data.
		c.Log.Warn("the data partition keeps its size", "reason", err)
	}
	device := filepath.Join(c.Dev, candidate.Name())
	partition, err := os.Open(device)
	if err != nil {
		return nil, fmt.Errorf("open the data partition: %w", err)
	}
	defer partition.Close()
	repaired, err := c.Tools.Check(ctx, device, partition)
	if err != nil {
		return nil, err
	}
	if repaired {
		c.Log.Warn("the file system of /data was repaired", "device", device)
	}
	if err := mount(device, c.Target); err != nil {
		return nil, err
	}
	data := &Data{Device: device, target: c.Target}
	bytes := int64(candidate.Partition.Sectors()) * int64(candidate.Table.sectorSize)
	blocks, worth, err := Room(partition, bytes)
	if err == nil && worth {
		err = growMounted(c.Target, blocks)
	}
	if err != nil {
		c.Log.Warn("the file system of /data keeps its size", "reason", err)
	}
	size, free := data.Usage()
	c.Log.Info("/data is mounted", "device", device, "bytes", size, "free", free)
	return data, nil
}

// fitToDisk mends a damaged primary table, lets the partition reach to the end
// of the disk and tells the kernel.
func (c Config) fitToDisk(candidate *Candidate) error {
	table, grown := candidate.Table.Grow(candidate.Partition.Number)
	if !grown && !table.FromBackup {
		return nil
	}
	disk, err := os.OpenFile(filepath.Join(c.Dev, candidate.Disk), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("grow the data partition: %w", err)
	}
	defer disk.Close()
	if err := table.Write(disk); err != nil {
		return fmt.Errorf("grow the data partition: %w", err)
	}
	candidate.Table = table
	candidate.Partition, _ = table.Find(LinuxData, Label)
	c.Log.Info("the partition table was written", "disk", candidate.Disk, "grown", grown, "repaired", table.FromBackup)
	return tellKernel(disk, table.sectorSize, candidate.Partition)
}

func mount(device, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	const flags = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NOATIME
	err := unix.Mount(device, target, "ext4", flags, "errors=remount-ro")
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		return hint.New(fmt.Errorf("mount %s on %s: the disk is write-protected", device, target), "attach it writable and start again")
	}
	if err != nil {
		return fmt.Errorf("mount %s on %s: %w", device, target, err)
	}
	return nil
}

// Folder makes the folder name directly below /data, or takes over the one
// that is there, with that owner and mode. What lies in it is left alone.
func (d *Data) Folder(name string, uid, gid int, mode fs.FileMode) error {
	root, err := os.OpenRoot(d.target)
	if err != nil {
		return fmt.Errorf("make folder %s: %w", name, err)
	}
	defer root.Close()
	if err := root.Mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder in %s: %w", d.target, err)
	}
	if info, err := root.Lstat(name); err != nil || !info.IsDir() {
		return hint.New(fmt.Errorf("make folder %s: something else has that name", filepath.Join(d.target, name)), "move it away")
	}
	if err := root.Chown(name, uid, gid); err != nil {
		return fmt.Errorf("give folder to its owner: %w", err)
	}
	if err := root.Chmod(name, mode); err != nil {
		return fmt.Errorf("set mode of folder: %w", err)
	}
	return nil
}

// Usage gives the size of the file system and what is free for programs, in
// bytes; zeros when it can't be asked.
func (d *Data) Usage() (size, free uint64) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.target, &s); err != nil {
		return 0, 0
	}
	return s.Blocks * uint64(s.Bsize), s.Bavail * uint64(s.Bsize)
}

// Close unmounts /data. When a program still holds a file there, the file
// system is made read-only instead, which leaves it just as clean.
func (d *Data) Close() error {
	unix.Sync()
	err := unix.Unmount(d.target, 0)
	if err == nil || errors.Is(err, unix.EINVAL) { // EINVAL: it isn't mounted any more
		return nil
	}
	if readOnly := unix.Mount("", d.target, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); readOnly != nil {
		return fmt.Errorf("unmount %s: %w; make it read-only: %w", d.target, err, readOnly)
	}
	return nil
}
