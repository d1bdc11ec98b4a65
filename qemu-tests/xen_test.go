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
	machine := FindXenHost(t).FirstDomain(t, artefacts.Kernel, rootOnXen, artefacts.Initramfs, memory, 0)
	machine.Disk = Overlay(t, artefacts.Image)
	guest := Start(t, machine)
	guest.LogIn()
	requireKind(guest, "PV")
	requireWords(guest, HostWords(t, artefacts, variant(guest)))
	guest.PowerOff()
	RequireCleanData(t, machine.Disk)
}

// One Xen host runs all of it, because its start takes as long as a guest's.
func TestTheImageAnswersAsAXenGuest(t *testing.T) {
	artefacts, parts := FindArtefacts(t), FindXenHost(t)
	initramfs := Initramfs(t, parts.Initramfs, guestFiles(t, artefacts))
	machine := parts.FirstDomain(t, parts.Kernel, "console=hvc0 quiet loglevel=3 panic=-1", initramfs, 512, xen.MemoryMiB)
	var disks []string
	for range xen.Boots {
		disks = append(disks, Overlay(t, artefacts.Image))
	}
	machine.Disk, machine.Extra = disks[0], moreDisks(disks[1:])
	host := StartXenHost(t, machine)
	host.Step("xl reads what was meant", func(t *testing.T) { requireReading(t, host) })
	var words string // what our host says, once it is known which library the guests use
	host.Step("pv", func(t *testing.T) {
		startGuest(host, xen.PV)
		words = HostWords(t, artefacts, variant(host))
		tryXenGuest(host, "PV", words)
	})
	host.Step("pvgrub", func(*testing.T) {
		startGuest(host, xen.ByPVGRUB)
		tryXenGuest(host, "PV", words)
	})
	host.Step("pvh", func(t *testing.T) {
		startGuest(host, xen.PVH)
		tryXenGuest(host, "PVH", HostWords(t, artefacts, variant(host)))
	})
	StopXenHost(host)
	for _, disk := range disks {
		RequireCleanData(t, disk)
	}
}

// moreDisks are QEMU's arguments for disks besides the first.
func moreDisks(disks []string) (args []string) {
	for i, disk := range disks {
		id := sprintf("disk%d", i+1)
		args = append(args, "-drive", "if=none,id="+id+",format=qcow2,file="+disk, "-device", "virtio-blk-pci,drive="+id)
	}
	return args
}

// guestFiles are what a person copies to a Xen host besides the disk: kernel, initramfs and
// the configurations as our own package writes them.
func guestFiles(t *testing.T, artefacts Artefacts) map[string]string {
	t.Helper()
	files := map[string]string{broken[1:]: "name = \"runa\"\nmemory = = 3\n"}
	for name, from := range map[string]string{"bzImage": artefacts.Kernel, "initramfs.cpio.zst": artefacts.Initramfs} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		files[path.Join(xen.Folder, name)[1:]] = string(content)
	}
	for _, one := range writtenGuests() {
		var text strings.Builder
		if err := one.guest.Write(&text, one.boot); err != nil {
			t.Fatal(err)
		}
		files[one.file[1:]] = text.String()
	}
	return files
}

// startGuest has xl make the guest and logs in on its console. From here on the console is
// the guest's, until it ends.
func startGuest(host *Appliance, boot xen.Boot) {
	host.t.Helper()
	host.Must("xl create "+configuration(boot), host.Limits.Boot)
	host.Send(`xl console runa; echo CON"SOLE" ENDED` + "\n")
	host.LogIn()
}

// tryXenGuest asks the guest and powers it off.
func tryXenGuest(host *Appliance, kind, words string) {
	host.t.Helper()
	requireKind(host, kind)
	requireWords(host, words)
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

// requireWords asks the question and fails the test unless the answer is the one given.
func requireWords(guest *Appliance, words string) {
	guest.t.Helper()
	if answer := guest.Must(QuestionLine, guest.Limits.Answer); strings.TrimRight(answer, "\n") != words {
		guest.t.Errorf("the guest answered\n%q\nthe host\n%q", answer, words)
	}
}
