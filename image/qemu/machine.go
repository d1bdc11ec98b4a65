// Package qemu describes a virtual machine, turns the description into QEMU's
// arguments and runs it: the one way in which both `runa-image run` and the
// tests start QEMU. A machine has no network card unless it is asked for, and a
// QEMU that this package started never outlives the context it was started with.
//
// It must never build or change an image: it is given finished files.
package qemu

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Kind says what sort of machine boots, and how.
type Kind string

// The machines an image must boot on.
const (
	BIOS    Kind = "q35-bios"   // SeaBIOS reads the disk's boot sector
	UEFI    Kind = "q35-uefi"   // OVMF reads the disk's EFI system partition
	Kernel  Kind = "q35-kernel" // QEMU loads kernel and initramfs itself
	MicroVM Kind = "microvm"    // the same on a machine without PCI and ACPI
)

// Attachment says by what the machine has its disk.
type Attachment string

// The zero value is virtio-blk, what hypervisors give.
const (
	USB  Attachment = "usb"  // a stick on a USB 3 controller
	AHCI Attachment = "ahci" // SATA
	NVMe Attachment = "nvme"
)

// Serial says where the machine's serial console leads.
type Serial string

const (
	// Stdio joins the console to this process's own terminal. Ctrl-A X ends
	// QEMU, Ctrl-A C opens its monitor.
	Stdio Serial = "stdio"
	// Attached gives the console to the program as Process.Consoles.
	Attached Serial = "attached"
)

// NIC is a network card in QEMU's user network: a real way out, so that a test
// which sees no frame has shown something.
type NIC struct {
	Capture string // pcap file that gets every frame in either direction
}

// Machine describes one virtual machine. The zero value of a field means the
// default named beside it.
type Machine struct {
	Kind  Kind
	Accel Accel // TCG

	Disk   string // path of the disk image; empty: no disk
	Format string // qcow2; or raw
	By     Attachment

	Kernel string // bzImage, or vmlinux on a microvm; Kernel and MicroVM only
	Initrd string
	Append string // kernel command line; a microvm gets what it needs to end added

	Firmware Firmware // UEFI only; see CopyFirmware

	MemoryMiB int // 512
	CPUs      int // 1

	NIC           *NIC   // none
	Serial        Serial // Stdio
	SecondConsole bool   // with Attached: ttyS1, or hvc0 on a microvm
	Monitor       bool   // gives the program QEMU's QMP connection as Process.Monitor
	NoReboot      bool   // a reboot of the guest ends QEMU; always so on a microvm
	Extra         []string
}

// Binary is the QEMU program that every machine runs in.
const Binary = "qemu-system-x86_64"

// The descriptors that Start passes to QEMU: one end of a socket pair each.
const (
	monitorFD = 3 + iota
	firstConsoleFD
	secondConsoleFD
)

// Check reports what in the description cannot work, naming the field.
func (m Machine) Check() error {
	direct := m.Kind == Kernel || m.Kind == MicroVM
	switch {
	case m.Kind != BIOS && m.Kind != UEFI && !direct:
		return fmt.Errorf("machine kind %q: want %s, %s, %s or %s", m.Kind, BIOS, UEFI, Kernel, MicroVM)
	case m.By != "" && m.By != USB && m.By != AHCI && m.By != NVMe:
		return fmt.Errorf("a disk by %q: want nothing for virtio, or %s, %s or %s", m.By, USB, AHCI, NVMe)
	case m.By != "" && m.Kind == MicroVM:
		return fmt.Errorf("machine kind %s has virtio disks only, none by %s", m.Kind, m.By)
	case direct && m.Kernel == "":
		return fmt.Errorf("machine kind %s needs a kernel", m.Kind)
	case !direct && (m.Kernel != "" || m.Initrd != "" || m.Append != ""):
		return fmt.Errorf("machine kind %s boots from its disk and takes no kernel, initramfs or command line", m.Kind)
	case !direct && m.Disk == "":
		return fmt.Errorf("machine kind %s needs a disk", m.Kind)
	case m.Kind == UEFI && (m.Firmware.Code == "" || m.Firmware.Variables == ""):
		return fmt.Errorf("machine kind %s needs firmware: code and a variable store of its own", m.Kind)
	case m.Serial != "" && m.Serial != Stdio && m.Serial != Attached:
		return fmt.Errorf("serial %q: want %s or %s", m.Serial, Stdio, Attached)
	case m.SecondConsole && m.Serial != Attached:
		return errors.New("a second console needs the serial console to be attached")
	case m.Format != "" && m.Format != "qcow2" && m.Format != "raw":
		return fmt.Errorf("disk format %q: want qcow2 or raw", m.Format)
	}
	return nil
}

// Args returns QEMU's arguments for the machine, without the program's name.
func (m Machine) Args() []string {
	accel := m.Accel
	if accel.Name == "" {
		accel = TCG
	}
	args := []string{
		"-no-user-config", "-nodefaults", "-display", "none",
		"-machine", m.machineType(),
		"-accel", accel.Name, "-cpu", accel.CPU,
		"-m", strconv.Itoa(or(m.MemoryMiB, 512)),
		"-smp", strconv.Itoa(or(m.CPUs, 1)),
		"-device", m.device("virtio-rng"),
	}
	args = append(args, m.bootArgs()...)
	args = append(args, m.diskArgs()...)
	args = append(args, m.networkArgs()...)
	args = append(args, m.consoleArgs()...)
	if m.Monitor {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", monitorFD),
			"-mon", "chardev=monitor,mode=control")
	}
	if m.NoReboot || m.Kind == MicroVM {
		args = append(args, "-no-reboot")
	}
	return append(args, m.Extra...)
}

func (m Machine) machineType() string {
	if m.Kind == MicroVM {
		return "microvm,acpi=off,rtc=on,isa-serial=on"
	}
	return "q35"
}

// device names a virtio device for the machine's bus.
func (m Machine) device(name string) string {
	if m.Kind == MicroVM {
		return name + "-device"
	}
	return name + "-pci"
}

func (m Machine) bootArgs() []string {
	switch m.Kind {
	case UEFI:
		return []string{
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + escape(m.Firmware.Code),
			"-drive", "if=pflash,unit=1,format=raw,file=" + escape(m.Firmware.Variables),
		}
	case Kernel, MicroVM:
		args := []string{"-kernel", m.Kernel}
		if m.Initrd != "" {
			args = append(args, "-initrd", m.Initrd)
		}
		if line := m.commandLine(); line != "" {
			args = append(args, "-append", line)
		}
		return args
	}
	return nil
}

// commandLine adds what a microvm needs: it cannot be powered off, so the
// system ends by a reset through a triple fault, which -no-reboot turns into
// the end of QEMU.
func (m Machine) commandLine() string {
	if m.Kind != MicroVM {
		return m.Append
	}
	return strings.TrimSpace(m.Append + " reboot=t gilgul.poweroff=reset")
}

func (m Machine) diskArgs() []string {
	if m.Disk == "" {
		return nil
	}
	format := m.Format
	if format == "" {
		format = "qcow2"
	}
	args := []string{"-drive", "if=none,id=disk0,format=" + format + ",file=" + escape(m.Disk)}
	switch m.By {
	case USB:
		args = append(args, "-device", "qemu-xhci", "-device", "usb-storage,drive=disk0,removable=on")
	case AHCI: // a q35 has the controller
		args = append(args, "-device", "ide-hd,drive=disk0")
	case NVMe:
		args = append(args, "-device", "nvme,drive=disk0,serial=runa")
	default:
		args = append(args, "-device", m.device("virtio-blk")+",drive=disk0")
	}
	return args
}

func (m Machine) networkArgs() []string {
	if m.NIC == nil {
		return []string{"-nic", "none"}
	}
	// Without IPv6 the user network says nothing unless it is spoken to.
	args := []string{
		"-netdev", "user,id=net0,ipv6=off",
		"-device", m.device("virtio-net") + ",netdev=net0",
	}
	if m.NIC.Capture != "" {
		args = append(args, "-object", "filter-dump,id=capture0,netdev=net0,file="+escape(m.NIC.Capture))
	}
	return args
}

func (m Machine) consoleArgs() []string {
	if m.Serial != Attached {
		return []string{"-serial", "mon:stdio"}
	}
	args := []string{
		"-chardev", fmt.Sprintf("socket,id=console0,fd=%d", firstConsoleFD),
		"-serial", "chardev:console0",
	}
	if !m.SecondConsole {
		return args
	}
	args = append(args, "-chardev", fmt.Sprintf("socket,id=console1,fd=%d", secondConsoleFD))
	if m.Kind == MicroVM {
		return append(args, "-device", m.device("virtio-serial"), "-device", "virtconsole,chardev=console1")
	}
	return append(args, "-serial", "chardev:console1")
}

// escape doubles commas, which separate the parts of a QEMU option.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }

func or(value, fallback int) int {
	if value == 0 {
		return fallback
	}
	return value
}
