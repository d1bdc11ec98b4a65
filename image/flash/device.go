package flash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"runa/services/hint"
)

// Disk is what sysfs says of a whole disk.
type Disk struct {
	Path       string // as it was named
	Name       string // the kernel's: sdb, mmcblk0, nvme0n1
	Number     Number
	Sequence   string // changes with each medium put in; "" before Linux 5.15
	Model      string // maker and model; "" if it tells none
	Size       int64  // in bytes; 0: there is no medium in it
	SectorSize int64  // in bytes, the logical one
	Removable  bool
	ReadOnly   bool
	Partitions []Device
}

// Device is a block device.
type Device struct {
	Name   string
	Number Number
}

// Disk returns what this machine knows of the disk at path. A path that isn't a
// whole disk is refused.
func (h Host) Disk(path string) (Disk, error) {
	number, err := h.Number(path)
	if errors.Is(err, ErrNotBlock) {
		return Disk{}, refuse("name the disk itself, as in /dev/sdb; `lsblk -d` lists them", "%w", err)
	}
	if err != nil {
		return Disk{}, refuse("is it plugged in? `lsblk -d` lists the disks", "%w", err)
	}
	folder, err := h.folder(number)
	if err != nil {
		return Disk{}, refuse("is /sys mounted?", "%s: no such device in sysfs: %w", path, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "partition")); err == nil {
		whole := "/dev/" + deviceName(filepath.Dir(folder))
		return Disk{}, refuse(fmt.Sprintf("an image has partitions of its own: name the disk, %s, if all on it may go", whole),
			"%s is a partition, not a whole disk", path)
	}
	return h.describe(path, folder, number)
}

func (h Host) describe(path, folder string, number Number) (Disk, error) {
	size, err := readInt(folder, "size")
	if err != nil {
		return Disk{}, refuse("", "%s: %w", path, err)
	}
	sector, err := readInt(folder, "queue/logical_block_size")
	if err != nil {
		return Disk{}, refuse("", "%s: %w", path, err)
	}
	if size > 1<<53 || sector > 1<<20 {
		return Disk{}, refuse("", "%s: sysfs says %d sectors, blocks of %d bytes: impossible", path, size, sector)
	}
	d := Disk{
		Path: path, Name: deviceName(folder), Number: number, Sequence: readText(folder, "diskseq"),
		Size: size * 512, SectorSize: sector, // sysfs counts sectors of 512 bytes, whatever the disk's are
		// What can't be read is taken for what refuses.
		Removable: readText(folder, "removable") == "1", ReadOnly: readText(folder, "ro") != "0",
		Model: strings.Join(strings.Fields(readText(folder, "device/vendor")+" "+readText(folder, "device/model")+
			" "+readText(folder, "device/name")), " "), // an SD card has a name and no model
	}
	if strings.HasPrefix(d.Name, "loop") {
		d.Model = "loop device of " + readText(folder, "loop/backing_file")
	} else if strings.HasPrefix(readText(folder, "device/vendor"), "0x") { // virtio's is a number
		d.Model = "virtual disk"
	}
	d.Partitions, err = h.partitions(folder)
	return d, err
}

// folder returns the device's folder in sysfs.
func (h Host) folder(number Number) (string, error) {
	return filepath.EvalSymlinks(filepath.Join(h.Sys, "dev/block", number.String()))
}

// partitions lists a disk's partitions.
func (h Host) partitions(folder string) ([]Device, error) {
	found, err := filepath.Glob(filepath.Join(escapeGlob(folder), "*", "partition"))
	if err != nil {
		return nil, err
	}
	var list []Device
	for _, file := range found {
		one, err := readDevice(filepath.Dir(file))
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

func readDevice(folder string) (Device, error) {
	number, err := parseNumber(readText(folder, "dev"))
	if err != nil {
		return Device{}, fmt.Errorf("read %s/dev: %w", folder, err)
	}
	return Device{Name: deviceName(folder), Number: number}, nil
}

// deviceName is the name in /dev of the device whose folder this is: sysfs writes
// "!" where /dev has a folder.
func deviceName(folder string) string { return strings.ReplaceAll(filepath.Base(folder), "!", "/") }

// readText returns an attribute of sysfs, "" if there is none.
func readText(folder, name string) string {
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return ""
	}
	return printable(strings.TrimSpace(string(data)))
}

func readInt(folder, name string) (int64, error) {
	n, err := parseAmount(readText(folder, name))
	if err != nil {
		return 0, fmt.Errorf("read %s/%s: %w", folder, name, err)
	}
	return n, nil
}

func parseAmount(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no amount", text)
	}
	return n, nil
}

// printable keeps what a device says of itself from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// refuse makes an error that says that nothing was written and why.
func refuse(advice, format string, args ...any) error {
	err := fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
	if advice == "" {
		return err
	}
	return hint.New(err, "%s", advice)
}
