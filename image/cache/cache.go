// Package cache keeps what is slow to make or fetch under one folder of the
// person's ($XDG_CACHE_HOME/runa, by default ~/.cache/runa), so that a second
// checkout on the same machine starts from there.
//
// Every product is addressed by the hash of all that went into it: a product
// found is a product that may be used. It appears under its name by one rename,
// whole or not at all; what a killed build leaves behind is swept away by the
// next one. The package never decides what is in a key and never deletes a
// finished product.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Cache is the folder that holds products and downloads.
type Cache struct {
	Root    string
	Waiting func(product string) // called before another builder of a product is waited for; nil: nobody is told
}

// Default returns the cache of the person who runs the program.
func Default() (Cache, error) {
	dir, err := os.UserCacheDir() // $XDG_CACHE_HOME, else $HOME/.cache
	if err != nil {
		return Cache{}, fmt.Errorf("find the cache folder: %w", err)
	}
	return Cache{Root: filepath.Join(dir, "runa")}, nil
}

// Key returns the hex sha256 over parts, each preceded by its length so that
// no two lists of parts run into each other.
func Key(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		io.WriteString(h, p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// FileHash returns the hex sha256 of a file's bytes.
func FileHash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash a file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Build returns the folder of product name with the given key. If it isn't
// there, build fills a fresh folder that then takes the product's name. A second
// builder of the same product waits for the first and uses its result.
func (c Cache) Build(ctx context.Context, name, key string, build func(ctx context.Context, dir string) error) (string, error) {
	final := filepath.Join(c.Root, name, key)
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	parent := filepath.Dir(final)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := lock(ctx, final+".lock", func() {
		if c.Waiting != nil {
			c.Waiting(name)
		}
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	// Whoever holds the lock owns the temporary folder: what is there was left by a killed build.
	tmp := final + ".tmp"
	if err := removeAll(tmp); err != nil {
		return "", fmt.Errorf("sweep an unfinished %s: %w", name, err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for %s: %w", name, err)
	}
	if err := build(ctx, tmp); err != nil {
		return "", errors.Join(err, removeAll(tmp))
	}
	if err := syncTree(tmp); err != nil {
		return "", fmt.Errorf("write %s to the disk: %w", name, err)
	}
	if err := os.Rename(tmp, final); err != nil {
		return "", fmt.Errorf("keep %s: %w", name, err)
	}
	return final, nil
}

// Temp makes a scratch folder on the cache's file system; cleanup removes it.
func (c Cache) Temp(pattern string) (dir string, cleanup func(), err error) {
	parent := filepath.Join(c.Root, "tmp")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	dir, err = os.MkdirTemp(parent, pattern)
	if err != nil {
		return "", nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	return dir, func() { removeAll(dir) }, nil
}

// lock takes an exclusive lock that the kernel drops when the process ends.
func lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock a product: %w", err)
	}
	return take(ctx, f, waiting)
}

// LockFolder keeps others who call it out of a folder that is there. Before it waits
// for one of them it calls waiting.
func LockFolder(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lock a folder: %w", err)
	}
	return take(ctx, f, waiting)
}

// take locks f, which it closes to unlock it, or when it fails.
func take(ctx context.Context, f *os.File, waiting func()) (unlock func(), err error) {
	for told := false; ; told = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if !told {
			waiting()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another build, which has locked %s: %w", f.Name(), ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// removeAll deletes a tree even where its folders are read-only, as unpacked modules are.
func removeAll(path string) error {
	filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(p, 0o755)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// syncTree makes the file system that holds dir durable before the rename.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
