// Package libvirt writes the domain XML by which libvirt, and so virt-manager and
// virsh, runs the image: a q35 machine with a virtio disk, a serial console and
// one named port to the host. It must never write a network device, nor anything
// else that reaches beyond the machine but that port; a test holds each kind of
// device against a list.
//
// Format: libvirt's formatdomain page and its schema domain.rng.
package libvirt

import (
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"

	"runa/services/hint"
)

const (
	// Folder is where libvirt keeps images unless told otherwise: its QEMU, which runs
	// as a user of its own, may read there, and not in somebody's home.
	Folder = "/var/lib/libvirt/images"

	// Port is the name by which the guest finds its virtio-serial port to the host.
	Port = "org.runa.host.0"

	// Channel is that port's unix socket on the host. Its folder exists wherever libvirt
	// runs QEMU, and is closed to all but root and libvirt's user.
	Channel = "/var/lib/libvirt/qemu/runa.sock"

	// MemoryMiB and CPUs are what the default model needs to chat.
	MemoryMiB = 2048
	CPUs      = 2
)

//go:embed domain.xml.tmpl
var text string

var domain = template.Must(template.New("domain").Funcs(template.FuncMap{"xml": escape}).Parse(text))

// Write writes the domain whose disk is the qcow2 image at the absolute path disk of
// the host. The same path gives the same bytes.
func Write(w io.Writer, disk string) error {
	if err := check(disk); err != nil {
		return hint.New(fmt.Errorf("write the libvirt domain: %w", err), "give an absolute path on the host, such as %s/runa.qcow2", Folder)
	}
	return domain.Execute(w, struct {
		Disk, Channel, Port string
		MemoryMiB, CPUs     int
	}{disk, Channel, Port, MemoryMiB, CPUs})
}

// check reports why libvirt couldn't use path as it stands.
func check(path string) error {
	switch {
	case path == "":
		return errors.New("the path of the disk is empty")
	case !filepath.IsAbs(path):
		return fmt.Errorf("the disk's path %q is not absolute", path)
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unfit):
		return fmt.Errorf("the disk's path %q has characters that XML can't carry", path)
	}
	return nil
}

// unfit is true for characters that XML forbids or changes in an attribute.
func unfit(r rune) bool { return unicode.IsControl(r) || r == 0xfffe || r == 0xffff }

// escape makes s fit to stand in an attribute.
func escape(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}
