package qemutests

import (
	"strings"
	"testing"
	"time"

	"runa/image/qemu"
)

func TestExplainTellsAPersonWhatHappened(t *testing.T) {
	artefacts := FindArtefacts(t)
	files := map[string]string{"bin/besiege": Program(t, "besiege", "")}
	guest := Start(t, qemu.Machine{
		Kind: qemu.MicroVM, Kernel: artefacts.VMLinux, Initrd: Initramfs(t, artefacts.Initramfs, files),
		Append: rootOnSerial, Disk: Overlay(t, artefacts.Image), MemoryMiB: memory,
	})
	guest.LogInAtOnce(guest.Console)
	guest.Step("of a service that is well", func(t *testing.T) {
		askAgain(guest) // which waits until it is ready
		sentences(t, guest.Must("runa explain splinfer", guest.Limits.Command), `ready`)
	})
	guest.Step("of one that was killed and lives again", func(t *testing.T) {
		before := guest.Service(guest.Console, "splinfer")
		guest.Must("kill -9 "+pid(t, before), guest.Limits.Command)
		askAgain(guest) // which waits until it is ready
		said := guest.Must("runa explain splinfer", guest.Limits.Command)
		sentences(t, said, `splinfer`, `(?i)kill`, `(?i)start`)
		t.Logf("runa explain splinfer:\n%s", said)
		// What it says is in the events too, with the class of the defect.
		requireLine(t, guest.Must("runa events", guest.Limits.Command), `splinfer.*signal`)
	})
	guest.Step("of one whose program was updated and runs from the disk", func(t *testing.T) {
		guest.Must("cp /bin/splinter /data/new", guest.Limits.Command)
		guest.Must("runa update splinter /data/new", guest.Limits.Command)
		guest.Must("rm /data/new", guest.Limits.Command)
		deadline := time.Now().Add(guest.Limits.Answer)
		for one := guest.Service(guest.Console, "splinter"); one.Version == "" || one.State != "ready"; one = guest.Service(guest.Console, "splinter") {
			if time.Now().After(deadline) {
				t.Fatalf("it is not updated: %+v", one)
			}
		}
		askAgain(guest)
	})
	guest.Step("of one that nobody knows", func(t *testing.T) {
		said, status := guest.Run("runa explain nobody 2>&1", guest.Limits.Command)
		if status != 1 {
			t.Errorf("exit status %d, want 1", status)
		}
		requireErrorWithHint(t, said, `nobody`)
	})
	guest.Step("what tests may do to gilgul nobody may do on a machine for people", func(t *testing.T) {
		said, status := guest.Run("besiege fault panic-control 2>&1", guest.Limits.Command)
		if status != 1 || !strings.Contains(said, "gilgul.faults=1") {
			t.Errorf("exit status %d: %s", status, said)
		}
	})
	guest.Step("it ends cleanly", func(*testing.T) { guest.PowerOff() })
}

// sentences fails the test unless the first three lines that are said are
// sentences for a person, and all that is said matches the patterns.
func sentences(t *testing.T, said string, patterns ...string) {
	t.Helper()
	for _, want := range patterns {
		if !pattern(want).MatchString(said) {
			t.Errorf("nothing matches %q in\n%s", want, said)
		}
	}
	if count := len(pattern(`[.!](\s|$)`).FindAllString(said, -1)); count < 3 {
		t.Errorf("that are %d sentences, want three:\n%s", count, strings.TrimSpace(said))
	}
}
