package splinter

import (
	"runtime"
	"unsafe"
)

// A slot holds two records. The one that bit 1 of the epoch names is valid; a
// writer makes the epoch odd, fills the other one and then adds one, which makes
// that the valid one. So a reader never waits for a writer, and a writer that is
// killed leaves the old record as it was. A reader's copy is good unless, while
// it copied, one write was finished and the next begun.
//
// What else a slot holds (its key, the valid record's block) is changed only
// when no reader may come to it any more: first the way to it is cut, then
// outdate tells who is under way already, then it is changed.

// Flags of a record, above the length of its value.
const (
	flagMeta  = 1 << 32 // one of the words after inline is not zero
	flagTimed = 1 << 33 // it expires or decays: who reads it looks at the clock

	lengthMask = 1<<32 - 1
	recordMask = lengthMask | flagMeta | flagTimed
)

type readState int

const (
	readFound   readState = iota
	readOther             // the slot holds another key, or this one has expired
	readCorrupt           // no writer of ours can have left this
)

func valid(epoch uint64) uint64 { return epoch >> 1 & 1 }

// current says whether what was read since the epoch was loaded is whole.
func (s *slot) current(epoch uint64) bool { return s.epoch.Load()-epoch&^1 <= 2 }

// outdate makes every reader that is under way begin again; the caller holds the
// slot's lock. The valid record stays the valid one.
func (s *slot) outdate() { s.epoch.Store((s.epoch.Load()>>1 + 2) * 2) }

// holds says whether the slot is the key's; what it says counts between two
// looks at the epoch, or under the slot's lock.
func (s *slot) holds(key string) bool {
	n := s.keyLen.Load()
	return n == uint32(len(key)) && sameBytes(s.key[:n&MaxKey], key)
}

// read appends the key's value in the slot to dst, if the slot holds the key.
func (b *Bus) read(i uint32, key string, dst []byte) (value []byte, version uint64, state readState) {
	s := b.slot(i)
	for try := 1; ; try++ {
		epoch := s.epoch.Load()
		value, version, state = dst, 0, readOther
		if s.holds(key) {
			r := &s.records[valid(epoch)]
			version = load(&r.version)
			length := load(&r.length)
			n := length & lengthMask
			state = readFound
			switch {
			case length&^recordMask != 0 || n > uint64(b.g.ValueMax):
				state = readCorrupt
			case length&flagTimed != 0 && !b.fresh(s, r):
				state = readOther
			case n <= inlineSize:
				value = extend(dst, int(n))
				copyOut(value[len(dst):], r.inline[:n])
			default:
				if mem := b.bytes(block(load(&r.block)), n); mem == nil {
					state = readCorrupt
				} else {
					value = extend(dst, int(n))
					copyOut(value[len(dst):], mem)
				}
			}
		}
		if s.current(epoch) {
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

// readKey returns the key in the slot, and of its valid record all but the value.
func (b *Bus) readKey(i uint32) (key string, is attributes, ok bool) {
	s := b.slot(i)
	var buffer [MaxKey + 1]byte
	for try := 1; ; try++ {
		epoch := s.epoch.Load()
		n := s.keyLen.Load()
		ok = n > 0 && n <= MaxKey
		copyOut(buffer[:n&MaxKey], s.key[:n&MaxKey])
		is = s.records[valid(epoch)].attributes()
		if s.current(epoch) {
			return string(buffer[:n&MaxKey]), is, ok
		}
		if try%64 == 0 {
			runtime.Gosched()
		}
	}
}

// write puts a value into the slot; the caller holds the slot's lock. An epoch
// that is odd already was left by a writer that died: its record is overwritten.
// Nothing is changed if there is no room. Without attributes the key keeps
// those it has.
func (b *Bus) write(i uint32, value []byte, version uint64, is *attributes) error {
	s := b.slot(i)
	writes := s.epoch.Load() >> 1
	old, r := &s.records[writes&1], &s.records[(writes+1)&1]
	s.epoch.Store(writes*2 + 1)
	reached(stepEpochOdd)
	var mem []byte
	if len(value) <= inlineSize {
		if load(&r.block) != 0 {
			b.cutBlock(i, r, stepReplaced)
		}
		mem = r.inline[:len(value)]
	} else {
		var err error
		if mem, err = b.place(i, r, len(value)); err != nil {
			s.outdate()
			return err
		}
	}
	if hookStep != nil {
		half := len(value) / 16 * 8
		copyIn(mem[:half], value[:half])
		reached(stepHalfCopied)
	}
	copyIn(mem, value)
	store(&r.version, version)
	if is == nil {
		b.keepAttributes(s, r, old, uint64(len(value)))
	} else {
		r.setAttributes(is, uint64(len(value)))
	}
	s.epoch.Store(writes*2 + 2)
	reached(stepWritten)
	if bl := block(load(&old.block)); bl != 0 && b.capacity(bl) > spareMax {
		s.outdate()
		b.cutBlock(i, old, stepSpareCut)
	}
	return nil
}

// version is the slot's; the caller holds the slot's lock.
func (s *slot) version() uint64 { return load(&s.records[valid(s.epoch.Load())].version) }

// valueInPlace is the slot's value; the caller holds the slot's lock and does not change it.
func (b *Bus) valueInPlace(s *slot) ([]byte, bool) {
	r := &s.records[valid(s.epoch.Load())]
	n := load(&r.length) & lengthMask
	if n <= inlineSize {
		return r.inline[:n], true
	}
	mem := b.bytes(block(load(&r.block)), n)
	return mem, mem != nil && n <= uint64(b.g.ValueMax)
}

func (m *mapping) slot(i uint32) *slot {
	return (*slot)(unsafe.Pointer(&m.data[m.at.slots+slotSize*uint64(i)]))
}
