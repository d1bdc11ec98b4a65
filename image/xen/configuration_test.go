package xen

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"runa/services/hint"
)

var update = flag.Bool("update", false, "write the golden files anew")

var guest = Guest{
	Disk: Folder + "/runa.raw", Kernel: Folder + "/bzImage",
	CommandLine: "console=tty0 console=hvc0 console=ttyS0,115200 quiet loglevel=3",
}

func write(t *testing.T, g Guest, boot Boot) string {
	t.Helper()
	var out bytes.Buffer
	if err := g.Write(&out, boot); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTheConfigurationsOfEachWayToBoot(t *testing.T) {
	for _, boot := range Boots {
		got := write(t, guest, boot)
		golden := filepath.Join("testdata", string(boot)+".cfg")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || got != string(want) {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", boot, err, got, want)
		}
	}
}

// assignment is a line of a configuration that gives a key its value.
var assignment = regexp.MustCompile(`(?m)^\s*([a-z_]+)\s*=`)

// allowed are all keys that a configuration may have. Neither vif nor any other that
// gives a guest a way out (vfb, pci, usbdev, channel, p9, vtpm, device_model...) is one.
var allowed = []string{"name", "type", "kernel", "ramdisk", "extra", "memory", "vcpus", "disk", "on_poweroff", "on_reboot", "on_crash"}

func TestNoConfigurationHasANetworkOrAnyOtherDeviceButTheDisk(t *testing.T) {
	for _, boot := range Boots {
		text := write(t, guest, boot)
		for _, match := range assignment.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(allowed, match[1]) {
				t.Errorf("%s: key %s", boot, match[1])
			}
		}
		if vif := mustParse(t, text).List("vif"); vif != nil {
			t.Errorf("%s: xl reads network interfaces %q", boot, vif)
		}
	}
}

// absolute is what looks like a path of the host in a line that is no comment.
var absolute = regexp.MustCompile(`(?m)^[^#\n]*?(/[^"\s,]+)`)

func TestAConfigurationNamesNoPathOfTheHostButThoseGiven(t *testing.T) {
	for _, boot := range Boots {
		given := []string{guest.Disk, guest.Kernel}
		if boot == ByPVGRUB {
			given = []string{guest.Disk, PVGRUB}
		}
		var found []string
		for _, match := range absolute.FindAllStringSubmatch(write(t, guest, boot), -1) {
			found = append(found, match[1])
		}
		slices.Sort(found)
		slices.Sort(given)
		if !slices.Equal(found, given) {
			t.Errorf("%s: paths %q, want %q", boot, found, given)
		}
	}
}

func TestXLReadsWhatWasMeant(t *testing.T) {
	const line = "console=hvc0 quiet loglevel=3"
	tests := map[Boot]map[string]string{
		PV:       {"type": "pv", "kernel": guest.Kernel, "ramdisk": "", "extra": line},
		ByPVGRUB: {"type": "pv", "kernel": PVGRUB, "ramdisk": "", "extra": ""},
		PVH:      {"type": "pvh", "kernel": guest.Kernel, "ramdisk": "", "extra": line},
	}
	for boot, want := range tests {
		t.Run(string(boot), func(t *testing.T) {
			r := mustParse(t, write(t, guest, boot))
			want["name"] = "runa"
			for key, value := range want {
				if got := r.String(key); got != value {
					t.Errorf("%s: xl reads %q, want %q", key, got, value)
				}
			}
			if memory, vcpus := r.Number("memory"), r.Number("vcpus"); memory != MemoryMiB || vcpus != CPUs {
				t.Errorf("%d MiB and %d processors", memory, vcpus)
			}
			r.expectDisk(guest.Disk)
		})
	}
}

// expectDisk fails unless xl makes one writable raw disk of the configuration's.
func (r read) expectDisk(path string) {
	r.Helper()
	disks := r.List("disk")
	if len(disks) != 1 {
		r.Fatalf("disks %q, want one", disks)
	}
	disk := r.Disk(disks[0])
	for key, want := range map[string]any{"pdev_path": path, "vdev": "xvda", "format": "raw", "readwrite": 1.0} {
		if disk[key] != want {
			r.Errorf("%s: xl reads %v, want %v; all of it: %v", key, disk[key], want, disk)
		}
	}
}

func TestAnyPathAndCommandLineReachesXLUnchanged(t *testing.T) {
	for _, path := range []string{
		"/dev/vg/runa", "/images/with space", "/it's", `/a"quote`, `/back\slash\n`, "/comma,vdev=xvdb", "/phy:colon", "/#hash", "/größe/猫", "/100%s",
	} {
		g := Guest{Disk: path, Kernel: path + ".kernel", CommandLine: `dm-mod.create="a b, c" path=` + path}
		r := mustParse(t, write(t, g, PV))
		for key, want := range map[string]string{"kernel": g.Kernel, "extra": "console=hvc0 " + g.CommandLine} {
			if got := r.String(key); got != want {
				t.Errorf("%s: xl reads %q, want %q", key, got, want)
			}
		}
		r.expectDisk(path)
	}
}

func TestXLsParserIsTheOneThatComplains(t *testing.T) {
	r, accepted := parse(t, "name = \"runa\"\nmemory = = 3\n")
	if accepted {
		t.Error("nonsense was accepted")
	}
	if got := r.complaints(); !strings.Contains(got, "configuration:2: config parsing error") {
		t.Errorf("complaint %q", got)
	}
}

func TestAGuestThatXLCouldNotReadIsRefused(t *testing.T) {
	change := func(f func(*Guest)) Guest { g := guest; f(&g); return g }
	tests := map[string]struct {
		guest Guest
		boot  Boot
		want  string
	}{
		"no disk":         {change(func(g *Guest) { g.Disk = "" }), ByPVGRUB, `path of the disk, "", is not absolute`},
		"relative kernel": {change(func(g *Guest) { g.Kernel = "bzImage" }), PVH, `path of the kernel, "bzImage", is not absolute`},
		"line break":      {change(func(g *Guest) { g.Disk = "/a\nvif = [ '' ]" }), PV, "control character"},
		"command line":    {change(func(g *Guest) { g.CommandLine = "a\nvif=1" }), PV, "control character"},
		"trailing space":  {change(func(g *Guest) { g.Kernel = "/a " }), PV, "ends with a space"},
		"hvm":             {guest, "hvm", "no such way to boot"},
	}
	for name, test := range tests {
		var out bytes.Buffer
		err := test.guest.Write(&out, test.boot)
		if err == nil || !strings.Contains(err.Error(), test.want) || hint.Of(err) == "" || out.Len() != 0 {
			t.Errorf("%s: %v, hint %q, %d bytes written", name, err, hint.Of(err), out.Len())
		}
	}
}
