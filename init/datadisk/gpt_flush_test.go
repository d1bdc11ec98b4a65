package datadisk

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// cached is a disk with a cache of its own: what was written since the last
// Sync is lost when the power fails, or only a part of it, in any order.
type cached struct {
	memory
	safe  []byte // what is on the disk whatever happens
	dirty []int  // sectors written since then
	syncs int    // that still succeed; then the power fails
}

func (c *cached) WriteAt(p []byte, at int64) (int, error) {
	n, err := c.memory.WriteAt(p, at)
	for done := 0; done < n; done += 512 {
		c.dirty = append(c.dirty, int(at)/512+done/512)
	}
	return n, err
}

func (c *cached) Sync() error {
	if c.syncs == 0 {
		return errPowerCut
	}
	c.syncs--
	c.safe, c.dirty = bytes.Clone(c.bytes), nil
	return nil
}

// fail returns the disk after the power failed.
func (c *cached) fail(r *rapid.T) *memory {
	after := bytes.Clone(c.safe)
	for _, sector := range c.dirty {
		if rapid.Bool().Draw(r, "kept") {
			copy(after[sector*512:(sector+1)*512], c.bytes[sector*512:])
		}
	}
	return &memory{bytes: after, left: -1}
}

func TestAPowerCutThatLosesWhatWasNotFlushedLeavesTheOldTableOrTheNew(t *testing.T) {
	const sectors = 16384
	whole := image(t, 8192, sectors)
	table, err := ReadTable(whole, sectors, 512)
	if err != nil {
		t.Fatal(err)
	}
	grown, _ := table.Grow(4)
	rapid.Check(t, func(r *rapid.T) {
		disk := &cached{memory: memory{bytes: bytes.Clone(whole.bytes), left: rapid.IntRange(-1, 80).Draw(r, "sectors written")}, safe: whole.bytes}
		disk.syncs = rapid.IntRange(0, 3).Draw(r, "flushes")
		_ = grown.Write(disk) // it fails where the power does
		left := disk.fail(r)
		after, err := ReadTable(left, sectors, 512)
		if err != nil {
			r.Fatal(err)
		}
		if p, ok := after.Find(LinuxData, Label); !ok || p.Last != 6143 && p.Last != 14335 {
			r.Fatalf("%+v", p)
		}
		// The next start must be able to finish.
		if final, changed := after.Grow(4); changed || after.FromBackup {
			if err := final.Write(left); err != nil {
				r.Fatal(err)
			}
		}
		if last, err := ReadTable(left, sectors, 512); err != nil || last.FromBackup || last.Partitions[1].Last != 14335 {
			r.Fatalf("after another start: %+v, %v", last, err)
		}
	})
}
