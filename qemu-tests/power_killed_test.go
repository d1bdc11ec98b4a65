package qemutests

import (
	"maps"
	"testing"
	"time"
)

// kill makes cuts by killing QEMU: a disk has one or two in its first boot, then
// up to two while a scribe writes on it, and ends as a disk should.
func (o *outage) kill(t *testing.T, cuts int) {
	for disk := 1; cuts > 0; disk++ {
		boots := min(cuts, 1+o.random.IntN(3)/2)
		writes := min(cuts-boots, o.random.IntN(3))
		cuts -= boots + writes
		if !t.Run(sprintf("killed-disk-%d", disk), func(t *testing.T) { o.killOneDisk(t, boots, writes) }) {
			t.FailNow()
		}
	}
}

func (o *outage) killOneDisk(t *testing.T, boots, writes int) {
	machine := o.machine
	machine.Disk = Overlay(t, o.disk)
	for range boots {
		o.killBooting(t, machine.Disk)
	}
	guest := Start(t, machine)
	found := o.comesUp(guest)
	for range writes {
		promised := o.killWriting(guest, found)
		guest = Start(t, machine)
		found = o.comesUp(guest)
		if err := lost(promised, found); err != nil {
			t.Error(err)
		}
	}
	o.endsClean(t, guest)
}

// killBooting starts a machine and kills it at some moment of its boot: when
// its disk was told so much, or, one of four times, when so much time is over.
func (o *outage) killBooting(t *testing.T, disk string) {
	r, path := &o.recording, emptyLog(t)
	told := o.aMomentOfTheFirstBoot()
	enough := int64(0)
	if told > 0 {
		enough = r.log.Told[told-1].End
	}
	limit := r.took * 5 / 4 // in a boot after the first the disk may be told less
	if o.random.IntN(4) == 0 {
		enough, limit = 1<<62, time.Duration(o.random.Int64N(int64(limit)))
		o.counted["QEMU killed at a time drawn over the whole first boot"]++
	} else {
		o.count("QEMU killed", told)
	}
	guest := Start(t, o.logged(disk, path))
	over := time.After(limit)
	for look := time.Tick(time.Millisecond); size(t, path) < enough; {
		select {
		case <-look:
			continue
		case <-over:
		case <-guest.process.Done():
			t.Fatalf("the machine ended by itself%s", guest.where())
		}
		break
	}
	guest.process.Kill()
}

// killWriting lets the scribe write and kills the machine at some moment of it.
// It returns what must be found: that which was, and what was said to be safe.
func (o *outage) killWriting(guest *Appliance, found map[string]int) (promised map[string]int) {
	promised = maps.Clone(found)
	guest.Send(scribeWrite + "\n")
	for range o.random.IntN(scribed) {
		said := guest.Expect(saysSafe, guest.Limits.Command)
		promised[said[1]] = atoi(guest.t, said[2])
	}
	<-time.After(time.Duration(o.random.Int64N(int64(30 * time.Millisecond)))) // somewhere in the next pieces
	guest.process.Kill()
	for {
		_, said, err := guest.await(pattern(saysSafe), guest.Limits.Command)
		if err != nil {
			break // everything that the console still gave was read
		}
		promised[said[1]] = atoi(guest.t, said[2])
	}
	o.counted["QEMU killed while the scribe writes"]++
	return promised
}
