package build

import (
	"io"
	"path/filepath"
	"slices"

	"runa/image/libvirt"
	"runa/image/xen"
)

// handouts writes what a host's hypervisor is told about the image: the domain of
// libvirt and the configurations of Xen. They name the files where they will be on
// that host and not where they were built, so that every build gives the same bytes.
// Only those are written that are wanted.
func (b Builder) handouts(a Artefacts, commandLine string, wanted []string) error {
	onHost := func(usual, path string) string {
		if b.HostFolder != "" {
			usual = b.HostFolder
		}
		return filepath.Join(usual, filepath.Base(path))
	}
	guest := xen.Guest{
		Disk: onHost(xen.Folder, a.Raw), Kernel: onHost(xen.Folder, a.Kernel), CommandLine: commandLine,
	}
	xl := func(boot xen.Boot) func(io.Writer) error {
		return func(w io.Writer) error { return guest.Write(w, boot) }
	}
	for _, handout := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{a.Domain, func(w io.Writer) error { return libvirt.Write(w, onHost(libvirt.Folder, a.Image)) }},
		{a.XenPV, xl(xen.PV)},
		{a.XenPVGRUB, xl(xen.ByPVGRUB)},
		{a.XenPVH, xl(xen.PVH)},
	} {
		if !slices.Contains(wanted, handout.path) {
			continue
		}
		if err := writeFile(handout.path, handout.write); err != nil {
			return err
		}
	}
	return nil
}
