package qemutests

import (
	"strings"
	"testing"

	"runa/image/qemu"
)

// One machine in which two persons talk with the model at once, models are added,
// and the plug is pulled in the middle of an answer.
func TestConversationsGoOnAndModelsAreAdded(t *testing.T) {
	artefacts := FindArtefacts(t)
	machine := qemu.Machine{
		Kind: qemu.Kernel, Kernel: artefacts.Kernel, Append: artefacts.fromDisk(rootOnTwoSerialLines),
		Disk: Overlay(t, artefacts.Image), MemoryMiB: memory, SecondConsole: true,
	}
	guest := Start(t, machine)
	guest.LogInAtOnce(guest.Console)
	guest.LogInAtOnce(guest.Second)
	const story = "Once upon a time there was a big red"
	whole := guest.Must(`runa ask --temp 0 --n-predict 30 "`+story+`"`, guest.Limits.Answer)

	guest.Step("two consoles chat at once", func(t *testing.T) { twoChats(t, guest) })
	guest.Step("a model is added, and a bad one refused with the reason", func(t *testing.T) { addModels(t, guest) })
	guest.Step("the plug is pulled in the middle of an answer", func(*testing.T) {
		guest.Send("runa chat --temp 0 --n-predict 30\n")
		guest.Expect(`you> `, guest.Limits.Answer)
		slowDown(guest, "splinfer")
		say(guest, story)
		for range 6 { // what is older than a second or two, and a few words, is on the disk
			awaitWord(guest.Console, guest.Limits.Answer)
		}
		guest.Second.Must("sleep 2", guest.Limits.Command)
		guest.process.Kill()
	})
	again := Start(t, machine)
	again.LogInAtOnce(again.Console)
	again.LogInAtOnce(again.Second)
	again.Step("and the answer goes on after the reboot, word for word", func(t *testing.T) {
		again.Send("runa chat --continue\n")
		// What goes on is what was not shown, or all of it where nothing had reached the disk.
		said, _ := again.ExpectAfter(`\nyou> `, again.Limits.Answer)
		lines := strings.Split(strings.TrimSpace(said), "\n")
		rest := lines[len(lines)-1]
		if !strings.HasSuffix(strings.TrimSpace(whole), strings.TrimSpace(rest)) || len(strings.Fields(rest)) < 3 {
			t.Errorf("it went on with\n%q\nof\n%q", rest, whole)
		}
		again.Send("/quit\n")
		again.Must("true", again.Limits.Command)
	})
	again.Step("it ends cleanly", func(t *testing.T) {
		again.PowerOff()
		RequireCleanData(t, machine.Disk)
	})
}

func twoChats(t *testing.T, guest *Appliance) {
	slowDown(guest, "splinfer")
	guest.Second.Send("runa chat --temp 0\n")
	guest.Second.Expect(`you> `, guest.Limits.Answer)
	guest.Send("runa chat --temp 0.9 --ignore-eos\n")
	guest.Expect(`you> `, guest.Limits.Answer)
	say(guest, "One day a girl")
	// While the first is still being answered the second gets words.
	guest.Second.Send("A dog and a cat\n")
	guest.Second.Expect(`A dog and a cat\n`, guest.Limits.Command)
	awaitWord(guest.Second, guest.Limits.Answer)
	awaitWord(guest.Console, guest.Limits.Answer)
	guest.Second.Send(CtrlC)
	guest.Second.Expect(`you> `, guest.Limits.Command)
	guest.Second.Send("/quit\n")
	status := guest.Second.Must("runa status", guest.Limits.Command)
	for _, line := range []string{
		`(?m)^model +stories15m; [\d.]+ tokens/s written, [\d.]+ read; answering \d of 4, queue 0$`,
		`(?m)^KV +\d+ % of \d+ tokens used; .*conversations kept 2$`,
	} {
		if !pattern(line).MatchString(status) {
			t.Errorf("runa status says\n%s\nwithout %s", status, line)
		}
	}
	guest.Send(CtrlC)
	guest.Expect(`you> `, guest.Limits.Command)
	guest.Send("/quit\n")
	guest.Must("true", guest.Limits.Command)
}

func addModels(t *testing.T, guest *Appliance) {
	guest.Must("cp /data/models/stories15m.gguf /data/import/a-new-one.gguf", guest.Limits.Command)
	guest.Must("dd if=/data/models/stories15m.gguf of=/data/import/cut.gguf bs=1000000 count=3", guest.Limits.Command)
	if said, status := guest.Run("runa models add cut.gguf", guest.Limits.Command); status == 0 || !strings.Contains(said, "cut off") {
		t.Errorf("a file that is cut off: status %d, %q", status, said)
	}
	guest.Must("runa models add a-new-one.gguf", guest.Limits.Command)
	list := guest.Must("runa models", guest.Limits.Command)
	if !pattern(`(?m)^a-new-one +llama .* not loaded$`).MatchString(list) || !pattern(`(?m)^stories15m +llama .*the default$`).MatchString(list) || strings.Contains(list, "cut") {
		t.Errorf("runa models says\n%s", list)
	}
	guest.Must(`runa ask --model a-new-one --n-predict 2 --raw "Once"`, guest.Limits.Answer)
	guest.Must("runa models remove a-new-one", guest.Limits.Command)
}
