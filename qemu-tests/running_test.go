package qemutests

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"runa/image/qemu"
)

// crasher is a service that ends as soon as it has started, and is never given up.
const crasher = `exec: /bin/false
user: splinfer
ready: {by: none}
restart: {policy: always, initial: 1s, max: 30s, stable: 60s}
on-failure: {ladder: [restart, backoff]}
`

// What a person is told of a splinfer that died: of a conversation that goes on by
// itself, and of a question.
const (
	goesOnLine  = `\(the model stopped and is being restarted; its answer goes on by itself\)`
	stoppedLine = `the model stopped in the middle of its answer and is being restarted; ask again`
)

// One machine lives through all of this with a network card on a network that
// leads out, and not one frame may have been sent at its end.
func TestARunningApplianceHealsAndSaysNothingToTheNetwork(t *testing.T) {
	artefacts := FindArtefacts(t)
	capture := filepath.Join(t.TempDir(), "all.pcap")
	guest := Start(t, qemu.Machine{
		Kind: qemu.Kernel, Kernel: artefacts.Kernel,
		Initrd: Initramfs(t, artefacts.Initramfs, map[string]string{"etc/runa/services/crasher.yaml": crasher}),
		Append: rootOnTwoSerialLines, Disk: Overlay(t, artefacts.Image), MemoryMiB: memory,
		SecondConsole: true, NIC: &qemu.NIC{Capture: capture},
	})
	guest.LogInAtOnce(guest.Console)
	guest.LogInAtOnce(guest.Second)

	guest.Step("splinfer killed in the middle of an answer", func(t *testing.T) { killSplinfer(t, guest) })
	guest.Step("the asking command killed in the middle of an answer", func(t *testing.T) { killAsker(guest) })
	guest.Step("the bus's service killed", func(t *testing.T) { killSplinter(t, guest) })
	guest.Step("a service that ends at once shows its back-off", func(t *testing.T) { showBackOff(guest) })
	guest.Step("the card is down and no service has one", func(t *testing.T) { showNoNetwork(t, guest) })
	guest.Step("the power button ends it with clean data", func(t *testing.T) {
		guest.PowerOff()
		RequireCleanData(t, guest.Machine.Disk)
	})
	guest.Step("the network has not seen a frame", func(t *testing.T) {
		if frames, err := Frames(capture); err != nil || frames != 0 {
			t.Errorf("%d frames were sent (%v), see %s", frames, err, capture)
		}
	})
}

func killSplinfer(t *testing.T, guest *Appliance) {
	guest.Send("runa chat --temp 0 --n-predict 30\n")
	guest.Expect(`you> `, guest.Limits.Answer) // which it says once splinfer is ready
	before := guest.Service(guest.Second, "splinfer")
	slowDown(guest, "splinfer")
	say(guest, "Once upon a time")
	guest.Second.Must("kill -9 "+pid(t, before), guest.Limits.Command)
	guest.Expect(goesOnLine+`\n`, guest.Limits.Command)
	if rest, _ := guest.ExpectAfter(`\nyou> `, guest.Limits.Answer); strings.Contains(rest, "(") || strings.TrimSpace(rest) == "" {
		t.Errorf("the answer went on with %q", rest)
	}
	guest.Send("/new\n")
	guest.Expect(`you> `, guest.Limits.Command)
	say(guest, "Once upon a time")
	guest.Send(CtrlC)
	guest.Expect(`\(stopped\)\nyou> `, guest.Limits.Command)
	guest.Send("/quit\n")
	guest.Must("true", guest.Limits.Command)
	after := guest.Service(guest.Second, "splinfer")
	if after.PID == before.PID || after.Restarts <= before.Restarts {
		t.Errorf("splinfer was process %d with %d restarts and is process %d with %d", before.PID, before.Restarts, after.PID, after.Restarts)
	}
}

// slowDown leaves a service a fiftieth of a processor for the rest of its life
// where it has a real one: there a whole answer takes a tenth of a second, and
// nobody could type a kill in its middle.
func slowDown(guest *Appliance, service string) {
	guest.t.Helper()
	if guest.Machine.Accel.Name == qemu.KVM.Name {
		guest.Second.Must(`echo "2000 100000" > /sys/fs/cgroup/runa/`+service+`/cpu.max`, guest.Limits.Command)
	}
}

// say types a line to the chat and returns when an answer has begun.
func say(guest *Appliance, line string) {
	guest.t.Helper()
	guest.Send(line + "\n")
	guest.Expect(pattern(`[.+*?()|\[\]{}^$\\]`).ReplaceAllString(line, `.`)+`\n`, guest.Limits.Command)
	awaitWord(guest.Console, guest.Limits.Answer)
}

// awaitWord waits for a word of an answer that is whole, with something behind
// it, and not of the notes that stand before an answer.
func awaitWord(console *Console, limit time.Duration) {
	console.t.Helper()
	notes := strings.Fields("reading your message waiting for the model to be ready")
	for {
		match := console.Expect(`([A-Za-z]+)[ ,.!?]`, limit)
		if !slices.Contains(notes, match[1]) {
			return
		}
	}
}

func killAsker(guest *Appliance) {
	slowDown(guest, "splinfer")
	guest.Send("runa ask --raw --temp 0 \"Once upon a time\"\n")
	guest.Expect(`a time"\n`, guest.Limits.Command)
	awaitWord(guest.Console, guest.Limits.Answer)
	found := guest.Second.Must(`grep -l "^runa$" /proc/[0-9]*/comm`, guest.Limits.Command)
	guest.Second.Must("kill -9 "+pattern(`\d+`).FindString(found), guest.Limits.Command)
	guest.Must(`true`, guest.Limits.Command)
	askAgain(guest)
}

func killSplinter(t *testing.T, guest *Appliance) {
	before := guest.Service(guest.Second, "splinter")
	guest.Second.Must("kill -9 "+pid(t, before), guest.Limits.Command)
	askAgain(guest)
	if after := guest.Service(guest.Second, "splinter"); after.Restarts <= before.Restarts {
		t.Errorf("splinter was restarted %d times, before the kill %d", after.Restarts, before.Restarts)
	}
}

// askAgain asks a question that is answered.
func askAgain(guest *Appliance) {
	guest.t.Helper()
	words := guest.Must(`runa ask --raw --temp 0 --n-predict 4 "Once upon a time"`, guest.Limits.Answer)
	if strings.TrimSpace(words) == "" {
		guest.t.Fatalf("the answer is empty%s", guest.where())
	}
}

// showBackOff looks until the crasher is between two starts, where it is most
// of the time.
func showBackOff(guest *Appliance) {
	guest.t.Helper()
	row := pattern(`(?m)^crasher +backoff .*; next start in \d`)
	for end := time.Now().Add(guest.Limits.Answer); ; {
		table, status := guest.Run("runa status", guest.Limits.Command)
		if status == 1 && row.MatchString(table) {
			return
		}
		if time.Now().After(end) {
			guest.t.Fatalf("no line matches %q and no exit status 1 (but %d) in\n%s%s", row, status, table, guest.where())
		}
	}
}

func showNoNetwork(t *testing.T, guest *Appliance) {
	links := guest.Must("ip link", guest.Limits.Command)
	card := pattern(`(?m)^\d+: (eth\d+|en\w+): <([A-Z,_]*)>.*`).FindStringSubmatch(links)
	if card == nil {
		t.Fatalf("ip link shows no card:\n%s", links)
	}
	for flag := range strings.SplitSeq(card[2], ",") {
		if flag == "UP" {
			t.Errorf("the card is up: %s", card[0])
		}
	}
	for _, service := range guest.Status(guest.Console).Services {
		if service.PID == 0 {
			continue
		}
		folder := "/proc/" + pid(t, service) + "/net/"
		devices := guest.Must("cat "+folder+"dev", guest.Limits.Command)
		for _, line := range strings.Split(devices, "\n")[2:] {
			if name, _, _ := strings.Cut(strings.TrimSpace(line), ":"); name != "lo" {
				t.Errorf("%s has the network device %s", service.Name, name)
			}
		}
		// An address belongs to lo only while it is up, or once it has been.
		if table := guest.Must("cat "+folder+"fib_trie", guest.Limits.Command); strings.Contains(table, "127.0.0.1") {
			t.Errorf("lo is up in the namespace of %s:\n%s", service.Name, table)
		}
		if sockets := guest.Must("cat "+folder+"tcp "+folder+"udp", guest.Limits.Command); strings.Count(sockets, "\n") > 1 {
			t.Errorf("%s has a socket:\n%s", service.Name, sockets)
		}
	}
	if sockets := guest.Must("cat /proc/net/tcp /proc/net/udp", guest.Limits.Command); strings.Count(sockets, "\n") > 1 {
		t.Errorf("the machine has a socket:\n%s", sockets)
	}
}
