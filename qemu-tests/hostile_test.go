package qemutests

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"runa/image/qemu"
	"runa/init/confine/hostile"
	"runa/init/control"
)

// hostileManifest is one of a service that gilgul gave nothing.
const hostileManifest = `exec: /bin/hostile
args: [%s]
env: {%s: "/data/splinfer:/data/models:/data/owner:/run/gilgul/control.sock:/data/gilgul"}
user: hostile
needs: [splinter]
ready: {by: none, timeout: 10m}
restart: {policy: never}
limits: {memory-max: 48MiB, pids: 32, files: 64}
data: true
`

// Three services of somebody who wants out try everything, while the others work.
func TestAHostileServiceIsRefusedEverything(t *testing.T) {
	artefacts := FindArtefacts(t)
	files := map[string]string{
		"etc/passwd":  readOverlay(t, "etc/passwd") + "hostile:x:150:100::/:/bin/false\n",
		"bin/hostile": Program(t, "hostile", ""),
	}
	for name, does := range map[string]string{"hostile-try": "try", "hostile-crowd": "crowd", "hostile-fill": "fill"} {
		manifest := fmt.Sprintf(hostileManifest, does, hostile.OthersVariable)
		if does == "try" {
			manifest += "oneshot: true\n"
		}
		files["etc/runa/services/"+name+".yaml"] = manifest
	}
	guest := Start(t, qemu.Machine{
		Kind: qemu.Kernel, Kernel: artefacts.Kernel, Initrd: Initramfs(t, artefacts.Initramfs, files),
		Append: rootOnSerial, Disk: Overlay(t, artefacts.Image), MemoryMiB: memory,
	})
	guest.LogInAtOnce(guest.Console)

	guest.Step("every attempt is refused", func(t *testing.T) {
		awaitState(t, guest, "hostile-try", "done", "failed")
		said := guest.Must("runa logs hostile-try -n 1000", guest.Limits.Command)
		requireLine(t, said, `hostile: \d+ attempts, 0 breaches`)
		for line := range strings.Lines(said) {
			if strings.Contains(line, "BREACH") || strings.Contains(line, "error:") {
				t.Error(strings.TrimSpace(line))
			}
		}
		t.Log(pattern(`hostile: .*`).FindString(said))
	})
	guest.Step("processes and memory without end are the end of who takes them", func(t *testing.T) {
		for name, class := range map[string]string{"hostile-crowd": "processes", "hostile-fill": "out-of-memory"} {
			if service := awaitState(t, guest, name, "failed"); service.Class != class {
				t.Errorf("%s was ended as %q, want %q: %s", name, service.Class, class, service.Reason)
			}
		}
	})
	guest.Step("gilgul has logged each refusal with its rule", func(t *testing.T) { requireRules(t, guest) })
	guest.Step("what it tried on the bus is counted as forbidden", func(t *testing.T) {
		requireLine(t, guest.Must("splinter scope --once", guest.Limits.Command), `uid 150|^\S+ +150 `)
	})
	guest.Step("nobody else has noticed", func(t *testing.T) {
		for _, name := range []string{"splinter", "splinfer"} {
			awaitState(t, guest, name, "ready")
			if service := guest.Service(guest.Console, name); service.Restarts != 0 {
				t.Errorf("%+v", service)
			}
		}
		askAgain(guest)
		requireLine(t, guest.Must("splinter check", guest.Limits.Command), `^clean`)
	})
	guest.Step("it ends cleanly", func(t *testing.T) {
		guest.PowerOff()
		RequireCleanData(t, guest.Machine.Disk)
	})
}

// awaitState waits until a service is in one of the states.
func awaitState(t *testing.T, guest *Appliance, name string, states ...string) control.ServiceStatus {
	t.Helper()
	for end := time.Now().Add(4 * guest.Limits.Boot); ; {
		service := guest.Service(guest.Console, name)
		if slices.Contains(states, service.State) {
			return service
		}
		if time.Now().After(end) {
			t.Fatalf("%s is %s and not one of %q: %s%s", name, service.State, states, service.Reason, guest.where())
		}
	}
}

// requireRules fails the test unless gilgul's log names each rule of the
// system-call filter by which something was refused, and the families of sockets.
func requireRules(t *testing.T, guest *Appliance) {
	t.Helper()
	log := guest.Must(`runa logs gilgul -n 5000 | grep refused`, guest.Limits.Command)
	wanted := map[string]bool{"AF_INET": true, "AF_PACKET": true, "AF_NETLINK": true, "AF_UNIX": true, "AF_VSOCK": true}
	for _, attempt := range hostile.Attempts() {
		if strings.HasPrefix(attempt.Rule, "seccomp/") {
			wanted[attempt.Rule] = true
		}
	}
	var missing []string
	for word := range wanted {
		if !strings.Contains(log, word) {
			missing = append(missing, word)
		}
	}
	if len(missing) > 0 {
		t.Errorf("of %d rules gilgul's log does not name %q:\n%s", len(wanted), missing, log)
	}
}
