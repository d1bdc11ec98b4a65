package qemutests

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runa/image/qemu"
)

// withFaults lets root ask gilgul for faults of its own.
const withFaults = rootOnTwoSerialLines + " gilgul.faults=1"

// question is what runa net allow ends its explanation with.
const question = `\[y/N\] `

// airGap is a machine with a card in a network that leads out, and what has been
// seen on the wire.
type airGap struct {
	*Appliance
	capture string
	frames  int // so many there were when it was last looked
}

func startAirGap(t *testing.T, disk, name string) *airGap {
	artefacts := FindArtefacts(t)
	g := &airGap{capture: filepath.Join(t.TempDir(), name+".pcap")}
	g.Appliance = Start(t, qemu.Machine{
		Kind: qemu.Kernel, Kernel: artefacts.Kernel,
		Initrd: Initramfs(t, artefacts.Initramfs, map[string]string{"bin/besiege": Program(t, "besiege", "")}),
		Append: withFaults, Disk: disk, MemoryMiB: memory, SecondConsole: true, NIC: &qemu.NIC{Capture: g.capture},
	})
	g.LogInAtOnce(g.Console)
	g.LogInAtOnce(g.Second)
	return g
}

// One machine with a way out lives through all of this, and the wire has seen
// nothing but what a person agreed to.
func TestTheAirGapOpensOnlyWhileAPersonAgreed(t *testing.T) {
	disk := Overlay(t, FindArtefacts(t).Image)
	g := startAirGap(t, disk, "first")
	g.Step("what root brings up is down again", func(t *testing.T) { g.bringUp(t) })
	g.Step("a person who says no is not obeyed", func(t *testing.T) {
		g.Send("runa net allow eth0 --for 1m\n")
		g.Expect(question, g.Limits.Command)
		g.Send("n\n")
		g.requireClosed(t)
		g.requireFrames(t, false)
	})
	g.Step("without a terminal nobody can agree", func(t *testing.T) {
		said, status := g.Run("echo y | runa net allow eth0 --for 1m 2>&1", g.Limits.Command)
		if status != 1 {
			t.Errorf("exit status %d, want 1: %s", status, said)
		}
		g.requireClosed(t)
	})
	g.Step("while a person agrees the gateway answers", func(t *testing.T) {
		g.allow(t, "10m")
		g.requireOpen(t)
		g.Must("ip addr add 10.0.2.15/24 dev eth0", g.Limits.Command)
		g.requirePing(t)
		g.requireFrames(t, true)
		requireLine(t, g.Must("runa net", g.Limits.Command), `eth0 .*`)
	})
	g.Step("a crash of the guard ends it", func(t *testing.T) {
		g.Must("besiege fault panic-netguard", g.Limits.Command)
		g.awaitClosed(t)
		g.bringUp(t) // the guard is there again
	})
	g.Step("it ends when a person says so", func(t *testing.T) {
		g.allow(t, "10m")
		g.requireOpen(t)
		g.Must("runa net off", g.Limits.Command)
		g.awaitClosed(t)
	})
	g.Step("it ends by itself when its time is over", func(t *testing.T) {
		g.allow(t, "5s")
		g.awaitClosed(t)
	})
	g.Step("all of it is in gilgul's log", func(t *testing.T) {
		log := g.Must("runa logs gilgul -n 2000", g.Limits.Command)
		for _, want := range []string{
			`a network interface was up and was taken down: interface=eth0`,
			`a network interface is allowed: interface=eth0 .*by=root`,
			`no longer allowed and was taken down: interface=eth0`,
			`a defect in gilgul was contained`,
		} {
			requireLine(t, log, want)
		}
		if ends := strings.Count(log, "no longer allowed and was taken down"); ends != 3 {
			t.Errorf("three consents were given, and %d ends are logged:\n%s", ends, log)
		}
	})
	g.Step("it is rebooted while a person agrees", func(t *testing.T) {
		g.allow(t, "1h")
		g.requireOpen(t)
		g.Send("runa reboot\n")
		g.Ended()
		if frames, err := Frames(g.capture); err != nil || frames < g.frames {
			t.Errorf("%d frames, %v", frames, err)
		}
	})
	g = startAirGap(t, disk, "second")
	g.Step("after a reboot nothing is allowed", func(t *testing.T) {
		g.requireClosed(t)
		g.requireFrames(t, false)
	})
	g.Step("it ends cleanly", func(t *testing.T) {
		g.PowerOff()
		RequireCleanData(t, disk)
		g.requireFrames(t, false)
	})
}

// bringUp brings the card up again and again as root, and nothing of it may be
// seen on the wire.
func (g *airGap) bringUp(t *testing.T) {
	said := g.Must("besiege up eth0 100", g.Limits.Boot)
	match := pattern(`p50 ([\d.]+) ms, p99 ([\d.]+) ms, longest ([\d.]+) ms`).FindStringSubmatch(said)
	if match == nil {
		t.Fatalf("it said %s", said)
	}
	t.Logf("%s (%s)", said, g.Machine.Accel.Name)
	bound := 10 * time.Millisecond
	if g.Machine.Accel.Name != qemu.KVM.Name {
		bound = 2 * time.Second // the bar is for a processor of its own
	}
	if half, err := time.ParseDuration(match[1] + "ms"); err != nil || half > bound {
		t.Errorf("half the time it was up for more than %v (%v)", half, err)
	}
	g.requireFrames(t, false)
}

// allow consents as a person does: reads what becomes reachable, and says yes.
func (g *airGap) allow(t *testing.T, time string) {
	g.Send("runa net allow eth0 --for " + time + "\n")
	explanation, _ := g.ExpectAfter(question, g.Limits.Command)
	if !strings.Contains(explanation, "eth0") {
		t.Errorf("it explained\n%s", explanation)
	}
	g.Send("y\n")
	g.Expect(`eth0 is allowed for`, g.Limits.Command)
	g.Must("true", g.Limits.Command)
}

// requireOpen fails the test unless a consent is in force.
func (g *airGap) requireOpen(t *testing.T) {
	t.Helper()
	if consents := g.Status(g.Console).Consents; len(consents) != 1 || !g.up(t) {
		t.Errorf("the way out is not open, with %+v", consents)
	}
}

func (g *airGap) up(t *testing.T) bool {
	for _, card := range g.Status(g.Console).Interfaces {
		if card.Name == "eth0" {
			return card.Up
		}
	}
	t.Fatal("there is no eth0")
	return false
}

func (g *airGap) requirePing(t *testing.T) {
	t.Helper()
	t.Log(g.Must("besiege ping 10.0.2.2", g.Limits.Answer))
}

// requireClosed fails the test if a way out is open.
func (g *airGap) requireClosed(t *testing.T) {
	t.Helper()
	if consents := g.Status(g.Console).Consents; len(consents) != 0 || g.up(t) {
		t.Errorf("the way out is open, with %+v", consents)
	}
}

// awaitClosed waits until the way out is closed; from then on nothing may be sent.
func (g *airGap) awaitClosed(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(g.Limits.Answer); len(g.Status(g.Console).Consents) != 0 || g.up(t); {
		if time.Now().After(end) {
			t.Fatalf("the way out stays open%s", g.where())
		}
	}
	g.frames = g.count(t)
	if said, status := g.Run("besiege ping 10.0.2.2 2>&1", g.Limits.Answer); status == 0 {
		t.Errorf("a closed way out leads to %s", said)
	}
	g.requireFrames(t, false)
}

func (g *airGap) count(t *testing.T) int {
	t.Helper()
	frames, err := Frames(g.capture)
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

// requireFrames fails the test unless there were frames since it was last
// looked, or unless there was none.
func (g *airGap) requireFrames(t *testing.T, some bool) {
	t.Helper()
	if now := g.count(t); (now > g.frames) != some {
		t.Errorf("there were %d frames and now there are %d, in %s", g.frames, now, g.capture)
	}
	g.frames = g.count(t)
}
