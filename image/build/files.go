package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"runa/image/cache"
	"runa/image/inventory"
	"runa/image/qcow2"
)

// enter completes p with the size and hash of the file at path and adds it to inv.
func enter(inv *inventory.Inventory, path string, p inventory.Part) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("enter %s in the inventory: %w", p.Name, err)
	}
	if p.SHA256, err = cache.FileHash(path); err != nil {
		return err
	}
	p.Bytes = info.Size()
	inv.Parts = append(inv.Parts, p)
	return nil
}

// writeFile gives path the content that write writes, whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	tmp := path + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = errors.Join(write(w), w.Flush(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(tmp)))
	}
	return nil
}

// pack writes the raw disk as a qcow2 image at path, whole or not at all.
func pack(ctx context.Context, path string, raw *os.File) error {
	info, err := raw.Stat()
	if err != nil {
		return fmt.Errorf("pack the disk: %w", err)
	}
	tmp := path + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return fmt.Errorf("pack the disk: %w", err)
	}
	_, err = qcow2.Write(ctx, f, raw, info.Size(), qcow2.Options{})
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return nil
}

// Summary tells a person what was made.
func (b Builder) Summary(out io.Writer) error {
	for _, path := range In(b.Out).Files(b.Targets...) {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("look at what was built: %w", err)
		}
		hash, err := cache.FileHash(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s  %7.1f MiB  %s\n", hash, float64(info.Size())/(1<<20), path)
	}
	return nil
}

func copyFile(to, from string) error {
	return writeFile(to, func(w io.Writer) error {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
}
