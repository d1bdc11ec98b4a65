package sbom_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"runa/image/build"
	"runa/image/inventory"
	"runa/image/sbom"
)

// artefacts are the files of the image that `make test` built.
func artefacts(t *testing.T) build.Artefacts {
	t.Helper()
	image := os.Getenv("RUNA_IMAGE_QCOW2")
	if image == "" {
		t.Fatal("RUNA_IMAGE_QCOW2 is not set: run `make test`, which builds what these tests look into and names it")
	}
	return build.In(filepath.Dir(image))
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run `make test`, which builds it", err)
	}
	return data
}

func decode(t *testing.T, text []byte) *cyclonedx.BOM {
	t.Helper()
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(text), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	return &bom
}

// beside is the document beside the image, inside the one in its root file system.
func beside(t *testing.T) *cyclonedx.BOM { return decode(t, readFile(t, artefacts(t).SBOM)) }

func inside(t *testing.T) *cyclonedx.BOM {
	text := system(t)[sbom.SystemPath]
	if text == nil {
		t.Fatalf("the root file system has no /%s", sbom.SystemPath)
	}
	return decode(t, text)
}

func listed(t *testing.T) inventory.Inventory {
	t.Helper()
	inv, err := inventory.Parse(readFile(t, artefacts(t).Inventory))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

var unpacked struct {
	once  sync.Once
	files map[string][]byte
	err   error
}

// system returns the root file system's regular files by path, without a leading slash.
func system(t *testing.T) map[string][]byte {
	t.Helper()
	archive := readFile(t, artefacts(t).Initramfs)
	unpacked.once.Do(func() { unpacked.files, unpacked.err = unpack(archive) })
	if unpacked.err != nil {
		t.Fatal(unpacked.err)
	}
	return unpacked.files
}

func unpack(archive []byte) (map[string][]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(plain)))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, r := range records {
		if r.Mode&cpio.S_IFMT != cpio.S_IFREG {
			continue
		}
		content := make([]byte, r.FileSize)
		if _, err := r.ReadAt(content, 0); err != nil && err != io.EOF {
			return nil, err
		}
		files[r.Name] = content
	}
	return files, nil
}

// all calls each with every component, those below others too.
func all(bom *cyclonedx.BOM, each func(c cyclonedx.Component)) {
	var walk func(list *[]cyclonedx.Component)
	walk = func(list *[]cyclonedx.Component) {
		if list == nil {
			return
		}
		for _, c := range *list {
			each(c)
			walk(c.Components)
		}
	}
	walk(bom.Components)
}

// byReference returns every component by its reference.
func byReference(bom *cyclonedx.BOM) map[string]cyclonedx.Component {
	found := map[string]cyclonedx.Component{}
	all(bom, func(c cyclonedx.Component) { found[c.BOMRef] = c })
	return found
}

// byPath returns every component that is a file of the image, by the inventory's path.
func byPath(bom *cyclonedx.BOM) map[string]cyclonedx.Component {
	found := map[string]cyclonedx.Component{}
	all(bom, func(c cyclonedx.Component) {
		if c.Type == cyclonedx.ComponentTypeFile {
			found[c.BOMRef] = c
		}
		if path := property(c, "runa:path"); path != "" {
			found[path] = c
		}
	})
	return found
}

func property(c cyclonedx.Component, name string) string {
	if c.Properties != nil {
		for _, p := range *c.Properties {
			if p.Name == name {
				return p.Value
			}
		}
	}
	return ""
}

func hashOf(c cyclonedx.Component) string {
	if c.Hashes == nil || len(*c.Hashes) != 1 {
		return ""
	}
	return (*c.Hashes)[0].Value
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// uses returns what the component of that reference is said to be made of.
func uses(bom *cyclonedx.BOM, ref string) []string {
	for _, d := range *bom.Dependencies {
		if d.Ref == ref {
			return *d.Dependencies
		}
	}
	return nil
}

func goOutput(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}
