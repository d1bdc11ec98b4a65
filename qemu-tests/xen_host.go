package qemutests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"runa/image/qemu"
)

// XenHost are the paths of what a Xen host is started from.
type XenHost struct {
	Hypervisor string // RUNA_XEN
	Kernel     string // RUNA_XEN_HOST_KERNEL: of Debian, with back ends for guests
	Initramfs  string // RUNA_XEN_HOST_INITRAMFS: xl and what it needs
}

// FindXenHost reads the variables and fails the test when one is missing.
func FindXenHost(t testing.TB) XenHost {
	t.Helper()
	return XenHost{
		Hypervisor: artefact(t, "RUNA_XEN"),
		Kernel:     artefact(t, "RUNA_XEN_HOST_KERNEL"),
		Initramfs:  artefact(t, "RUNA_XEN_HOST_INITRAMFS"),
	}
}

// xenMemory is what Xen takes for itself at most, in MiB.
const xenMemory = 256

// xenAccelerator is the same everywhere: TCG emulates the hardware virtualization that PVH
// guests need (AMD's, with nested pages), and few hosts offer it inside of KVM.
//
// The processor is an old one because QEMU 7.2 and Xen 4.17 do not agree on newer parts. With
// XSAVE, by which Xen switches vector registers lazily, programs in a guest find other values
// in theirs and most crash; with SMAP the first domain does; with RDTSCP Xen ends a PVH guest.
var xenAccelerator = qemu.Accel{Name: qemu.TCG.Name, CPU: "phenom,-fxsr-opt,-rdtscp,+npt"}

// FirstDomain describes a machine in which the hypervisor starts a kernel as its first
// domain, with that many MiB of memory; "" is no initramfs, and free is what is left for guests.
func (x XenHost) FirstDomain(t testing.TB, kernel, commandLine, initramfs string, memory, free int) qemu.Machine {
	t.Helper()
	limit := fmt.Sprintf("%dM", memory)
	// QEMU separates the hypervisor's modules by commas, and a module's words by spaces.
	modules := withoutComma(t, kernel) + " " + commandLine
	if initramfs != "" {
		modules += "," + withoutComma(t, initramfs)
	}
	return qemu.Machine{
		Kind: qemu.Kernel, Accel: xenAccelerator, Kernel: withoutComma(t, x.Hypervisor),
		Append:    "console=com1 com1=115200,8n1 loglvl=error guest_loglvl=error dom0_mem=" + limit + ",max:" + limit,
		Initrd:    modules,
		MemoryMiB: memory + free + xenMemory,
	}
}

// withoutComma returns a path that leads to the file and has neither comma nor space.
func withoutComma(t testing.TB, path string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if strings.ContainsAny(name, ", ") {
		t.Fatalf("the folder for temporary files, %s, has a comma or a space: set TMPDIR to one that has not", name)
	}
	link(t, path, name)
	return name
}

// StartXenHost starts the machine and waits for the shell of its first domain.
func StartXenHost(t testing.TB, machine qemu.Machine) *Appliance {
	t.Helper()
	host := Start(t, machine)
	host.Expect(`XEN HOST: press Enter\n`, host.Limits.Boot)
	host.Send("\n")
	host.Must("true", host.Limits.Command)
	return host
}

// StopXenHost ends the first domain's shell, and with it the machine.
func StopXenHost(host *Appliance) {
	host.t.Helper()
	host.Send("exit\n")
	host.Ended()
}
