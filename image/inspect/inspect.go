// Package inspect looks into a finished image, raw or qcow2, and says what it
// is: its partitions and the parts of its inventory, with what a machine starts from
// checked against the hashes that the inventory gives: boot files and the system. The
// image is only read, and nothing in it is trusted.
package inspect

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"runa/image/disk"
	"runa/image/inventory"
	"runa/image/qcow2"
	"runa/services/hint"
)

// Image prints what the image at path is made of. It fails if the image isn't
// one of Runa's or if a boot file isn't what the inventory says.
func Image(out io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("inspect an image: %w", err)
	}
	defer f.Close()
	if err := image(out, f); err != nil {
		return fmt.Errorf("inspect %s: %w", path, err)
	}
	return nil
}

func image(out io.Writer, f *os.File) error {
	r, size, err := open(f)
	if err != nil {
		return err
	}
	layout, err := disk.Read(r, size)
	if err != nil {
		return hint.New(err, "images are made by `runa-image build`")
	}
	printParts(out, layout)
	contents, err := disk.OpenContents(r, layout)
	if err != nil {
		return hint.New(err, "is it an image of Runa?")
	}
	list, err := contents.Inventory()
	if err != nil {
		return hint.New(err, "is it an image of Runa?")
	}
	inv, err := inventory.Parse(list)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := inv.Table(out); err != nil {
		return err
	}
	return check(out, contents, inv)
}

// open returns the disk's bytes, whichever of the two formats holds them.
func open(f *os.File) (io.ReaderAt, int64, error) {
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return nil, 0, fmt.Errorf("read its first bytes: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if string(magic[:]) != "QFI\xfb" {
		return f, info.Size(), nil
	}
	r, err := qcow2.Open(f, info.Size())
	if err != nil {
		return nil, 0, err
	}
	return r, r.Size(), nil
}

func printParts(out io.Writer, layout disk.Layout) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PARTITION\tNAME\tSTART\tSIZE\tTYPE")
	for _, p := range layout.Parts {
		fmt.Fprintf(t, "%d\t%s\t%d MiB\t%d MiB\t%s\n", p.Number, p.Name, p.Start>>20, p.Size>>20, p.Type)
	}
	t.Flush()
}

// check compares what a machine starts from with the inventory.
func check(out io.Writer, contents *disk.Contents, inv inventory.Inventory) error {
	fmt.Fprintln(out)
	var wrong []error
	for _, p := range inv.Parts {
		_, name, _ := strings.Cut(p.Path, ":")
		err := contents.Check(p.Path, p.Bytes, p.SHA256)
		switch {
		case errors.Is(err, disk.ErrElsewhere):
		case err != nil:
			wrong = append(wrong, fmt.Errorf("%s is not what the inventory says: %w", name, err))
		default:
			fmt.Fprintf(out, "%s is what the inventory says\n", name)
		}
	}
	if len(wrong) > 0 {
		return hint.New(errors.Join(wrong...), "don't boot it: write the image again from its source")
	}
	return nil
}
