package qemutests

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"runa/image/qemu"
)

// stranger is a service that gilgul gave no right on the bus.
const stranger = `exec: /bin/splinter
args: [set, stranger/note, hello]
user: stranger
needs: [splinter]
ready: {by: none}
oneshot: true
restart: {policy: never}
`

// flood is a file for `splinter import` with more than the bus can hold.
func flood() string {
	value := base64.StdEncoding.EncodeToString(make([]byte, 60_000))
	var keys []string
	for i := range 400 {
		keys = append(keys, fmt.Sprintf(`{"key":"flood/%d","base64":%q}`, i, value))
	}
	return `{"format":"splinter-export-1","keys":[` + strings.Join(keys, ",\n") + "]}\n"
}

func TestTheBusHoldsItsRightsAndItsSizeUnderAFlood(t *testing.T) {
	artefacts := FindArtefacts(t)
	passwd := readOverlay(t, "etc/passwd") + "stranger:x:150:100::/:/bin/false\n"
	guest := Start(t, qemu.Machine{
		Kind: qemu.MicroVM, Kernel: artefacts.VMLinux, Append: rootOnSerial,
		Initrd: Initramfs(t, artefacts.Initramfs, map[string]string{
			"etc/passwd": passwd, "etc/runa/services/stranger.yaml": stranger, "etc/flood.json": flood(),
		}),
		Disk: Overlay(t, artefacts.Image), MemoryMiB: memory,
	})
	guest.LogInAtOnce(guest.Console)

	guest.Step("a service without a right is refused and counted", func(t *testing.T) {
		askAgain(guest) // everything has started
		said := guest.Must("runa logs stranger", guest.Limits.Command)
		requireLine(t, said, `error: set "?stranger/note"?: .*[Ff]orbidden`)
		components := guest.Must("splinter scope --once", guest.Limits.Command)
		requireLine(t, components, `uid 150|^\S+ +150 `)
		t.Logf("scope:\n%s", components)
		if _, status := guest.Run("splinter get stranger/note", guest.Limits.Command); status == 0 {
			t.Error("the stranger's key is there")
		}
	})
	guest.Step("the services with rights were not refused", func(t *testing.T) {
		for _, name := range []string{"splinter", "splinfer"} {
			if service := guest.Service(guest.Console, name); service.Restarts != 0 || service.State != "ready" {
				t.Errorf("%+v", service)
			}
		}
	})
	guest.Step("a flood does not make it grow, and all others work on", func(t *testing.T) {
		size := busSize(guest)
		said, status := guest.Run("splinter import /etc/flood.json", guest.Limits.Answer)
		if status == 0 {
			t.Errorf("24 MB went into a bus of 8: %s", said)
		}
		requireLine(t, said, `^error: .*full`)
		if now := busSize(guest); now != size {
			t.Errorf("the bus had %s bytes and has %s", size, now)
		}
		if service := guest.Service(guest.Console, "splinter"); service.MemoryBytes > 96<<20 || service.State != "ready" {
			t.Errorf("the bus's service: %+v", service)
		}
		askAgain(guest)
		requireLine(t, guest.Must("splinter check", guest.Limits.Command), `^clean`)
	})
	guest.Step("it ends cleanly", func(*testing.T) { guest.PowerOff() })
}

// busSize is the size of the bus's file as ls shows it: the fifth column, for
// the time of its last change says nothing here.
func busSize(guest *Appliance) string {
	guest.t.Helper()
	line := strings.Fields(guest.Must("ls -l /run/runa/bus", guest.Limits.Command))
	if len(line) < 5 {
		guest.t.Fatalf("ls -l says %q", line)
	}
	return line[4]
}
