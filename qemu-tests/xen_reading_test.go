package qemutests

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"

	"runa/image/cache"
	"runa/image/xen"
)

// odd is a path with signs that mean something in xl's language, or in that of its disks.
const odd = `/dev/with space/it's/a"quote"/back\slash\n/comma,vdev=xvdb/phy:colon/#hash/größe/猫/100%s`

// A written guest is what xl is given and what it was made from.
type written struct {
	file  string // on the Xen host
	guest xen.Guest
	boot  xen.Boot
}

// writtenGuests are the configurations that the Xen host gets: those that are started,
// and one that is only read.
func writtenGuests(artefacts Artefacts) []written {
	var all []written
	for _, boot := range xen.Boots {
		all = append(all, written{configuration(boot), xen.Guest{
			Disk: diskOnHost, Kernel: path.Join(xen.Folder, "bzImage"), CommandLine: artefacts.fromDisk(rootOnXen),
		}, boot})
	}
	return append(all, written{"/etc/xen/odd.cfg", xen.Guest{
		Disk: odd, Kernel: odd + ".kernel", CommandLine: `console=tty0 dm-mod.create="a b, c" path=` + odd,
	}, xen.PV})
}

// diskOnHost is the image by the name that the Xen host gives it.
const diskOnHost = "/dev/vda"

// configuration is where the Xen host has the configuration for one way to boot.
func configuration(boot xen.Boot) string { return "/etc/xen/runa-" + string(boot) + ".cfg" }

// broken is a configuration that nobody could mean.
const broken = "/etc/xen/broken.cfg"

// meaning is what xl made of a configuration, of which it prints much more.
type meaning struct {
	Create struct{ Type, Name string } `json:"c_info"`
	Build  struct {
		Kernel, Ramdisk, Cmdline string
		VCPUs                    int `json:"max_vcpus"`
		MemoryKiB                int `json:"max_memkb"`
	} `json:"b_info"`
	Disks []struct {
		Path      string `json:"pdev_path"`
		Name      string `json:"vdev"`
		Format    string
		ReadWrite int
	}
}

// requireReading has xl read all configurations without starting one, and fails the test
// unless it finds in each what it was made from.
func requireReading(t *testing.T, host *Appliance, artefacts Artefacts) {
	for _, one := range writtenGuests(artefacts) {
		printed := host.Must("xl create -n "+one.file, host.Limits.Command)
		_, text, _ := strings.Cut(printed, "\n") // the first line says which file it reads
		var got meaning
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%s: %v in what xl printed:\n%s", one.file, err, printed)
		}
		one.require(t, got)
		requireOnlyDisks(t, text)
	}
	if said, status := host.Run("xl create -n "+broken, host.Limits.Command); status == 0 || !strings.Contains(said, "broken.cfg:2: config parsing error") {
		t.Errorf("of nonsense xl says %q, exit status %d", said, status)
	}
}

func (w written) require(t *testing.T, got meaning) {
	t.Helper()
	kind, kernel, line := "pv", w.guest.Kernel, "console=hvc0"
	for word := range strings.FieldsSeq(w.guest.CommandLine) {
		if !strings.HasPrefix(word, "console=") {
			line += " " + word
		}
	}
	switch w.boot {
	case xen.ByPVGRUB:
		kernel, line = xen.PVGRUB, ""
	case xen.PVH:
		kind = "pvh"
	}
	for what, pair := range map[string][2]string{
		"name": {got.Create.Name, "runa"}, "type": {got.Create.Type, kind}, "kernel": {got.Build.Kernel, kernel},
		"ramdisk": {got.Build.Ramdisk, ""}, "command line": {got.Build.Cmdline, line},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s: xl reads %q, want %q", w.file, what, pair[0], pair[1])
		}
	}
	if got.Build.VCPUs != xen.CPUs || got.Build.MemoryKiB != xen.MemoryMiB<<10 {
		t.Errorf("%s: xl reads %d processors and %d KiB", w.file, got.Build.VCPUs, got.Build.MemoryKiB)
	}
	if len(got.Disks) != 1 {
		t.Fatalf("%s: xl reads %d disks, want 1", w.file, len(got.Disks))
	}
	if disk := got.Disks[0]; disk.Path != w.guest.Disk || disk.Name != "xvda" || disk.Format != "raw" || disk.ReadWrite != 1 {
		t.Errorf("%s: xl reads the disk %+v", w.file, disk)
	}
}

// requireOnlyDisks fails the test if the guest gets any device besides its disk: a network
// card, a screen, a channel or one of the host's own.
func requireOnlyDisks(t *testing.T, text string) {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	for key, value := range all {
		if list, ok := value.([]any); ok && len(list) > 0 && key != "disks" {
			t.Errorf("the guest has %s: %v", key, list)
		}
	}
}

// requirePygrub has pygrub, which xl can start guests by too, look into the image and fails
// the test unless it finds the kernel and the command line that are meant.
func requirePygrub(t *testing.T, host *Appliance, artefacts Artefacts) {
	host.Must("mkdir /tmp/pygrub", host.Limits.Command)
	found := host.Must("pygrub -q --output-format=simple --output-directory=/tmp/pygrub "+diskOnHost, host.Limits.Boot)
	if want := "args " + artefacts.CommandLine; !slices.Contains(strings.Split(found, "\n"), want) {
		t.Errorf("no line %q in what pygrub printed:\n%s", want, found)
	}
	hash, err := cache.FileHash(artefacts.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := strings.Cut(host.Must("sha256sum /tmp/pygrub/boot_kernel.*", host.Limits.Command), " "); got != hash {
		t.Errorf("pygrub's kernel has SHA-256 %s, want %s", got, hash)
	}
	host.Must("rm -r /tmp/pygrub", host.Limits.Command)
}
