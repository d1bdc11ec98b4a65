package disk

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"runa/services/hint"
)

// modules are what GRUB needs to read the boot partition and start Linux.
var modules = []string{
	"biosdisk", "part_gpt", "fat", "normal", "linux", "configfile", "serial", "terminal",
	"search", "search_label", "echo", "test", "minicmd",
}

// Places inside GRUB's two images (include/grub/i386/pc/boot.h and
// grub-core/boot/i386/pc/diskboot.S of GRUB 2): where each looks for what it
// loads next. Sector numbers are absolute and 64 bits wide.
const (
	bootCodeSize     = 440  // of sector 0, the rest is the protective MBR
	bootCoreSector   = 0x5c // in boot.img: where core.img starts
	bootDrive        = 0x64 // in boot.img: BIOS drive number, 0xff: the one booted from
	bootDriveCheck   = 0x66 // in boot.img: a jump; two NOPs there repair what a BIOS passes in DL
	coreListSector   = 0x1f4
	coreListLength   = 0x1fc // 16 bits, in sectors
	coreListSegment  = 0x1fe // 16 bits: where to put them, a real mode segment
	coreLoadSegment  = 0x820
	minimumCoreBytes = 2 * sectorSize
)

// grubConfiguration is grub.cfg. It stays literal, without variables, because
// pygrub reads it and expands nothing.
func grubConfiguration(commandLine string) string {
	return `serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set default=0
set timeout=0
menuentry "Runa" {
	echo "Starting Runa. If nothing follows within a minute, this disk is damaged: write the image to it again."
	linux /boot/bzImage ` + commandLine + `
}
`
}

// writeGRUB makes core.img from the modules in folder, puts it into the first
// partition, and the boot code that loads it into sector 0. core.img looks for
// its configuration on the second partition of the drive it was booted from, so
// a second disk with the same names can't mislead it.
func writeGRUB(ctx context.Context, tools runner, folder string, layout Layout, out io.WriterAt) error {
	boot, err := os.ReadFile(filepath.Join(folder, "boot.img"))
	if err != nil {
		return hint.New(fmt.Errorf("read GRUB's boot code: %w", err), "the folder must be usr/lib/grub/i386-pc of Debian's grub-pc-bin")
	}
	if len(boot) != sectorSize {
		return fmt.Errorf("GRUB's boot code %s: %d bytes, expected %d", filepath.Join(folder, "boot.img"), len(boot), sectorSize)
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return fmt.Errorf("find GRUB's folder: %w", err)
	}
	prefix := fmt.Sprintf("(,gpt%d)/boot/grub", layout.must(BootName).Number)
	args := append([]string{"-d", folder, "-O", "i386-pc", "-p", prefix, "-o", "core.img"}, modules...)
	if _, err := tools.run(ctx, tools.GRUBMkimage, "grub-mkimage", "grub-common", args...); err != nil {
		return err
	}
	core, err := os.ReadFile(filepath.Join(tools.dir, "core.img"))
	if err != nil {
		return fmt.Errorf("read core.img: %w", err)
	}
	core, err = embed(boot, core, layout.must(BIOSName))
	if err != nil {
		return err
	}
	if _, err := out.WriteAt(core, layout.must(BIOSName).Start); err != nil {
		return fmt.Errorf("write core.img: %w", err)
	}
	if _, err := out.WriteAt(boot[:bootCodeSize], 0); err != nil {
		return fmt.Errorf("write the boot code: %w", err)
	}
	return nil
}

// embed tells boot where core will be and core where its own rest will be, and
// returns core filled up to whole sectors.
func embed(boot, core []byte, part Part) ([]byte, error) {
	if tail := len(core) % sectorSize; tail != 0 {
		core = append(core, make([]byte, sectorSize-tail)...)
	}
	if len(core) < minimumCoreBytes || int64(len(core)) > part.Size {
		return nil, fmt.Errorf("core.img of %d bytes: must be at least %d and fit into partition %s of %d bytes", len(core), minimumCoreBytes, part.Name, part.Size)
	}
	sector := uint64(part.Start / sectorSize)
	little := binary.LittleEndian
	little.PutUint64(boot[bootCoreSector:], sector)
	boot[bootDrive] = 0xff
	boot[bootDriveCheck], boot[bootDriveCheck+1] = 0x90, 0x90
	little.PutUint64(core[coreListSector:], sector+1)
	little.PutUint16(core[coreListLength:], uint16(len(core)/sectorSize-1))
	little.PutUint16(core[coreListSegment:], coreLoadSegment)
	return core, nil
}
