package manifest

import (
	"fmt"
	"path"
	"regexp"
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
		p.text(n, &s.Exec)
		if s.Exec != "" && (!path.IsAbs(s.Exec) || path.Clean(s.Exec) != s.Exec) {
			p.fail(n, "write the whole path, such as /bin/"+path.Base(s.Exec), "exec is not an absolute path: %q", s.Exec)
		}
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
	{"limits", "what it may take: {memory-high: 512MiB, memory-max: 768MiB, cpu: 150%, pids: 64, files: 1024, io-weight: 100}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "limits", limitKeys, s)
		if l := s.Limits; l.MemoryMax > 0 && l.MemoryHigh > l.MemoryMax {
			p.fail(n, "lower memory-high", "limits: memory-high is more than memory-max")
		}
	}},
	{"bus", "what it may do on the bus; nothing if it is left out: {read: [\"key:service/*\"], write: [\"name:splinfer\"]}", func(p *parser, n ast.Node, s *Service) {
		p.mapping(n, "bus", busKeys, s)
	}},
	{"data", "true: a folder /data/NAME of its own, and its working folder", func(p *parser, n ast.Node, s *Service) { p.truth(n, &s.Data) }},
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
}

var busKeys = []key{
	{"read", "list of key:PREFIX* it may get, topic:NAME it may subscribe to, name:NAME it may listen under", func(p *parser, n ast.Node, s *Service) {
		s.Bus.Read = p.patterns(n)
	}},
	{"write", "list of key:PREFIX* it may set, topic:NAME it may publish on, name:NAME it may dial", func(p *parser, n ast.Node, s *Service) {
		s.Bus.Write = p.patterns(n)
	}},
}

// validName is what a service or user may be called: it becomes a file name, a
// cgroup's name and part of a bus key.
var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Keys returns one line per key, "name: meaning", for a person who asks what a
// manifest may hold.
func Keys() []string {
	var lines []string
	for _, group := range []struct {
		prefix string
		keys   []key
	}{{"", topKeys}, {"ready.", readyKeys}, {"stop.", stopKeys}, {"restart.", restartKeys}, {"limits.", limitKeys}, {"bus.", busKeys}} {
		for _, k := range group.keys {
			lines = append(lines, fmt.Sprintf("%s%s: %s", group.prefix, k.name, k.doc))
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
