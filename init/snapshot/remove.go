package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/sys/unix"
)

// removeDepth is how deep remove goes at most, each level with a descriptor;
// what lies deeper is brought up first.
const removeDepth = 16

// remover deletes a tree that a service may have made as large and as deep as
// the disk lets it.
type remover struct {
	ctx  context.Context
	disk disk
	top  handle // where deep folders are brought to
	next int    // number of the next of those
}

// remove deletes name and all that is in it. Nobody else may change it
// meanwhile. When ctx is over the rest stays.
func (d disk) remove(ctx context.Context, at handle, name string) error {
	err := d.unlink(at, name, 0)
	if !errors.Is(err, unix.EISDIR) {
		return err
	}
	top, err := openAnyway(at, name)
	if err != nil {
		return err
	}
	defer top.close()
	r := &remover{ctx: ctx, disk: d, top: top}
	if err := r.empty(top, removeDepth); err != nil {
		return err
	}
	return d.unlink(at, name, unix.AT_REMOVEDIR)
}

// openAnyway opens a folder that gilgul may not enter; root may enter all, but in
// user mode there is no root.
func openAnyway(at handle, name string) (handle, error) {
	f, err := at.open(name)
	if !errors.Is(err, unix.EACCES) {
		return f, err
	}
	if err := unix.Fchmodat(at.fd(), name, 0o700, 0); err != nil {
		return handle{}, fmt.Errorf("open folder %q for deleting: %w", at.path, err)
	}
	return at.open(name)
}

// empty deletes what is in a folder. It lists anew until nothing is there, for
// deleting while listing may skip entries.
func (r *remover) empty(f handle, depth int) error {
	if st, err := f.statSelf(); err != nil || st.Mode&0o700 != 0o700 {
		if err := errors.Join(err, unix.Fchmod(f.fd(), 0o700)); err != nil {
			return fmt.Errorf("open folder %q for deleting: %w", f.path, err)
		}
	}
	for {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		names, err := f.Readdirnames(1024)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read folder %q: %w", f.path, err)
		}
		if len(names) == 0 {
			return nil
		}
		for _, name := range names {
			if err := r.entry(f, name, depth); err != nil {
				return err
			}
		}
	}
}

func (r *remover) entry(f handle, name string, depth int) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	st, err := f.stat(name)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return r.disk.unlink(f, name, 0)
	}
	if depth == 0 {
		return r.bringUp(f, name)
	}
	below, err := openAnyway(f, name)
	if err != nil {
		return err
	}
	defer below.close()
	if err := r.empty(below, depth-1); err != nil {
		return err
	}
	return r.disk.unlink(f, name, unix.AT_REMOVEDIR)
}

// bringUp moves a folder from the depth to the top, where its turn comes.
func (r *remover) bringUp(f handle, name string) error {
	for {
		r.next++
		err := r.disk.move(f, name, r.top, ".deep-"+strconv.Itoa(r.next))
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
}
