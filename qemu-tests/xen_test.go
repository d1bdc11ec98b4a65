package qemutests

import (
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"runa/image/xen"
)

// The command line of the image where Xen gives it a console, and a root shell.
const rootOnXen = "console=hvc0 quiet loglevel=3 panic=-1 gilgul.console=root"

func TestTheImageAnswersAsXensFirstDomain(t *testing.T) {
	artefacts := FindArtefacts(t)
	machine := FindXenHost(t).FirstDomain(t, artefacts.Kernel, artefacts.fromDisk(rootOnXen), "", memory, 0)
	machine.Disk = Overlay(t, artefacts.Image)
	guest := Start(t, machine)
	guest.LogIn()
	requireKind(guest, "PV")
	answer := ask(guest)
	requireWords(guest, answer, HostWords(t, artefacts, variant(guest)))
	guest.PowerOff()
	RequireCleanData(t, machine.Disk)
}

// kinds are what the kernel calls each kind of guest.
var kinds = map[xen.Boot]string{xen.PV: "PV", xen.ByPVGRUB: "PV", xen.PVH: "PVH"}

// One Xen host runs all of it, because its start takes as long as a guest's. With
// RUNA_XEN_GUESTS (make test-all) it starts a guest in each way; without, by its kernel only.
func TestAXenHostReadsAndStartsTheImage(t *testing.T) {
	artefacts, parts := FindArtefacts(t), FindXenHost(t)
	initramfs := Initramfs(t, parts.Initramfs, guestFiles(t, artefacts))
	machine := parts.FirstDomain(t, parts.Kernel, "console=hvc0 quiet loglevel=3 panic=-1", initramfs, 512, xen.MemoryMiB)
	machine.Disk = Overlay(t, artefacts.Image)
	host := StartXenHost(t, machine)
	host.Step("xl reads what was meant", func(t *testing.T) { requireReading(t, host, artefacts) })
	host.Step("pygrub finds what the image starts", func(t *testing.T) { requirePygrub(t, host, artefacts) })
	boots := xen.Boots
	if os.Getenv("RUNA_XEN_GUESTS") == "" {
		boots = boots[:1]
	}
	var words string // what our host says with the library that guests use here
	for _, boot := range boots {
		host.Step(string(boot), func(t *testing.T) {
			startGuest(host, boot)
			answer := ask(host)
			if boot != xen.ByPVGRUB { // it gives the image's own command line, and so a shell that is not root's
				words = HostWords(t, artefacts, variant(host))
			}
			requireWords(host, answer, words)
			requireKind(host, kinds[boot])
			endGuest(host)
		})
	}
	StopXenHost(host)
	RequireCleanData(t, machine.Disk)
}

// guestFiles are what a person copies to a Xen host besides the disk: the kernel and the
// configurations as our own package writes them.
func guestFiles(t *testing.T, artefacts Artefacts) map[string]string {
	t.Helper()
	files := map[string]string{broken[1:]: "name = \"runa\"\nmemory = = 3\n"}
	files[path.Join(xen.Folder, "bzImage")[1:]] = string(contentOf(t, artefacts.Kernel))
	for _, one := range writtenGuests(artefacts) {
		var text strings.Builder
		if err := one.guest.Write(&text, one.boot); err != nil {
			t.Fatal(err)
		}
		files[one.file[1:]] = text.String()
	}
	return files
}

// startGuest has xl make the guest and logs in on its console. From here on the console is
// the guest's, until it ends. It gets one processor, as the host has: of two that share it, one
// would spin while it waits for the other, and a PVH guest do little else.
func startGuest(host *Appliance, boot xen.Boot) {
	host.t.Helper()
	host.Must("xl create "+configuration(boot)+" vcpus=1", host.Limits.Boot)
	host.Send(`xl console runa; echo CON"SOLE" ENDED` + "\n")
	host.LogIn()
}

// endGuest powers the guest off and waits until nothing of it is left.
func endGuest(host *Appliance) {
	host.t.Helper()
	host.Send("runa poweroff\n")
	host.Expect(`CONSOLE ENDED\n`, host.Limits.End)
	awaitNoGuest(host)
}

// awaitNoGuest waits until xl, which takes a domain apart after its end, knows none but
// the first any more.
func awaitNoGuest(host *Appliance) {
	host.t.Helper()
	for end := time.Now().Add(host.Limits.End); ; {
		list := host.Must("xl list", host.Limits.Command)
		if rows := strings.Split(list, "\n"); len(rows) == 2 && strings.HasPrefix(rows[1], "Domain-0 ") {
			return
		}
		if time.Now().After(end) {
			host.t.Fatalf("there is still a guest:\n%s%s", list, host.where())
		}
	}
}

// requireKind fails the test unless the kernel says that it runs as that kind of guest.
func requireKind(guest *Appliance, want string) {
	guest.t.Helper()
	if kind := guest.Must("cat /sys/hypervisor/guest_type", guest.Limits.Command); kind != want {
		guest.t.Errorf("the kernel says it is a guest of type %q, want %q%s", kind, want, guest.where())
	}
}
