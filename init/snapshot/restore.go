package snapshot

import (
	"context"
	"errors"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// prepare makes what will stand in the place of a service's folder, under the
// name that the folder's state will have. Until they are exchanged it is one
// more copy of a snapshot there.
func (s *Store) prepare(ctx context.Context, home handle, name string, snapshots, aside shelf) (string, time.Time, error) {
	current, err := home.open(name)
	if err != nil {
		return "", time.Time{}, err
	}
	defer current.close()
	as, err := current.statSelf()
	if err != nil {
		return "", time.Time{}, err
	}
	good, err := snapshots.list()
	if err != nil {
		return "", time.Time{}, err
	}
	taken, err := aside.list()
	if err != nil {
		return "", time.Time{}, err
	}
	prepared := nextName(taken, time.Now())
	for i := len(good) - 1; i >= 0; {
		err := s.restore(ctx, snapshots.folder, good[i], aside, prepared, as)
		if err == nil {
			made, _ := parseName(good[i])
			return prepared, made, nil
		}
		if ctx.Err() != nil {
			return "", time.Time{}, ctx.Err()
		}
		if errors.Is(err, ErrNoRoom) {
			if aside.giveUpOldest(ctx) {
				continue
			}
			return "", time.Time{}, err
		}
		s.Log.Error("a snapshot can't be restored", "snapshot", good[i], "reason", err)
		i--
	}
	return prepared, time.Time{}, s.restore(ctx, handle{}, "", aside, prepared, as)
}

// restore copies a snapshot (none: an empty folder) onto the shelf. All of it
// gets the owner of as; an empty folder its permissions too.
func (s *Store) restore(ctx context.Context, snapshots handle, from string, to shelf, name string, as unix.Stat_t) error {
	made, err := to.begin()
	if err != nil {
		return err
	}
	defer made.close()
	work := s.walk(ctx)
	work.bytes, work.giveTo = math.MaxInt64, as.Uid
	if from == "" {
		err = s.disk.attributes(made, as, folderPermissions)
	} else {
		err = work.from(snapshots, from, made)
	}
	if err == nil {
		err = to.finish(ctx, made, work.made, name)
	}
	if err != nil {
		return to.abandon(ctx, err)
	}
	return nil
}

func (w *walk) from(snapshots handle, name string, into handle) error {
	source, err := snapshots.open(name)
	if err != nil {
		return err
	}
	defer source.close()
	return w.start(source, &into)
}
