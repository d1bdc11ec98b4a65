package build

import (
	"errors"
	"io"
	"path/filepath"

	"runa/image/libvirt"
	"runa/image/xen"
)

// handouts writes what a host's hypervisor is told about the image: the domain of
// libvirt and the configurations of Xen. They name the files where they will be on
// that host and not where they were built, so that every build gives the same bytes.
func (b Builder) handouts(a Artefacts) error {
	onHost := func(usual, path string) string {
		if b.HostFolder != "" {
			usual = b.HostFolder
		}
		return filepath.Join(usual, filepath.Base(path))
	}
	guest := xen.Guest{
		Disk: onHost(xen.Folder, "runa.raw"), Kernel: onHost(xen.Folder, a.Kernel),
		Initramfs: onHost(xen.Folder, a.Initramfs), CommandLine: CommandLine,
	}
	return errors.Join(
		writeFile(a.Domain, func(w io.Writer) error { return libvirt.Write(w, onHost(libvirt.Folder, a.Image)) }),
		writeFile(a.XenPV, func(w io.Writer) error { return guest.Write(w, xen.PV) }),
		writeFile(a.XenPVGRUB, func(w io.Writer) error { return guest.Write(w, xen.ByPVGRUB) }),
		writeFile(a.XenPVH, func(w io.Writer) error { return guest.Write(w, xen.PVH) }),
	)
}
