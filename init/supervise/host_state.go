package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"runa/init/contain"
	"runa/init/manifest"
	"runa/init/snapshot"
	"runa/init/version"
)

// This file hands what the ladder asks of states and versions to their stores.
// All of it touches the disk, so each call goes to a goroutine of its own.

// stateBound is how long moving or copying a state may take: the disk may be
// slow and the folder large, but the ladder must go on.
const stateBound = 5 * time.Minute

var (
	errNoSnapshots = errors.New("there is no place for snapshots: /data is not mounted")
	errNoVersions  = errors.New("there is no place for versions: /data is not mounted")
)

// answer runs do in the background and tells done what came of it, once, even
// if do panics.
func answer[T any](h *Host, name string, bound time.Duration, do func(context.Context) (T, error), done func(T, error)) {
	h.inBackground(name, func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		var result T
		err := contain.Call(name, func() (err error) {
			result, err = do(ctx)
			return err
		})
		done(result, err)
	})
}

// nothing is the answer of what only succeeds or fails.
type nothing = struct{}

func onlyError(do func(context.Context) error) func(context.Context) (nothing, error) {
	return func(ctx context.Context) (nothing, error) { return nothing{}, do(ctx) }
}

func asError(done func(error)) func(nothing, error) { return func(_ nothing, err error) { done(err) } }

// SetAside moves the service's data folder away and restores its last good
// snapshot.
func (h *Host) SetAside(s manifest.Service, done func(Aside, error)) {
	answer(h, "set aside the state of "+s.Name, stateBound, func(ctx context.Context) (Aside, error) {
		snapshots, _ := h.state()
		if snapshots == nil {
			return Aside{}, errNoSnapshots
		}
		a, err := snapshots.SetAside(ctx, s.Name, h.folder(s.Name))
		return Aside(a), err
	}, done)
}

// GiveBack puts a state that was set aside where it was.
func (h *Host) GiveBack(s manifest.Service, a Aside, done func(error)) {
	answer(h, "give back the state of "+s.Name, stateBound, onlyError(func(ctx context.Context) error {
		snapshots, _ := h.state()
		if snapshots == nil {
			return errNoSnapshots
		}
		return snapshots.GiveBack(ctx, s.Name, h.folder(s.Name), snapshot.Aside(a))
	}), asError(done))
}

// Snapshot copies the service's data folder as a good state. A service that
// writes all the while is held still for a moment.
func (h *Host) Snapshot(s manifest.Service, done func(error)) {
	answer(h, "copy the state of "+s.Name, stateBound, onlyError(func(ctx context.Context) error {
		snapshots, _ := h.state()
		if snapshots == nil {
			return errNoSnapshots
		}
		take := func(ctx context.Context) error { return snapshots.Take(ctx, s.Name, h.folder(s.Name), s.Snapshot.Keep) }
		err := take(ctx)
		if errors.Is(err, snapshot.ErrChanging) {
			err = h.hold(ctx, s.Name, take)
		}
		return err
	}), asError(done))
}

// Install makes a program the service's next version, on probation.
func (h *Host) Install(s manifest.Service, program string, done func(string, error)) {
	answer(h, "install a version of "+s.Name, stateBound, func(ctx context.Context) (string, error) {
		_, versions := h.state()
		if versions == nil {
			return "", errNoVersions
		}
		v, err := versions.Install(ctx, s.Name, program)
		return v.Name, err
	}, done)
}

// RollBack makes the version before the service's version again.
func (h *Host) RollBack(s manifest.Service, done func(string, error)) {
	answer(h, "roll back "+s.Name, stateBound, func(context.Context) (string, error) {
		_, versions := h.state()
		if versions == nil {
			return "", fmt.Errorf("%w: %w", version.ErrNoEarlier, errNoVersions)
		}
		v, err := versions.RollBack(s.Name)
		return v.Name, err
	}, done)
}

// Commit ends the probation of the service's version. If that can't be written
// down, the version is on probation again after the next boot.
func (h *Host) Commit(s manifest.Service) {
	h.inBackground("commit the version of "+s.Name, func() {
		_, versions := h.state()
		if versions == nil {
			return
		}
		if err := versions.Commit(s.Name); err != nil {
			h.log().Error("the end of a probation is not written down", "service", s.Name, "reason", err)
		}
	})
}

// Version names the version that the next process runs; "" is the image's own.
func (h *Host) Version(service string) (name string, probation bool) {
	_, versions := h.state()
	if versions == nil {
		return "", false
	}
	v, there := versions.Current(service)
	if !there {
		return "", false
	}
	return v.Name, v.Probation
}
