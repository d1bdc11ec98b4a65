package qemutests

import (
	"os"
	"strings"
	"testing"

	"runa/image/qemu"
)

// The kernel's command lines of direct boots. The shell is root's where a test
// has to do what only root may, such as to kill a service.
const (
	rootOnTwoSerialLines = "console=ttyS1 console=ttyS0 quiet loglevel=3 panic=-1 gilgul.console=root"
	rootOnSerial         = "console=ttyS0 quiet loglevel=3 panic=-1 gilgul.console=root"
)

// memory is what the machines get, in MiB: the model is small.
const memory = 768

func TestEveryMachineGivesTheHostsWordsAndPowersOffCleanly(t *testing.T) {
	artefacts := FindArtefacts(t)
	var words string // what the host says, once it is known which library the guest uses
	machines := []qemu.Machine{
		{Kind: qemu.MicroVM, Kernel: artefacts.VMLinux, Append: artefacts.fromDisk(rootOnSerial)},
		{Kind: qemu.BIOS},
		{Kind: qemu.BIOS, By: qemu.USB},
		{Kind: qemu.BIOS, By: qemu.AHCI},
		{Kind: qemu.BIOS, By: qemu.NVMe},
		{Kind: qemu.UEFI},
		{Kind: qemu.UEFI, By: qemu.USB},
	}
	for _, machine := range machines {
		t.Run(strings.Trim(string(machine.Kind)+"-"+string(machine.By), "-"), func(t *testing.T) {
			machine.Disk, machine.MemoryMiB = Overlay(t, artefacts.Image), memory
			if machine.Kind == qemu.UEFI {
				firmware, err := qemu.CopyFirmware(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				machine.Firmware = firmware
			}
			guest := Start(t, machine)
			guest.LogIn()
			answer := ask(guest)
			if machine.Kind == qemu.MicroVM {
				words = HostWords(t, artefacts, variant(guest))
				t.Logf("the host says: %q", words)
			}
			if words == "" {
				t.Fatal("the host's words are not known: the first machine failed")
			}
			requireWords(guest, answer, words)
			guest.PowerOff()
			RequireCleanData(t, machine.Disk)
		})
	}
}

// ask returns what the guest answers to the question.
func ask(guest *Appliance) string {
	guest.t.Helper()
	return strings.TrimRight(guest.Must(QuestionLine, guest.Limits.Answer), "\n")
}

// requireWords fails the test unless the guest's answer is the host's.
func requireWords(guest *Appliance, answer, words string) {
	guest.t.Helper()
	if answer != words {
		guest.t.Errorf("the guest answered\n%q\nthe host\n%q", answer, words)
	}
}

// variant finds out which of llama.cpp's processor libraries splinfer has
// mapped in a guest with a root shell.
func variant(guest *Appliance) string {
	guest.t.Helper()
	const name = "libggml-cpu-"
	maps := guest.Must("cat /proc/"+pid(guest.t, guest.Service(guest.Console, "splinfer"))+"/maps", guest.Limits.Command)
	_, rest, found := strings.Cut(maps, name)
	found2, _, ends := strings.Cut(rest, ".so")
	if !found || !ends {
		guest.t.Fatalf("splinfer has mapped no %s library:\n%s", name, maps)
	}
	return found2
}

func TestDataGrowsToALargerDiskAndKeepsWhatItHolds(t *testing.T) {
	artefacts := FindArtefacts(t)
	disk := Overlay(t, artefacts.Image)
	run(t, "qemu-utils", "qemu-img", "resize", "-q", disk, "3G")
	machine := qemu.Machine{
		Kind: qemu.MicroVM, Kernel: artefacts.VMLinux, Append: artefacts.fromDisk(rootOnSerial),
		Disk: disk, MemoryMiB: memory,
	}
	guest := Start(t, machine)
	guest.LogInAtOnce(guest.Console)
	if data := guest.Status(guest.Console).Data; data.FreeBytes < 2500<<20 {
		t.Errorf("of 3 GiB only %d bytes are free: %+v", data.FreeBytes, data)
	}
	guest.Must("echo kept > /data/owner/note", guest.Limits.Command)
	guest.PowerOff()
	RequireCleanData(t, disk)

	guest = Start(t, machine)
	guest.LogInAtOnce(guest.Console)
	if note := guest.Must("cat /data/owner/note", guest.Limits.Command); note != "kept" {
		t.Errorf("after the next start the note says %q", note)
	}
	askAgain(guest)
	guest.PowerOff()
	RequireCleanData(t, disk)
}

func TestABrokenSuperblockLeavesAConsoleThatSaysSo(t *testing.T) {
	artefacts := FindArtefacts(t)
	disk := Overlay(t, artefacts.Image)
	_, start, _ := DataPartition(t, disk)
	breakSuperblock(t, disk, start)
	before := dataBytes(t, disk)
	guest := Start(t, qemu.Machine{
		Kind: qemu.MicroVM, Kernel: artefacts.Kernel, Append: artefacts.fromDisk(rootOnSerial),
		Disk: disk, MemoryMiB: memory,
	})
	guest.LogInAtOnce(guest.Console)
	said, status := guest.Run("runa status", guest.Limits.Command)
	if status != 1 {
		t.Errorf("runa status: exit status %d, want 1", status)
	}
	requireLine(t, said, `NOT MOUNTED: .*superblock`)
	requireLine(t, said, `^hint: .*e2fsck`)
	guest.PowerOff()
	if dataBytes(t, disk) != before {
		t.Error("the broken partition was written to")
	}
}

// requireLine fails the test unless a line of text matches.
func requireLine(t *testing.T, text, want string) {
	t.Helper()
	if !pattern("(?m)" + want).MatchString(text) {
		t.Errorf("no line matches %q in\n%s", want, text)
	}
}

// requireErrorWithHint fails the test unless text is one line "error: ..." that
// matches and one line "hint: ...".
func requireErrorWithHint(t *testing.T, text, want string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 2 || !pattern("^error: .*"+want).MatchString(lines[0]) || !strings.HasPrefix(lines[1], "hint: ") {
		t.Errorf("want one line \"error: ...\" with %q and one line \"hint: ...\", got\n%s", want, text)
	}
}

// breakSuperblock overwrites the superblock, which lies 1024 bytes into the
// partition, in the overlay.
func breakSuperblock(t *testing.T, overlay string, partition int64) {
	t.Helper()
	run(t, "qemu-utils", "qemu-io", "-f", "qcow2", "-c", sprintf("write -P 0x5a %d 1024", partition+1024), overlay)
}

// dataBytes returns a hash of the data partition's bytes.
func dataBytes(t *testing.T, overlay string) string {
	t.Helper()
	raw, start, size := DataPartition(t, overlay)
	defer os.Remove(raw)
	return hashOf(t, raw, start, size)
}

// The banner comes before the data disk and the services are known: who presses Enter
// at once must all the same be where their files stay, and must get answers.
func TestWhoeverIsInAHurryIsAtHomeAndGetsAnswers(t *testing.T) {
	artefacts := FindArtefacts(t)
	guest := Start(t, qemu.Machine{
		Kind: qemu.MicroVM, Kernel: artefacts.VMLinux, Append: artefacts.fromDisk("console=ttyS0 quiet loglevel=3 panic=-1"),
		Disk: Overlay(t, artefacts.Image), MemoryMiB: memory,
	})
	guest.LogInAtOnce(guest.Console)
	if services := guest.Status(guest.Console).Services; len(services) == 0 {
		t.Error("runa status does not wait for the services")
	}
	if home := guest.Must("pwd", guest.Limits.Command); !strings.Contains(home, "/data/owner") {
		t.Errorf("the shell began in %q", home)
	}
	guest.PowerOff()
}
