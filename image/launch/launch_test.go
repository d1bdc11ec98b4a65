package launch

import (
	"testing"

	"runa/image/qemu"
)

func TestTheModelFitsTheMachineUnlessAskedFor(t *testing.T) {
	t.Setenv("RUNA_ACCEL", "tcg")
	if c := Choose(t.Context(), "", 0); c.Model != "stories15m" || c.Accel.Name != qemu.TCG.Name || c.MemoryMiB != 1024 || c.Why == "" {
		t.Errorf("under emulation: %+v", c)
	}
	if c := Choose(t.Context(), "tinyllama-1.1b-chat", 4096); c.Model != "tinyllama-1.1b-chat" || c.MemoryMiB != 4096 {
		t.Errorf("as asked: %+v", c)
	}
	t.Setenv("RUNA_ACCEL", "kvm")
	if c := Choose(t.Context(), "", 0); c.Model != "tinyllama-1.1b-chat" || c.Accel != qemu.KVM || c.MemoryMiB != 2048 {
		t.Errorf("with KVM: %+v", c)
	}
}
