package logring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"runa/init/contain"
)

// ErrNoLog is returned for a service that has no log.
var ErrNoLog = errors.New("there is no log of this service")

// Set holds one ring per service.
type Set struct {
	options Options
	mu      sync.Mutex
	rings   map[string]*Ring
	added   chan struct{} // closed and replaced when a ring is added
}

// NewSet returns a set without rings.
func NewSet(options Options) *Set {
	return &Set{options: options, rings: map[string]*Ring{}, added: make(chan struct{})}
}

// Ring returns the ring of a service, making it if need be. It outlives the
// service's processes.
func (s *Set) Ring(service string) *Ring {
	s.mu.Lock()
	defer s.mu.Unlock()
	ring, there := s.rings[service]
	if !there {
		ring = New(service, s.options)
		s.rings[service] = ring
		close(s.added)
		s.added = make(chan struct{})
	}
	return ring
}

// Last returns up to n of the newest lines of a service, or of all services in
// the order of time if service is "". A negative n means all that are kept.
func (s *Set) Last(service string, n int) ([]Line, error) {
	rings, _, err := s.choose(service)
	if err != nil {
		return nil, err
	}
	lines, _ := s.snapshot(rings, n)
	return lines, nil
}

// Follow hands the newest n lines of a service (of all if service is "") to
// each, then every new one, until the context ends or each fails. each is never
// called twice at a time.
func (s *Set) Follow(ctx context.Context, service string, n int, each func(Line) error) error {
	rings, added, err := s.choose(service)
	if err != nil {
		return err
	}
	if service != "" {
		return rings[0].Follow(ctx, n, each)
	}
	lines, starts := s.snapshot(rings, n)
	for _, line := range lines {
		if err := each(line); err != nil {
			return err
		}
	}
	return s.followAll(ctx, starts, added, each)
}

// snapshot is Last over rings, with where each of them goes on.
func (s *Set) snapshot(rings []*Ring, n int) ([]Line, map[*Ring]uint64) {
	starts := map[*Ring]uint64{}
	var lines []Line
	for _, ring := range rings {
		kept, first, _ := ring.since(0)
		starts[ring] = first + uint64(len(kept))
		lines = append(lines, kept...)
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return a.Time.Compare(b.Time) })
	if n >= 0 && len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines, starts
}

// followAll follows each ring in a goroutine of its own, also those added later.
func (s *Set) followAll(ctx context.Context, starts map[*Ring]uint64, added <-chan struct{}, each func(Line) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var group sync.WaitGroup
	defer group.Wait()
	follow := func(ring *Ring, from uint64) {
		group.Add(1)
		contain.Go("follow a log", func() {
			defer group.Done()
			err := ring.followFrom(ctx, from, func(line Line) error {
				mu.Lock()
				defer mu.Unlock()
				if err := context.Cause(ctx); err != nil {
					return err
				}
				return each(line)
			})
			cancel(err)
		})
	}
	following := map[*Ring]bool{}
	for ring, from := range starts {
		following[ring] = true
		follow(ring, from)
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-added:
		}
		var rings []*Ring
		rings, added, _ = s.choose("")
		for _, ring := range rings {
			if !following[ring] {
				following[ring] = true
				follow(ring, 0)
			}
		}
	}
}

// Copy writes every line to w until the context ends, for debugging (the
// kernel's log, a console). Lines are dropped while w is slow, never waited for.
func (s *Set) Copy(ctx context.Context, w io.Writer) error {
	return s.Follow(ctx, "", 0, func(line Line) error {
		lost := ""
		if line.Lost > 0 {
			lost = fmt.Sprintf("[%d lines lost] ", line.Lost)
		}
		_, err := fmt.Fprintf(w, "%s: %s%s\n", line.Service, lost, line.Text)
		return err
	})
}

func (s *Set) choose(service string) ([]*Ring, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if service != "" {
		ring, there := s.rings[service]
		if !there {
			return nil, nil, fmt.Errorf("log of %q: %w", service, ErrNoLog)
		}
		return []*Ring{ring}, nil, nil
	}
	rings := make([]*Ring, 0, len(s.rings))
	for _, ring := range s.rings {
		rings = append(rings, ring)
	}
	slices.SortFunc(rings, func(a, b *Ring) int { return cmp.Compare(a.service, b.service) })
	return rings, s.added, nil
}
