// Package rootfs decides which file stands where in the appliance's root file
// system: our programs, u-root's commands, llama.cpp, the few C libraries that
// both need, the file system tools and the overlays. What it puts there it also
// enters in the inventory. It builds nothing: it is given finished parts.
package rootfs

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"runa/image/cache"
	"runa/image/fetch"
	"runa/image/initramfs"
	"runa/image/inventory"
	"runa/image/libraries"
	"runa/image/llama"
	"runa/image/userland"
	"runa/services/hint"
)

// Programs of ours that every image carries, in /bin.
var programs = []string{"enclose", "gilgul", "runa", "splinfer", "splinter"}

// Tools from e2fsprogs that check /data, in /sbin. Growing it is the kernel's work.
var diskTools = []string{"e2fsck"}

// Debian packages that the C libraries and the disk tools come from.
var packages = []string{"libc6", "libgcc-s1", "libstdc++6", "e2fsprogs", "libext2fs2", "libcom-err2", "libblkid1", "libuuid1"}

const libraryFolder = "lib/x86_64-linux-gnu"

// Spec names the finished parts.
type Spec struct {
	Version  string   // of Runa
	Programs string   // folder with our built programs
	Overlays []string // folders laid over the tree, in order
	Userland userland.Userland
	Llama    llama.Libraries
	Fetcher  fetch.Fetcher
}

// Build returns the tree and the inventory's entries for it.
func Build(ctx context.Context, s Spec) (*initramfs.Tree, []inventory.Part, error) {
	b := builder{tree: initramfs.New(), spec: s}
	for _, dir := range []string{"proc", "sys", "run", "data", "root"} {
		b.tree.Directory(dir, 0o755)
	}
	b.tree.Directory("tmp", 0o777)
	for _, step := range []func(context.Context) error{b.programs, b.userland, b.llama, b.debian, b.overlays} {
		if err := step(ctx); err != nil {
			return nil, nil, err
		}
	}
	return b.tree, b.parts, nil
}

type builder struct {
	spec  Spec
	tree  *initramfs.Tree
	parts []inventory.Part
	elfs  []string // files on the build machine whose shared libraries must come along
}

// add copies a file into the tree and enters it in the inventory.
func (b *builder) add(name, source string, mode os.FileMode, p inventory.Part) error {
	if err := b.tree.File(name, source, mode); err != nil {
		return err
	}
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("add /%s to the root file system: %w", name, err)
	}
	hash, err := cache.FileHash(source)
	if err != nil {
		return err
	}
	p.Name, p.Path, p.Bytes, p.SHA256 = path.Base(name), "system:/"+name, info.Size(), hash
	b.parts = append(b.parts, p)
	return nil
}

func (b *builder) programs(context.Context) error {
	for _, name := range programs {
		source := filepath.Join(b.spec.Programs, name)
		p := inventory.Part{Kind: "program", Version: b.spec.Version, License: "Apache-2.0", Origin: "this repository, cmd/" + name}
		if err := b.add("bin/"+name, source, 0o755, p); err != nil {
			return hint.New(err, "make programs")
		}
		if libs, err := libraries.Imports(source); err == nil && len(libs) > 0 {
			b.elfs = append(b.elfs, source)
		}
	}
	b.tree.Symlink("init", "bin/gilgul")
	return nil
}

func (b *builder) userland(context.Context) error {
	p := inventory.Part{Kind: "userland", Version: b.spec.Userland.Version, License: "BSD-3-Clause", Origin: "Go module github.com/u-root/u-root"}
	if err := b.add("bin/bb", b.spec.Userland.Binary, 0o755, p); err != nil {
		return err
	}
	for _, name := range b.spec.Userland.Commands {
		b.tree.Symlink("bin/"+name, "bb")
	}
	b.tree.Symlink("bin/sh", "gosh")
	return nil
}

func (b *builder) llama(context.Context) error {
	pin := b.spec.Llama.Package
	for _, name := range b.spec.Llama.Files {
		source := filepath.Join(b.spec.Llama.Dir, name)
		p := inventory.Part{Kind: "library", Version: "llama.cpp v0.5.0", License: pin.License, Origin: pin.Origin()}
		if err := b.add("usr/lib/llama/"+name, source, 0o755, p); err != nil {
			return err
		}
		b.elfs = append(b.elfs, source)
	}
	return nil
}

func (b *builder) debian(ctx context.Context) error {
	trees := map[string]fetch.Pin{}
	var search, roots []string
	for _, name := range packages {
		dir, pin, err := b.spec.Fetcher.Unpack(ctx, name)
		if err != nil {
			return err
		}
		if dir, err = filepath.EvalSymlinks(dir); err != nil {
			return fmt.Errorf("find the files of %s: %w", name, err)
		}
		trees[dir] = pin
		roots = append(roots, dir)
		for _, lib := range []string{"lib", "usr/lib"} {
			search = append(search, filepath.Join(dir, lib, "x86_64-linux-gnu"))
		}
	}
	slices.Sort(roots)
	pinOf := func(file string) fetch.Pin {
		for _, dir := range roots {
			if rel, err := filepath.Rel(dir, file); err == nil && filepath.IsLocal(rel) {
				return trees[dir]
			}
		}
		return fetch.Pin{}
	}
	add := func(name, file, kind string) error {
		pin := pinOf(file)
		return b.add(name, file, 0o755, inventory.Part{Kind: kind, Version: pin.Version, License: pin.License, Origin: pin.Origin()})
	}
	for _, tool := range diskTools {
		file, err := libraries.LookUp(tool, prefixed(roots, "sbin"))
		if err != nil {
			return fmt.Errorf("add /sbin/%s to the root file system: %w", tool, err)
		}
		if err := add("sbin/"+tool, file, "program"); err != nil {
			return err
		}
		b.elfs = append(b.elfs, file)
	}
	libs, err := libraries.Closure(b.elfs, search)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(libs)) {
		if err := add(libraryFolder+"/"+name, libs[name], "library"); err != nil {
			return err
		}
	}
	// The path of the loader is written into every dynamically linked program.
	b.tree.Symlink("lib64/ld-linux-x86-64.so.2", "../"+libraryFolder+"/ld-linux-x86-64.so.2")
	return nil
}

func (b *builder) overlays(context.Context) error {
	for _, dir := range b.spec.Overlays {
		if err := b.tree.Overlay(dir); err != nil {
			return err
		}
	}
	b.tree.Bytes("etc/os-release", []byte(OSRelease(b.spec.Version)), 0o644)
	var list bytes.Buffer
	if err := (inventory.Inventory{Version: b.spec.Version, Parts: slices.Clone(b.parts)}).Write(&list); err != nil {
		return err
	}
	b.tree.Bytes(inventory.SystemPath, list.Bytes(), 0o644)
	return nil
}

// OSRelease is the system's os-release(5).
func OSRelease(version string) string {
	return fmt.Sprintf("NAME=Runa\nID=runa\nVERSION_ID=%s\nPRETTY_NAME=\"Runa %s\"\n", version, version)
}

func prefixed(dirs []string, name string) []string {
	out := make([]string, len(dirs))
	for i, d := range dirs {
		out[i] = filepath.Join(d, name)
	}
	return out
}
