package qemu

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestArgsOfEachMachine(t *testing.T) {
	firmware := Firmware{Code: "/fw/code.fd", Variables: "/fw/vars.fd"}
	machines := map[string]Machine{
		"bios": {Kind: BIOS, Disk: "/d/runa.qcow2"},
		"uefi": {Kind: UEFI, Disk: "/d/with,comma.raw", Format: "raw", Firmware: firmware, Serial: Attached, Monitor: true},
		"kernel": {
			Kind: Kernel, Kernel: "bzImage", Initrd: "initramfs", Append: "console=ttyS0",
			Serial: Attached, SecondConsole: true, NIC: &NIC{Capture: "/d/all.pcap"}, NoReboot: true,
		},
		"microvm": {
			Kind: MicroVM, Accel: KVM, Kernel: "vmlinux", Append: "console=ttyS0", Disk: "/d/runa.qcow2",
			MemoryMiB: 1024, CPUs: 2, Serial: Attached, SecondConsole: true, NIC: &NIC{}, Extra: []string{"-S"},
		},
	}
	for name, machine := range machines {
		t.Run(name, func(t *testing.T) {
			if err := machine.Check(); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(machine.Args(), "\n") + "\n"
			golden := filepath.Join("testdata", name+".args")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestADescriptionThatCannotWorkIsRefusedByName(t *testing.T) {
	tests := map[string]struct {
		machine Machine
		want    string
	}{
		"kind":           {Machine{Kind: "pc"}, `machine kind "pc"`},
		"no disk":        {Machine{Kind: BIOS}, "needs a disk"},
		"no kernel":      {Machine{Kind: MicroVM, Disk: "d"}, "needs a kernel"},
		"kernel in bios": {Machine{Kind: BIOS, Disk: "d", Append: "quiet"}, "takes no kernel"},
		"no firmware":    {Machine{Kind: UEFI, Disk: "d"}, "needs firmware"},
		"format":         {Machine{Kind: BIOS, Disk: "d", Format: "vmdk"}, `disk format "vmdk"`},
		"serial":         {Machine{Kind: BIOS, Disk: "d", Serial: "tcp"}, `serial "tcp"`},
		"second console": {Machine{Kind: BIOS, Disk: "d", SecondConsole: true}, "second console"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := test.machine.Start(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestTheVariableStoreIsCopiedOnceAndThenKept(t *testing.T) {
	installed, folder := t.TempDir(), t.TempDir()
	if _, err := copyFirmware(installed, folder); err == nil {
		t.Fatal("firmware that is not installed was found")
	}
	for _, name := range []string{firmwareCode, firmwareVariables} {
		if err := os.WriteFile(filepath.Join(installed, name), []byte("new"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	firmware, err := copyFirmware(installed, folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(firmware.Variables, []byte("the owner's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := copyFirmware(installed, folder); err != nil {
		t.Fatal(err)
	}
	if kept, _ := os.ReadFile(firmware.Variables); string(kept) != "the owner's" {
		t.Fatalf("the variable store holds %q", kept)
	}
}
