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

// xenFolder is where xl expects what belongs to it, and binaries its own programs.
const (
	xenFolder = "usr/lib/xen-4.17"
	binaries  = xenFolder + "/bin"
)

// pythonFolder is where Python expects what belongs to it.
const pythonFolder = "usr/lib/python3.11"

// unwinder is a library that libc loads when it is needed.
const unwinder = "libgcc_s.so.1"

// programs of Xen that run in the first domain, by the package they are in.
var programs = map[string][]string{
	utilities: {"xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0"},
	store:     {"xenstore-read", "xenstore-write"},
	python:    {"python3.11"},
}

// folders that are copied as a whole: Python and what pygrub has of its own, with the
// readers of file systems.
var folders = []struct{ from, folder string }{
	{"libpython3.11-minimal", pythonFolder},
	{"libpython3.11-stdlib", pythonFolder},
	{utilities, xenFolder + "/lib"},
	{guestLibraries, xenFolder + "/lib"},
}

// extensions are what pygrub loads from those folders. Python has more, whose libraries
// are not in the host.
var extensions = []struct{ from, file string }{
	{"libpython3.11-stdlib", pythonFolder + "/lib-dynload/_ctypes" + extension},
	{"libpython3.11-stdlib", pythonFolder + "/lib-dynload/_curses" + extension},
	{utilities, xenFolder + "/lib/python/xenfsimage" + extension},
	{guestLibraries, xenFolder + "/lib/x86_64-linux-gnu/xenfsimage/fat/fsimage.so"},
}

// extension ends the names of Python's loadable modules.
const extension = ".cpython-311-x86_64-linux-gnu.so"

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
	for _, f := range folders {
		if err := t.Folder(f.folder, filepath.Join(roots[f.from], f.folder)); err != nil {
			return nil, err
		}
	}
	if err := t.File(binaries+"/pygrub", filepath.Join(roots[utilities], binaries, "pygrub"), 0o755); err != nil {
		return nil, err
	}
	t.Symlink("usr/bin/python3", "/"+binaries+"/python3.11")
	if err := addPrograms(t, roots); err != nil {
		return nil, err
	}
	return t, addModules(t, roots[debianKernel])
}

// addPrograms adds Xen's programs and the shared libraries that they need.
func addPrograms(t *initramfs.Tree, roots map[string]string) error {
	var elfs, search []string
	for name, files := range programs {
		places := []string{filepath.Join(roots[name], binaries), filepath.Join(roots[name], "usr/bin"), filepath.Join(roots[name], "usr/sbin")}
		for _, file := range files {
			path, err := libraries.LookUp(file, places)
			if err != nil {
				return fmt.Errorf("look for %s in %s: %w", file, name, err)
			}
			if err := t.File(binaries+"/"+file, path, 0o755); err != nil {
				return err
			}
			elfs = append(elfs, path)
		}
	}
	for _, e := range extensions {
		elfs = append(elfs, filepath.Join(roots[e.from], e.file))
	}
	for _, root := range roots {
		search = append(search, filepath.Join(root, libraryFolder), filepath.Join(root, "usr", libraryFolder), filepath.Join(root, xenFolder, libraryFolder))
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
