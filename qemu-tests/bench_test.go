package qemutests

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"runa/image/build"
	"runa/image/disk"
	"runa/image/qemu"
)

// rounds is how often each side of a comparison is measured, in turn, so that
// both meet the same noise; the median of the ratios is reported.
const rounds = 5

// BenchmarkBoot reports how many times longer the appliance takes than a bare
// u-root takes to its prompt, on the same kernel and machine and loaded the same
// way: that prompt is the limit, since it does nothing but start.
func BenchmarkBoot(b *testing.B) {
	artefacts, bare := FindArtefacts(b), artefact(b, "RUNA_BARE_INITRAMFS")
	const line = "console=ttyS0 quiet loglevel=3 panic=-1"
	direct := func(kind qemu.Kind, kernel string) (mine, limit qemu.Machine) {
		m := qemu.Machine{Kind: kind, Kernel: kernel, Append: line, MemoryMiB: memory}
		mine, limit = m, m
		mine.Append, limit.Initrd = artefacts.fromDisk(line), bare
		return mine, limit
	}
	byGRUB := func(by qemu.Attachment) (mine, limit qemu.Machine) {
		mine = qemu.Machine{Kind: qemu.BIOS, By: by, MemoryMiB: memory}
		limit = mine
		limit.Disk, limit.Format = bareDisk(b, artefacts, bare, line), "raw"
		return mine, limit
	}
	for _, way := range []struct {
		name     string
		machines func() (mine, limit qemu.Machine)
	}{
		{"microvm", func() (qemu.Machine, qemu.Machine) { return direct(qemu.MicroVM, artefacts.VMLinux) }},
		{"q35-kernel", func() (qemu.Machine, qemu.Machine) { return direct(qemu.Kernel, artefacts.Kernel) }},
		{"q35-bios-grub", func() (qemu.Machine, qemu.Machine) { return byGRUB("") }},
		{"q35-bios-grub-usb", func() (qemu.Machine, qemu.Machine) { return byGRUB(qemu.USB) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			mine, limit := way.machines()
			var console, ready, answer []float64
			for range rounds {
				bare := bootBare(b, limit).Seconds()
				mine.Disk = Overlay(b, artefacts.Image)
				toConsole, toReady, toAnswer := bootRuna(b, mine)
				b.Logf("bare prompt %.2f s; console %v, all ready %v, first answer %v", bare, toConsole, toReady, toAnswer)
				console = append(console, toConsole.Seconds()/bare)
				ready = append(ready, toReady.Seconds()/bare)
				answer = append(answer, toAnswer.Seconds()/bare)
			}
			b.ReportMetric(0, "ns/op") // one run is no operation
			b.ReportMetric(median(console), "gilgul-console/bare-init")
			b.ReportMetric(median(ready), "all-ready/bare-init")
			b.ReportMetric(median(answer), "first-answer/bare-init")
		})
	}
}

// bareDisk is the image's disk whose GRUB starts the same kernel with a bare u-root.
func bareDisk(b *testing.B, a Artefacts, initramfs, commandLine string) string {
	b.Helper()
	boot, _ := layoutOf(b, a.Raw).Part(disk.BootName)
	raw, configuration := filepath.Join(b.TempDir(), "bare.raw"), filepath.Join(b.TempDir(), "grub.cfg")
	run(b, "coreutils", "cp", "--sparse=always", a.Raw, raw)
	text := "linux /boot/bzImage " + commandLine + "\ninitrd /boot/bare.cpio\nboot\n"
	if err := os.WriteFile(configuration, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	inside := sprintf("%s@@%d", raw, boot.Start)
	run(b, "mtools", "mcopy", "-o", "-i", inside, initramfs, "::/boot/bare.cpio")
	run(b, "mtools", "mcopy", "-o", "-i", inside, configuration, "::"+disk.GRUBPath)
	return raw
}

func bootBare(b *testing.B, machine qemu.Machine) time.Duration {
	b.Helper()
	began := time.Now()
	guest := Start(b, machine)
	guest.Expect(`Welcome to u-root!`, guest.Limits.Boot)
	guest.Expect(`[$#>] `, guest.Limits.Boot)
	took := time.Since(began)
	guest.process.Kill()
	return took
}

// bootRuna returns how long it took until the console could be used, until
// everything was ready, and until the first word of an answer.
func bootRuna(b *testing.B, machine qemu.Machine) (console, ready, answer time.Duration) {
	b.Helper()
	began := time.Now()
	guest := Start(b, machine)
	guest.Expect(bannerEnds, guest.Limits.Boot)
	console = time.Since(began)
	guest.Expect(`Ready in [\d.]+ s\.`, guest.Limits.Boot)
	ready = time.Since(began)
	guest.Send("\n")
	guest.Expect(`[$#>] `, guest.Limits.Boot)
	guest.Must(`runa ask --raw --temp 0 --n-predict 1 "Once upon a time"`, guest.Limits.Answer)
	answer = time.Since(began)
	guest.process.Kill()
	return console, ready, answer
}

// BenchmarkImage reports the sizes of what is handed out, without a model, in MiB
// and as a ratio to the most it may have, and of the parts of it.
func BenchmarkImage(b *testing.B) {
	out := b.TempDir()
	buildImage(b, out, "none", "")
	a := build.In(out)
	for _, path := range []string{a.Image, a.Kernel, a.System, a.UKI, a.Chrome} {
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%-12s %6.1f MiB", filepath.Base(path), float64(info.Size())/(1<<20))
		if path == a.Image {
			b.ReportMetric(float64(info.Size())/mostImage, "image/64-MiB")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBus shows what `splinter bench` says: the bus against a unix socket.
func BenchmarkBus(b *testing.B) {
	said := run(b, "golang", filepath.Join(FindArtefacts(b).Bin, "splinter"), "bench")
	b.ReportMetric(0, "ns/op")
	b.Log("\n" + said)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
