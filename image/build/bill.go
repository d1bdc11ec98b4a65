package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"time"

	"runa/image/initramfs"
	"runa/image/inventory"
	"runa/image/llama"
	"runa/image/sbom"
	"runa/image/userland"
)

// Pinned packages that the parts after the root file system are made of: the bill
// of materials inside it must name them before they are there. The tools make
// such a part and leave nothing of themselves in it.
var (
	bootPackages = []string{"grub-pc-bin", "systemd-boot-efi", "vboot-kernel-utils"}
	bootTools    = []string{"grub-common"}
)

// leftOut tells the reader of the document inside what it can't contain.
const leftOut = "The hashes of this document, of the root file system that holds it and of whatever holds that " +
	"can't be in here: the document beside the image and the inventory in the boot partition have them."

// bill notes what the bill of materials is made from.
func (b Builder) bill(bb userland.Userland, libraries llama.Libraries) error {
	commands, err := userland.Appliance.Packages()
	if err != nil {
		return err
	}
	when, err := buildTime(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	*b.materials = sbom.Spec{
		Root: b.Root, Version: b.Version, Target: Machine, Packages: bootPackages, Tools: bootTools,
		Programs: b.Programs, Userland: bb.Binary, Commands: commands, Llama: libraries.Dir,
		Fetcher: b.Fetcher(), Time: when,
	}
	return nil
}

// billInside puts the document into the root file system and the inventory.
func (b Builder) billInside(ctx context.Context, tree *initramfs.Tree, inv *inventory.Inventory) error {
	spec := *b.materials
	spec.Parts, spec.LeftOut = inv.Parts, leftOut
	bom, err := sbom.Make(ctx, spec)
	if err != nil {
		return err
	}
	text, err := sbom.Compact(bom)
	if err != nil {
		return err
	}
	tree.Bytes(sbom.SystemPath, text, 0o644)
	sum := sha256.Sum256(text)
	inv.Parts = append(inv.Parts, inventory.Part{
		Name: path.Base(sbom.SystemPath), Kind: billKind, Version: b.Version, License: "Apache-2.0", Origin: "what this image was built from",
		Path: "system:/" + sbom.SystemPath, Bytes: int64(len(text)), SHA256: hex.EncodeToString(sum[:]),
	})
	return nil
}

// billKind is the inventory's kind of the document.
const billKind = "document"

// billBeside writes the document of the finished parts.
func (b Builder) billBeside(ctx context.Context, a Artefacts, inv *inventory.Inventory) error {
	spec := *b.materials
	spec.Parts = inv.Parts
	bom, err := sbom.Make(ctx, spec)
	if err != nil {
		return err
	}
	text, err := sbom.Indented(bom)
	if err != nil {
		return err
	}
	return writeFile(a.SBOM, func(w io.Writer) error { _, err := w.Write(text); return err })
}

// buildTime reads SOURCE_DATE_EPOCH, the seconds since 1970 that reproducible
// builds agree on. Without it the document has no time.
func buildTime(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("read SOURCE_DATE_EPOCH: %q is not a number of seconds", epoch)
	}
	return time.Unix(seconds, 0), nil
}
