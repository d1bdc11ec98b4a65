package flash

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Check refuses to let size bytes be written to disk if that would hurt this
// machine or can't work. force allows a disk that is not removable, nothing else.
func (h Host) Check(disk Disk, size int64, force bool) error {
	if disk.Size == 0 {
		return refuse("put a stick or card into it", "%s has no medium in it", disk.Path)
	}
	if err := h.checkUse(disk); err != nil {
		return err
	}
	switch {
	case disk.ReadOnly:
		return refuse("some sticks and SD cards have a switch for it", "%s is read-only", disk.Path)
	case disk.SectorSize != 512:
		return refuse("take another stick; most have sectors of 512 bytes",
			"%s has sectors of %d bytes, and the image's partition table counts in 512", disk.Path, disk.SectorSize)
	case disk.Size < size:
		return refuse("take a larger disk, or build a smaller image: `runa-image build --size MIB`",
			"%s has %s, the image needs %s", disk.Path, amount(disk.Size), amount(size))
	case !disk.Removable && !force:
		return refuse("if it is the right one (some card readers and USB disks say that they are fixed), add --force",
			"%s (%s) is not removable", disk.Path, disk.title())
	}
	return nil
}

func (d Disk) title() string {
	if d.Model == "" {
		return amount(d.Size)
	}
	return d.Model + ", " + amount(d.Size)
}

// amount is a size as it is printed on sticks and as a person compares it.
func amount(bytes int64) string {
	if bytes < 1e9 {
		return fmt.Sprintf("%d MB", bytes/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}

// part is a device that stands on the disk: itself, a partition, or what is
// stacked on one of them.
type part struct {
	Device
	by string // how it is stacked: "" for the disk and its partitions
}

// checkUse refuses a disk that something on this machine uses.
func (h Host) checkUse(disk Disk) error {
	parts, err := h.parts(disk)
	if err != nil {
		return refuse("", "look who uses %s: %w", disk.Path, err)
	}
	mounts, err := h.mounts()
	if err != nil {
		return refuse("is /proc mounted?", "look what is mounted: %w", err)
	}
	swaps, err := h.swaps()
	if err != nil {
		return refuse("", "look what is swap space: %w", err)
	}
	if err := h.checkMounts(disk, parts, mounts); err != nil {
		return err
	}
	for _, s := range swaps {
		if p, ok := h.holds(parts, Number{}, s.path); ok {
			return refuse(fmt.Sprintf("if this machine can do without: swapoff %s", s.path), "%s is used as swap space (%s)", disk.Path, p.Name)
		}
	}
	for _, p := range parts {
		if p.by != "" {
			return refuse(fmt.Sprintf("let go of %s first (dmsetup, vgchange, mdadm --stop, losetup -d)", p.Name), "%s is in use: %s", disk.Path, p.by)
		}
	}
	return nil
}

// checkMounts refuses what this machine runs from first, whatever else is mounted.
func (h Host) checkMounts(disk Disk, parts []part, mounts []mount) error {
	var found *mount
	var on part
	for _, m := range mounts {
		p, ok := h.holds(parts, m.number, m.source)
		if !ok {
			continue
		}
		if vital(m.point) {
			return refuse("name another disk: this one would take the machine with it; `lsblk -d` lists them",
				"this machine runs from %s (%s is %s)", disk.Path, p.Name, m.point)
		}
		if found == nil {
			found, on = &m, p
		}
	}
	if found == nil {
		return nil
	}
	return refuse(fmt.Sprintf("if nothing on it is needed: umount %q", found.point), "%s is mounted: %s at %s", disk.Path, on.Name, printable(found.point))
}

// vital tells the places a machine can't do without.
func vital(point string) bool {
	return point == "/" || point == "/usr" || point == "/efi" || point == "/boot" || strings.HasPrefix(point, "/boot/")
}

// holds returns the part that has that number or is the device at path. A path
// that no longer exists still counts by its name.
func (h Host) holds(parts []part, number Number, path string) (part, bool) {
	atPath := Number{}
	if strings.HasPrefix(path, "/") {
		if n, err := h.Number(path); err == nil {
			atPath = n
		}
	}
	for _, p := range parts {
		if p.Number == number || p.Number == atPath || path == "/dev/"+p.Name {
			return p, true
		}
	}
	return part{}, false
}

// parts lists the disk, its partitions and all that is stacked on them: device
// mapper, RAID, and loop devices whose file is one of them.
func (h Host) parts(disk Disk) ([]part, error) {
	loops, err := h.loops()
	if err != nil {
		return nil, err
	}
	list := []part{{Device: Device{disk.Name, disk.Number}}}
	for _, p := range disk.Partitions {
		list = append(list, part{Device: p})
	}
	seen := map[Number]bool{}
	for i := 0; i < len(list); i++ { // list grows meanwhile
		if seen[list[i].Number] {
			continue
		}
		seen[list[i].Number] = true
		folder, err := h.folder(list[i].Number)
		if err != nil {
			return nil, err
		}
		above, err := h.above(folder)
		if err != nil {
			return nil, err
		}
		for _, one := range append(above, loops[list[i].Number]...) {
			if !seen[one.Number] {
				list = append(list, part{one, fmt.Sprintf("%s is part of %s", list[i].Name, one.Name)})
			}
		}
	}
	return list, nil
}

// above lists the devices that hold the one whose folder this is, with their
// partitions.
func (h Host) above(folder string) ([]Device, error) {
	links, err := filepath.Glob(filepath.Join(escapeGlob(folder), "holders", "*"))
	if err != nil {
		return nil, err
	}
	var list []Device
	for _, link := range links {
		holder, err := filepath.EvalSymlinks(link)
		if err != nil {
			return nil, err
		}
		one, err := readDevice(holder)
		if err != nil {
			return nil, err
		}
		inside, err := h.partitions(holder)
		if err != nil {
			return nil, err
		}
		list = append(append(list, one), inside...)
	}
	return list, nil
}

// loops lists the loop devices whose file is a block device, by its number.
func (h Host) loops() (map[Number][]Device, error) {
	found, err := filepath.Glob(filepath.Join(escapeGlob(h.Sys), "block", "loop*", "loop", "backing_file"))
	if err != nil {
		return nil, err
	}
	loops := map[Number][]Device{}
	for _, file := range found {
		folder := filepath.Dir(filepath.Dir(file))
		number, err := h.Number(readText(folder, "loop/backing_file"))
		if err != nil {
			continue // a file, as nearly always
		}
		one, err := readDevice(folder)
		if err != nil {
			return nil, err
		}
		inside, err := h.partitions(folder)
		if err != nil {
			return nil, err
		}
		loops[number] = append(append(loops[number], one), inside...)
	}
	return loops, nil
}
