package datadisk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"runa/services/hint"
)

// Label is the name in the partition table of the partition that holds /data.
const Label = "runa-data"

// Candidate is a partition that could be /data.
type Candidate struct {
	Disk      string // the whole disk's kernel name: vda
	Partition Partition
	Table     *Table
	// System is true when the disk also holds a system partition, so that it
	// may be the one the machine was started from.
	System bool
}

// Name is the partition's kernel name: vda4, nvme0n1p4.
func (c Candidate) Name() string {
	separator := ""
	if last := c.Disk[len(c.Disk)-1]; last >= '0' && last <= '9' {
		separator = "p"
	}
	return c.Disk + separator + strconv.Itoa(c.Partition.Number)
}

// Scan reads the partition table of every disk below sysBlock
// (/sys/class/block). seen names the disks that were there, problems what was
// wrong with one of them; a disk without a GPT is no problem.
func Scan(sysBlock, dev string) (found []Candidate, seen []string, problems []error) {
	entries, err := os.ReadDir(sysBlock)
	if err != nil {
		return nil, nil, []error{fmt.Errorf("list disks: %w", err)}
	}
	for _, e := range entries {
		name := e.Name()
		if !isDisk(sysBlock, name) {
			continue
		}
		seen = append(seen, name)
		table, err := readDisk(sysBlock, dev, name)
		if errors.Is(err, ErrNoTable) {
			continue
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("disk %s: %w", name, err))
			continue
		}
		if p, ok := table.Find(LinuxData, Label); ok {
			found = append(found, Candidate{Disk: name, Partition: p, Table: table, System: table.hasSystem()})
		}
	}
	return found, seen, problems
}

func (t *Table) hasSystem() bool {
	for _, p := range t.Partitions {
		if p.Type == SystemPartition {
			return true
		}
	}
	return false
}

// isDisk is false for partitions, for disks in memory and for empty drives.
func isDisk(sysBlock, name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "fd", "dm-", "md"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	if _, err := os.Stat(filepath.Join(sysBlock, name, "partition")); err == nil {
		return false
	}
	size, err := readNumber(filepath.Join(sysBlock, name, "size"))
	return err == nil && size > 0
}

func readDisk(sysBlock, dev, name string) (*Table, error) {
	units, err := readNumber(filepath.Join(sysBlock, name, "size")) // of 512 bytes, always
	if err != nil {
		return nil, err
	}
	sectorSize, err := readNumber(filepath.Join(sysBlock, name, "queue/logical_block_size"))
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dev, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if sectorSize == 0 {
		return nil, errors.New("the kernel gives no sector size")
	}
	return ReadTable(f, units*512/sectorSize, int(sectorSize))
}

func readNumber(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 62)
}

// Choose takes the one candidate, or of several the only one on a disk that
// can be started from. It never guesses: the wrong disk's data would be shown
// to the wrong person.
func Choose(found []Candidate) (Candidate, error) {
	if len(found) == 1 {
		return found[0], nil
	}
	var system []Candidate
	var names []string
	for _, c := range found {
		names = append(names, c.Name())
		if c.System {
			system = append(system, c)
		}
	}
	if len(system) == 1 {
		return system[0], nil
	}
	return Candidate{}, hint.New(fmt.Errorf("choose the data partition: %s are all named %q", strings.Join(names, " and "), Label),
		"detach all of these disks but the one to use, and start again")
}

// ErrNoDisk says that no data partition appeared in time.
var ErrNoDisk = errors.New("no data partition")

// await scans until a candidate is there, woken by the kernel's messages
// about devices, for at most wait.
func await(ctx context.Context, sysBlock, dev string, wait time.Duration, events <-chan struct{}) (Candidate, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		found, seen, problems := Scan(sysBlock, dev)
		if len(found) > 0 {
			return Choose(found)
		}
		select {
		case <-events:
		case <-ctx.Done():
			return Candidate{}, notFound(wait, seen, problems)
		}
	}
}

func notFound(wait time.Duration, seen []string, problems []error) error {
	why := "the kernel shows no disk"
	advice := "attach the disk that the image was written to; what is said until then is lost at power-off"
	if len(seen) > 0 {
		why = fmt.Sprintf("no GPT partition named %q on %s", Label, strings.Join(seen, ", "))
	}
	if len(problems) > 0 {
		why = errors.Join(problems...).Error()
		advice = "nothing was changed; the disk's partition table needs repair, or put the image on it again (which erases /data)"
	}
	return hint.New(fmt.Errorf("%w within %v: %s", ErrNoDisk, wait, strings.ReplaceAll(why, "\n", "; ")), "%s", advice)
}
