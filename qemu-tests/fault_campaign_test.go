package qemutests

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"runa/image/qemu"
)

// obedient are the services that the campaign hurts most: faulty under three
// names. One needs another, and one is probed by a program of its own.
var obedient = []string{"faulty-a", "faulty-b", "faulty-c"}

// faultyManifest has short times, so that a campaign of many faults ends: two
// heart-beats that are missing are two of %[2]v.
const faultyManifest = `exec: /bin/faulty
args: [serve]
needs: [%[3]s]
ready: {by: notify, timeout: %[6]v}
heartbeat: %[2]v
probe: {%[4]s, every: 10s, timeout: %[7]v}
stop: {signal: TERM, timeout: 5s}
restart: {policy: always, initial: 100ms, max: 1s, stable: 500ms}
limits: {memory-max: 64MiB, pids: 64, files: 64, cpu-budget: 50%%, cpu-budget-for: %[5]v}
snapshot: {every: 1h, keep: 2}
probation: 2s
bus:
  read: ["name:%[1]s", "key:service/%[1]s/*"]
  write: ["name:%[1]s", "key:service/%[1]s/*"]
data: true
`

// faultyFiles are what a machine needs for the campaign, beside the campaign.
// Under emulation everything takes longer, so hearts may beat more slowly.
func faultyFiles(t *testing.T, accel qemu.Accel) map[string]string {
	beat, spin, start, probe := 400*time.Millisecond, time.Second, 2*time.Second, time.Second
	if accel.Name != qemu.KVM.Name {
		beat, spin, start, probe = 2*time.Second, 2*time.Second, 15*time.Second, 5*time.Second
	}
	manifest := func(name, needs, by string) string {
		return fmt.Sprintf(faultyManifest, name, beat, needs, by, spin, start, probe)
	}
	passwd := readOverlay(t, "etc/passwd")
	for i, name := range obedient {
		passwd += fmt.Sprintf("%s:x:%d:100::/:/bin/false\n", name, 150+i)
	}
	return map[string]string{
		"etc/passwd":                      passwd,
		"etc/runa/services/faulty-a.yaml": manifest("faulty-a", "splinter", "by: ping"),
		"etc/runa/services/faulty-b.yaml": manifest("faulty-b", "splinter, faulty-a", "by: exec, exec: /bin/faulty, args: [probe]"),
		"etc/runa/services/faulty-c.yaml": manifest("faulty-c", "splinter", "by: ping"),
		"etc/runa/services/splinter.yaml": impatient(t, "splinter"),
		"etc/runa/services/splinfer.yaml": impatient(t, "splinfer"),
		"bin/faulty":                      Program(t, "faulty", ""),
		"bin/faulty-bad":                  Program(t, "faulty", "-X main.born=dies-when-ready"),
	}
}

// impatient is the manifest of a real service that forgets failures soon and is
// seen to hang soon: a campaign hurts it more often than any life does, and the
// ladder would end in giving it up.
func impatient(t *testing.T, name string) string {
	manifest := readOverlay(t, "etc/runa/services/"+name+".yaml")
	for key, value := range map[string]string{
		"restart":   "{policy: always, initial: 100ms, max: 1s, stable: 500ms}",
		"heartbeat": "5s",
	} {
		line := pattern(`(?m)^` + key + `: .*$`)
		if !line.MatchString(manifest) {
			t.Fatalf("%s.yaml has no line for %s", name, key)
		}
		manifest = line.ReplaceAllString(manifest, key+": "+value)
	}
	return manifest
}

// usualFaults is how many faults a campaign has that nobody gave a number; `make
// chaos` takes any number.
const usualFaults = 300

// number reads a variable of the environment, such as RUNA_CHAOS_FAULTS.
func number(t *testing.T, variable string, otherwise int) int {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return value
}

// perFault is how long a fault may take before the test gives up; the campaign
// itself gives up sooner and says why.
const perFault = 15 * time.Minute

// One machine is hurt again and again, while a person types on its second console.
func TestEveryFaultHealsWhileTheConsoleAnswers(t *testing.T) {
	artefacts := FindArtefacts(t)
	faults, seed := number(t, "RUNA_CHAOS_FAULTS", usualFaults), number(t, "RUNA_CHAOS_SEED", 1)
	files := faultyFiles(t, accelerator())
	files["bin/campaign"] = Program(t, "campaign", "")
	guest := Start(t, qemu.Machine{
		Kind: qemu.Kernel, Kernel: artefacts.Kernel, Initrd: Initramfs(t, artefacts.Initramfs, files),
		Append: rootOnTwoSerialLines, Disk: Overlay(t, artefacts.Image), MemoryMiB: memory, SecondConsole: true,
	})
	guest.LogInAtOnce(guest.Console)
	guest.LogInAtOnce(guest.Second)
	guest.Step("the campaign", func(t *testing.T) { campaign(t, guest, faults, seed) })
	guest.Step("it ends cleanly", func(t *testing.T) {
		askAgain(guest)
		guest.PowerOff()
		RequireCleanData(t, guest.Machine.Disk)
	})
}

func campaign(t *testing.T, guest *Appliance, faults, seed int) {
	typist := guest.Second.Type(guest.Starved, perFault)
	began := time.Now()
	guest.Send(fmt.Sprintf("campaign --patience 5m --faults %d --seed %d %s\n", faults, seed, strings.Join(obedient, " ")))
	for i := 1; i <= faults; i++ {
		match := guest.Expect(fmt.Sprintf(`(?:fault %d/%d: (.*)|campaign: FAILED: (.*))\n`, i, faults), perFault)
		if match[2] != "" {
			t.Fatalf("%s%s", match[2], guest.where())
		}
	}
	table, _ := guest.ExpectAfter(`campaign: (\d+ faults, everything healed, nothing lost|FAILED: .*)\n`, perFault)
	took := time.Since(began)
	answers, err := typist.Stop()
	t.Logf("%d faults of seed %d in %v (%s):\n%s\nthe console: %v", faults, seed, took.Round(time.Second), guest.Machine.Accel.Name, table, answers)
	if err != nil {
		t.Errorf("the console: %v", err)
	}
	bound := time.Second
	if guest.Machine.Accel.Name != qemu.KVM.Name {
		bound *= 5 // an emulated processor is ten times slower, and the bar is for a real one
	}
	if longest := answers.Longest(); longest > bound || len(answers) == 0 {
		t.Errorf("the longest of %d answers on the console took %v, more than %v", len(answers), longest, bound)
	}
	if faults >= 100 { // so many complaints that at least one was heard before the next probe
		requireLine(t, table, `^complaint .* complaint`)
	}
}
