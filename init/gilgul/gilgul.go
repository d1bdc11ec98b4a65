// Package gilgul is PID 1 as a whole: it puts the duties of the packages
// beside it in their order (boot, network off, consoles, data, services, power)
// and carries what one learns to the other. It decides nothing that one of
// them could decide.
//
// Nothing waits longer than it must: consoles come up beside the data disk and
// the services, and a duty that fails leaves the others alone. What PID 1 can't
// solve ends in a rescue shell with the reason, never in a panic.
package gilgul

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/assembly"
	"runa/init/boot"
	"runa/init/console"
	"runa/init/contain"
	"runa/init/control"
	"runa/init/datadisk"
	"runa/init/logring"
	"runa/init/netguard"
	"runa/init/power"
	"runa/init/supervise"
	"runa/init/terminal"
	"runa/init/watchdog"
	"runa/services/hint"
)

// How long things may take.
const (
	diskWait        = 10 * time.Second // for the data disk to appear
	consolePatience = 10 * time.Second // of the login prompt, for the services
)

// machine is everything the duties share.
type machine struct {
	version   string
	log       hclog.Logger
	logs      *logring.Set
	line      boot.CommandLine
	terminals []terminal.Terminal
	reaper    *supervise.Reaper
	guard     *netguard.Guard
	state     state
	dog       *watchdog.Watchdog
	*assembly.Services
	opened  chan struct{} // closed when Services are
	rescues chan console.Trouble
	ends    chan power.Request
	trip    chan struct{} // see faults.go
}

// Run is PID 1. It returns only when the machine could not be ended.
func Run(version string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failures := boot.Run(boot.System(""))
	m := &machine{
		version: version,
		logs:    logring.NewSet(logring.Options{}),
		opened:  make(chan struct{}),
		rescues: make(chan console.Trouble),
		ends:    make(chan power.Request, 1),
		trip:    make(chan struct{}),
		state:   state{dataKnown: make(chan struct{})},
	}
	m.log = newLog(m.logs.Ring(logName))
	contain.Report(m.tellPanic)
	m.log.Info("gilgul begins", "version", version, "after", uptime())
	m.reaper = supervise.NewReaper(true)
	m.protect(ctx, "wait for children", func(ctx context.Context) error { m.reaper.Run(ctx); return nil })
	m.readCommandLine()
	m.tell(failures)
	m.sealRoot()
	m.guard = netguard.New(m.kernelNetwork(), m.log)
	m.protect(ctx, "guard the network", func(ctx context.Context) error { m.guard.Watch(ctx); return nil })
	m.Services = m.newServices()
	m.protect(ctx, "answer commands", m.serveControl)
	login, logout := context.WithCancel(ctx)
	defer logout()
	for _, t := range m.terminals {
		m.protect(login, "serve the console "+t.Path, func(ctx context.Context) error {
			console.Serve(ctx, t, m.consoleConfig())
			return nil
		})
	}
	m.protect(ctx, "mount /data", m.mountData)
	m.openServices(ctx)
	m.protect(ctx, "run the services", m.Services.Run)
	m.protect(ctx, "feed the watchdog", m.feedWatchdog)
	m.protect(ctx, "check the system", m.checkSystem)
	request := m.waitForEnd(ctx)
	logout() // nobody shall begin what is about to end
	m.log.Info("the machine ends", "action", request.Action, "reason", request.Reason)
	err := power.Down(request, m.lastSteps(), terminal.All(m.terminals))
	return hint.New(err, "switch the machine off")
}

func (m *machine) readCommandLine() {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		m.problem("read the kernel's command line", err)
	}
	m.line = boot.ParseCommandLine(string(text))
	m.terminals = terminal.Named(m.line)
}

// tell reports what failed at boot. Without a vital step there may be no
// console to log in at, so the rescue comes at once.
func (m *machine) tell(failures []boot.Failure) {
	for _, f := range failures {
		m.problem(f.Step, f.Err)
		if f.Vital {
			m.rescueNow(f)
		}
	}
}

// problem logs what doesn't work and keeps it for whoever asks.
func (m *machine) problem(what string, err error) {
	m.log.Error(what, "reason", err, "hint", hint.Of(err))
	m.state.add(newProblem(what, err))
}

// serveControl lets whoever asks before the services are known wait for the answer.
func (m *machine) serveControl(ctx context.Context) error {
	listener, err := control.Listen(control.DefaultPath)
	if err != nil {
		return err
	}
	select {
	case <-m.opened:
	case <-ctx.Done():
		return listener.Close()
	}
	return control.Serve(ctx, listener, m, control.PeerOf)
}

func (m *machine) rescueNow(reason error) {
	if err := console.Rescue(m.terminals[0], reason, m.reaper.Command); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\nerror: open a rescue shell: %v\n", reason, err)
	}
}

func (m *machine) sealRoot() {
	if err := boot.SealRoot(); err != nil {
		m.problem("protect the system", err)
	}
}

// patience is how many panics in a row a duty may have before a person is asked.
const patience = 3

// protect runs a duty beside the others. An error becomes a problem a person
// is told. A panic is a defect of gilgul: it is logged and counted, and the duty
// begins again, at once the first time. A duty that can't be kept up is a
// problem, and the rescue is offered before each further try.
func (m *machine) protect(ctx context.Context, duty string, do func(context.Context) error) {
	contain.Go(duty, func() {
		for panics := 0; ctx.Err() == nil; {
			began := time.Now()
			err := contain.Call(duty, func() error { return do(ctx) })
			if err == nil || ctx.Err() != nil {
				return
			}
			var defect *contain.Panic
			if !errors.As(err, &defect) {
				m.problem(duty, err)
				return
			}
			if time.Since(began) > time.Minute {
				panics = 0
			}
			if panics++; panics <= patience {
				pause(ctx, time.Duration(panics-1)*time.Second)
				continue
			}
			m.problem(duty, err)
			fmt.Fprintf(terminal.All(m.terminals), "\r\ngilgul: %v. A rescue shell opens as soon as a console is free.\r\n", err)
			m.rescue(ctx, err)
		}
	})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// tellPanic logs what contain has caught.
func (m *machine) tellPanic(p *contain.Panic) {
	m.log.Error("a defect in gilgul was contained", "duty", p.Name, "reason", fmt.Sprint(p.Value))
	for line := range strings.Lines(p.Stack) {
		m.log.Error("defect: " + strings.TrimSpace(line))
	}
}

// rescue waits until a person has had a rescue shell and left it.
func (m *machine) rescue(ctx context.Context, reason error) {
	trouble := console.Trouble{Reason: reason, Over: make(chan struct{})}
	select {
	case m.rescues <- trouble:
	case <-ctx.Done():
		return
	}
	select {
	case <-trouble.Over:
	case <-ctx.Done():
	}
}

func (m *machine) mountData(ctx context.Context) error {
	run := runner(m.reaper.Command)
	data, err := datadisk.Open(ctx, datadisk.Config{
		SysBlock: "/sys/class/block", Dev: "/dev", Target: "/data", Wait: diskWait,
		Tools: datadisk.Tools{Run: run, Fsck: "/sbin/e2fsck"},
		Log:   m.log,
	})
	if err == nil {
		err = m.ownerFolders(data)
	}
	m.state.setData(data, err)
	m.DataIsThere(err)
	return err
}

// The owner's account and what is theirs on /data.
const (
	ownerUID  = 1000
	groupRuna = 100
)

func (m *machine) ownerFolders(data *datadisk.Data) error {
	return errors.Join(
		data.Folder("owner", ownerUID, groupRuna, 0o700),
		data.Folder("models", 0, groupRuna, 0o755),
		data.Folder("import", ownerUID, groupRuna, 0o755), // splinfer reads what its owner wants to add
	)
}

func (m *machine) account() console.Account {
	if m.rootConsole() {
		return console.Root
	}
	owner := console.Account{Name: "owner", UID: ownerUID, GID: groupRuna, Home: "/data/owner"}
	if data, _ := m.state.mounted(); data == nil {
		owner.Home, owner.Temporary = "/tmp/owner", true
		if err := os.Mkdir(owner.Home, 0o700); err == nil {
			os.Chown(owner.Home, ownerUID, groupRuna)
		}
	}
	return owner
}

func (m *machine) rootConsole() bool {
	value, _ := m.line.Value("gilgul.console")
	return value == "root"
}

func (m *machine) consoleConfig() console.Config {
	return console.Config{
		State: m.banner, Files: m.state.dataKnown, Settled: m.Settled(), ReadyAfter: m.ReadyAfter,
		Patience: consolePatience, Account: m.account, Start: m.reaper.Command, Log: m.log,
		Rescues: m.rescues,
	}
}

func (m *machine) banner() console.State {
	s := console.State{
		Version: m.version, Services: m.serviceLines(), Root: m.rootConsole(), Welcome: welcome(),
		Data: dataSentence(m.state.mounted()), Network: m.network(),
	}
	for _, p := range m.state.list() {
		s.Problems = append(s.Problems, problemText(p))
	}
	return s
}

func (m *machine) network() string {
	list, err := m.guard.Interfaces()
	return networkSentence(list, m.guard.Consents(), err)
}

func (m *machine) waitForEnd(ctx context.Context) power.Request {
	select {
	case r := <-power.Listen(ctx, "/dev/input", m.log):
		return r
	case r := <-m.ends:
		return r
	}
}
