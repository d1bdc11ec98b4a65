package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"runa/image/disk"
	"runa/image/initramfs"
	"runa/image/inventory"
	"runa/image/kernel"
	"runa/image/rootfs"
	"runa/services/hint"
)

// This file makes what boot loaders and firmware start.

func (b Builder) kernel(ctx context.Context, a Artefacts, inv *inventory.Inventory) error {
	const source = "linux-source-6.12"
	dir, pin, err := b.Fetcher().Unpack(ctx, source)
	if err != nil {
		return err
	}
	archive, err := b.preinit()
	if err != nil {
		return err
	}
	k, err := kernel.Builder{
		Source: filepath.Join(dir, "usr/src", source+".tar.xz"), Config: filepath.Join(b.Root, "kernel-config"),
		Archive: archive, Cache: b.Cache, Progress: b.Progress,
	}.Build(ctx, Machine)
	if err != nil {
		return err
	}
	if err := errors.Join(copyFile(a.Kernel, k.BzImage), copyFile(a.Vmlinux, k.Vmlinux)); err != nil {
		return err
	}
	err = enter(inv, filepath.Join(b.Programs, "preinit"), inventory.Part{
		Name: "preinit", Kind: "program", Version: b.Version, License: "Apache-2.0", Origin: "this repository, cmd/preinit", Path: "kernel:/init",
	})
	if err != nil {
		return err
	}
	return enter(inv, a.Kernel, inventory.Part{
		Name: "linux", Kind: "kernel", Version: k.Version, License: pin.License,
		Origin: pin.Origin(), Path: "esp:/boot/bzImage",
	})
}

// preinit is the archive inside of the kernel: the program that finds the system.
func (b Builder) preinit() ([]byte, error) {
	tree := initramfs.New()
	if err := tree.File("init", filepath.Join(b.Programs, "preinit"), 0o755); err != nil {
		return nil, hint.New(err, "make programs")
	}
	var archive bytes.Buffer
	if err := tree.Archive(&archive); err != nil {
		return nil, fmt.Errorf("write the archive inside of the kernel: %w", err)
	}
	return archive.Bytes(), nil
}

// uki joins kernel and command line with systemd's stub, for UEFI.
func (b Builder) uki(ctx context.Context, a Artefacts, inv *inventory.Inventory) error {
	dir, pin, err := b.Fetcher().Unpack(ctx, "systemd-boot-efi")
	if err != nil {
		return err
	}
	stub, err := os.ReadFile(filepath.Join(dir, "usr/lib/systemd/boot/efi/linuxx64.efi.stub"))
	if err != nil {
		return fmt.Errorf("read the UEFI stub: %w", err)
	}
	linux, err := os.ReadFile(a.Kernel)
	if err != nil {
		return fmt.Errorf("read the kernel: %w", err)
	}
	image, err := disk.UKI(stub, disk.UKISections{
		OSRelease: rootfs.OSRelease(b.Version), CommandLine: inv.CommandLine, Linux: linux,
	})
	if err != nil {
		return err
	}
	if err := writeFile(a.UKI, func(w io.Writer) error { _, err := w.Write(image); return err }); err != nil {
		return err
	}
	return enter(inv, a.UKI, inventory.Part{
		Name: "uki", Kind: "boot", Version: b.Version, License: pin.License + " (stub)",
		Origin: "kernel and " + pin.Origin(), Path: "esp:/EFI/BOOT/BOOTX64.EFI",
	})
}

// chrome signs kernel and command line for Chromebooks.
func (b Builder) chrome(ctx context.Context, a Artefacts, inv *inventory.Inventory) error {
	dir, pin, err := b.Fetcher().Unpack(ctx, "vboot-kernel-utils")
	if err != nil {
		return err
	}
	tools := disk.Tools{VbutilKernel: filepath.Join(dir, "usr/bin/vbutil_kernel")}
	if err := disk.WriteChrome(ctx, a.Kernel, inv.CommandLine, filepath.Join(dir, "usr/share/vboot/devkeys"), a.Chrome, tools); err != nil {
		return err
	}
	return enter(inv, a.Chrome, inventory.Part{
		Name: "chromeos-kernel", Kind: "boot", Version: b.Version, License: pin.License + " (key block)",
		Origin: "kernel and " + pin.Origin(), Path: disk.PartitionPath(disk.ChromeName),
	})
}
