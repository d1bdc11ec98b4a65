package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
	"strings"

	"runa/image/disk"
	"runa/image/inventory"
)

// maxInventory bounds how much is read for an inventory, in bytes.
const maxInventory = 4 << 20

// checkFiles compares the boot partition's files with an inventory.
func checkFiles(ctx context.Context, found *findings, r io.ReaderAt, size int64, wanted *inventory.Inventory) error {
	files, err := disk.OpenBoot(r, size)
	if err != nil {
		found.wrongFile(fmt.Errorf("partition %s is %w: %w", disk.BootName, ErrDiffers, err))
		return nil
	}
	own, err := readInventory(files)
	if err != nil {
		found.wrongFile(fmt.Errorf("%s is %w: %w", disk.InventoryPath, ErrDiffers, err))
		own = inventory.Inventory{}
	}
	if wanted == nil {
		wanted = &own
	} else if err == nil && !sameInventory(own, *wanted) {
		found.wrongFile(fmt.Errorf("it is another build (version %s for %s), %w", own.Version, own.Target, ErrDiffers))
	}
	for _, p := range wanted.Parts {
		path, ok := strings.CutPrefix(p.Path, "esp:")
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := checkFile(files, path, p); err != nil {
			found.wrongFile(err)
			continue
		}
		found.good = append(found.good, path+" is what the inventory says")
	}
	return nil
}

func (f *findings) wrongFile(err error) {
	f.boots = true
	f.bad(err)
}

// sameInventory compares by what is written, whatever the order in memory.
func sameInventory(a, b inventory.Inventory) bool {
	var textA, textB bytes.Buffer
	return a.Write(&textA) == nil && b.Write(&textB) == nil && bytes.Equal(textA.Bytes(), textB.Bytes()) || reflect.DeepEqual(a, b)
}

func readInventory(files *disk.BootFiles) (inventory.Inventory, error) {
	f, size, err := files.Open(disk.InventoryPath)
	if err != nil {
		return inventory.Inventory{}, err
	}
	if size > maxInventory {
		return inventory.Inventory{}, fmt.Errorf("%d bytes, more than %d", size, maxInventory)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return inventory.Inventory{}, err
	}
	return inventory.Parse(data)
}

func checkFile(files *disk.BootFiles, path string, want inventory.Part) error {
	f, size, err := files.Open(path)
	if err != nil {
		return fmt.Errorf("%s is %w: %w", path, ErrDiffers, err)
	}
	if size != want.Bytes {
		return fmt.Errorf("%s is %w: it has %d bytes, expected %d", path, ErrDiffers, size, want.Bytes)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return fmt.Errorf("%s is %w: %w", path, ErrDiffers, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want.SHA256 {
		return fmt.Errorf("%s is %w: its sha256 is %s, expected %s", path, ErrDiffers, got, want.SHA256)
	}
	return nil
}
