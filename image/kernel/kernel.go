// Package kernel makes the appliance's Linux kernel: it composes a target's
// configuration from the fragments in kernel-config, makes sure that the kernel's
// own configuration kept every symbol that was asked for, and compiles.
//
// The configuration starts from allnoconfig: what no fragment asks for is off.
// The result is one file without modules, the same bytes for the same source,
// fragments and compiler, wherever it was built. The package never downloads,
// changes nothing of the source but what kernel-config/patches says, and never
// falls back to another configuration: a symbol that can't be had is an error.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"runa/image/cache"
	"runa/image/progress"
	"runa/services/hint"
)

// recipe is part of every product's key: raise it when a change in this package
// changes the bytes of a kernel.
const recipe = "kernel recipe 3"

// archiveName is what CONFIG_INITRAMFS_SOURCE calls the archive inside of the kernel.
const archiveName = "preinit.cpio"

// Names of the files in a kernel's folder in the cache.
const (
	bzImageName = "bzImage"
	vmlinuxName = "vmlinux"
	configName  = "config"
	logName     = "build.log"
	versionName = "version"
)

// Kernel is a finished kernel in the cache. All paths are absolute if the
// cache's root is.
type Kernel struct {
	Dir        string // the folder that holds the files below and build.log
	BzImage    string // for boot loaders, UEFI (it is an EFI program too) and QEMU -kernel
	Vmlinux    string // ELF without symbols; QEMU's microvm starts it by PVH without unpacking
	ConfigFile string // the complete .config it was built from
	Version    string // "6.12.117"
}

// Builder builds kernels.
type Builder struct {
	Source   string // linux-source-*.tar.xz, or a folder holding it (an unpacked .deb's root will do)
	Config   string // the folder kernel-config
	Archive  []byte // cpio: the files that the kernel carries and starts with; nil: none
	Cache    cache.Cache
	Progress *progress.Printer // nil prints nothing
	Jobs     int               // compilers at once; 0: one per processor
}

// Build returns the kernel of a target that kernel-config/targets.yaml names,
// from the cache if nothing that goes into it has changed.
//
// A failed build's log stays in the cache's folder log; the error names it.
func (b Builder) Build(ctx context.Context, target string) (Kernel, error) {
	config, err := Compose(b.Config, target)
	if err != nil {
		return Kernel{}, err
	}
	tarball, err := findTarball(b.Source)
	if err != nil {
		return Kernel{}, err
	}
	if err := checkTools(host{}); err != nil {
		return Kernel{}, err
	}
	key, err := b.key(ctx, config, tarball)
	if err != nil {
		return Kernel{}, err
	}
	dir, err := b.Cache.Build(ctx, "kernel", key, func(ctx context.Context, dir string) error {
		return b.make(ctx, config, tarball, dir)
	})
	if err != nil {
		return Kernel{}, fmt.Errorf("build the kernel for target %q: %w", target, err)
	}
	return open(dir)
}

// key is the hash of all that decides the kernel's bytes.
func (b Builder) key(ctx context.Context, config Config, tarball string) (string, error) {
	source, err := cache.FileHash(tarball)
	if err != nil {
		return "", fmt.Errorf("hash the kernel source: %w", err)
	}
	patches, err := b.patches()
	if err != nil {
		return "", err
	}
	for _, patch := range patches {
		hash, err := cache.FileHash(patch)
		if err != nil {
			return "", fmt.Errorf("hash a patch: %w", err)
		}
		source += " " + hash
	}
	tools, err := toolVersions(ctx)
	if err != nil {
		return "", err
	}
	return cache.Key(recipe, string(config.Text()), source, tools, string(b.Archive)), nil
}

// patches are the changes to the source, absolute paths in their order.
func (b Builder) patches() ([]string, error) {
	folder, err := filepath.Abs(filepath.Join(b.Config, "patches"))
	if err != nil {
		return nil, fmt.Errorf("find the kernel's patches: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find the kernel's patches: %w", err)
	}
	var patches []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".patch") {
			patches = append(patches, filepath.Join(folder, e.Name()))
		}
	}
	return patches, nil
}

// make fills dir, a fresh folder of the cache. The source is unpacked inside it,
// so that a killed build is swept away together with its sources.
func (b Builder) make(ctx context.Context, config Config, tarball, dir string) error {
	source := filepath.Join(dir, "source")
	if err := unpack(ctx, tarball, source, b.Progress); err != nil {
		return err
	}
	log, err := openLog(b.Cache.Root, config.Target)
	if err != nil {
		return err
	}
	defer log.Close()
	tree := tree{dir: source, log: log, jobs: b.Jobs}
	if tree.jobs < 1 {
		tree.jobs = runtime.NumCPU()
	}
	patches, err := b.patches()
	if err != nil {
		return err
	}
	for _, patch := range patches {
		if err := tree.run(ctx, io.Discard, "patch", "--strip=1", "--batch", "--forward", "--fuzz=0", "--input="+patch); err != nil {
			return hint.New(err, "%s is for another version of the source: make it anew", patch)
		}
	}
	if b.Archive != nil {
		if err := os.WriteFile(filepath.Join(source, archiveName), b.Archive, 0o644); err != nil {
			return fmt.Errorf("write the archive inside of the kernel: %w", err)
		}
	}
	if err := tree.configure(ctx, config); err != nil {
		return err
	}
	if err := tree.compile(ctx, config, b.Progress); err != nil {
		return err
	}
	if err := tree.collect(ctx, dir); err != nil {
		return err
	}
	if err := copyFile(log.Name(), filepath.Join(dir, logName)); err != nil {
		return err
	}
	if err := os.RemoveAll(source); err != nil {
		return fmt.Errorf("remove the unpacked kernel source: %w", err)
	}
	return nil
}

// open describes a finished kernel's folder.
func open(dir string) (Kernel, error) {
	version, err := os.ReadFile(filepath.Join(dir, versionName))
	if err != nil {
		return Kernel{}, fmt.Errorf("open a built kernel: %w", err)
	}
	k := Kernel{
		Dir:        dir,
		BzImage:    filepath.Join(dir, bzImageName),
		Vmlinux:    filepath.Join(dir, vmlinuxName),
		ConfigFile: filepath.Join(dir, configName),
		Version:    string(version),
	}
	for _, path := range []string{k.BzImage, k.Vmlinux, k.ConfigFile} {
		if _, err := os.Stat(path); err != nil {
			return Kernel{}, fmt.Errorf("open a built kernel: %w", err)
		}
	}
	return k, nil
}
