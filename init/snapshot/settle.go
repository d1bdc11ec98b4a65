package snapshot

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fewEntries is up to how many entries each is synced by itself; above it the
// whole file system is synced once, which takes less.
const fewEntries = 64

// settle waits until all of a copy is on the disk.
func (d disk) settle(ctx context.Context, made handle, entries int) error {
	if entries > fewEntries {
		return d.syncAll(made)
	}
	return d.settleEach(ctx, made)
}

func (d disk) settleEach(ctx context.Context, f handle) error {
	if err := f.again(); err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read folder %q: %w", f.path, err)
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.settleEntry(ctx, f, name); err != nil {
			return err
		}
	}
	return d.sync(f)
}

func (d disk) settleEntry(ctx context.Context, f handle, name string) error {
	st, err := f.stat(name)
	if err != nil {
		return err
	}
	flags := openFlags
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		flags |= unix.O_DIRECTORY
	case unix.S_IFREG:
	default:
		return nil // a link is part of its folder
	}
	fd, err := openRetry(f.fd(), name, flags, 0)
	if err != nil {
		return fmt.Errorf("open %q again: %w", filepath.Join(f.path, name), err)
	}
	opened := newHandle(fd, filepath.Join(f.path, name))
	defer opened.close()
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return d.settleEach(ctx, opened)
	}
	return d.sync(opened)
}
