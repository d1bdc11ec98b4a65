package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runa/init/control"
)

// baseline is what the machine looks like when all is well.
type baseline struct {
	cgroups  int
	problems []control.Problem
}

// slice is the group of all services.
const slice = "/sys/fs/cgroup/runa"

func (m *machine) look() (baseline, error) {
	var b baseline
	groups, err := cgroups(slice)
	if err != nil {
		return b, err
	}
	status, err := m.client.Status(context.Background())
	b.cgroups, b.problems = len(groups), status.Problems
	return b, err
}

// invariants are what must be true after every fault, whatever it was. before is
// how the services were when it was done.
func (m *machine) invariants(ctx context.Context, f fault, before control.Status) error {
	checks := []struct {
		when string
		look func(context.Context) error
	}{
		{"not everything is ready again", m.everybodyReady},
		{"somebody is dead and not reaped", noZombie("/proc")},
		{"a group of processes was left over", m.noLeftover},
		{"the bus is not sound", m.busSound},
		{"a write is lost", func(context.Context) error { return m.ledger.check(m.obedientOf(before)) }},
		{"gilgul has a new problem", m.noNewProblem},
	}
	for _, check := range checks {
		if err := m.settle(ctx, check.when, check.look); err != nil {
			return err
		}
	}
	after, err := m.client.Status(ctx)
	if err != nil {
		return err
	}
	return errors.Join(m.events.whole(), othersUntouched(f.target, m.events.climbed(f.target, "dependents"), before, after))
}

// obedientOf are the services that acknowledge what they do.
func (m *machine) obedientOf(status control.Status) []string {
	var names []string
	for _, s := range status.Services {
		if _, err := os.Stat(filepath.Join("/data", s.Name, "acknowledged")); err == nil {
			names = append(names, s.Name)
		}
	}
	return names
}

// everybodyReady is an error as long as a service is not ready.
func (m *machine) everybodyReady(ctx context.Context) error {
	status, err := m.client.Status(ctx)
	if err != nil {
		return err
	}
	for _, s := range status.Services {
		if s.State != "ready" && s.State != "done" {
			return fmt.Errorf("%s is %s: %s", s.Name, s.State, s.Reason)
		}
	}
	return nil
}

// othersUntouched is an error if a service that was not hurt had to begin a new
// life, unless gilgul restarted what needs the hurt one on purpose.
func othersUntouched(target string, dependents bool, before, after control.Status) error {
	for _, was := range before.Services {
		if was.Name == target || dependents && slices.Contains(was.Needs, target) {
			continue
		}
		i := slices.IndexFunc(after.Services, func(s control.ServiceStatus) bool { return s.Name == was.Name })
		if i < 0 {
			return fmt.Errorf("%s is not there any more", was.Name)
		}
		if is := after.Services[i]; is.PID != was.PID || is.Restarts != was.Restarts {
			return fmt.Errorf("%s, which was not hurt, was restarted: process %d is now %d, %d restarts now %d: %s",
				was.Name, was.PID, is.PID, was.Restarts, is.Restarts, is.Reason)
		}
	}
	return nil
}

// noNewProblem is an error if a person is told of something that was not there
// before the first fault.
func (m *machine) noNewProblem(ctx context.Context) error {
	status, err := m.client.Status(ctx)
	if err != nil {
		return err
	}
	for _, p := range status.Problems {
		if !slices.Contains(m.before.problems, p) {
			return fmt.Errorf("%s: %s", p.What, p.Why)
		}
	}
	return nil
}

func (m *machine) busSound(context.Context) error {
	report, err := m.bus.Check()
	if err == nil && !report.Clean() {
		err = errors.New(strings.Join(report.Problems, "; "))
	}
	return err
}

// noLeftover is an error if there are more groups than when all was well: each
// life has one, and it has to go with it.
func (m *machine) noLeftover(context.Context) error {
	groups, err := cgroups(slice)
	if err == nil && len(groups) > m.before.cgroups {
		err = fmt.Errorf("there were %d groups and now there are %d: %s", m.before.cgroups, len(groups), strings.Join(groups, ", "))
	}
	return err
}

// cgroups lists the groups below one, with how many processes each has.
func cgroups(root string) ([]string, error) {
	var groups []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went while it was looked at
		}
		if err != nil || !entry.IsDir() || path == root {
			return err
		}
		processes, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		groups = append(groups, fmt.Sprintf("%s (%d processes)", strings.TrimPrefix(path, root+"/"), len(strings.Fields(string(processes)))))
		return nil
	})
	return groups, err
}

// noZombie is an error as long as a process is dead and nobody has asked for its
// status. proc is where the processes are shown.
func noZombie(proc string) func(context.Context) error {
	return func(context.Context) error {
		stats, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
		if err != nil {
			return err
		}
		for _, path := range stats {
			content, err := os.ReadFile(path)
			if err != nil {
				continue // it ended while it was looked for
			}
			if isZombie(string(content)) {
				return fmt.Errorf("process %s", strings.TrimSpace(string(content)))
			}
		}
		return nil
	}
}

// isZombie reads a line of /proc/PID/stat: the pid, the program's name in
// brackets, which may hold anything, and the state.
func isZombie(stat string) bool {
	_, rest, _ := strings.Cut(stat[strings.LastIndexByte(stat, ')')+1:], " ")
	return strings.HasPrefix(rest, "Z")
}
