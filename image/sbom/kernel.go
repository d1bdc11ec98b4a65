package sbom

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/CycloneDX/cyclonedx-go"

	"runa/image/cache"
	"runa/image/fetch"
	"runa/image/inventory"
	"runa/image/kernel"
)

// kernelConfig is the folder of the kernel's fragments in the checkout.
const kernelConfig = "kernel-config"

// kernel enters the kernel: the source package that Debian's security notices
// name, the archive it was unpacked from, and the hash of each fragment that configured it.
func (b *builder) kernel(ctx context.Context, p inventory.Part, pins []fetch.Pin) error {
	if len(pins) != 1 || pins[0].Registry != fetch.Debian {
		return fmt.Errorf("its origin %q is not one Debian package", p.Origin)
	}
	ref, err := b.pin(ctx, pins[0])
	if err != nil {
		return err
	}
	archive, _, err := b.Fetcher.Archive(ctx, pins[0].Name)
	if err != nil {
		return err
	}
	control, err := readControl(ctx, archive)
	if err != nil {
		return err
	}
	url, err := packageURL("deb", "debian", control.sourceName, control.sourceVersion, map[string]string{"arch": "source", "distro": debianRelease}, "")
	if err != nil {
		return err
	}
	configuration, err := b.configuration()
	if err != nil {
		return err
	}
	b.use(url, ref)
	return b.add(located(cyclonedx.Component{
		BOMRef: url, Type: cyclonedx.ComponentTypeOS, Version: p.Version, PackageURL: url,
	}, p, configuration...))
}

// configuration returns properties: the hash of all symbols that were asked for,
// and of each file that asks for some.
func (b *builder) configuration() ([]string, error) {
	dir := filepath.Join(b.Root, kernelConfig)
	config, err := kernel.Compose(dir, b.Target)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, s := range config.Symbols {
		files = append(files, s.File)
	}
	slices.Sort(files)
	sum := sha256.Sum256(config.Text())
	list := []string{"runa:kernel:configuration", "sha256:" + hex.EncodeToString(sum[:])}
	for _, file := range slices.Compact(files) {
		hash, err := cache.FileHash(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		list = append(list, "runa:kernel:fragment:"+file, "sha256:"+hash)
	}
	return list, nil
}
