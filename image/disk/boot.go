package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Where the boot files are in the boot partition.
const (
	UKIPath       = "/EFI/BOOT/BOOTX64.EFI"
	KernelPath    = "/boot/bzImage"
	GRUBPath      = "/boot/grub/grub.cfg"
	InventoryPath = "/boot/inventory.json" // only if Spec.Inventory is given
)

type bootFile struct{ source, path string }

// bootFiles are the files of the boot partition that Spec names.
func (s Spec) bootFiles() []bootFile {
	files := []bootFile{{s.Kernel, KernelPath}, {s.UKI, UKIPath}}
	if s.Inventory != "" {
		files = append(files, bootFile{s.Inventory, InventoryPath})
	}
	return files
}

// bootSize is the size of the boot partition in bytes: room for the files, their
// allocation tables (under 2 %) and the folders.
func bootSize(spec Spec) (int64, error) {
	var total int64
	for _, file := range spec.bootFiles() {
		size, err := fileSize(file.source)
		if err != nil {
			return 0, fmt.Errorf("boot file: %w", err)
		}
		total += size
	}
	return max(minimumBootSize, roundUp(total+total/32+4*mebibyte)), nil
}

// fileSize is the size in bytes of a regular file.
func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: not a regular file", path)
	}
	return info.Size(), nil
}

func roundUp(bytes int64) int64 { return (bytes + mebibyte - 1) / mebibyte * mebibyte }

// writeBoot makes the FAT32 file system of the boot partition inside image.
func writeBoot(ctx context.Context, tools runner, spec Spec, part Part, image string) error {
	image, err := filepath.Abs(image)
	if err != nil {
		return err
	}
	configuration := filepath.Join(tools.dir, "grub.cfg")
	if err := os.WriteFile(configuration, []byte(grubConfiguration(spec.CommandLine)), 0o644); err != nil {
		return fmt.Errorf("write grub.cfg: %w", err)
	}
	start := strconv.FormatInt(part.Start/sectorSize, 10)
	_, err = tools.run(ctx, tools.MkfsFAT, "mkfs.fat", "dosfstools",
		"--invariant", "-F", "32", "-s", clusterSectors(part.Size), "-n", "RUNA-BOOT", "-h", start, "--offset", start,
		image, strconv.FormatInt(part.Size/1024, 10))
	if err != nil {
		return err
	}
	inside := image + "@@" + strconv.FormatInt(part.Start, 10)
	_, err = tools.run(ctx, tools.Mmd, "mmd", "mtools", "-i", inside, "::/EFI", "::/EFI/BOOT", "::/boot", "::/boot/grub")
	if err != nil {
		return err
	}
	for _, file := range append(spec.bootFiles(), bootFile{configuration, GRUBPath}) {
		source, err := filepath.Abs(file.source)
		if err != nil {
			return err
		}
		if _, err := tools.run(ctx, tools.Mcopy, "mcopy", "mtools", "-i", inside, source, "::"+file.path); err != nil {
			return fmt.Errorf("copy %s to %s: %w", file.source, file.path, err)
		}
	}
	return nil
}

// clusterSectors is the largest cluster, in sectors, that still gives the 65525
// clusters which make a file system FAT32: fewer and larger ones load faster.
func clusterSectors(size int64) string {
	sectors := int64(8)
	for sectors > 1 && size/(sectors*sectorSize) < 66000+size/mebibyte {
		sectors /= 2
	}
	return strconv.FormatInt(sectors, 10)
}
