package build

import (
	"path/filepath"
	"slices"
	"testing"

	"runa/services/hint"
)

func TestTargetsAreReadAndUnknownOnesNamed(t *testing.T) {
	if got, err := ParseTargets("usb,xen,usb"); err != nil || !slices.Equal(got, []Target{USB, Xen}) {
		t.Errorf("usb,xen,usb: %v, %v", got, err)
	}
	if got, err := ParseTargets("all"); err != nil || !slices.Equal(got, AllTargets) {
		t.Errorf("all: %v, %v", got, err)
	}
	for _, names := range []string{"", "vmdk", "usb,", "all,usb"} {
		if got, err := ParseTargets(names); err == nil || hint.Of(err) == "" {
			t.Errorf("%q: %v, %v", names, got, err)
		}
	}
}

func TestATargetHasItsFilesAndThePapers(t *testing.T) {
	tests := map[Target][]string{
		QCOW2:  {"inventory.json", "runa.qcow2", "runa.xml", "sbom.cdx.json"},
		Raw:    {"inventory.json", "runa.raw", "sbom.cdx.json"},
		USB:    {"inventory.json", "runa.raw", "sbom.cdx.json"},
		Xen:    {"bzImage", "inventory.json", "runa-pv.cfg", "runa-pvgrub.cfg", "runa-pvh.cfg", "runa.raw", "sbom.cdx.json"},
		Kernel: {"bzImage", "initramfs.cpio.zst", "inventory.json", "runa.efi", "runa.kpart", "sbom.cdx.json", "system.erofs", "vmlinux"},
	}
	for target, want := range tests {
		var got []string
		for _, path := range In("out").Files(target) {
			got = append(got, filepath.Base(path))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", target, got, want)
		}
	}
}
