package qemutests

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"runa/image/disk"
	"runa/image/kernel"
	"runa/image/qemu"
	"runa/init/systemdisk"
)

// usualFlips is how many changed bytes a test has that nobody gave a number
// (RUNA_FLIPS); `make test-all` has 100. Where they are follows from the seed
// (RUNA_FLIP_SEED).
const usualFlips = 4

// One bit of the system is changed, at a random place: in the kernel's compressed
// part or in the system's partition, as often as their sizes say. The machine must
// say so, either in place of a start or once it has read what it did not need to run.
func TestAChangedByteOfTheSystemIsNoticed(t *testing.T) {
	f := newFlips(t)
	flips, seed := number(t, "RUNA_FLIPS", usualFlips), number(t, "RUNA_FLIP_SEED", 1)
	random := rand.New(rand.NewPCG(uint64(seed), uint64(flips)))
	counted := map[string]int{}
	for i := range flips {
		at, bit := random.IntN(f.kernelBytes+len(f.system)), byte(1)<<random.IntN(8)
		if i == 0 && flips < 100 {
			at %= f.kernelBytes // a few shall have one in the kernel too
		}
		ok := t.Run(sprintf("flip-%d", i+1), func(t *testing.T) {
			if at < f.kernelBytes {
				counted["in the kernel: refused by its check sum"]++
				f.flipKernel(t, at, bit)
				return
			}
			counted["in the system: "+f.flipSystem(t, at-f.kernelBytes, bit)]++
		})
		if !ok {
			break
		}
	}
	for what, n := range counted {
		t.Logf("%4d %s", n, what)
	}
}

type flips struct {
	artefacts                Artefacts
	kernel, system           []byte
	kernelStart, kernelBytes int   // the compressed part of the kernel's file
	systemStart              int64 // of the partition on the disk, in bytes
}

func newFlips(t *testing.T) *flips {
	t.Helper()
	f := &flips{artefacts: FindArtefacts(t)}
	f.kernel, f.system = contentOf(t, f.artefacts.Kernel), contentOf(t, f.artefacts.SystemFile)
	start, end, err := kernel.Payload(f.kernel)
	if err != nil {
		t.Fatal(err)
	}
	f.kernelStart, f.kernelBytes = start, end-start
	t.Logf("%.1f %% of the kernel's %d bytes are under its check sum; the system has %d", 100*float64(f.kernelBytes)/float64(len(f.kernel)), len(f.kernel), len(f.system))
	layout := layoutOf(t, f.artefacts.Raw)
	part, found := layout.Part(disk.SystemName)
	if !found {
		t.Fatalf("%s has no partition %s", f.artefacts.Raw, disk.SystemName)
	}
	f.systemStart = part.Start
	return f
}

// flipKernel starts a kernel with a changed bit.
func (f *flips) flipKernel(t *testing.T, at int, bit byte) {
	t.Helper()
	changed := append([]byte(nil), f.kernel...)
	changed[f.kernelStart+at] ^= bit
	path := filepath.Join(t.TempDir(), "bzImage")
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	guest := Start(t, qemu.Machine{
		Kind: qemu.Kernel, Kernel: path, Append: f.artefacts.fromDisk(rootOnSerial + " earlyprintk=serial,ttyS0,115200"),
		Disk: Overlay(t, f.artefacts.Image), MemoryMiB: memory,
	})
	if match := guest.Expect(`System halted|`+bannerBegins, guest.Limits.Boot); match[0] != "System halted" {
		t.Errorf("byte %d of the kernel's compressed part, bit %#x: it started", at, bit)
	}
	guest.process.Kill()
}

// flipSystem starts the system with a changed bit and returns when that was noticed.
func (f *flips) flipSystem(t *testing.T, at int, bit byte) string {
	t.Helper()
	overlay := Overlay(t, f.artefacts.Image)
	run(t, "qemu-utils", "qemu-io", "-f", "qcow2", "-c", sprintf("write -P %d %d 1", f.system[at]^bit, f.systemStart+int64(at)), overlay)
	guest := Start(t, qemu.Machine{
		Kind: qemu.MicroVM, Kernel: f.artefacts.VMLinux, Append: f.artefacts.fromDisk(rootOnSerial), Disk: overlay, MemoryMiB: memory,
	})
	defer guest.process.Kill()
	match := guest.Expect(`Runa did not start: .*|Runa: the system on the disk, block \d+: it was changed`, guest.Limits.Answer)
	if pattern(`did not start`).MatchString(match[0]) {
		guest.Expect(`write the image to a disk`, guest.Limits.Command)
		return "before it started"
	}
	guest.Expect(`write the image to the disk again`, guest.Limits.Command)
	return "when it was read"
}

func contentOf(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestAKernelWithoutItsSystemSaysSoAndCanBeSwitchedOff(t *testing.T) {
	artefacts := FindArtefacts(t)
	guest := Start(t, qemu.Machine{Kind: qemu.Kernel, Kernel: artefacts.Kernel, Append: rootOnSerial, MemoryMiB: memory})
	guest.Expect(`Runa did not start: .*gilgul\.system`, guest.Limits.Boot)
	guest.Expect(`Press Enter to switch`, guest.Limits.Command)
	guest.Send("\n")
	guest.Ended()

	guest = Start(t, qemu.Machine{Kind: qemu.Kernel, Kernel: artefacts.Kernel, Append: artefacts.fromDisk(rootOnSerial), MemoryMiB: memory})
	guest.Expect(`Attach the disk`, guest.Limits.Boot)
	guest.process.Kill()
}

// The last step before gilgul fails when the disks and terminals of the kernel's own
// archive are already gone: the person must be told all the same.
func TestASystemThatCannotBeEnteredIsExplained(t *testing.T) {
	f := newFlips(t)
	tree, path := t.TempDir(), filepath.Join(t.TempDir(), "system")
	for _, folder := range []string{"bin", "dev", "proc", "sys"} {
		if err := os.Mkdir(filepath.Join(tree, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Not to be compressed into one block: a system of one block has no tree.
	var program [16 * systemdisk.BlockSize]byte
	rand.NewChaCha8([32]byte{}).Read(program[:])
	if err := os.WriteFile(filepath.Join(tree, "bin/gilgul"), program[:], 0o644); err != nil {
		t.Fatal(err)
	}
	system, err := disk.WriteSystem(t.Context(), tree, path, disk.Epoch, disk.Tools{})
	if err != nil {
		t.Fatal(err)
	}
	raw := filepath.Join(t.TempDir(), "disk.raw")
	run(t, "coreutils", "cp", "--sparse=always", f.artefacts.Raw, raw)
	to, err := os.OpenFile(raw, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = to.WriteAt(contentOf(t, path), f.systemStart)
	if err := errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	guest := Start(t, qemu.Machine{
		Kind: qemu.Kernel, Kernel: f.artefacts.Kernel, Append: rootOnSerial + " " + systemdisk.Option + "=" + system.String(),
		Disk: raw, Format: "raw", MemoryMiB: memory,
	})
	guest.Expect(`Runa did not start: start /bin/gilgul: permission denied`, guest.Limits.Boot)
	guest.Expect(`Press Enter to switch`, guest.Limits.Command)
	guest.Send("\n")
	guest.Ended()
}
