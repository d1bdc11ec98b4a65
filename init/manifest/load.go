package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"runa/services/hint"
)

// Bounds of a folder: how many names are looked at, how many files that do not
// look like a manifest are read in full only to tell what is wrong in them, and
// how many errors are told.
const (
	maxFiles  = 1 << 16
	maxStrays = 64
	maxErrors = 64
)

// Load reads every *.yaml file of a folder, sorted by name. Each bad file gives
// errors (one line each) and no service; the others are returned. However many
// bad files there are, the good ones are read, and what is told stays short.
func Load(dir string) ([]Service, []error) {
	names, err := namesIn(dir)
	if err != nil {
		return nil, []error{fmt.Errorf("read the service manifests: %w", err)}
	}
	l := loading{dir: dir}
	for _, name := range names {
		l.read(name)
	}
	slices.SortStableFunc(l.errs, func(a, b told) int { return cmp.Compare(a.name, b.name) })
	var errs []error
	for _, e := range l.errs {
		errs = append(errs, e.err)
	}
	if l.more > 0 {
		errs = append(errs, hint.New(fmt.Errorf("%s: and %d more mistakes in files that are no manifests", dir, l.more), "keep only manifests there"))
	}
	return l.services, errs
}

// namesIn lists the manifests of a folder, sorted.
func namesIn(dir string) ([]string, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	var names []string
	for len(names) < maxFiles {
		some, err := folder.Readdirnames(256)
		for _, name := range some {
			if filepath.Ext(name) == ".yaml" {
				names = append(names, name)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}

// loading is a folder that is being read.
type loading struct {
	dir      string
	services []Service
	strays   int // files that do not look like a manifest
	errs     []told
	more     int // errors that are not in errs
}

type told struct {
	name string
	err  error
}

func (l *loading) read(name string) {
	file := filepath.Join(l.dir, name)
	data, err := contentOf(file)
	if err != nil {
		l.fail(name, err)
		return
	}
	if !plausible(file, data) {
		if l.strays++; l.strays > maxStrays {
			l.more++
			return
		}
	}
	service, err := Parse(file, data)
	if err != nil {
		l.fail(name, split(err)...)
		return
	}
	l.services = append(l.services, service)
}

func (l *loading) fail(name string, errs ...error) {
	for _, err := range errs {
		if len(l.errs) == maxErrors {
			l.more++
			continue
		}
		l.errs = append(l.errs, told{name, err})
	}
}

// contentOf reads a file, at most a little more than a manifest may have.
func contentOf(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not be waited for
	if err != nil {
		return nil, fmt.Errorf("read a service manifest: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read a service manifest: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", file)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read a service manifest: %w", err)
	}
	return data, nil
}

// split undoes errors.Join.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// Check finds out whether a service could start on this system: its program is
// there and executable, its user exists and is not root. root is the system's
// root folder (os.DirFS("/")), lookup gives a user's uid (SystemUser).
func Check(s Service, root fs.FS, lookup func(name string) (uid uint32, err error)) error {
	var errs []error
	if err := checkProgram(s, "program", s.Exec, root); err != nil {
		errs = append(errs, err)
	}
	for _, helper := range []struct{ what, exec string }{{"probe", s.Probe.Exec}, {"policy", s.OnFailure.Policy}} {
		if helper.exec == "" {
			continue
		}
		if err := checkProgram(s, helper.what+" program", helper.exec, root); err != nil {
			errs = append(errs, err)
		}
	}
	uid, err := lookup(s.User)
	switch {
	case err != nil:
		errs = append(errs, hint.New(fmt.Errorf("%s: the user of service %s: %w", s.File, s.Name, err),
			"add the user to /etc/passwd, or name one with user:"))
	case uid == 0:
		errs = append(errs, hint.New(fmt.Errorf("%s: service %s would run as root", s.File, s.Name),
			"give it a user of its own: nothing but gilgul runs as root"))
	}
	return errors.Join(errs...)
}

func checkProgram(s Service, what, exec string, root fs.FS) error {
	info, err := fs.Stat(root, strings.TrimPrefix(exec, "/"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hint.New(fmt.Errorf("%s: the %s of service %s is missing: %s", s.File, what, s.Name, exec),
			"correct its path, or put the program there")
	case err != nil:
		return fmt.Errorf("%s: the %s of service %s: %w", s.File, what, s.Name, err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return hint.New(fmt.Errorf("%s: the %s of service %s cannot be executed: %s", s.File, what, s.Name, exec),
			"make it a program: chmod 755 %s", exec)
	}
	return nil
}

// SystemUser looks a user up in /etc/passwd.
func SystemUser(name string) (uint32, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("there is no user %q", name)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("user %q has no usable number: %q", name, u.Uid)
	}
	return uint32(uid), nil
}
