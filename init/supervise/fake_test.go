package supervise

import (
	"errors"
	"strings"
	"sync"
	"syscall"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
)

// fakeSystem makes no processes. Within a synctest bubble its clock is the
// bubble's. It keeps a diary of what was asked.
type fakeSystem struct {
	mu      sync.Mutex
	diary   []string
	reports map[string]func(Report) // of those that live
	// Polite services end at their stop signal; others only when killed.
	deaf    map[string]bool
	broken  map[string]bool // cannot be spawned
	spawned map[string]int

	sick     map[string]error  // what a probe of a service answers
	advice   map[string]Advice // of its policy program; none: an error
	noAside  bool              // states can't be set aside
	slow     chan struct{}     // works wait for it to be closed, if it is there
	versions map[string]fakeVersion
}

type fakeVersion struct {
	name      string
	before    string
	probation bool
}

func newFake() *fakeSystem {
	return &fakeSystem{
		reports: map[string]func(Report){}, deaf: map[string]bool{}, broken: map[string]bool{}, spawned: map[string]int{},
		sick: map[string]error{}, advice: map[string]Advice{}, versions: map[string]fakeVersion{},
	}
}

func (f *fakeSystem) write(words ...string) { f.diary = append(f.diary, strings.Join(words, " ")) }

// note is write for what is not called with the lock held.
func (f *fakeSystem) note(words ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write(words...)
}

func (f *fakeSystem) Spawn(s manifest.Service, report func(Report)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spawned[s.Name]++
	f.write("spawn", s.Name)
	if f.broken[s.Name] {
		go report(Report{Event: lifecycle.Event{Kind: lifecycle.SpawnFailed, Reason: "not started: no memory"}})
		return
	}
	if f.reports[s.Name] != nil {
		panic("a second process of " + s.Name)
	}
	f.reports[s.Name] = report
	pid := 100 + len(f.diary)
	go report(Report{Event: lifecycle.Event{Kind: lifecycle.Spawned}, PID: pid})
}

func (f *fakeSystem) Signal(service string, signal syscall.Signal) {
	f.mu.Lock()
	f.write("signal", service)
	deaf := f.deaf[service]
	f.mu.Unlock()
	if !deaf {
		go f.end(service, "killed by signal 15 (SIGTERM) after 1 ms")
	}
}

func (f *fakeSystem) Kill(service string) {
	f.note("kill", service)
	go f.end(service, "killed by signal 9 (SIGKILL) after 1 ms")
}

func (f *fakeSystem) Usage(string) Usage {
	return Usage{MemoryBytes: 42, OpenFiles: 7, Processes: 3, CPU: time.Second}
}
func (f *fakeSystem) Now() time.Time { return time.Now() }
func (f *fakeSystem) After(d time.Duration, do func()) func() {
	timer := time.AfterFunc(d, do)
	return func() { timer.Stop() }
}

func (f *fakeSystem) Probe(s manifest.Service, done func(error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write("probe", s.Name)
	err := f.sick[s.Name]
	go done(err)
}

func (f *fakeSystem) AskPolicy(s manifest.Service, failure Failure, done func(Advice, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write("ask about", s.Name, string(failure.Class), string(failure.Rung))
	advice, known := f.advice[s.Name]
	if !known {
		go done(Advice{}, errors.New("it says nothing"))
		return
	}
	go done(advice, nil)
}

// work does something later, when the world is not slow.
func (f *fakeSystem) work(what, service string, do func()) {
	f.note(what, service)
	slow := f.slow
	go func() {
		if slow != nil {
			<-slow
		}
		do()
	}()
}

func (f *fakeSystem) SetAside(s manifest.Service, done func(Aside, error)) {
	f.work("set aside", s.Name, func() {
		if f.noAside {
			done(Aside{}, errors.New("the disk is full"))
			return
		}
		done(Aside{Folder: "/aside/" + s.Name}, nil)
	})
}

func (f *fakeSystem) GiveBack(s manifest.Service, a Aside, done func(error)) {
	f.work("give back "+a.Folder+" to", s.Name, func() { done(nil) })
}

func (f *fakeSystem) Snapshot(s manifest.Service, done func(error)) {
	f.work("snapshot", s.Name, func() { done(nil) })
}

func (f *fakeSystem) Install(s manifest.Service, program string, done func(string, error)) {
	f.work("install "+program+" for", s.Name, func() {
		if strings.HasSuffix(program, "bad") {
			done("", errors.New("it is no program"))
			return
		}
		f.mu.Lock()
		f.versions[s.Name] = fakeVersion{name: program[1:], before: f.versions[s.Name].name, probation: true}
		f.mu.Unlock()
		done(program[1:], nil)
	})
}

func (f *fakeSystem) RollBack(s manifest.Service, done func(string, error)) {
	f.work("roll back", s.Name, func() {
		f.mu.Lock()
		now := f.versions[s.Name]
		f.versions[s.Name] = fakeVersion{name: now.before}
		f.mu.Unlock()
		if now.name == "" {
			done("", errors.New("it is the program of the image"))
			return
		}
		done(now.before, nil)
	})
}

func (f *fakeSystem) Commit(s manifest.Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write("commit", s.Name)
	now := f.versions[s.Name]
	now.probation = false
	f.versions[s.Name] = now
}

func (f *fakeSystem) Version(service string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.versions[service]
	return v.name, v.probation
}

// says reports something of a service's life.
func (f *fakeSystem) says(service string, r Report) {
	f.mu.Lock()
	report := f.reports[service]
	f.mu.Unlock()
	report(r)
}

func (f *fakeSystem) ready(service string) {
	f.says(service, Report{Event: lifecycle.Event{Kind: lifecycle.BecameReady}})
}

// end lets a service's process end.
func (f *fakeSystem) end(service, reason string) { f.endAs(service, "", reason) }

func (f *fakeSystem) endAs(service string, class lifecycle.Class, reason string) {
	f.mu.Lock()
	report := f.reports[service]
	delete(f.reports, service)
	f.mu.Unlock()
	if report != nil {
		report(Report{Event: lifecycle.Event{Kind: lifecycle.Exited, OK: strings.Contains(reason, "status 0"), Class: class, Reason: reason}})
	}
}

// page returns the diary since it was last asked for.
func (f *fakeSystem) page() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	page := strings.Join(f.diary, ", ")
	f.diary = nil
	return page
}
