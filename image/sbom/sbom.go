package sbom

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"

	"runa/image/fetch"
	"runa/image/inventory"
)

// SystemPath is where the running appliance has the document.
const SystemPath = "usr/share/runa/sbom.cdx.json"

// Spec is what went into one image.
type Spec struct {
	Root     string           // the checkout: go.mod and kernel-config
	Version  string           // of Runa
	Target   string           // the machine the image is for, as in kernel-config/targets.yaml
	Parts    []inventory.Part // of the image, as far as they are finished
	Packages []string         // pins that go into parts which aren't finished
	Tools    []string         // pins of what made a part and left nothing of itself in the image
	Programs string           // folder with our built programs
	Userland string           // the multicall binary
	Commands []string         // import paths of the packages it was made of
	Llama    string           // folder of the llama.cpp libraries
	LeftOut  string           // which parts Parts can't have yet, and why; "" if it has all
	Fetcher  fetch.Fetcher
	Time     time.Time // of the build; zero: the document has none
}

// Make returns the document that describes s, not yet encoded.
func Make(ctx context.Context, s Spec) (*cyclonedx.BOM, error) {
	b := builder{Spec: s, components: map[string]*cyclonedx.Component{}, uses: map[string]map[string]bool{}}
	for _, step := range []func(context.Context) error{b.parts, b.packages, b.tools} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("write the bill of materials: %w", err)
		}
	}
	return b.document()
}

// builder collects components by their reference, which is the package URL or,
// for a file, its path as in the inventory.
type builder struct {
	Spec
	components map[string]*cyclonedx.Component
	uses       map[string]map[string]bool // which components each is made of
}

// parts enters each part of the inventory according to where it comes from.
func (b *builder) parts(ctx context.Context) error {
	for _, p := range b.Parts {
		pins, err := pinsOf(p)
		if err == nil {
			err = b.part(ctx, p, pins)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

func (b *builder) part(ctx context.Context, p inventory.Part, pins []fetch.Pin) error {
	switch {
	case strings.HasPrefix(p.Origin, ownOrigin):
		return b.program(ctx, p)
	case p.Kind == "userland":
		return b.userland(ctx, p)
	case p.Kind == "kernel":
		return b.kernel(ctx, p, pins)
	case p.Kind == "model":
		return b.model(ctx, p)
	case len(pins) == 1 && strings.HasPrefix(p.Origin, pins[0].Origin()):
		return b.packaged(ctx, p, pins[0])
	}
	file := fileOf(p)
	for _, pin := range pins {
		ref, err := b.pin(ctx, pin)
		if err != nil {
			return err
		}
		b.use(file.BOMRef, ref)
	}
	return b.add(file)
}

// packages enters what Packages names, where no part did.
func (b *builder) packages(ctx context.Context) error {
	for _, name := range b.Packages {
		pin, err := fetch.Find(name)
		if err != nil {
			return err
		}
		if _, err := b.pin(ctx, pin); err != nil {
			return err
		}
	}
	return nil
}

// tools enters what Tools names, in the scope that CycloneDX has for what isn't there at run time.
func (b *builder) tools(ctx context.Context) error {
	for _, name := range b.Tools {
		pin, err := fetch.Find(name)
		if err != nil {
			return err
		}
		before := len(b.components)
		ref, err := b.pin(ctx, pin)
		if err != nil {
			return err
		}
		if len(b.components) == before {
			continue // something of it is in the image too
		}
		b.components[ref].Scope = cyclonedx.ScopeExcluded
		b.components[ref].Description = "made a part of the image and left nothing of itself in it"
	}
	return nil
}

// add enters a component; two of one reference are a mistake of ours.
func (b *builder) add(c cyclonedx.Component) error {
	if b.components[c.BOMRef] != nil {
		return fmt.Errorf("%s is listed twice", c.BOMRef)
	}
	b.components[c.BOMRef] = &c
	return nil
}

// use says that the component from is made of, or linked to, the component of.
func (b *builder) use(from, of string) {
	if b.uses[from] == nil {
		b.uses[from] = map[string]bool{}
	}
	b.uses[from][of] = true
}

// fileOf describes a file of the image without saying whose it is.
func fileOf(p inventory.Part) cyclonedx.Component {
	return cyclonedx.Component{
		BOMRef: p.Path, Type: cyclonedx.ComponentTypeFile, Name: strings.TrimPrefix(p.Path, "system:"), Hashes: sha256Of(p.SHA256),
	}
}

// document puts the components in order below a head that names the image.
func (b *builder) document() (*cyclonedx.BOM, error) {
	url, err := packageURL("generic", "", "runa", b.Version, nil, "")
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, of := range b.uses {
		maps.Copy(used, of)
	}
	components := []cyclonedx.Component{}
	for _, ref := range slices.Sorted(maps.Keys(b.components)) {
		c := *b.components[ref]
		sortFiles(c.Components)
		components = append(components, c)
		if !used[ref] && c.Scope != cyclonedx.ScopeExcluded {
			b.use(url, ref)
		}
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = b.head(url)
	bom.Components = &components
	bom.Dependencies = b.dependencies()
	return bom, nil
}

func (b *builder) head(url string) *cyclonedx.Metadata {
	m := &cyclonedx.Metadata{
		Lifecycles: &[]cyclonedx.Lifecycle{{Phase: cyclonedx.LifecyclePhaseBuild}},
		Tools: &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{
			{Type: cyclonedx.ComponentTypeApplication, Name: "runa-image", Version: b.Version},
		}},
		Component: &cyclonedx.Component{
			BOMRef: url, Type: cyclonedx.ComponentTypeOS, Name: "Runa", Version: b.Version, PackageURL: url, Licenses: licence("Apache-2.0"),
			Properties: properties("runa:target", b.Target),
		},
	}
	if b.LeftOut != "" {
		m.Properties = properties("runa:left-out", b.LeftOut)
	}
	if !b.Time.IsZero() {
		m.Timestamp = b.Time.UTC().Format(time.RFC3339)
	}
	return m
}

func (b *builder) dependencies() *[]cyclonedx.Dependency {
	var list []cyclonedx.Dependency
	for _, from := range slices.Sorted(maps.Keys(b.uses)) {
		of := slices.Sorted(maps.Keys(b.uses[from]))
		list = append(list, cyclonedx.Dependency{Ref: from, Dependencies: &of})
	}
	return &list
}

func sortFiles(files *[]cyclonedx.Component) {
	if files != nil {
		slices.SortFunc(*files, func(a, b cyclonedx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	}
}

// licence holds an SPDX expression; "" is none.
func licence(expression string) *cyclonedx.Licenses {
	if expression == "" {
		return nil
	}
	return &cyclonedx.Licenses{{Expression: expression}}
}

func sha256Of(hex string) *[]cyclonedx.Hash {
	return &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex}}
}

// properties makes a list of names and values that follow each other.
func properties(pairs ...string) *[]cyclonedx.Property {
	var list []cyclonedx.Property
	for pair := range slices.Chunk(pairs, 2) {
		list = append(list, cyclonedx.Property{Name: pair[0], Value: pair[1]})
	}
	return &list
}

// located completes c with where in the image its file is, and the file's hash.
func located(c cyclonedx.Component, p inventory.Part, more ...string) cyclonedx.Component {
	if c.Name == "" {
		c.Name = path.Base(p.Name)
	}
	c.Hashes, c.Licenses = sha256Of(p.SHA256), licence(p.License)
	c.Properties = properties(append([]string{"runa:path", p.Path}, more...)...)
	return c
}
