package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"runa/services/hint"
)

// Load reads every *.yaml file of a folder, sorted by name. Each bad file gives
// errors (one line each) and no service; the others are returned.
func Load(dir string) ([]Service, []error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, []error{fmt.Errorf("read the service manifests: %w", err)}
	}
	var services []Service
	var errs []error
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".yaml" {
			continue
		}
		service, err := loadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			errs = append(errs, split(err)...)
			continue
		}
		services = append(services, service)
	}
	return services, errs
}

func loadFile(file string) (Service, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Service{}, fmt.Errorf("read a service manifest: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Service{}, fmt.Errorf("%s: not a regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return Service{}, fmt.Errorf("read a service manifest: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return Service{}, fmt.Errorf("read a service manifest: %w", err)
	}
	return Parse(file, data)
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
	if err := checkProgram(s, root); err != nil {
		errs = append(errs, err)
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

func checkProgram(s Service, root fs.FS) error {
	info, err := fs.Stat(root, strings.TrimPrefix(s.Exec, "/"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hint.New(fmt.Errorf("%s: the program of service %s is missing: %s", s.File, s.Name, s.Exec),
			"correct exec, or put the program there")
	case err != nil:
		return fmt.Errorf("%s: the program of service %s: %w", s.File, s.Name, err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return hint.New(fmt.Errorf("%s: the program of service %s cannot be executed: %s", s.File, s.Name, s.Exec),
			"make it a program: chmod 755 %s", s.Exec)
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
