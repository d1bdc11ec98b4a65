package qemutests

import (
	"os"
	"path/filepath"
	"testing"

	"runa/image/qemu"
)

// The driver itself, on a guest that can do nothing but answer. It sends into
// the network, so that "no frame" elsewhere is known to mean something.
func TestTheDriverTalksToAGuestAndSeesItsFramesAndItsEnd(t *testing.T) {
	kernel := artefact(t, "RUNA_KERNEL")
	program := filepath.Join(t.TempDir(), "init")
	run(t, "golang", "env", "CGO_ENABLED=0", "go", "build", "-o", program, "./testdata/echo-init")
	init, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	initramfs := Initramfs(t, empty, map[string]string{"init": string(init)})
	for _, kind := range []qemu.Kind{qemu.MicroVM, qemu.Kernel} {
		t.Run(string(kind), func(t *testing.T) {
			capture := filepath.Join(t.TempDir(), "all.pcap")
			guest := Start(t, qemu.Machine{
				Kind: kind, Kernel: kernel, Initrd: initramfs, Append: "console=ttyS0 quiet loglevel=3 panic=-1",
				MemoryMiB: 256, NIC: &qemu.NIC{Capture: capture}, SecondConsole: true,
			})
			tryGuest(t, guest)
			if frames, err := Frames(capture); frames != 0 || err != nil {
				t.Errorf("%d frames before one was sent, %v", frames, err)
			}
			guest.Must("send", guest.Limits.Command)
			guest.Send("poweroff\n")
			guest.Ended()
			if frames, err := Frames(capture); frames == 0 || err != nil {
				t.Errorf("%d frames after one was sent, %v", frames, err)
			}
		})
	}
}

func tryGuest(t *testing.T, guest *Appliance) {
	guest.Expect(`echo-init: press Enter`, guest.Limits.Boot)
	if got := guest.Must("echo one", guest.Limits.Command); got != "one" {
		t.Errorf("echo printed %q", got)
	}
	if output, status := guest.Run("fail", guest.Limits.Command); status != 3 || output != "" {
		t.Errorf("fail gave %q and status %d, want none and 3", output, status)
	}
	if state, err := guest.Monitor.Status(); state != "running" || err != nil {
		t.Errorf("QEMU says %q, %v", state, err)
	}
}
