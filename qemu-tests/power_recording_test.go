package qemutests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recording is one machine's life: its first boot, then a scribe that writes.
type recording struct {
	log    *WriteLog
	booted int           // things that the disk had been told when everything was ready
	took   time.Duration // the first boot
	safe   []safe

	table int // things told until the partition table is changed
	grown int // and until the new room is made and first used
}

// safe is a piece that the scribe said to be safe, at the latest when the log
// of writes was that long.
type safe struct {
	kind   string
	number int
	size   int64
}

// scribed is how many pieces a recording has.
const scribed = 120

const (
	scribeWrite = "scribe write /data/owner/scribe"
	scribeCheck = "scribe check /data/owner/scribe"
	saysSafe    = `(?m)^safe (\w+) (\d+)\n`
)

func (o *outage) record(t *testing.T) {
	path, r := emptyLog(t), &o.recording
	began := time.Now()
	guest := Start(t, o.logged(Overlay(t, o.disk), path))
	guest.LogIn()
	r.took = time.Since(began)
	boot := size(t, path)
	guest.Send(scribeWrite + "\n")
	for len(r.safe) < scribed {
		said := guest.Expect(saysSafe, guest.Limits.Command)
		r.safe = append(r.safe, safe{said[1], atoi(t, said[2]), size(t, path)})
	}
	r.log = endRecording(t, guest, path)
	r.divide(boot, o.start, o.end)
	if r.grown == r.table {
		t.Fatalf("nothing was written beyond byte %d: nothing grew%s", o.end, guest.where())
	}
	t.Logf("a first boot takes %v; its disk is told %d things, %d for the partition table, %d until the new room is made and used; then %d by the scribe",
		r.took.Round(10*time.Millisecond), r.booted, r.table, r.grown, len(r.log.Told)-r.booted)
}

// divide finds the parts of a first boot, after which the log was so long. The
// data partition goes from start to end, in bytes, before it grows.
func (r *recording) divide(boot, start, end int64) {
	for i, one := range r.log.Told {
		if one.End > boot {
			return
		}
		r.booted = i + 1
		switch {
		case r.grown == 0 && (one.at < start || one.at >= end):
			r.table = i + 1
		case one.at >= start && one.at < end && r.grown == 0, one.at >= end:
			r.grown = i + 1
		}
	}
}

// promised is the last number of each kind that was said to be safe before the
// disk was told more than the first n things.
func (r *recording) promised(n int) map[string]int {
	last := map[string]int{}
	for _, one := range r.safe {
		if n > 0 && one.size <= r.log.Told[n-1].End {
			last[one.kind] = one.number
		}
	}
	return last
}

// aMomentOfTheFirstBoot is a number of things told, most often one at which the
// partition table is being changed or the file system grows.
func (o *outage) aMomentOfTheFirstBoot() int {
	r := &o.recording
	switch o.random.IntN(6) {
	case 0, 1:
		return r.log.moment(o.random, 0, r.table)
	case 2, 3, 4:
		return r.log.moment(o.random, r.table, r.grown)
	}
	return r.log.moment(o.random, 0, r.booted)
}

// lose makes cuts after which what was not flushed may be lost: in the first
// boot and while the scribe writes by turns. After one of four the power fails
// again in the next boot.
func (o *outage) lose(t *testing.T, cuts int) {
	all := len(o.recording.log.Told)
	for i := 0; cuts > 0; i++ {
		told := o.aMomentOfTheFirstBoot()
		if i%2 == 1 {
			told = o.recording.log.moment(o.random, o.recording.booted, all)
		}
		again := cuts > 1 && o.random.IntN(4) == 0
		if !t.Run(sprintf("unflushed-lost-after-%d", told), func(t *testing.T) { o.loseAfter(t, told, again) }) {
			t.FailNow()
		}
		o.count("unflushed writes lost", told)
		if cuts--; again {
			cuts--
			o.counted["unflushed writes lost again, in the boot after such a cut"]++
		}
	}
}

func (o *outage) loseAfter(t *testing.T, told int, again bool) {
	machine := o.machine
	machine.Disk, machine.Format = filepath.Join(t.TempDir(), "disk.raw"), "raw"
	cuts := []powerCut{{o.recording.log, o.recording.log.PowerCut(o.random, told)}}
	defer func() {
		if t.Failed() { // the logs of writes that it comes from will be gone
			path := strings.TrimSuffix(logPath(t), ".log") + ".raw"
			o.remake(t, path, cuts)
			t.Logf("the disk as the power cut left it: %s", path)
		}
	}()
	o.remake(t, machine.Disk, cuts)
	if again {
		cuts = append(cuts, o.cutNextBoot(t, machine.Disk))
		o.remake(t, machine.Disk, cuts)
	}
	guest := Start(t, machine)
	found := o.comesUp(guest)
	if err := lost(o.recording.promised(told), found); err != nil {
		t.Error(err)
	}
	// A disk that had forgotten everything the scribe wrote would be noticed.
	if told <= o.recording.booted && lost(o.recording.promised(len(o.recording.log.Told)), found) == nil {
		t.Errorf("nothing had been written, and nothing is missed: %v", found)
	}
	o.endsClean(t, guest)
}

// powerCut is what of a log of writes reached the disk.
type powerCut struct {
	log  *WriteLog
	kept []Kept
}

// cutNextBoot records what the next boot tells a raw disk, which it leaves as
// it is, and cuts it at some moment.
func (o *outage) cutNextBoot(t *testing.T, disk string) powerCut {
	t.Helper()
	overlay, path := filepath.Join(t.TempDir(), "disk.qcow2"), emptyLog(t)
	run(t, "qemu-utils", "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", disk, overlay)
	guest := Start(t, o.logged(overlay, path))
	guest.LogIn()
	log := endRecording(t, guest, path)
	return powerCut{log, log.PowerCut(o.random, log.moment(o.random, 0, len(log.Told)))}
}

// endRecording ends QEMU, which writes down all that the disk was told.
func endRecording(t *testing.T, guest *Appliance, path string) *WriteLog {
	t.Helper()
	if err := guest.Monitor.Quit(); err != nil {
		t.Fatal(err)
	}
	guest.Ended()
	log, err := ReadWriteLog(path)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// remake makes the disk that power cuts left, as a raw file.
func (o *outage) remake(t *testing.T, path string, cuts []powerCut) {
	t.Helper()
	run(t, "qemu-utils", "qemu-img", "convert", "-O", "raw", o.disk, path)
	disk, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	for _, cut := range cuts {
		if err := cut.log.Replay(disk, cut.kept); err != nil {
			t.Fatal(err)
		}
	}
}

func emptyLog(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// size is how long a log is by now.
func size(t *testing.T, log string) int64 {
	t.Helper()
	info, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
