package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"runa/image/disk"
	"runa/image/inventory"
)

// checkFiles compares boot files and the system's partitions with an inventory.
func checkFiles(ctx context.Context, found *findings, r io.ReaderAt, layout disk.Layout, wanted *inventory.Inventory) error {
	contents, err := disk.OpenContents(r, layout)
	if err != nil {
		found.wrongFile(fmt.Errorf("partition %s is %w: %w", disk.BootName, ErrDiffers, err))
		return nil
	}
	own := inventory.Inventory{}
	text, err := contents.Inventory()
	if err == nil {
		own, err = inventory.Parse(text)
	}
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
		if err := ctx.Err(); err != nil {
			return err
		}
		_, name, _ := strings.Cut(p.Path, ":")
		err := contents.Check(p.Path, p.Bytes, p.SHA256)
		switch {
		case errors.Is(err, disk.ErrElsewhere):
		case err != nil:
			found.wrongFile(fmt.Errorf("%s is %w: %w", name, ErrDiffers, err))
		default:
			found.good = append(found.good, name+" is what the inventory says")
		}
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
