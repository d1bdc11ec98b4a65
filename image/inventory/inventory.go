// Package inventory is the list of what an image is made of: each part's name,
// version, licence, origin and hash. It is written into the image when it is
// built and read back by whoever wants to know what they are about to trust.
package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// SystemPath is where the running appliance has the inventory of its system.
const SystemPath = "etc/runa/inventory.json"

// Inventory describes one image.
type Inventory struct {
	Version     string `json:"version"` // of Runa: the commit it was built from
	Target      string `json:"target"`
	CommandLine string `json:"command_line"` // of the kernel
	Parts       []Part `json:"parts"`
}

// Part is one thing in the image.
type Part struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"` // boot, kernel, program, library, userland, model, document
	Version string `json:"version"`
	License string `json:"license"` // SPDX expression
	Origin  string `json:"origin"`  // registry and package, or where the source stands
	Path    string `json:"path"`    // where it is in the image; starts with "esp:", "system:", "data:", "kernel:" (inside of it) or "disk:"
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
}

// Write writes i as indented JSON, its parts sorted by kind and name.
func (i Inventory) Write(w io.Writer) error {
	i.sort()
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(i); err != nil {
		return fmt.Errorf("write the inventory: %w", err)
	}
	return nil
}

// Parse reads an inventory strictly: an unknown key is an error.
func Parse(data []byte) (Inventory, error) {
	var i Inventory
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&i); err != nil {
		return Inventory{}, fmt.Errorf("read the inventory: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Inventory{}, errors.New("read the inventory: something follows its end")
	}
	return i, nil
}

// Table prints i for a person.
func (i Inventory) Table(w io.Writer) error {
	i.sort()
	fmt.Fprintf(w, "Runa %s for %s\nkernel command line: %s\n\n", i.Version, i.Target, i.CommandLine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KIND\tNAME\tVERSION\tLICENCE\tSIZE\tSHA256\tORIGIN")
	for _, p := range i.Parts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.16s\t%s\n", p.Kind, p.Name, p.Version, p.License, size(p.Bytes), p.SHA256, p.Origin)
	}
	return t.Flush()
}

func (i Inventory) sort() {
	slices.SortStableFunc(i.Parts, func(a, b Part) int {
		return bytes.Compare([]byte(a.Kind+"\x00"+a.Name), []byte(b.Kind+"\x00"+b.Name))
	})
}

func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
