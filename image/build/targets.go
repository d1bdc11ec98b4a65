package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"runa/image/disk"
	"runa/services/hint"
)

// Target is a form in which the image is handed out. All have the same disk.
type Target string

// The targets.
const (
	QCOW2  Target = "qcow2"  // for QEMU and virt-manager, with a libvirt domain
	Raw    Target = "raw"    // for whatever reads a disk byte by byte
	USB    Target = "usb"    // for runa-image flash: the same file
	Xen    Target = "xen"    // disk, kernel and xl's configurations
	Kernel Target = "kernel" // kernel, its UEFI program, and the system as an archive and as a partition, without a disk
)

// AllTargets are all of them.
var AllTargets = []Target{QCOW2, Raw, USB, Xen, Kernel}

// ParseTargets reads names with commas between them, or "all".
func ParseTargets(names string) ([]Target, error) {
	if names == "all" {
		return AllTargets, nil
	}
	var targets []Target
	for name := range strings.SplitSeq(names, ",") {
		t := Target(name)
		if !slices.Contains(AllTargets, t) {
			err := fmt.Errorf("build target %q: there is none", name)
			return nil, hint.New(err, "the targets are %v, and all", AllTargets)
		}
		if !slices.Contains(targets, t) {
			targets = append(targets, t)
		}
	}
	return targets, nil
}

// Files are the paths of what targets consist of, and of the papers about it.
func (a Artefacts) Files(targets ...Target) []string {
	of := map[Target][]string{
		QCOW2: {a.Image, a.Domain}, Raw: {a.Raw}, USB: {a.Raw},
		Xen:    {a.Raw, a.Kernel, a.XenPV, a.XenPVGRUB, a.XenPVH},
		Kernel: {a.Kernel, a.Vmlinux, a.Initramfs, a.System, a.Chrome, a.UKI},
	}
	var paths []string
	for _, t := range targets {
		paths = append(paths, of[t]...)
	}
	paths = append(paths, a.Inventory, a.SBOM)
	slices.Sort(paths)
	return slices.Compact(paths)
}

// targets makes the disk, if a target has one, and of it what each target needs.
func (b Builder) targets(ctx context.Context, a Artefacts, commandLine string, data []disk.DataFile) error {
	if wanted := a.Files(b.Targets...); !slices.Contains(wanted, a.Image) && !slices.Contains(wanted, a.Raw) {
		return nil
	}
	task := b.Progress.Task("disk")
	f, err := os.CreateTemp(b.Out, "runa-*.raw")
	if err != nil {
		return fmt.Errorf("make the disk: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := b.disk(ctx, a, commandLine, data, f); err != nil {
		return err
	}
	task.Done()
	kept := false
	for _, t := range b.Targets {
		task := b.Progress.Task("target " + string(t))
		files := a.Files(t)
		if slices.Contains(files, a.Image) {
			if err := pack(ctx, a.Image, f); err != nil {
				return err
			}
		}
		if slices.Contains(files, a.Raw) && !kept {
			if err := errors.Join(f.Chmod(0o644), os.Rename(f.Name(), a.Raw)); err != nil {
				return fmt.Errorf("make %s: %w", a.Raw, err)
			}
			kept = true
		}
		if err := b.handouts(a, commandLine, files); err != nil {
			return err
		}
		task.Done()
	}
	return nil
}
