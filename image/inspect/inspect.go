// Package inspect looks into a finished image, raw or qcow2, and says what it
// is: its partitions and the parts of its inventory, with the files of the boot
// partition checked against the hashes that the inventory gives for them. The
// image is only read, and nothing in it is trusted.
package inspect

import (
	"crypto/sha256"
	"encoding/hex"
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

// maxInventory bounds how much is read for an inventory, in bytes.
const maxInventory = 4 << 20

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
	boot, ok := layout.Part(disk.BootName)
	if !ok {
		return hint.New(fmt.Errorf("no partition named %s", disk.BootName), "is it an image of Runa?")
	}
	files, err := disk.OpenBoot(io.NewSectionReader(r, boot.Start, boot.Size), boot.Size)
	if err != nil {
		return err
	}
	list, err := readInventory(files)
	if err != nil {
		return err
	}
	inv, err := inventory.Parse(list)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := inv.Table(out); err != nil {
		return err
	}
	return check(out, files, inv)
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

// check compares the boot partition's files with the inventory.
func check(out io.Writer, files *disk.BootFiles, inv inventory.Inventory) error {
	fmt.Fprintln(out)
	var wrong []error
	for _, p := range inv.Parts {
		path, ok := strings.CutPrefix(p.Path, "esp:")
		if !ok {
			continue
		}
		hash, err := hashFile(files, path, p.Bytes)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if hash != p.SHA256 {
			wrong = append(wrong, fmt.Errorf("%s has sha256 %s, the inventory says %s", path, hash, p.SHA256))
			continue
		}
		fmt.Fprintf(out, "%s is what the inventory says\n", path)
	}
	if len(wrong) > 0 {
		return hint.New(errors.Join(wrong...), "don't boot it: write the image again from its source")
	}
	return nil
}

func readInventory(files *disk.BootFiles) ([]byte, error) {
	f, size, err := files.Open(disk.InventoryPath)
	if err != nil {
		return nil, hint.New(err, "is it an image of Runa?")
	}
	if size > maxInventory {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", disk.InventoryPath, size, maxInventory)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", disk.InventoryPath, err)
	}
	return data, nil
}

func hashFile(files *disk.BootFiles, path string, want int64) (string, error) {
	f, size, err := files.Open(path)
	if err != nil {
		return "", err
	}
	if size != want {
		return "", fmt.Errorf("%s has %d bytes, the inventory says %d", path, size, want)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
