package qemutests

import (
	"testing"

	"runa/image/qemu"
)

// badManifests are added to a good image; what is wrong is said in their names.
var badManifests = map[string]string{
	"etc/runa/services/unknownkey.yaml":  "exec: /bin/false\nuser: splinfer\nexce: /bin/true\n",
	"etc/runa/services/cyclea.yaml":      "exec: /bin/false\nuser: splinfer\nneeds: [cycleb]\n",
	"etc/runa/services/cycleb.yaml":      "exec: /bin/false\nuser: splinfer\nneeds: [cyclea]\n",
	"etc/runa/services/noprogram.yaml":   "exec: /bin/nothing\nuser: splinfer\n",
	"etc/runa/services/needsnobody.yaml": "exec: /bin/false\nuser: splinfer\nneeds: [nobody]\n",
}

func TestBadInputIsNamedInOneLineWithAHintAndHarmsNothing(t *testing.T) {
	artefacts := FindArtefacts(t)
	guest := Start(t, qemu.Machine{
		Kind: qemu.MicroVM, Kernel: artefacts.Kernel, Initrd: Initramfs(t, artefacts.Initramfs, badManifests),
		Append: rootOnSerial, Disk: Overlay(t, artefacts.Image), MemoryMiB: memory,
	})
	guest.LogInAtOnce(guest.Console)

	guest.Step("manifests", func(t *testing.T) {
		said, status := guest.Run("runa status", guest.Limits.Command)
		if status != 1 {
			t.Errorf("runa status: exit status %d, want 1", status)
		}
		requireProblem(t, said, `unknownkey\.yaml:3:\d+.*exce`)
		requireProblem(t, said, `cycle[ab].*cycle[ab]`)
		requireProblem(t, said, `noprogram.*/bin/nothing`)
		requireProblem(t, said, `needsnobody.*nobody`)
	})
	guest.Step("models", func(t *testing.T) {
		askAgain(guest) // splinfer is ready: who must wait for it is told so in a line more
		guest.Must("head -c 1000000 /data/models/stories15m.gguf > /data/models/cut.gguf", guest.Limits.Command)
		guest.Must("seq 1 9999 > /data/models/numbers.gguf", guest.Limits.Command)
		guest.Must("chmod 644 /data/models/cut.gguf /data/models/numbers.gguf", guest.Limits.Command)
		refused(t, guest, `runa ask --model cut x`, `cut\.gguf`)
		refused(t, guest, `runa ask --model numbers x`, `numbers\.gguf`)
		refused(t, guest, `runa ask --model nothing x`, `nothing`)
		list := guest.Must("runa models", guest.Limits.Command)
		requireLine(t, list, `^cut .*cannot be used: `)
		requireLine(t, list, `^numbers .*cannot be used: `)
		requireLine(t, list, `^stories15m .*loaded`)
	})
	guest.Step("a prompt over the context", func(t *testing.T) {
		refused(t, guest, `seq 1 2000 | runa ask --model stories15m --raw -`, `\d+ tokens`)
	})
	guest.Step("a parameter out of its range", func(t *testing.T) {
		refused(t, guest, `runa ask --model stories15m --top-p 7 x`, `top-p`)
	})
	guest.Step("a full disk", func(t *testing.T) {
		if _, status := guest.Run("dd if=/dev/zero of=/data/fill bs=1048576", guest.Limits.Answer); status == 0 {
			t.Fatal("dd filled an endless disk")
		}
		said, status := guest.Run("runa status", guest.Limits.Command)
		if status != 1 {
			t.Errorf("runa status: exit status %d, want 1", status)
		}
		requireProblem(t, said, `/data.*full`)
		guest.Must("rm /data/fill", guest.Limits.Command)
	})
	guest.Step("none of it keeps the good model from answering", func(t *testing.T) { askAgain(guest) })
	guest.Step("it ends cleanly", func(t *testing.T) {
		guest.PowerOff()
		RequireCleanData(t, guest.Machine.Disk)
	})
}

// refused runs a command that must fail with one line and a hint.
func refused(t *testing.T, guest *Appliance, command, want string) {
	t.Helper()
	said, status := guest.Run(command+" 2>&1", guest.Limits.Answer)
	if status != 1 {
		t.Errorf("%s: exit status %d, want 1", command, status)
	}
	requireErrorWithHint(t, said, want)
}

// requireProblem fails the test unless runa status names a problem that
// matches, in one line with a hint below it.
func requireProblem(t *testing.T, status, want string) {
	t.Helper()
	requireLine(t, status, `^problem: .*`+want+`.*\nhint: +\S`)
}
