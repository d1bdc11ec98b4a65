package xenhost

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"runa/image/initramfs"
	"runa/image/libraries"
	"runa/image/xen"
)

// libraryFolder is where Debian's loader looks first.
const libraryFolder = "lib/x86_64-linux-gnu"

// binaries is where xl expects its own programs.
const binaries = "usr/lib/xen-4.17/bin"

// unwinder is a library that libc loads when it is needed.
const unwinder = "libgcc_s.so.1"

// programs of Xen that run in the first domain, by the package they are in.
var programs = map[string][]string{
	utilities: {"xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0"},
	store:     {"xenstore-read", "xenstore-write"},
}

// drivers are the modules of Debian's kernel that the first domain needs: the way to
// the hypervisor, the back end of disks, and virtio's disks.
var drivers = []string{"xenfs", "xen-privcmd", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-blkback", "virtio_pci", "virtio_blk"}

// layOut lays out the first domain's root file system. roots are the unpacked packages.
func layOut(roots map[string]string) (*initramfs.Tree, error) {
	t := initramfs.New()
	for _, dir := range []string{"proc", "sys", "tmp", "run/xen", "run/xenstored", "var/lock", "var/log/xen", "var/lib/xen/images", "var/lib/xenstored", "etc/xen"} {
		t.Directory(dir, 0o755)
	}
	t.Symlink("var/run", "../run")
	t.Bytes("init", initScript, 0o755)
	t.Bytes("etc/xen/xl.conf", nil, 0o644) // all defaults, without a complaint
	t.Bytes("etc/xen/scripts/block", blockScript, 0o755)
	if err := t.File("bin/busybox", filepath.Join(roots[busybox], "bin/busybox"), 0o755); err != nil {
		return nil, err
	}
	t.Symlink("bin/sh", "busybox")
	grub := strings.TrimPrefix(xen.PVGRUB, "/")
	if err := t.File(grub, filepath.Join(roots[pvgrub], grub), 0o644); err != nil {
		return nil, err
	}
	if err := addPrograms(t, roots); err != nil {
		return nil, err
	}
	return t, addModules(t, roots[kernel])
}

// addPrograms adds Xen's programs and the shared libraries that they need.
func addPrograms(t *initramfs.Tree, roots map[string]string) error {
	var elfs, search []string
	for name, files := range programs {
		folders := []string{filepath.Join(roots[name], binaries), filepath.Join(roots[name], "usr/bin"), filepath.Join(roots[name], "usr/sbin")}
		for _, file := range files {
			path, err := libraries.LookUp(file, folders)
			if err != nil {
				return fmt.Errorf("look for %s in %s: %w", file, name, err)
			}
			if err := t.File(binaries+"/"+file, path, 0o755); err != nil {
				return err
			}
			elfs = append(elfs, path)
		}
	}
	for _, root := range roots {
		search = append(search, filepath.Join(root, libraryFolder), filepath.Join(root, "usr", libraryFolder))
	}
	found, err := libraries.Closure(elfs, search)
	if err != nil {
		return err
	}
	// A thread that is cancelled loads it by name, so no program says that it needs it.
	if found[unwinder], err = libraries.LookUp(unwinder, search); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if err := t.File(libraryFolder+"/"+name, found[name], 0o755); err != nil {
			return err
		}
	}
	// The path of the loader is written into every dynamically linked program.
	t.Symlink("lib64/ld-linux-x86-64.so.2", "../"+libraryFolder+"/ld-linux-x86-64.so.2")
	return nil
}
