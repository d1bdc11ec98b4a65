package qemutests

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"runa/image/qemu"
)

// rounds is how often each side of a comparison is measured, in turn, so that
// both meet the same noise; the median of the ratios is reported.
const rounds = 5

// BenchmarkBoot reports how many times longer the appliance takes than a bare
// u-root takes to its prompt, on the same kernel and machine: that prompt is the
// limit, since it does nothing but start.
func BenchmarkBoot(b *testing.B) {
	artefacts, bare := FindArtefacts(b), artefact(b, "RUNA_BARE_INITRAMFS")
	for _, kind := range []qemu.Kind{qemu.MicroVM, qemu.Kernel} {
		b.Run(string(kind), func(b *testing.B) {
			machine := qemu.Machine{Kind: kind, Kernel: artefacts.Kernel, Append: "console=ttyS0 quiet loglevel=3 panic=-1", MemoryMiB: memory}
			if kind == qemu.MicroVM {
				machine.Kernel = artefacts.VMLinux
			}
			var ready, answer []float64
			for range rounds {
				limit := bootBare(b, machine, bare)
				toReady, toAnswer := bootRuna(b, machine, artefacts)
				b.Logf("bare prompt %v, ready %v, first answer %v", limit, toReady, toAnswer)
				ready = append(ready, toReady.Seconds()/limit.Seconds())
				answer = append(answer, toAnswer.Seconds()/limit.Seconds())
			}
			b.ReportMetric(0, "ns/op") // one run is no operation
			b.ReportMetric(median(ready), "ready/bare-init")
			b.ReportMetric(median(answer), "first-answer/bare-init")
		})
	}
}

func bootBare(b *testing.B, machine qemu.Machine, initramfs string) time.Duration {
	b.Helper()
	machine.Initrd = initramfs
	began := time.Now()
	guest := Start(b, machine)
	guest.Expect(`Welcome to u-root!`, guest.Limits.Boot)
	guest.Expect(`[$#>] `, guest.Limits.Boot)
	took := time.Since(began)
	guest.process.Kill()
	return took
}

func bootRuna(b *testing.B, machine qemu.Machine, a Artefacts) (ready, answer time.Duration) {
	b.Helper()
	machine.Disk = Overlay(b, a.Image)
	if machine.Kernel != "" {
		machine.Append = a.fromDisk(machine.Append)
	}
	began := time.Now()
	guest := Start(b, machine)
	guest.Expect(`Ready in \S+ s`, guest.Limits.Boot)
	ready = time.Since(began)
	guest.Send("\n")
	guest.Expect(`[$#>] `, guest.Limits.Boot)
	guest.Must(`runa ask --raw --temp 0 --n-predict 1 "Once upon a time"`, guest.Limits.Answer)
	answer = time.Since(began)
	guest.process.Kill()
	return ready, answer
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
