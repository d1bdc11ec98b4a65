package fetch

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"runa/image/cache"
	"runa/image/progress"
	"runa/services/hint"
)

// ErrHash: an archive's bytes are not those that were pinned.
var ErrHash = errors.New("hash differs")

// ErrNotOffered: the registry has the package, but not in the pinned version.
var ErrNotOffered = errors.New("version is not offered")

// Fetcher fetches pinned archives into a cache. Progress may be nil.
type Fetcher struct {
	Cache    cache.Cache
	Progress *progress.Printer

	run runner // nil: the real clients; tests put theirs here
}

// Archive returns the path of the pinned archive (.deb or .tgz) in the cache,
// fetched and verified if it wasn't there. The file must not be changed.
func (f Fetcher) Archive(ctx context.Context, name string) (path string, pin Pin, err error) {
	pin, err = Find(name)
	if err != nil {
		return "", Pin{}, err
	}
	path, err = f.archive(ctx, pin)
	return path, pin, err
}

func (f Fetcher) archive(ctx context.Context, pin Pin) (string, error) {
	key := cache.Key("archive 1", pin.Registry, pin.Name, pin.Version, pin.Hash)
	dir, err := f.Cache.Build(ctx, "archives", key, func(ctx context.Context, dir string) error {
		scratch, cleanup, err := f.Cache.Temp("fetch-*")
		if err != nil {
			return err
		}
		defer cleanup()
		got, err := f.download(ctx, pin, scratch)
		if err != nil {
			return fmt.Errorf("fetch %s %s from %s: %w", pin.Name, pin.Version, pin.Registry, err)
		}
		if err := verify(got, pin); err != nil {
			return err
		}
		return keep(got, filepath.Join(dir, pin.fileName()))
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, pin.fileName()), nil
}

// Unpack returns the folder in the cache that holds what the archive contains:
// the file tree of a .deb, what is under package/ in a .tgz. It must not be changed.
func (f Fetcher) Unpack(ctx context.Context, name string) (dir string, pin Pin, err error) {
	pin, err = Find(name)
	if err != nil {
		return "", Pin{}, err
	}
	dir, err = f.Cache.Build(ctx, "unpacked", cache.Key("unpacked 1", pin.Registry, pin.Hash), func(ctx context.Context, dir string) error {
		archive, err := f.archive(ctx, pin)
		if err != nil {
			return err
		}
		task := f.Progress.Task("unpack " + pin.Name)
		if pin.Registry == Debian {
			_, err = f.runner()(ctx, dir, "dpkg-deb", "-x", archive, dir)
		} else {
			err = unpackTgz(archive, dir, task)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", pin.fileName(), err)
		}
		task.Done()
		return nil
	})
	return dir, pin, err
}

// download has the registry's client put the archive in scratch and returns its path.
func (f Fetcher) download(ctx context.Context, pin Pin, scratch string) (string, error) {
	task := f.Progress.Task("fetch " + pin.Name + " " + pin.Version)
	defer watch(scratch, func(largest int64) { task.Set(largest, pin.Size, "bytes") })()
	var pattern string
	var err error
	if pin.Registry == Debian {
		pattern, err = "*.deb", f.aptDownload(ctx, pin, scratch)
	} else {
		pattern, err = "*.tgz", f.npmPack(ctx, pin, scratch)
	}
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(scratch, pattern))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("the client ended well but left %d files %s, want 1", len(found), pattern)
	}
	task.Done()
	return found[0], nil
}

// watch calls report each half second with the size of the largest file under
// dir, which is the download growing. The returned function ends it.
func watch(dir string, report func(largest int64)) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				report(largestFile(dir))
			}
		}
	}()
	return func() { close(end); <-ended }
}

func largestFile(dir string) (largest int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it may have been renamed since it was listed
		}
		if info, err := d.Info(); err == nil {
			largest = max(largest, info.Size())
		}
		return nil
	})
	return largest
}

// verify compares the bytes of the file at path with the pin.
func verify(path string, pin Pin) error {
	got, err := hashOf(path, pin.Registry)
	if err != nil {
		return fmt.Errorf("verify %s: %w", pin.fileName(), err)
	}
	if got == pin.Hash {
		return nil
	}
	err = fmt.Errorf("verify %s: %w: expected %s, got %s", pin.fileName(), ErrHash, pin.Hash, got)
	return hint.New(err, "nothing was kept; try again, and if it stays so, find out why %s changed %s before changing its pin", pin.Registry, pin.Name)
}

// hashOf returns the hash of a file in the form the registry's pins have.
func hashOf(path, registry string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if registry == Debian {
		h := sha256.New()
		_, err = io.Copy(h, file)
		return "sha256:" + hex.EncodeToString(h.Sum(nil)), err
	}
	h := sha512.New()
	_, err = io.Copy(h, file)
	return "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)), err
}

// keep makes the verified file durable and moves it to its place on the same file system.
func keep(from, to string) error {
	file, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("keep a download: %w", err)
	}
	err = errors.Join(file.Sync(), file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(from, to)
	}
	if err != nil {
		return fmt.Errorf("keep a download: %w", err)
	}
	return nil
}
