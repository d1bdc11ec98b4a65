package qemu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKVMIsUsedOnlyWhenProcessorDeviceAndTrialGuestAllWork(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	with := file("with", "processor\t: 0\nflags\t\t: fpu svm sse\n")
	without := file("without", "processor\t: 0\nmodel name\t: vmx and svm\nflags\t\t: fpu svm_lock sse\n")
	device := file("kvm", "")
	missing := filepath.Join(dir, "missing")
	works := func(context.Context) error { return nil }
	fails := func(context.Context) error { return errors.New("no marker") }

	tests := []struct {
		name string
		host host
		want Accel
		why  string
	}{
		{"all work", host{"", with, device, works}, KVM, "run a guest"},
		{"the trial guest is silent", host{"", with, device, fails}, TCG, "no marker"},
		{"the device is missing", host{"", with, missing, works}, TCG, missing},
		{"the processor has neither", host{"", without, device, works}, TCG, "neither vmx nor svm"},
		{"no cpuinfo", host{"", missing, device, works}, TCG, "cannot be read"},
		{"asked for tcg", host{"tcg", with, device, works}, TCG, "RUNA_ACCEL=tcg"},
		{"asked for kvm", host{"kvm", without, missing, fails}, KVM, "RUNA_ACCEL=kvm"},
		{"asked for nonsense", host{"fast", with, device, works}, KVM, "RUNA_ACCEL=fast is neither"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, why := test.host.accelerator(t.Context())
			if got != test.want || !strings.Contains(why, test.why) {
				t.Fatalf("got %v because %q, want %v with %q", got, why, test.want, test.why)
			}
		})
	}
}

// The trial guest under TCG is the proof that it runs at all, so that its
// silence under KVM means something.
func TestTheTrialGuestPrintsItsMarker(t *testing.T) {
	if err := smokeBoot(t.Context(), TCG, 30*time.Second); err != nil {
		t.Fatalf("%v (QEMU missing? apt-get install qemu-system-x86)", err)
	}
}

func TestASilentGuestIsKilledWithinTheLimit(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "silent.raw")
	if err := writeBootDisk(disk, ""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	process, err := Machine{Kind: BIOS, Disk: disk, Format: "raw", MemoryMiB: 64, Serial: Attached}.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("got %v, want QEMU to be killed", err)
	}
}
