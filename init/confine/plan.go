package confine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"runa/init/confine/enclosure"
)

// plan is a start that is thought through: orders and the open files that go
// with them.
type plan struct {
	orders enclosure.Orders
	files  []int // descriptors, as orders number them
	ours   []int // those of them that are closed afterwards
	trees  bool  // mounts are opened here, because enclose may not reach them
}

func (p *plan) close() {
	for _, fd := range p.ours {
		unix.Close(fd)
	}
}

// file adds an open file and returns its number.
func (p *plan) file(fd int) int {
	p.files = append(p.files, fd)
	return len(p.files) - 1
}

// libraries are where the C library, its loader and what else a dynamic program
// needs are found. Where distributions made links of some, the service sees
// the same links.
var libraries = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"}

// plan turns a spec into orders. What it opens is closed by close, also after
// an error.
func (l *Launcher) plan(spec Spec) (*plan, error) {
	p := &plan{trees: l.can.root && l.can.namespaces}
	if err := l.streams(p, spec); err != nil {
		p.close()
		return nil, err
	}
	if err := l.view(p, spec); err != nil {
		p.close()
		return nil, err
	}
	o := &p.orders
	o.Exec, o.Args, o.Env, o.Dir = spec.Exec, append([]string{spec.Exec}, spec.Args...), spec.Env, spec.Dir
	if o.Dir == "" {
		o.Dir = "/"
	}
	if spec.Program != "" && !l.can.namespaces {
		o.Exec = spec.Program // there is no root in which it could stand elsewhere
	}
	o.Namespaces, o.Groups = l.can.namespaces, l.can.root
	o.UID, o.GID = spec.UID, Group
	if !l.can.root {
		o.UID, o.GID = uint32(os.Geteuid()), uint32(os.Getegid())
	}
	o.Files = uint64(max(spec.Limits.Files, 0))
	if l.can.namespaces { // elsewhere it would count all processes of the user
		o.Processes = uint64(max(spec.Limits.PIDs, 0))
		if spec.Cgroup != nil {
			o.Processes *= 2 // so that the cgroup's own limit, which gilgul hears of, is met first
		}
	}
	o.Landlock, o.Seccomp, o.Report = l.can.landlock, l.can.seccomp, l.can.report
	o.Profile = spec.Confine.Seccomp
	return p, nil
}

func (l *Launcher) streams(p *plan, spec Spec) error {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	p.ours = append(p.ours, null)
	number := func(f *os.File) int {
		if f == nil {
			return p.file(null)
		}
		return p.file(int(f.Fd()))
	}
	p.orders.Stdout, p.orders.Stderr, p.orders.Notify = number(spec.Stdout), number(spec.Stderr), number(spec.Notify)
	return nil
}

// view plans what the service sees of the file system.
func (l *Launcher) view(p *plan, spec Spec) error {
	program := spec.Program
	if program == "" {
		program = spec.Exec
	}
	needs, err := interpreters(program)
	if err != nil {
		return err
	}
	v := &view{plan: p}
	if len(needs) > 0 {
		for _, folder := range libraries {
			if err := v.addLibraries(folder); err != nil {
				return err
			}
		}
	}
	if err := v.add(spec.Exec, program, enclosure.Program); err != nil {
		return err
	}
	for _, interpreter := range needs {
		if err := v.add(interpreter, interpreter, enclosure.Program); err != nil {
			return err
		}
	}
	for _, path := range spec.Confine.Read {
		v.optional(path, enclosure.Read)
	}
	for _, path := range append(slices.Clone(spec.Confine.Write), spec.DataFolder, spec.BusFolder) {
		v.optional(path, enclosure.Write)
	}
	return v.finish()
}

// view collects mounts.
type view struct {
	plan   *plan
	mounts map[string]enclosure.Mount // by where they are seen
	err    error
}

// add lets the service see a file or folder; a later one at the same place
// counts.
func (v *view) add(at, from string, kind enclosure.Kind) error {
	if !filepath.IsAbs(at) || !filepath.IsAbs(from) {
		return fmt.Errorf("%s: not an absolute path", at)
	}
	at, from = v.behindLinks(filepath.Clean(at)), v.behindLinks(filepath.Clean(from))
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeDevice != 0 {
		kind = enclosure.Device
	}
	if v.mounts == nil {
		v.mounts = map[string]enclosure.Mount{}
	}
	v.mounts[at] = enclosure.Mount{At: at, From: from, Tree: -1, Folder: info.IsDir(), Kind: kind}
	return nil
}

// optional is add for what may not be there: then the service does not see it.
// Its own /proc is there anyway.
func (v *view) optional(path string, kind enclosure.Kind) {
	if path == "" || path == "/proc" || strings.HasPrefix(path, "/proc/") || slices.Contains(enclosure.Devices, path) {
		return
	}
	if err := v.add(path, path, kind); err != nil && !errors.Is(err, os.ErrNotExist) && v.err == nil {
		v.err = err
	}
}

// addLibraries adds a folder of libraries, as the link it may be.
func (v *view) addLibraries(path string) error {
	to, err := os.Readlink(path)
	if err == nil {
		v.plan.orders.Links = append(v.plan.orders.Links, enclosure.Link{At: path, To: to})
		return nil
	}
	if err := v.add(path, path, enclosure.Read); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// behindLinks is where a path leads that goes through a link among the
// libraries; the link is the same inside.
func (v *view) behindLinks(path string) string {
	for _, l := range v.plan.orders.Links {
		if rest, below := strings.CutPrefix(path, l.At+"/"); below {
			to := l.To
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(l.At), to)
			}
			return filepath.Join(to, rest)
		}
	}
	return path
}

// finish orders the mounts, parents first, and opens them where that is done
// here.
func (v *view) finish() error {
	if v.err != nil {
		return v.err
	}
	p := v.plan
	paths := make([]string, 0, len(v.mounts))
	for at := range v.mounts {
		paths = append(paths, at)
	}
	slices.Sort(paths) // a path sorts before those below it
	for _, at := range paths {
		m := v.mounts[at]
		if v.covered(m) {
			continue
		}
		if p.trees {
			fd, err := enclosure.OpenTree(m)
			if err != nil {
				return err
			}
			p.ours = append(p.ours, fd)
			m.Tree = p.file(fd)
		}
		p.orders.Mounts = append(p.orders.Mounts, m)
	}
	return nil
}

// covered says whether a mount shows what one above it shows already, such as
// a program in a folder that may be read.
func (v *view) covered(m enclosure.Mount) bool {
	if m.At != m.From || m.Kind == enclosure.Write || m.Kind == enclosure.Device {
		return false
	}
	for above := filepath.Dir(m.At); above != "/"; above = filepath.Dir(above) {
		if over, there := v.mounts[above]; there {
			return over.At == over.From && over.Kind == enclosure.Read
		}
	}
	return false
}
