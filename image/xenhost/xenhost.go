package xenhost

import (
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"runa/image/cache"
	"runa/image/fetch"
)

// The packages that are more than a place to look for libraries in.
const (
	hypervisor     = "xen-hypervisor-4.17-amd64"
	debianKernel   = "linux-image-6.1.0-56-amd64"
	utilities      = "xen-utils-4.17"
	store          = "xenstore-utils"
	busybox        = "busybox-static"
	pvgrub         = "grub-xen-host"
	guestLibraries = "libxenmisc4.17"
	python         = "python3.11-minimal"
)

// packages are all that the host is made of, besides what images are made of too.
var packages = []string{
	hypervisor, debianKernel, utilities, store, busybox, pvgrub,
	"libc6", "libgcc-s1", "libuuid1", "libext2fs2", "libcom-err2", "liblzma5", "libzstd1", "zlib1g", "libyajl2",
	guestLibraries, "libxencall1", "libxendevicemodel1", "libxenevtchn1", "libxenforeignmemory1", "libxengnttab1",
	"libxenhypfs1", "libxenstore4", "libxentoolcore1", "libxentoollog1",
	python, "libpython3.11-minimal", "libpython3.11-stdlib", "libexpat1", "libffi8", "libncursesw6", "libtinfo6",
}

// recipe changes when the same packages and scripts give something else.
const recipe = "xen host 2"

//go:embed init.sh
var initScript []byte

//go:embed block.sh
var blockScript []byte

// Host are the files that start a Xen host, by a boot loader that knows multiboot.
type Host struct {
	Hypervisor string // an ELF program
	Kernel     string // of the first domain: an ELF program
	Initramfs  string // of the first domain
}

// Make returns the host in the fetcher's cache, made if it wasn't there. Its files
// must not be changed.
func Make(ctx context.Context, f fetch.Fetcher) (Host, error) {
	key, err := key()
	if err != nil {
		return Host{}, err
	}
	dir, err := f.Cache.Build(ctx, "xen-host", key, func(ctx context.Context, dir string) error {
		task := f.Progress.Task("make the Xen host of the tests")
		if err := build(ctx, f, in(dir)); err != nil {
			return fmt.Errorf("make a Xen host: %w", err)
		}
		task.Done()
		return nil
	})
	return in(dir), err
}

// key names what the host is made of.
func key() (string, error) {
	parts := []string{recipe, string(initScript), string(blockScript)}
	for _, name := range packages {
		pin, err := fetch.Find(name)
		if err != nil {
			return "", err
		}
		parts = append(parts, pin.Name, pin.Hash)
	}
	return cache.Key(parts...), nil
}

func in(dir string) Host {
	return Host{
		Hypervisor: filepath.Join(dir, "xen"), Kernel: filepath.Join(dir, "vmlinux"),
		Initramfs: filepath.Join(dir, "initramfs.cpio.zst"),
	}
}

// build writes the files of h.
func build(ctx context.Context, f fetch.Fetcher, h Host) error {
	roots := map[string]string{}
	for _, name := range packages {
		dir, _, err := f.Unpack(ctx, name)
		if err != nil {
			return err
		}
		if roots[name], err = filepath.EvalSymlinks(dir); err != nil {
			return fmt.Errorf("find the files of %s: %w", name, err)
		}
	}
	packed, err := only(roots[hypervisor], "boot/xen-*.gz")
	if err != nil {
		return err
	}
	if err := unzip(h.Hypervisor, packed); err != nil {
		return err
	}
	linux, err := only(roots[debianKernel], "boot/vmlinuz-*")
	if err != nil {
		return err
	}
	if err := unpackKernel(ctx, h.Kernel, linux); err != nil {
		return err
	}
	tree, err := layOut(roots)
	if err != nil {
		return err
	}
	return write(h.Initramfs, func(w io.Writer) error { return tree.Write(w, 9) })
}

// only returns the one file below root that matches.
func only(root, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("look for %s in %s: %d files, want 1", pattern, filepath.Base(root), len(found))
	}
	return found[0], nil
}

// unzip is for the hypervisor: QEMU starts an ELF program, but no compressed one.
func unzip(to, from string) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(from), err)
	}
	return write(to, func(w io.Writer) error {
		_, err := io.Copy(w, unpacked)
		return err
	})
}

func write(path string, content func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(content(file), file.Close())
}
