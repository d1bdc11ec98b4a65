package qemutests

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runa/image/disk"
)

// Each format of the image is read by the tool of those who made it.
func TestEveryFormatIsWhatItsOwnToolsExpect(t *testing.T) {
	artefacts := FindArtefacts(t)
	layout := layoutOf(t, artefacts.Raw)
	part := func(name string) string {
		p, found := layout.Part(name)
		if !found {
			t.Fatalf("no partition %s", name)
		}
		return extract(t, artefacts.Raw, p)
	}

	run(t, "qemu-utils", "qemu-img", "check", "-q", artefacts.Image)
	if said := run(t, "qemu-utils", "qemu-img", "compare", artefacts.Image, artefacts.Raw); !strings.Contains(said, "identical") {
		t.Errorf("qemu-img compare: %s", said)
	}
	run(t, "dosfstools", "fsck.fat", "-n", part(disk.BootName))
	run(t, "e2fsprogs", "e2fsck", "-fn", part(disk.DataName))
	run(t, "erofs-utils", "fsck.erofs", part(disk.SystemName))

	chrome := part(disk.ChromeName)
	said := run(t, "vboot-kernel-utils", "vbutil_kernel", "--verify", chrome)
	for _, want := range []string{"Body verification succeeded.", artefacts.System} {
		if !strings.Contains(said, want) {
			t.Errorf("vbutil_kernel --verify says nothing of %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "initrd") {
		t.Errorf("a Chromebook loads no initrd:\n%s", said)
	}
	requireChromeTable(t, artefacts.Raw, layout)
}

// requireChromeTable lets cgpt, which reads the table as a Chromebook's firmware
// does, say what it sees.
func requireChromeTable(t *testing.T, raw string, layout disk.Layout) {
	t.Helper()
	said := run(t, "cgpt", "cgpt", "show", raw)
	for _, bad := range []string{"INVALID", "WARNING", "ERROR"} {
		if strings.Contains(said, bad) {
			t.Errorf("cgpt show finds a fault:\n%s", said)
		}
	}
	kernel, _ := layout.Part(disk.ChromeName)
	number := sprintf("%d", kernel.Number)
	for flag, want := range map[string]string{"-S": "1", "-T": "5", "-P": "10", "-l": disk.ChromeName, "-t": disk.TypeChromeOS} {
		if got := strings.TrimSpace(run(t, "cgpt", "cgpt", "show", "-i", number, flag, raw)); got != want {
			t.Errorf("cgpt show -i %s %s: %q, want %q", number, flag, got, want)
		}
	}
	if found := run(t, "cgpt", "cgpt", "find", "-n", "-t", "kernel", raw); strings.TrimSpace(found) != number {
		t.Errorf("cgpt finds kernels in %q, want %s", found, number)
	}
}

// extract copies a partition into a file of its own.
func extract(t *testing.T, raw string, p disk.Part) string {
	t.Helper()
	from, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(t.TempDir(), p.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, io.NewSectionReader(from, p.Start, p.Size)); err != nil {
		t.Fatal(err)
	}
	return to.Name()
}
