package disk

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Contents is what an image holds, by the paths that its inventory gives.
type Contents struct {
	boot   *BootFiles
	r      io.ReaderAt
	layout Layout
}

// The places that an inventory's path can begin with and that can be read without
// running anything: a file of the boot partition, and what a partition begins with.
const (
	bootPlace      = "esp:"
	partitionPlace = "disk:partition "
)

// PartitionPath is the inventory's path of what fills a partition.
func PartitionPath(name string) string { return partitionPlace + name }

// OpenContents opens what an image with this layout holds.
func OpenContents(r io.ReaderAt, layout Layout) (*Contents, error) {
	boot, ok := layout.Part(BootName)
	if !ok {
		return nil, fmt.Errorf("no partition named %s", BootName)
	}
	files, err := OpenBoot(io.NewSectionReader(r, boot.Start, boot.Size), boot.Size)
	if err != nil {
		return nil, err
	}
	return &Contents{boot: files, r: r, layout: layout}, nil
}

// maxInventory bounds how much is read for an inventory, in bytes.
const maxInventory = 4 << 20

// Inventory returns the text of the image's own inventory.
func (c *Contents) Inventory() ([]byte, error) {
	f, size, err := c.boot.Open(InventoryPath)
	if err != nil {
		return nil, err
	}
	if size > maxInventory {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", InventoryPath, size, maxInventory)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", InventoryPath, err)
	}
	return text, nil
}

// ErrElsewhere says that a path is of something inside of another part.
var ErrElsewhere = errors.New("it is inside of another part")

// Check compares what a path names with the size and SHA-256 (hexadecimal) that an
// inventory gives for it. The error of a path that can't be read here is ErrElsewhere.
func (c *Contents) Check(path string, bytes int64, hash string) error {
	content, err := c.open(path, bytes)
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, content); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != hash {
		return fmt.Errorf("its sha256 is %s, expected %s", got, hash)
	}
	return nil
}

func (c *Contents) open(path string, bytes int64) (io.Reader, error) {
	if name, ok := strings.CutPrefix(path, bootPlace); ok {
		content, size, err := c.boot.Open(name)
		if err == nil && size != bytes {
			err = fmt.Errorf("it has %d bytes, expected %d", size, bytes)
		}
		return content, err
	}
	name, ok := strings.CutPrefix(path, partitionPlace)
	if !ok {
		return nil, ErrElsewhere
	}
	part, ok := c.layout.Part(name)
	if !ok || bytes < 0 || bytes > part.Size {
		return nil, fmt.Errorf("no partition %s that could hold %d bytes", name, bytes)
	}
	return io.NewSectionReader(c.r, part.Start, bytes), nil
}
