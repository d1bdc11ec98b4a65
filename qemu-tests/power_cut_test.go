package qemutests

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"runa/image/qemu"
)

// usualCuts is how many power cuts a test has that nobody gave a number
// (RUNA_POWER_CUTS); `make test-all` has 200. What each is follows from the seed
// (RUNA_POWER_SEED), but for the guest's own pace.
const usualCuts = 8

// cutsOfARound are made on disks of one size, with one recording.
const cutsOfARound = 20

// The power fails in two ways, half of the cuts each. QEMU is killed: what the
// guest wrote is in the host's memory and survives, but for what QEMU itself
// still held back. And the disk loses what was not flushed: from the log of all
// that a disk was told comes the disk as a cut at any moment could have left it.
// Either happens in the first boot on a larger disk, or while a scribe writes.
func TestThePlugIsPulledAtAnyMoment(t *testing.T) {
	artefacts := FindArtefacts(t)
	cuts, seed := number(t, "RUNA_POWER_CUTS", usualCuts), number(t, "RUNA_POWER_SEED", 1)
	t.Logf("%d power cuts of seed %d", cuts, seed)
	initramfs := Initramfs(t, artefacts.Initramfs, map[string]string{"bin/scribe": Program(t, "scribe", "")})
	random := rand.New(rand.NewPCG(uint64(seed), uint64(cuts)))
	counted := map[string]int{}
	for round, left := 1, cuts; left > 0; round++ {
		now := min(left, cutsOfARound)
		left -= now
		ok := t.Run(sprintf("round-%d", round), func(t *testing.T) {
			o := &outage{
				artefacts: artefacts, random: random, counted: counted,
				machine: qemu.Machine{Kind: qemu.MicroVM, Kernel: artefacts.VMLinux, Initrd: initramfs, Append: rootOnSerial, MemoryMiB: memory},
			}
			o.enlarge(t)
			o.record(t)
			o.lose(t, now/2)
			o.kill(t, now-now/2)
		})
		if !ok {
			break
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counted)) {
		t.Logf("%4d %s", counted[what], what)
	}
}

// outage is a round of power cuts.
type outage struct {
	artefacts Artefacts
	machine   qemu.Machine // without a disk
	random    *rand.Rand
	counted   map[string]int // cuts by what they hit

	disk       string // of the image, enlarged; each disk starts as this
	start, end int64  // of the data partition before it grows, in bytes
	recording  recording
}

// enlarge makes the disk that every machine of this round begins with.
func (o *outage) enlarge(t *testing.T) {
	o.disk = Overlay(t, o.artefacts.Image)
	_, start, size := DataPartition(t, o.disk)
	o.start, o.end = start, start+size
	// From 8 GiB on the list of block groups has to grow too.
	most := []int64{6 << 30, 40 << 30}[o.random.IntN(2)]
	more := (1<<30 + o.random.Int64N(most)) / 512 * 512
	run(t, "qemu-utils", "qemu-img", "resize", "-q", o.disk, sprintf("+%d", more))
	t.Logf("the disk was enlarged by %d MiB", more>>20)
}

// logged is the machine with a disk that writes down what it is told. The log
// is only good in itself, so nothing waits until the host's disk has it.
func (o *outage) logged(disk, log string) qemu.Machine {
	machine := o.machine
	machine.Extra = []string{
		"-blockdev", "driver=qcow2,node-name=content,file.driver=file,file.cache.no-flush=on,file.filename=" + disk,
		"-blockdev", "driver=file,node-name=log,cache.no-flush=on,filename=" + log,
		"-blockdev", "driver=blklogwrites,node-name=logged,file=content,log=log,log-sector-size=" + strconv.Itoa(logSector),
		"-device", "virtio-blk-device,drive=logged,discard=off,write-zeroes=off",
	}
	return machine
}

// count notes what a cut hit.
func (o *outage) count(way string, told int) {
	r := &o.recording
	what := "while the scribe writes"
	switch {
	case told <= r.table:
		what = "while the partition table is changed"
	case told <= r.grown:
		what = "while the new room is made and first used"
	case told <= r.booted:
		what = "later in the first boot"
	}
	o.counted[way+" "+what]++
}

// comesUp waits until a machine whose power had failed is ready and asks what
// the scribe's folder holds: the last number of each kind.
func (o *outage) comesUp(guest *Appliance) map[string]int {
	guest.t.Helper()
	guest.LogIn()
	return o.found(guest)
}

func (o *outage) found(guest *Appliance) map[string]int {
	guest.t.Helper()
	found := map[string]int{}
	said := guest.Must(scribeCheck, guest.Limits.Command)
	for _, match := range pattern(`(?m)^whole (\w+) (\d+)$`).FindAllStringSubmatch(said, -1) {
		found[match[1]] = atoi(guest.t, match[2])
	}
	if len(found) != 3 {
		guest.t.Fatalf("the scribe tells of %d kinds:\n%s%s", len(found), said, guest.where())
	}
	return found
}

// lost says which pieces that were promised are not found.
func lost(promised, found map[string]int) error {
	var missing []string
	for kind, last := range promised {
		if found[kind] < last {
			missing = append(missing, fmt.Sprintf("of %s, %d were safe and %d are there", kind, last, found[kind]))
		}
	}
	if missing != nil {
		return fmt.Errorf("lost: %s", strings.Join(missing, "; "))
	}
	return nil
}

// endsClean powers the machine off and looks at its disk: the file system is
// without a fault and fills the whole disk, and the model is as it was.
func (o *outage) endsClean(t *testing.T, guest *Appliance) {
	t.Helper()
	guest.PowerOff()
	raw, start, size := DataPartition(t, guest.Machine.Disk)
	requireCleanAt(t, raw, start)
	info, err := os.Stat(raw)
	if err != nil {
		t.Fatal(err)
	}
	if left := info.Size() - start - size; left > 2<<20 {
		t.Errorf("the data partition ends %d bytes before the disk", left)
	}
	at := sprintf("%s?offset=%d", raw, start)
	blocks := pattern(`(?m)^Block count: +(\d+)$`).FindStringSubmatch(run(t, "e2fsprogs", "dumpe2fs", "-h", at))
	if blocks == nil {
		t.Fatal("dumpe2fs tells no number of blocks")
	}
	if left := size - int64(atoi(t, blocks[1]))*4096; left > 8<<20 {
		t.Errorf("the file system ends %d bytes before its partition", left)
	}
	model := filepath.Join(t.TempDir(), "model")
	run(t, "e2fsprogs", "debugfs", "-R", "dump /models/stories15m.gguf "+model, at)
	if hashOfFile(t, model) != hashOfFile(t, o.artefacts.Model) {
		t.Errorf("the model is no longer what it was")
	}
}

func hashOfFile(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return hashOf(t, path, 0, info.Size())
}

func atoi(t testing.TB, text string) int {
	t.Helper()
	value, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
