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
		for _, match := range assignment.FindAllStringSubmatch(write(t, guest, boot), -1) {
			if !slices.Contains(allowed, match[1]) {
				t.Errorf("%s: key %s", boot, match[1])
			}
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
