package flash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"syscall"

	"runa/image/progress"
	"runa/services/hint"
)

// Order is what a person wants written, and how they can be asked.
type Order struct {
	Image string // raw or qcow2
	Disk  string // the whole disk: /dev/sdb
	Force bool   // although it isn't removable
	Yes   bool   // don't ask
	Host  Host   // usually Here

	In       io.Reader // where the answer comes from
	Terminal bool      // whether a person is there to give it
	Out      io.Writer
	Progress *progress.Printer
}

// Write checks the image and the disk, asks, writes, and compares what it reads
// back. Its errors wrap ErrRefused when nothing was written and ErrUnusable when the
// disk must be flashed again.
func Write(ctx context.Context, o Order) error {
	chosen, err := o.Host.Disk(o.Disk)
	if err != nil {
		return err
	}
	image, err := open(o.Image)
	if err != nil {
		return fmt.Errorf("%w: open the image: %w", ErrRefused, err)
	}
	defer image.close()
	if err := o.Host.Check(chosen, image.size, o.Force); err != nil {
		return err
	}
	if err := checkImage(ctx, o, image); err != nil {
		return fmt.Errorf("%w: image %s: %w", ErrRefused, o.Image, err)
	}
	if err := o.ask(ctx, chosen); err != nil {
		return err
	}
	disk, err := claim(o, chosen, image.size)
	if err != nil {
		return err
	}
	err = writing{image, image.size, disk, disk.size, o.Disk, o.Progress}.run(ctx)
	if err == nil {
		o.finish(disk)
	}
	if closed := disk.Close(); err == nil {
		err = closed
	}
	return err
}

// checkImage refuses to spread an image that is not what was built.
func checkImage(ctx context.Context, o Order, image source) error {
	found, err := check(ctx, image, nil, o.Progress)
	if err != nil {
		return err
	}
	return hint.New(errors.Join(found.differences...), "copy it or build it again")
}

// claim opens the disk for this process alone and makes sure that it is still the
// one the person agreed to.
func claim(o Order, chosen Disk, size int64) (*device, error) {
	d, err := openDevice(o.Disk, true)
	switch {
	case errors.Is(err, syscall.EBUSY):
		return nil, refuse("something uses it that /proc and /sys don't tell of: a file system that spans disks, or a mount in a container",
			"%s is in use", o.Disk)
	case errors.Is(err, os.ErrPermission):
		return nil, refuse("writing to a disk needs root: sudo runa-image flash ...", "%w", err)
	case err != nil:
		return nil, refuse("", "%w", err)
	}
	number, err := d.number()
	if err == nil && number != chosen.Number {
		err = errors.New("it is another device now")
	}
	var now Disk
	if err == nil {
		now, err = o.Host.Disk(o.Disk)
	}
	if err == nil && (!reflect.DeepEqual(now, chosen) || d.size != chosen.Size) {
		err = errors.New("the disk was changed meanwhile")
	}
	if err == nil {
		err = o.Host.Check(now, size, o.Force)
	}
	if err != nil {
		d.Close()
		if errors.Is(err, ErrRefused) {
			return nil, err
		}
		return nil, refuse("look which disk it is now: `lsblk -d`", "%s: %w", o.Disk, err)
	}
	return d, nil
}

// finish says that it is done and how to go on.
func (o Order) finish(d *device) {
	fmt.Fprintf(o.Out, "%s has the image, and what was read back is the same.\n", o.Disk)
	if err := d.Reread(); err != nil {
		fmt.Fprintf(o.Out, "This machine still has its old partitions in mind (%v): take it out and put it in again to look at it here.\n", err)
	}
}

// interrupted tells a person what a half-written disk is.
func interrupted(path string) error {
	return hint.New(fmt.Errorf("%s: writing an image to it was interrupted: it is %w", path, ErrUnusable), "runa-image flash IMAGE %s", path)
}
