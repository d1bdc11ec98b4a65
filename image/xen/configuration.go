// Package xen writes the configurations by which Xen's xl runs the image: as a PV
// guest by its kernel, as a PV guest by pvgrub, which finds the kernel in the image,
// and as a PVH guest. It must never write a network interface, nor anything else
// that reaches beyond the guest; a test holds each key against a list.
//
// Format: xl.cfg(5) and xl-disk-configuration(5) of Xen 4.17.
package xen

import (
	_ "embed"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"unicode"

	"runa/services/hint"
)

const (
	// Folder is where the files are on the Xen host unless told otherwise.
	Folder = "/var/lib/xen/images"

	// PVGRUB is the boot loader for PV guests of Debian's package grub-xen-host.
	PVGRUB = "/usr/lib/grub-xen/grub-x86_64-xen.bin"

	// MemoryMiB and CPUs are what the default model needs to chat.
	MemoryMiB = 2048
	CPUs      = 2

	// console is the one that Xen gives each guest: xl console.
	console = "console=hvc0"
)

// Boot is a way to start the guest.
type Boot string

// The three ways. Each starts the same disk.
const (
	PV       Boot = "pv"     // paravirtual, the kernel is a file of the host
	ByPVGRUB Boot = "pvgrub" // paravirtual, the kernel is in the image
	PVH      Boot = "pvh"    // needs a processor with hardware virtualization
)

// Boots are all of them.
var Boots = []Boot{PV, ByPVGRUB, PVH}

var titles = map[Boot]string{PV: "PV by its kernel", ByPVGRUB: "PV by pvgrub", PVH: "PVH by its kernel"}

// Guest says where the files are on the Xen host: absolute paths.
type Guest struct {
	Disk        string // raw image, or a block device that holds it
	Kernel      string
	CommandLine string // the image's own; its consoles are replaced by Xen's
}

//go:embed guest.cfg.tmpl
var text string

var configuration = template.Must(template.New("guest").Funcs(template.FuncMap{"quote": quote}).Parse(text))

// values are what the template needs.
type values struct {
	Boot                       Boot
	Title, Type, Kernel, Extra string // no Extra: the kernel is a boot loader
	Disk                       string // xl-disk-configuration(5)
	MemoryMiB, CPUs            int
}

// Write writes the configuration of g for one way to boot. The same guest gives the
// same bytes.
func (g Guest) Write(w io.Writer, boot Boot) error {
	if err := g.check(boot); err != nil {
		err = fmt.Errorf("write the Xen configuration for %s: %w", boot, err)
		return hint.New(err, "give absolute paths on the host, such as %s/runa.raw", Folder)
	}
	v := values{
		Boot: boot, Title: titles[boot], Type: "pv", Kernel: g.Kernel, Extra: onXen(g.CommandLine),
		Disk: "format=raw, vdev=xvda, access=rw, target=" + g.Disk, MemoryMiB: MemoryMiB, CPUs: CPUs,
	}
	switch boot {
	case ByPVGRUB:
		v.Kernel, v.Extra = PVGRUB, ""
	case PVH:
		v.Type = "pvh"
	}
	return configuration.Execute(w, v)
}

// check reports what xl couldn't read as it stands.
func (g Guest) check(boot Boot) error {
	if !slices.Contains(Boots, boot) {
		return fmt.Errorf("no such way to boot: want one of %v", Boots)
	}
	if err := checkPath("disk", g.Disk); err != nil || boot == ByPVGRUB {
		return err
	}
	if strings.ContainsFunc(g.CommandLine, unicode.IsControl) {
		return fmt.Errorf("the command line %q has a control character", g.CommandLine)
	}
	return checkPath("kernel", g.Kernel)
}

func checkPath(what, path string) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("the path of the %s, %q, is not absolute", what, path)
	case strings.ContainsFunc(path, unicode.IsControl):
		return fmt.Errorf("the path of the %s, %q, has a control character", what, path)
	case strings.TrimSpace(path) != path:
		return fmt.Errorf("the path of the %s, %q, ends with a space, which xl would drop", what, path)
	}
	return nil
}

// quote returns s as a string of xl's language, which has no quoting of control
// characters that all its versions know; check refuses those.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// onXen returns a kernel command line with Xen's console in place of a PC's, which a
// guest doesn't have.
func onXen(commandLine string) string {
	words := slices.DeleteFunc(strings.Fields(commandLine), func(word string) bool { return strings.HasPrefix(word, "console=") })
	return strings.Join(append([]string{console}, words...), " ")
}
