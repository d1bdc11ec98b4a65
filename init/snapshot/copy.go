package snapshot

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"path/filepath"
	"time"
)

// How often a folder that changes is copied, and how coarse the times of a file
// system are: two changes within it may look like one.
const (
	rounds      = 4
	coarseTimes = 20 * time.Millisecond
)

// seed makes prints comparable all through the program's run.
var seed = maphash.MakeSeed()

func (s *Store) walk(ctx context.Context) *walk {
	return &walk{
		ctx: ctx, disk: s.disk, seed: seed,
		entries: s.MaxEntries, bytes: s.MaxBytes, depth: s.MaxDepth,
	}
}

// again lets the same folder be gone through once more.
func (f handle) again() error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// copyGood makes a snapshot of one moment of source, and returns its name and
// its print.
func (s *Store) copyGood(ctx context.Context, source handle, to shelf) (name string, print uint64, err error) {
	for round := 1; ; {
		name, done, err := s.copyOnce(ctx, source, to)
		switch {
		case err == nil:
			s.tellLeftOut(source, done)
			return name, done.print, nil
		case errors.Is(err, ErrNoRoom) && to.giveUpOldest(ctx):
		case errors.Is(err, ErrChanging) && round < rounds:
			if err := pause(ctx, s.pause*time.Duration(round)); err != nil {
				return "", 0, err
			}
			round++
		default:
			return "", 0, err
		}
	}
}

// copyOnce makes a snapshot, or ErrChanging. When the newest snapshot is a copy
// of the same, it is that one.
func (s *Store) copyOnce(ctx context.Context, source handle, to shelf) (string, *walk, error) {
	before, err := s.look(ctx, source)
	if err != nil {
		return "", nil, err
	}
	names, err := to.list()
	if err != nil {
		return "", nil, err
	}
	if newest, ok := s.alreadyCopied(filepath.Base(to.folder.path), before.print, names); ok {
		before.leftOut = 0 // told when it was copied
		return newest, before, nil
	}
	// A change just before a file is copied could hide another one just after.
	if recent(before.newest, time.Now()) {
		if err := pause(ctx, coarseTimes); err != nil {
			return "", nil, err
		}
	}
	began := time.Now()
	made, err := to.begin()
	if err != nil {
		return "", nil, err
	}
	defer made.close()
	name := nextName(names, began)
	work, err := s.copyInto(ctx, source, made)
	if err == nil {
		err = s.unchanged(ctx, source, work, began)
	}
	if err == nil {
		err = to.finish(ctx, made, work.made, name)
	}
	if err != nil {
		return "", nil, to.abandon(ctx, err)
	}
	return name, work, nil
}

func (s *Store) alreadyCopied(service string, print uint64, names []string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.copied[service]
	return last.name, len(names) > 0 && last.name == names[len(names)-1] && last.print == print
}

func (s *Store) copyInto(ctx context.Context, source, made handle) (*walk, error) {
	work := s.walk(ctx)
	room, err := s.room(made.fd())
	if err != nil {
		return nil, err
	}
	if room < work.bytes {
		work.bytes, work.noRoom = room, true
	}
	st, err := source.statSelf()
	if err != nil {
		return nil, err
	}
	work.giveTo = st.Uid
	if err := source.again(); err != nil {
		return nil, err
	}
	return work, work.start(source, &made)
}

// look goes through source without copying it.
func (s *Store) look(ctx context.Context, source handle) (*walk, error) {
	w := s.walk(ctx)
	w.bytes = math.MaxInt64
	if err := source.again(); err != nil {
		return nil, err
	}
	return w, w.start(source, nil)
}

// unchanged says whether source is now what was copied since began, so that the
// copy is of this moment.
func (s *Store) unchanged(ctx context.Context, source handle, work *walk, began time.Time) error {
	now, err := s.look(ctx, source)
	if err != nil {
		return err
	}
	if work.incomplete || now.incomplete || now.print != work.print || recent(now.newest, began) {
		return ErrChanging
	}
	return nil
}

// recent says whether a change was so shortly before at, or since, that one more
// could have got the same time. A change dated far in the future comes from a
// clock that was set back.
func recent(change, at time.Time) bool {
	return change.After(at.Add(-coarseTimes)) && change.Before(time.Now().Add(coarseTimes))
}

func (s *Store) tellLeftOut(source handle, w *walk) {
	if w.leftOut > 0 {
		s.Log.Warn("a snapshot leaves something out", "folder", source.path, "entries", w.leftOut, "first", fmt.Sprintf("%q", w.firstLeft))
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
