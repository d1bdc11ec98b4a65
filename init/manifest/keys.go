package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// A key is one key of a mapping: its name, what it means (this is its
// documentation) and how its value is read into the service.
type key struct {
	name string
	doc  string
	read func(*parser, ast.Node, *Service)
}

// topKeys are the keys of a manifest.
var topKeys = []key{
	{"exec", "absolute path of the program; required", func(p *parser, n ast.Node, s *Service) {
		p.program(n, "exec", &s.Exec)
	}},
	{"args", "list of arguments", func(p *parser, n ast.Node, s *Service) { s.Args = p.words(n) }},
	{"env", "environment variables added to the clean environment: {NAME: value}", func(p *parser, n ast.Node, s *Service) {
		s.Env = p.environment(n)
	}},
	{"user", "name in /etc/passwd; default: the service's name", func(p *parser, n ast.Node, s *Service) {
		p.name(n, "user", &s.User)
	}},
	{"needs", "services started before this one and stopped after it; it waits until they are ready", func(p *parser, n ast.Node, s *Service) {
		s.Needs = p.names(n, s.Name)
	}},
	{"wants", "services started before this one if they are there at all", func(p *parser, n ast.Node, s *Service) {
		s.Wants = p.names(n, s.Name)
	}},
	{"ready", "how it gets ready: {by: notify, timeout: 30s}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "ready", readyKeys, s)
	}},
	{"stop", "how it is asked to end: {signal: TERM, timeout: 10s}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "stop", stopKeys, s)
	}},
	{"restart", "when it is started again: {policy: always, initial: 1s, max: 30s, stable: 60s}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "restart", restartKeys, s)
		if s.Restart.Max < s.Restart.Initial {
			p.fail(n, "raise max", "restart: max %v is less than initial %v", s.Restart.Max, s.Restart.Initial)
		}
	}},
	{"limits", "what it may take: {memory-high: 512MiB, memory-max: 768MiB, cpu: 150%, pids: 64, files: 1024, io-weight: 100, cpu-budget: 90%, cpu-budget-for: 10s}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "limits", limitKeys, s)
		if l := s.Limits; l.MemoryMax > 0 && l.MemoryHigh > l.MemoryMax {
			p.fail(n, "lower memory-high", "limits: memory-high is more than memory-max")
		}
	}},
	{"bus", "what it may do on the bus; nothing if it is left out: {read: [\"key:service/*\"], write: [\"name:splinfer\"]}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "bus", busKeys, s)
	}},
	{"data", "true: a folder /data/NAME of its own, and its working folder", func(p *parser, n ast.Node, s *Service) { p.truth(n, &s.Data) }},
	{"heartbeat", "how often it counts up the bus key service/NAME/heartbeat, such as 2s; two periods without are a hang", func(p *parser, n ast.Node, s *Service) {
		p.durationFrom(n, &s.Heartbeat, shortestBeat)
	}},
	{"probe", "how it is asked whether it does its work: {by: ping, every: 30s, timeout: 5s}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "probe", probeKeys, s)
		p.checkProbe(n, s.Probe)
	}},
	{"on-failure", "what is done when it fails again and again: {ladder: [restart, backoff, give-up], tries: 3, policy: /bin/decide, timeout: 5s}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "on-failure", failureKeys, s)
	}},
	{"confine", "what it may touch beyond its program, its data and the bus: {read: [/usr/share/x], write: [], seccomp: service}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "confine", confineKeys, s)
		for _, path := range s.Confine.Write {
			if slices.Contains(s.Confine.Read, path) {
				p.fail(n, "leave it in write only", "confine: %s is in read and in write", path)
			}
		}
	}},
	{"snapshot", "how its data folder is copied while it is well: {every: 1h, keep: 3}; never if it is left out", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "snapshot", snapshotKeys, s)
	}},
	{"probation", "how long a new version must be ready without a failure before it is kept, such as 1m", func(p *parser, n ast.Node, s *Service) {
		p.duration(n, &s.Probation)
	}},
	{"cycle", "a oneshot is started again so long after its last start, such as 24h", func(p *parser, n ast.Node, s *Service) {
		p.durationFrom(n, &s.Cycle, shortestCycle)
	}},
	{"oneshot", "true: runs once; ready when it has ended with status 0", func(p *parser, n ast.Node, s *Service) { p.truth(n, &s.Oneshot) }},
}

var readyKeys = []key{
	{"by", "notify: the line READY=1 on the descriptor numbered in RUNA_NOTIFY_FD; bus: the key service/NAME/ready; none: once started", func(p *parser, n ast.Node, s *Service) {
		choice(p, n, &s.Ready.By, ByNotify, ByBus, ByNone)
	}},
	{"timeout", "how long getting ready may take; for a oneshot how long it may run", func(p *parser, n ast.Node, s *Service) {
		p.duration(n, &s.Ready.Timeout)
	}},
}

var stopKeys = []key{
	{"signal", "signal that asks it to end: " + strings.Join(signalNames(), ", "), func(p *parser, n ast.Node, s *Service) {
		p.signal(n, &s.Stop.Signal)
	}},
	{"timeout", "how long it may take to end before all of it is killed", func(p *parser, n ast.Node, s *Service) {
		p.duration(n, &s.Stop.Timeout)
	}},
}

var restartKeys = []key{
	{"policy", "always, on-failure (status other than 0) or never", func(p *parser, n ast.Node, s *Service) {
		choice(p, n, &s.Restart.Policy, Always, OnFailure, Never)
	}},
	{"initial", "wait before the second restart; the first is at once", func(p *parser, n ast.Node, s *Service) {
		p.duration(n, &s.Restart.Initial)
	}},
	{"max", "longest wait", func(p *parser, n ast.Node, s *Service) { p.duration(n, &s.Restart.Max) }},
	{"stable", "being ready this long makes the next restart a first one again", func(p *parser, n ast.Node, s *Service) {
		p.duration(n, &s.Restart.Stable)
	}},
}

var limitKeys = []key{
	{"memory-high", "memory above which it is slowed down (KiB, MiB, GiB)", func(p *parser, n ast.Node, s *Service) {
		p.size(n, &s.Limits.MemoryHigh)
	}},
	{"memory-max", "memory above which the kernel kills it (KiB, MiB, GiB)", func(p *parser, n ast.Node, s *Service) {
		p.size(n, &s.Limits.MemoryMax)
	}},
	{"cpu", "share of one processor: 150% is one and a half", func(p *parser, n ast.Node, s *Service) {
		p.percent(n, &s.Limits.CPU)
	}},
	{"pids", "processes and threads together", func(p *parser, n ast.Node, s *Service) {
		p.count(n, &s.Limits.PIDs, 1, 1<<22)
	}},
	{"files", "open descriptors of each process", func(p *parser, n ast.Node, s *Service) {
		p.count(n, &s.Limits.Files, 8, 1<<20)
	}},
	{"io-weight", "share of the disk, 1 to 10000; 100 is usual", func(p *parser, n ast.Node, s *Service) {
		p.count(n, &s.Limits.IOWeight, 1, 10000)
	}},
	{"cpu-budget", "share of one processor that it uses on average at most; more all through cpu-budget-for is a spin", func(p *parser, n ast.Node, s *Service) {
		p.percent(n, &s.Limits.CPUBudget)
	}},
	{"cpu-budget-for", "how long it may use more than cpu-budget, such as 10s", func(p *parser, n ast.Node, s *Service) {
		p.duration(n, &s.Limits.CPUBudgetFor)
	}},
}

var probeKeys = []key{
	{"by", "ping: it answers a ping on the bus under its own name; bus: it is the bus and gives back what is set; exec: a program says so by its status; none", func(p *parser, n ast.Node, s *Service) {
		choice(p, n, &s.Probe.By, ProbePing, ProbeBus, ProbeExec, ProbeNone)
	}},
	{"exec", "absolute path of the program for by: exec, which runs confined as the service is", func(p *parser, n ast.Node, s *Service) {
		p.program(n, "probe.exec", &s.Probe.Exec)
	}},
	{"args", "list of arguments of that program", func(p *parser, n ast.Node, s *Service) { s.Probe.Args = p.words(n) }},
	{"every", "pause between two probes; the first is when it says that it is ready", func(p *parser, n ast.Node, s *Service) {
		p.durationFrom(n, &s.Probe.Every, shortestProbe)
	}},
	{"timeout", "how long a probe may take", func(p *parser, n ast.Node, s *Service) { p.duration(n, &s.Probe.Timeout) }},
}

var failureKeys = []key{
	{"ladder", "which rungs are climbed, of " + rungWords() + "; without give-up it is tried for ever", func(p *parser, n ast.Node, s *Service) {
		s.OnFailure.Ladder = p.ladder(n)
	}},
	{"tries", "failures in a row that the back-off is given before the next rung", func(p *parser, n ast.Node, s *Service) {
		p.count(n, &s.OnFailure.Tries, 0, 1000)
	}},
	{"policy", "absolute path of a program that is asked first; its first line is ladder, restart, wait DURATION or give-up", func(p *parser, n ast.Node, s *Service) {
		p.program(n, "on-failure.policy", &s.OnFailure.Policy)
	}},
	{"timeout", "how long that program may take; then the ladder decides", func(p *parser, n ast.Node, s *Service) {
		p.duration(n, &s.OnFailure.Timeout)
	}},
}

var confineKeys = []key{
	{"read", "list of absolute paths, files or folders, that it may read", func(p *parser, n ast.Node, s *Service) {
		s.Confine.Read = p.paths(n)
	}},
	{"write", "list of absolute paths, files or folders, that it may read and write", func(p *parser, n ast.Node, s *Service) {
		s.Confine.Write = p.paths(n)
	}},
	{"seccomp", "profile of system calls: service (what a Go program needs) or inference (and what llama.cpp's threads need)", func(p *parser, n ast.Node, s *Service) {
		choice(p, n, &s.Confine.Seccomp, ProfileService, ProfileInference)
	}},
}

var snapshotKeys = []key{
	{"every", "pause between two copies", func(p *parser, n ast.Node, s *Service) {
		p.durationFrom(n, &s.Snapshot.Every, shortestSnapshot)
	}},
	{"keep", "how many copies are kept", func(p *parser, n ast.Node, s *Service) {
		p.count(n, &s.Snapshot.Keep, 1, 100)
	}},
}

var busKeys = []key{
	{"read", "list of key:PREFIX* it may get, topic:NAME it may subscribe to, name:NAME it may listen under", func(p *parser, n ast.Node, s *Service) {
		s.Bus.Read = p.patterns(n)
	}},
	{"write", "list of key:PREFIX* it may set, topic:NAME it may publish on, name:NAME it may dial", func(p *parser, n ast.Node, s *Service) {
		s.Bus.Write = p.patterns(n)
	}},
}

// groups are all keys by the mapping they stand in.
func groups() map[string][]key {
	return map[string][]key{
		"": topKeys, "ready.": readyKeys, "stop.": stopKeys, "restart.": restartKeys, "limits.": limitKeys, "bus.": busKeys,
		"probe.": probeKeys, "on-failure.": failureKeys, "confine.": confineKeys, "snapshot.": snapshotKeys,
	}
}

// Keys returns one line per key, "name: meaning", for a person who asks what a
// manifest may hold.
func Keys() []string {
	all := groups()
	var lines []string
	for _, prefix := range slices.Sorted(maps.Keys(all)) {
		for _, k := range all[prefix] {
			lines = append(lines, fmt.Sprintf("%s%s: %s", prefix, k.name, k.doc))
		}
	}
	return lines
}

func namesOf(keys []key) []string {
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return names
}
