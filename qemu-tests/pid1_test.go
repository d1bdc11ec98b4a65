package qemutests

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"runa/image/qemu"
)

// garbage are manifests that are none: bytes by chance, YAML that is cut, deep,
// huge or names nothing there is.
func garbage(files map[string]string, count int) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range count {
		content := make([]byte, random.IntN(400))
		for at := range content {
			content[at] = byte(random.IntN(256))
		}
		text := string(content)
		switch i % 5 {
		case 1:
			text = "exec: /bin/nothing-" + fmt.Sprint(i) + "\nuser: splinfer\n"
		case 2:
			text = strings.Repeat("{a: [", 100)
		case 3:
			text = "exec: &x [*x, *x]\nneeds: [garbage1, garbage2]\nlimits: {memory-max: 99999999999999999999GiB}\n"
		case 4:
			text = "\ufeff%YAML 1.2\n--- !!binary |\n" + strings.Repeat("A", 300)
		}
		files[fmt.Sprintf("etc/runa/services/garbage%d.yaml", i)] = text
	}
}

// What is done to PID 1 here is more than anything on the machine could do; at
// the end it answers as it did in the beginning.
func TestPID1SurvivesWhatIsDoneToIt(t *testing.T) {
	artefacts := FindArtefacts(t)
	files := map[string]string{"bin/besiege": Program(t, "besiege", "")}
	garbage(files, 10_000)
	guest := Start(t, qemu.Machine{
		Kind: qemu.Kernel, Kernel: artefacts.Kernel, Initrd: Initramfs(t, artefacts.Initramfs, files),
		Append: withFaults, Disk: Overlay(t, artefacts.Image), MemoryMiB: memory, SecondConsole: true,
	})
	guest.Limits.Boot *= 4    // ten thousand files are unpacked and read
	guest.Limits.Command *= 4 // commands are typed while it is under siege
	guest.LogInAtOnce(guest.Console)
	guest.LogInAtOnce(guest.Second)

	guest.Step("ten thousand garbage manifests", func(t *testing.T) {
		askAgain(guest)
		said, status := guest.Run("runa status", guest.Limits.Command)
		if status != 1 || strings.Count(said, "problem: ") > 200 {
			t.Errorf("status %d and %d problems", status, strings.Count(said, "problem: "))
		}
		requireProblem(t, said, `garbage\d+`)
	})
	guest.Step("a panic in two of its duties", func(t *testing.T) {
		for _, name := range []string{"panic-netguard", "panic-control"} {
			guest.Run("besiege fault "+name, guest.Limits.Command) // who asks may get no answer
			requireReady(t, guest, name)
		}
		log := guest.Must(`runa logs gilgul -n 2000`, guest.Limits.Command)
		if contained := strings.Count(log, "a defect in gilgul was contained"); contained != 2 {
			t.Errorf("%d panics were contained, want 2:\n%s", contained, log)
		}
	})
	guest.Step("no descriptor left while a service dies", func(t *testing.T) {
		before := guest.Service(guest.Console, "splinfer")
		guest.Must("besiege fault exhaust-descriptors; kill -9 "+pid(t, before), guest.Limits.Command)
		requireReady(t, guest, "exhaust-descriptors")
		if after := guest.Service(guest.Console, "splinfer"); after.PID == before.PID {
			t.Errorf("splinfer was killed and is %+v", after)
		}
		askAgain(guest)
	})
	guest.Step("a thousand clients on its socket", func(t *testing.T) {
		guest.Second.Send("besiege crowd 1000\n")
		guest.Second.Expect(`all 1000 clients came`, guest.Limits.Boot)
		for range 5 {
			began := time.Now()
			requireReady(t, guest, "crowd")
			t.Logf("runa status was answered after %v", time.Since(began).Round(time.Millisecond))
		}
		guest.Second.Send(CtrlC)
		guest.Second.Expect(`crowd: \d+ visits`, guest.Limits.Boot)
	})
	guest.Step("in the end all is as it was", func(t *testing.T) {
		requireReady(t, guest, "all of it")
		askAgain(guest)
		guest.PowerOff()
		RequireCleanData(t, guest.Machine.Disk)
	})
}

// requireReady fails the test unless gilgul answers and has its services ready
// within the time of a boot.
func requireReady(t *testing.T, guest *Appliance, after string) {
	t.Helper()
	for end := time.Now().Add(guest.Limits.Boot); ; {
		sick := ""
		for _, service := range guest.Status(guest.Console).Services {
			if service.State != "ready" {
				sick += fmt.Sprintf("%s is %s: %s; ", service.Name, service.State, service.Reason)
			}
		}
		if sick == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s %s%s", after, sick, guest.where())
		}
	}
}
