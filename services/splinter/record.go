package splinter

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// A slot holds two records. The one that bit 1 of the epoch names is valid; a
// writer makes the epoch odd, fills the other one and then adds one, which makes
// that the valid one. So a reader never waits for a writer, and a writer that is
// killed leaves the old record as it was. A reader's copy is good unless, while
// it copied, one write was finished and the next begun.

type readState int

const (
	readFound readState = iota
	readOther           // the slot holds another key
	readCorrupt
)

// hookBetweenEpochs is called between the odd and the even epoch; tests only.
var hookBetweenEpochs func()

func recordWord(record []byte, at int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&record[at]))
}

func valueAt(keyLen uint64) uint64 { return recordHead + roundUp(keyLen, 8) }

// read appends the key's value in the slot to dst, if the slot holds the key.
func (b *Bus) read(i uint32, key string, dst []byte, wantValue bool) (value []byte, version uint64, state readState) {
	s := b.slot(i)
	for try := 1; ; try++ {
		epoch := s.epoch.Load()
		record := b.record(i, epoch>>1)
		version = recordWord(record, 0).Load()
		lengths := recordWord(record, 8).Load()
		valueLen, keyLen := lengths&0xffffffff, lengths>>32
		value, state = dst, readOther
		switch {
		case keyLen > MaxKey || valueLen > uint64(b.g.ValueMax):
			state = readCorrupt
		case keyLen == uint64(len(key)) && sameBytes(record[recordHead:recordHead+keyLen], key):
			state = readFound
			if wantValue {
				begin := valueAt(keyLen)
				value = extend(dst, int(valueLen))
				copyOut(value[len(dst):], record[begin:begin+valueLen])
			}
		}
		if s.epoch.Load() <= epoch>>1*2+2 {
			return value, version, state
		}
		b.count(counterRetries, 1)
		if try%64 == 0 {
			runtime.Gosched()
		}
	}
}

// extend makes room for n bytes after b's own.
func extend(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	grown := make([]byte, len(b)+n)
	copy(grown, b)
	return grown
}

// readKey returns the key in the slot.
func (b *Bus) readKey(i uint32) (string, bool) {
	s := b.slot(i)
	for try := 1; ; try++ {
		epoch := s.epoch.Load()
		record := b.record(i, epoch>>1)
		keyLen := recordWord(record, 8).Load() >> 32
		ok := keyLen > 0 && keyLen <= MaxKey
		key := make([]byte, min(keyLen, MaxKey))
		copyOut(key, record[recordHead:recordHead+len(key)])
		if s.epoch.Load() <= epoch>>1*2+2 {
			return string(key), ok
		}
		if try%64 == 0 {
			runtime.Gosched()
		}
	}
}

// write puts a whole record into the slot; the caller holds the slot's lock. An
// epoch that is odd already was left by a writer that died: its record is overwritten.
func (b *Bus) write(i uint32, key string, value []byte, version uint64) {
	s := b.slot(i)
	writes := s.epoch.Load() >> 1
	s.epoch.Store(writes*2 + 1)
	record := b.record(i, writes+1)
	recordWord(record, 0).Store(version)
	recordWord(record, 8).Store(uint64(len(key))<<32 | uint64(len(value)))
	copyIn(record[recordHead:recordHead+len(key)], unsafe.Slice(unsafe.StringData(key), len(key)))
	if hookBetweenEpochs != nil {
		hookBetweenEpochs()
	}
	begin := valueAt(uint64(len(key)))
	copyIn(record[begin:begin+uint64(len(value))], value)
	s.epoch.Store(writes*2 + 2)
}

// currentVersion is the version in the slot; the caller holds the slot's lock.
func (b *Bus) currentVersion(i uint32) uint64 {
	return recordWord(b.record(i, b.slot(i).epoch.Load()>>1), 0).Load()
}
