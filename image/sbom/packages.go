package sbom

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"

	"runa/image/fetch"
	"runa/image/inventory"
	"runa/image/model"
)

// debianRelease is the one whose packages are pinned, as package URLs name it.
const debianRelease = "debian-12"

// llamaMetadata says, in the folder of the llama.cpp libraries, what they were built from.
const llamaMetadata = "_nlcBuildMetadata.json"

// pinsOf returns the pins that the origin of p names. An origin that names a
// registry's package which isn't pinned is an error.
func pinsOf(p inventory.Part) ([]fetch.Pin, error) {
	var pins []fetch.Pin
	for _, pin := range fetch.Pins() {
		_, rest, found := strings.Cut(p.Origin, pin.Origin())
		if found && (rest == "" || strings.ContainsAny(rest[:1], " ,:;")) {
			pins = append(pins, pin)
		}
	}
	for _, registry := range []string{fetch.Debian, fetch.NPM} {
		if len(pins) == 0 && strings.Contains(p.Origin, registry+" package ") {
			return nil, fmt.Errorf("its origin %q names no pinned package", p.Origin)
		}
	}
	return pins, nil
}

// packaged enters a file that is in the image as the package has it, below the package.
func (b *builder) packaged(ctx context.Context, p inventory.Part, pin fetch.Pin) error {
	ref, err := b.pin(ctx, pin)
	if err != nil || "sha256:"+p.SHA256 == pin.Hash {
		return err // the part stands for the package as a whole
	}
	inside := b.components[ref].Components
	if inside == nil {
		inside = &[]cyclonedx.Component{}
		b.components[ref].Components = inside
	}
	*inside = append(*inside, fileOf(p))
	return nil
}

// pin enters a package once, with the hash of the archive that was unpacked.
func (b *builder) pin(ctx context.Context, pin fetch.Pin) (ref string, err error) {
	c := cyclonedx.Component{Type: cyclonedx.ComponentTypeLibrary, Name: pin.Name, Version: pin.Version, Licenses: licence(pin.License)}
	if pin.Registry == fetch.Debian {
		err = b.debian(ctx, pin, &c)
	} else {
		err = npm(pin, &c)
	}
	if err != nil || b.components[c.PackageURL] != nil {
		return c.PackageURL, err
	}
	c.BOMRef = c.PackageURL
	if err := b.add(c); err != nil || pin.Name != llamaPackage {
		return c.BOMRef, err
	}
	return c.BOMRef, b.llama(c.BOMRef, pin)
}

func (b *builder) debian(ctx context.Context, pin fetch.Pin, c *cyclonedx.Component) error {
	archive, _, err := b.Fetcher.Archive(ctx, pin.Name)
	if err != nil {
		return err
	}
	control, err := readControl(ctx, archive)
	if err != nil {
		return err
	}
	c.Hashes = sha256Of(strings.TrimPrefix(pin.Hash, "sha256:"))
	qualifiers := map[string]string{"arch": control.architecture, "distro": debianRelease}
	if source := control.sourceName + "@" + control.sourceVersion; source != pin.Name+"@"+pin.Version {
		qualifiers["upstream"] = source // as scanners expect it: Debian's notices name source packages
	}
	c.PackageURL, err = packageURL("deb", "debian", pin.Name, pin.Version, qualifiers, "")
	return err
}

func npm(pin fetch.Pin, c *cyclonedx.Component) error {
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pin.Hash, "sha512-"))
	if err != nil {
		return fmt.Errorf("read the hash of %s: %w", pin.Name, err)
	}
	c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA512, Value: hex.EncodeToString(sum)}}
	c.Properties = properties("runa:npm:integrity", pin.Hash)
	namespace, name := splitModule(pin.Name)
	c.PackageURL, err = packageURL("npm", namespace, name, pin.Version, nil, "")
	return err
}

// control is what a Debian package says of itself.
type control struct{ architecture, sourceName, sourceVersion string }

func readControl(ctx context.Context, archive string) (control, error) {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--field", archive, "Package", "Version", "Architecture", "Source")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return control{}, fmt.Errorf("read the control data of %s: %w: %s", filepath.Base(archive), err, strings.TrimSpace(stderr.String()))
	}
	c, err := parseControl(string(out))
	if err != nil {
		return control{}, fmt.Errorf("read the control data of %s: %w", filepath.Base(archive), err)
	}
	return c, nil
}

// parseControl reads lines "Field: value". Source is missing where it is the
// package's own name, and has a version in parentheses where that differs.
func parseControl(text string) (control, error) {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(line, ":"); found {
			fields[name] = strings.TrimSpace(value)
		}
	}
	for _, name := range []string{"Package", "Version", "Architecture"} {
		if fields[name] == "" {
			return control{}, fmt.Errorf("it has no field %s", name)
		}
	}
	c := control{architecture: fields["Architecture"], sourceName: fields["Package"], sourceVersion: fields["Version"]}
	if fields["Source"] != "" {
		name, version, found := strings.Cut(fields["Source"], " ")
		c.sourceName = name
		if found {
			c.sourceVersion = strings.Trim(version, "()")
		}
	}
	return c, nil
}

// model enters a finished model and the packages that it was made from.
func (b *builder) model(ctx context.Context, p inventory.Part) error {
	m, err := model.Find(p.Name)
	if err != nil {
		return err
	}
	url, err := packageURL("generic", "", m.Name, p.Version, map[string]string{"checksum": "sha256:" + p.SHA256}, "")
	if err != nil {
		return err
	}
	for _, name := range m.Packages {
		pin, err := fetch.Find(name)
		if err != nil {
			return err
		}
		ref, err := b.pin(ctx, pin)
		if err != nil {
			return err
		}
		b.use(url, ref)
	}
	return b.add(located(cyclonedx.Component{
		BOMRef: url, Type: cyclonedx.ComponentTypeMachineLearningModel, Version: p.Version, Description: m.Title + ": " + m.Source, PackageURL: url,
	}, p))
}

// llamaPackage is the one whose libraries are llama.cpp.
const llamaPackage = "@node-llama-cpp/linux-x64"

// llama enters llama.cpp itself, below the package that brings it compiled.
func (b *builder) llama(ref string, pin fetch.Pin) error {
	text, err := os.ReadFile(filepath.Join(b.Llama, llamaMetadata))
	if err != nil {
		return fmt.Errorf("read which llama.cpp it is: %w", err)
	}
	repository, release, err := parseLlama(text)
	if err != nil {
		return err
	}
	namespace, name := splitModule(repository)
	url, err := packageURL("github", namespace, name, release, nil, "")
	if err != nil {
		return err
	}
	b.components[ref].Components = &[]cyclonedx.Component{{
		BOMRef: url, Type: cyclonedx.ComponentTypeLibrary, Name: name, Version: release, Licenses: licence(pin.License), PackageURL: url,
	}}
	return nil
}

// parseLlama reads the repository and the release out of what the package says of its build.
func parseLlama(text []byte) (repository, release string, err error) {
	var metadata struct {
		BuildOptions struct {
			LlamaCpp struct{ Repo, Release string }
		}
	}
	if err := json.Unmarshal(text, &metadata); err != nil {
		return "", "", fmt.Errorf("read %s: %w", llamaMetadata, err)
	}
	from := metadata.BuildOptions.LlamaCpp
	if from.Release == "" || !strings.Contains(from.Repo, "/") {
		return "", "", fmt.Errorf("read %s: it names no release of llama.cpp", llamaMetadata)
	}
	return from.Repo, from.Release, nil
}

// packageURL returns a package URL with the escapes that its type wants.
func packageURL(kind, namespace, name, version string, qualifiers map[string]string, subpath string) (string, error) {
	url := packageurl.NewPackageURL(kind, namespace, name, version, packageurl.QualifiersFromMap(qualifiers), subpath)
	if err := url.Normalize(); err != nil {
		return "", fmt.Errorf("name %s: %w", name, err)
	}
	return url.ToString(), nil
}
