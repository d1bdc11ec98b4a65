package qemutests

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// WriteLog is what a disk was told, in order: QEMU's driver blklogwrites kept
// it, in the format of Linux's dm-log-writes (drivers/md/dm-log-writes.c). From
// it comes the disk as it would be had the power failed at any moment: what a
// finished flush covers is there, what was told later may be there or not.
//
// QEMU logs a write when it is done, so one that began during a flush and ended
// before it counts as covered, which is kinder than a disk has to be; a guest
// that relied on it would go unnoticed.
type WriteLog struct {
	Told []Told
	path string
}

// Told is one thing that the disk was told: to write, or to flush.
type Told struct {
	End   int64 // of this in the log, in bytes: how long the log was when it had been told
	Flush bool

	through bool  // it is on the disk when it is done, whatever follows (FUA)
	at      int64 // first byte on the disk
	data    int64 // first byte in the log
	bytes   int64 // 0 for a flush
}

// The format: a header in the first sector, then for each thing told a sector
// that begins with an entry, followed by what is to be written. All numbers
// are little-endian.
const (
	logMagic      = 0x6a736677736872
	logVersion    = 1
	logFlush      = 1 << 0
	logThrough    = 1 << 1
	logEntryBytes = 32
)

// ReadWriteLog reads a log whose QEMU has ended. A last entry that is cut off
// was never told and is left out.
func ReadWriteLog(path string) (*WriteLog, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the log of writes: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the log of writes: %w", err)
	}
	log := &WriteLog{path: path}
	if log.Told, err = readTold(file, info.Size()); err != nil {
		return nil, fmt.Errorf("read the log of writes %s: %w", path, err)
	}
	return log, nil
}

func readTold(file io.ReaderAt, size int64) ([]Told, error) {
	header := make([]byte, logEntryBytes)
	if _, err := file.ReadAt(header, 0); err != nil {
		return nil, fmt.Errorf("its header: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint64(header) != logMagic || le.Uint64(header[8:]) != logVersion {
		return nil, errors.New("it is not a log of writes, or nothing was ever flushed")
	}
	sector := int64(le.Uint32(header[24:]))
	if sector < 512 || sector > 4096 {
		return nil, fmt.Errorf("sectors of %d bytes", sector)
	}
	var list []Told
	entry := make([]byte, logEntryBytes)
	for at := sector; at+sector <= size; {
		if _, err := file.ReadAt(entry, at); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(list), err)
		}
		flags, sectors := le.Uint64(entry[16:]), le.Uint64(entry[8:])
		if flags&^(logFlush|logThrough) != 0 || sectors == 0 && flags == 0 || sectors > 1<<20 {
			// A discard would be one too: the machines here can't give any.
			return nil, fmt.Errorf("entry %d at byte %d can't be: flags %#x, %d sectors", len(list), at, flags, sectors)
		}
		one := Told{
			Flush: flags&logFlush != 0, through: flags&logThrough != 0,
			at: int64(le.Uint64(entry)) * sector, data: at + sector, bytes: int64(sectors) * sector,
		}
		one.End = one.data + one.bytes
		if one.End <= size {
			list = append(list, one)
		}
		at = one.End
	}
	return list, nil
}

// moment draws a number of things told, between from and to: first one of the
// parts that end with a flush, then a moment in it before the flush is done, so
// that what is written in few pieces is cut as often as what is written in many.
func (l *WriteLog) moment(random *rand.Rand, from, to int) int {
	var moments [][]int
	var part []int
	for i := from; i < to; i++ {
		if !l.Told[i].Flush {
			part = append(part, i+1)
		}
		if part != nil && (l.Told[i].Flush || i == to-1) {
			moments, part = append(moments, part), nil
		}
	}
	if moments == nil {
		return from
	}
	part = moments[random.IntN(len(moments))]
	return part[random.IntN(len(part))]
}

// Kept is a piece of something told that reached the disk.
type Kept struct {
	at, data, bytes int64 // as in Told
}

// logSector is what a disk writes whole or not at all.
const logSector = 512

// PowerCut draws what a disk holds whose power failed when the first n things
// had been told: all that a flush covers, and of the rest each write whole, some
// of its sectors or nothing. The last of them is torn every other time.
func (l *WriteLog) PowerCut(random *rand.Rand, n int) []Kept {
	covered := -1
	for i, one := range l.Told[:n] {
		if one.Flush {
			covered = i
		}
	}
	luck := random.Float64() // of this disk: anything from all to nothing is kept
	var kept []Kept
	for i, one := range l.Told[:n] {
		switch {
		case one.Flush:
		case i <= covered || one.through:
			kept = append(kept, Kept{one.at, one.data, one.bytes})
		case i == n-1 && random.IntN(2) == 0:
			kept = append(kept, one.torn(random)...)
		case random.Float64() < luck:
			kept = append(kept, Kept{one.at, one.data, one.bytes})
		case random.IntN(4) == 0:
			kept = append(kept, one.torn(random)...)
		}
	}
	return kept
}

// torn is every other sector or so of what was to be written.
func (t Told) torn(random *rand.Rand) []Kept {
	var kept []Kept
	for done := int64(0); done < t.bytes; done += logSector {
		if random.IntN(2) == 0 {
			kept = append(kept, Kept{t.at + done, t.data + done, logSector})
		}
	}
	return kept
}

// Replay writes what is kept to a disk that is as it was when the log began.
func (l *WriteLog) Replay(disk io.WriterAt, kept []Kept) error {
	log, err := os.Open(l.path)
	if err != nil {
		return fmt.Errorf("replay the log of writes: %w", err)
	}
	defer log.Close()
	for _, one := range kept {
		if _, err := io.Copy(io.NewOffsetWriter(disk, one.at), io.NewSectionReader(log, one.data, one.bytes)); err != nil {
			return fmt.Errorf("replay the log of writes: %w", err)
		}
	}
	return nil
}
