package splinter

import "fmt"

// stream is one end of a ring with the bytes it runs over. The producer alone
// stores head, the consumer alone tail, each after its copy; each is read before
// the other's copy begins. Atomic stores release and loads acquire, so the bytes
// are seen on every processor.
type stream struct {
	ring *ring
	data []byte
}

// used is how many bytes wait in the ring.
func (s stream) used() (uint64, error) {
	tail := s.ring.tail.Load()
	n := s.ring.head.Load() - tail
	if n > uint64(len(s.data)) {
		return 0, fmt.Errorf("%w: a ring of %d bytes holds %d", ErrCorrupt, len(s.data), n)
	}
	return n, nil
}

// hasSpace and hasData are true also for a corrupt ring: the call that follows says so.
func (s stream) hasSpace() bool {
	n, err := s.used()
	return err != nil || n < uint64(len(s.data))
}

func (s stream) hasData() bool {
	n, err := s.used()
	return err != nil || n > 0
}

// write puts as much of p as fits and wakes the consumer.
func (s stream) write(p []byte) (int, error) {
	used, err := s.used()
	if err != nil {
		return 0, err
	}
	n := min(uint64(len(p)), uint64(len(s.data))-used)
	if n == 0 {
		return 0, nil
	}
	head := s.ring.head.Load()
	at := head & uint64(len(s.data)-1)
	first := copy(s.data[at:], p[:n])
	copy(s.data, p[first:n])
	s.ring.head.Store(head + n)
	s.ring.data.ring()
	return int(n), nil
}

// read takes as much as p holds and wakes the producer.
func (s stream) read(p []byte) (int, error) {
	used, err := s.used()
	if err != nil {
		return 0, err
	}
	n := min(uint64(len(p)), used)
	if n == 0 {
		return 0, nil
	}
	tail := s.ring.tail.Load()
	at := tail & uint64(len(s.data)-1)
	first := copy(p[:n], s.data[at:])
	copy(p[first:n], s.data)
	s.ring.tail.Store(tail + n)
	notify(&s.ring.space)
	return int(n), nil
}
