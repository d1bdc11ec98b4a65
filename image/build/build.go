// Package build turns a checkout into a bootable image: it asks for the kernel,
// the llama.cpp libraries, the userland and the model, lays out the root file
// system and assembles the disk. Each part knows how to make itself; this
// package knows only their order and where the results go. The same commit gives
// the same bytes.
package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runa/image/cache"
	"runa/image/disk"
	"runa/image/fetch"
	"runa/image/flash"
	"runa/image/initramfs"
	"runa/image/inventory"
	"runa/image/llama"
	"runa/image/model"
	"runa/image/progress"
	"runa/image/rootfs"
	"runa/image/sbom"
	"runa/image/userland"
	"runa/init/systemdisk"
	"runa/services/hint"
)

// NoModel asks for an image without any model.
const NoModel = "none"

// Machine is what the image is for, see kernel-config/targets.yaml.
const Machine = "amd64"

// options are what the kernel is started with, beside the system's name. gilgul
// offers a login on each console named that exists; the last of them gets the
// kernel's own messages.
const options = "console=tty0 console=hvc0 console=ttyS0,115200 quiet loglevel=3"

// zstdLevel of the root file system: more takes ten times as long for a few percent.
const zstdLevel = 9

// Builder says where things come from and where they go.
type Builder struct {
	Root     string // the checkout
	Out      string // folder for the results
	Programs string // folder with our built programs
	Version  string // of Runa
	Model    string // that chats: a name from package model, or NoModel
	Size     int64  // of the disk in bytes; 0: what the model needs and room to live
	Targets  []Target
	Cache    cache.Cache
	Progress *progress.Printer

	// HostFolder is where the results will be on the host that runs them, as its domain
	// and configurations say; "": where its hypervisor usually keeps images.
	HostFolder string

	materials *sbom.Spec // for the bill of materials, complete when the root file system is
}

// Artefacts are the paths of the results.
type Artefacts struct {
	Image     string // qcow2, boots by BIOS and UEFI
	Raw       string // the same disk byte by byte, for sticks and Xen
	Kernel    string // bzImage
	Vmlinux   string // the same kernel uncompressed, which a microvm starts faster
	Initramfs string // the whole root file system, for tests that lay files over it
	System    string // the whole root file system as its partition
	UKI       string // kernel and command line in one, for UEFI
	Chrome    string // the same for a Chromebook's firmware, signed
	Inventory string // what is in the image
	SBOM      string // the same as a CycloneDX document, with all that the parts were made of
	Domain    string // for libvirt: a machine with the image as its disk

	XenPV, XenPVGRUB, XenPVH string // for Xen's xl
}

// In returns the paths of the results in the folder out, whether or not they exist.
func In(out string) Artefacts {
	in := func(name string) string { return filepath.Join(out, name) }
	return Artefacts{
		Domain: in("runa.xml"), XenPV: in("runa-pv.cfg"), XenPVGRUB: in("runa-pvgrub.cfg"), XenPVH: in("runa-pvh.cfg"),
		Image: in("runa.qcow2"), Raw: in("runa.raw"), Kernel: in("bzImage"), Vmlinux: in("vmlinux"),
		Initramfs: in("initramfs.cpio.zst"), System: in("system.erofs"), Chrome: in("runa.kpart"), UKI: in("runa.efi"), Inventory: in("inventory.json"), SBOM: in("sbom.cdx.json"),
	}
}

// Fetcher returns the downloads that b uses.
func (b Builder) Fetcher() fetch.Fetcher { return fetch.Fetcher{Cache: b.Cache, Progress: b.Progress} }

// Build makes what the targets consist of.
func (b Builder) Build(ctx context.Context) (Artefacts, error) {
	a := In(b.Out)
	if err := os.MkdirAll(b.Out, 0o755); err != nil {
		return a, fmt.Errorf("make the output folder: %w", err)
	}
	unlock, err := cache.LockFolder(ctx, b.Out, func() { b.Progress.Task("wait for another build into " + b.Out) })
	if err != nil {
		return a, err
	}
	defer unlock()
	b.materials = &sbom.Spec{}
	inv := &inventory.Inventory{Version: b.Version, Target: Machine}
	data, err := b.models(ctx, inv)
	if err != nil {
		return a, err
	}
	for _, step := range []func(context.Context, Artefacts, *inventory.Inventory) error{b.kernel, b.system, b.uki, b.chrome, b.papers} {
		if err := step(ctx, a, inv); err != nil {
			return a, err
		}
	}
	return a, b.targets(ctx, a, inv.CommandLine, data)
}

// models makes the model that chats and the one that embeds, and returns them as
// files of the data partition. Without the first the second isn't there either.
func (b Builder) models(ctx context.Context, inv *inventory.Inventory) ([]disk.DataFile, error) {
	if b.Model == NoModel {
		return nil, nil
	}
	chosen, err := model.Find(b.Model)
	if err != nil {
		return nil, err
	}
	if chosen.Embeds {
		err := fmt.Errorf("put in model %s: it only embeds, it can't chat", chosen.Name)
		return nil, hint.New(err, "choose one that chats; %s goes in beside it by itself", model.Embedding)
	}
	var files []disk.DataFile
	for _, name := range []string{chosen.Name, model.Embedding} {
		file, err := b.model(ctx, inv, name)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// model makes one model and enters it in the inventory.
func (b Builder) model(ctx context.Context, inv *inventory.Inventory, name string) (disk.DataFile, error) {
	path, m, err := model.Make(ctx, b.Fetcher(), name)
	if err != nil {
		return disk.DataFile{}, err
	}
	pin, err := fetch.Find(m.Packages[0])
	if err != nil {
		return disk.DataFile{}, err
	}
	file := disk.DataFile{Path: "/models/" + m.Name + ".gguf", Source: path}
	return file, enter(inv, path, inventory.Part{
		Name: m.Name, Kind: "model", Version: pin.Version, License: m.License, Origin: pin.Origin() + ": " + m.Source, Path: "data:" + file.Path,
	})
}

// tree lays out the root file system.
func (b Builder) tree(ctx context.Context, inv *inventory.Inventory) (*initramfs.Tree, error) {
	bb, err := userland.Builder{Root: b.Root, List: userland.Appliance, Cache: b.Cache, Progress: b.Progress}.Build(ctx)
	if err != nil {
		return nil, err
	}
	libraries, err := llama.Fetch(ctx, b.Fetcher())
	if err != nil {
		return nil, err
	}
	tree, parts, err := rootfs.Build(ctx, rootfs.Spec{
		Version: b.Version, Programs: b.Programs, Overlays: []string{filepath.Join(b.Root, "overlays/base")},
		Userland: bb, Llama: libraries, Fetcher: b.Fetcher(),
	})
	if err != nil {
		return nil, err
	}
	inv.Parts = append(inv.Parts, parts...)
	if err := b.bill(bb, libraries); err != nil {
		return nil, err
	}
	return tree, b.billInside(ctx, tree, inv)
}

// system writes the root file system as a partition, and as an archive if a target
// has one, and names the partition on the command line.
func (b Builder) system(ctx context.Context, a Artefacts, inv *inventory.Inventory) error {
	tree, err := b.tree(ctx, inv)
	if err != nil {
		return err
	}
	if slices.Contains(a.Files(b.Targets...), a.Initramfs) {
		if err := writeFile(a.Initramfs, func(w io.Writer) error { return tree.Write(w, zstdLevel) }); err != nil {
			return err
		}
	}
	task := b.Progress.Task("system")
	folder, err := os.MkdirTemp(b.Out, "system-*")
	if err != nil {
		return fmt.Errorf("lay out the system: %w", err)
	}
	defer os.RemoveAll(folder)
	if err := tree.Unpack(folder); err != nil {
		return err
	}
	system, err := disk.WriteSystem(ctx, folder, a.System, disk.Epoch, disk.Tools{})
	if err != nil {
		return err
	}
	task.Done()
	inv.CommandLine = options + " " + systemdisk.Option + "=" + system.String()
	return enter(inv, a.System, inventory.Part{
		Name: "system", Kind: "boot", Version: b.Version, License: "see the system's parts",
		Origin: "the system's parts", Path: disk.PartitionPath(disk.SystemName),
	})
}

// dataFolders are what a person must find on the disk before anything has run:
// uid 1000 is the owner and group 100 runa, see overlays/base/etc.
var dataFolders = []disk.DataFolder{{Path: "/import", UID: 1000, GID: 100}}

// papers writes what says what is in the image: inventory and bill of materials.
func (b Builder) papers(ctx context.Context, a Artefacts, inv *inventory.Inventory) error {
	_, pin, err := b.Fetcher().Unpack(ctx, "grub-pc-bin")
	if err != nil {
		return err
	}
	inv.Parts = append(inv.Parts, inventory.Part{
		Name: "grub", Kind: "boot", Version: pin.Version, License: pin.License, Origin: pin.Origin() + " (size and hash are the package's)",
		Path: "disk:boot sector and partition " + disk.BIOSName, Bytes: pin.Size, SHA256: strings.TrimPrefix(pin.Hash, "sha256:"),
	})
	if err := b.billBeside(ctx, a, inv); err != nil {
		return err
	}
	return writeFile(a.Inventory, inv.Write)
}

// disk assembles the disk and seals it, so that a stick can be read back against it.
func (b Builder) disk(ctx context.Context, a Artefacts, commandLine string, data []disk.DataFile, raw *os.File) error {
	grub, _, err := b.Fetcher().Unpack(ctx, "grub-pc-bin")
	if err != nil {
		return err
	}
	grubTools, _, err := b.Fetcher().Unpack(ctx, "grub-common")
	if err != nil {
		return err
	}
	_, err = disk.Build(ctx, disk.Spec{
		Size: b.Size, Kernel: a.Kernel, System: a.System, Chrome: a.Chrome, UKI: a.UKI, CommandLine: commandLine,
		Inventory: a.Inventory, Data: data, Folders: dataFolders, GRUB: filepath.Join(grub, "usr/lib/grub/i386-pc"),
		Tools: disk.Tools{GRUBMkimage: filepath.Join(grubTools, "usr/bin/grub-mkimage")},
	}, raw)
	if err != nil {
		return err
	}
	info, err := raw.Stat()
	if err != nil {
		return fmt.Errorf("seal the disk: %w", err)
	}
	return flash.Seal(ctx, raw, info.Size())
}
