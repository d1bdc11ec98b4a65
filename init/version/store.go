// Package version keeps the programs that services were updated to, beside the
// ones in the image, which never change. It owns one folder of the data disk:
//
//	versions/SERVICE/state          which version is current, and which one was before it
//	versions/SERVICE/<sha256>       a program, named after its content
//	versions/SERVICE/.NAME          unfinished; deleted at the next change
//
// # What a reader may rely on
//
// Everything here is written beside its place, synced and renamed into it, the
// program before the state that names it; so after a power cut at any instant
// the version before or the new one is current, and its program is whole. A
// program that went away or whose content isn't what its name says is never
// started: then the version before counts, or the image's own.
//
// A version is on probation from Install to Commit, also across reboots. The
// version that RollBack goes back to is always one that has passed (or the
// image's own): a second update in a row that fails doesn't lose the good one.
//
// # What it must never do
//
// It must never start a program, never follow what is in its own folder
// elsewhere, and never let what lies there keep a service from running: garbage
// is reported to Log and counts as nothing.
package version

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"runa/init/servicename"
)

// Version is a program that a service runs.
type Version struct {
	Name      string // the start of its content's hash; "": the image's own
	Path      string // of the program; "": the image's own
	Probation bool   // installed, not yet committed
}

// Errors a caller may want to tell apart.
var (
	ErrNoEarlier = errors.New("there is no earlier version")
	ErrNoProgram = errors.New("it is not a program for this machine")
	ErrTooLarge  = errors.New("it is larger than a program may be")
)

// Store holds the programs. Its methods may be called from many goroutines.
type Store struct {
	// May be set before the first use.
	MaxBytes int64 // of a program
	// View is where the same folder is seen when programs are started, if that is
	// not root: the data disk is mounted noexec, so somebody mounts root once more
	// where programs may be executed.
	View string
	Log  hclog.Logger

	root string
	step func(operation, path string) error // tests cut the power here

	mu    sync.Mutex
	whole map[string]identity // programs whose content was compared with their name
}

// Open names the folder of the versions. It is made when it is needed.
func Open(root string) *Store {
	return &Store{MaxBytes: 512 << 20, Log: hclog.NewNullLogger(), root: root, whole: map[string]identity{}}
}

// Install copies program and makes it the version of service, on probation.
// What was current stays, to go back to. On an error nothing has changed.
// Installing what is current already changes nothing.
func (s *Store) Install(ctx context.Context, service, program string) (Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.install(ctx, service, program)
	if err != nil {
		return Version{}, fmt.Errorf("install %s as a version of %s: %w", program, service, err)
	}
	s.Log.Info("a version was installed", "service", service, "version", v.Name, "from", program)
	return v, nil
}

func (s *Store) install(ctx context.Context, service, program string) (Version, error) {
	f, err := s.open(service)
	if err != nil {
		return Version{}, err
	}
	defer f.close()
	before, err := s.load(f, service)
	if err != nil {
		return Version{}, err
	}
	s.deleteOthers(f, before) // makes room for the new one
	name, err := s.bring(ctx, f, program)
	if err != nil {
		return Version{}, err
	}
	after := before.update(name)
	if err := s.change(f, after); err != nil {
		return Version{}, err
	}
	return s.version(service, after), nil
}

// Current is what the service runs; false: the image's own program.
func (s *Store) Current(service string) (Version, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !servicename.Valid(service) {
		return Version{}, false
	}
	f, err := openFolder(filepath.Join(s.root, service), s.step)
	if errors.Is(err, os.ErrNotExist) {
		return Version{}, false
	}
	if err != nil {
		s.Log.Error("the versions can't be read; the image's own is used", "service", service, "reason", err)
		return Version{}, false
	}
	defer f.close()
	st, err := s.load(f, service)
	if err != nil {
		s.Log.Error("the versions can't be read; the image's own is used", "service", service, "reason", err)
		return Version{}, false
	}
	v := s.version(service, st)
	return v, v.Name != ""
}

// RollBack makes the version before the current one the current one again and
// returns it; its Name is "" if that is the image's own. The one that failed is
// deleted.
func (s *Store) RollBack(service string) (Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.edit(service, state.rollBack)
	if err != nil {
		return Version{}, fmt.Errorf("go back to the version before of %s: %w", service, err)
	}
	s.Log.Warn("a service went back to the version before", "service", service, "version", v.Name)
	return v, nil
}

// Commit ends the probation of the current version. It stays possible to go
// back from it.
func (s *Store) Commit(service string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.edit(service, state.commit); err != nil {
		return fmt.Errorf("keep the new version of %s: %w", service, err)
	}
	return nil
}

func (s *Store) edit(service string, how func(state) (state, error)) (Version, error) {
	f, err := s.open(service)
	if err != nil {
		return Version{}, err
	}
	defer f.close()
	before, err := s.load(f, service)
	if err != nil {
		return Version{}, err
	}
	after, err := how(before)
	if err == nil && after != before {
		err = s.change(f, after)
	}
	if err != nil {
		return Version{}, err
	}
	return s.version(service, after), nil
}

// change makes a state last and then deletes the programs it doesn't name.
func (s *Store) change(f folder, to state) error {
	if err := f.write(stateFile, to.encode()); err != nil {
		return err
	}
	s.deleteOthers(f, to)
	return nil
}

// deleteOthers deletes what is unfinished and the programs that a state doesn't
// name.
func (s *Store) deleteOthers(f folder, named state) {
	if err := f.deleteUnless(func(name string) bool { return name == stateFile || named.names(name) }); err != nil {
		s.Log.Warn("an old version stays on the disk", "folder", f.path, "reason", err)
	}
}

// load reads the state and lets no program count that isn't there or is not
// whole. An error is one of reading, which may pass: nothing may be concluded
// from it.
func (s *Store) load(f folder, service string) (state, error) {
	data, err := f.read(stateFile, maxState)
	if errors.Is(err, os.ErrNotExist) {
		return state{}, nil
	}
	if err != nil && !errors.Is(err, errGarbage) {
		return state{}, err
	}
	var loaded state
	if err == nil {
		loaded, err = decode(data)
	}
	if err != nil {
		s.Log.Error("which version is current is not known any more; the image's own is used", "service", service, "reason", err)
		return state{}, nil
	}
	return loaded.without(func(name string) bool { return s.usable(f, service, name) }), nil
}

func (s *Store) usable(f folder, service, name string) bool {
	if name == "" {
		return true
	}
	err := s.verify(f, name)
	if err == nil {
		return true
	}
	s.Log.Error("a version can't be used", "service", service, "version", short(name), "reason", err)
	return !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errNotWhole) && !errors.Is(err, errGarbage)
}

func (s *Store) version(service string, st state) Version {
	if st.Current == "" {
		return Version{}
	}
	root := s.View
	if root == "" {
		root = s.root
	}
	return Version{Name: short(st.Current), Path: filepath.Join(root, service, st.Current), Probation: st.Probation}
}

// open makes and opens the folder of a service.
func (s *Store) open(service string) (folder, error) {
	if !servicename.Valid(service) {
		return folder{}, fmt.Errorf("%q is not the name of a service", service)
	}
	if err := os.MkdirAll(filepath.Dir(s.root), 0o755); err != nil {
		return folder{}, err
	}
	for _, path := range []string{s.root, filepath.Join(s.root, service)} {
		if err := ensure(path, s.step); err != nil {
			return folder{}, err
		}
	}
	return openFolder(filepath.Join(s.root, service), s.step)
}

// programName is true of the SHA-256 of a program's content, in lower case.
func programName(name string) bool {
	return len(name) == 2*sha256.Size && strings.Trim(name, "0123456789abcdef") == ""
}

// isProgram is true of all that a folder may hold.
func isProgram(name string) bool { return name == stateFile || programName(name) }

// short is what people are shown of a name.
func short(name string) string { return name[:min(len(name), 12)] }

// deleteUnless deletes the files that keep doesn't want. Folders and what has a
// name nobody here gives are left alone.
func (f folder) deleteUnless(keep func(name string) bool) error {
	names, err := f.names()
	slices.Sort(names)
	for _, name := range names {
		if (isProgram(name) || strings.HasPrefix(name, ".")) && !keep(name) {
			err = errors.Join(err, f.unlink(name))
		}
	}
	return err
}
