package qemutests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"runa/image/qemu"
	"runa/init/control"
)

// accelerator is found once: its trial guest may take seconds.
var accelerator = sync.OnceValue(func() qemu.Accel {
	accel, _ := qemu.Accelerator(context.Background())
	return accel
})

// Limits are how long a person's steps may take before a test gives up. They
// decide nothing but when a failure is reported; nothing sleeps.
type Limits struct {
	Boot, Command, Answer, End time.Duration
}

// limits allows emulation, on a machine that does other work too, ten times as
// long as a processor.
func limits(accel qemu.Accel) Limits {
	unit := time.Second
	if accel.Name != qemu.KVM.Name {
		unit = 10 * time.Second
	}
	return Limits{Boot: 15 * unit, Command: 4 * unit, Answer: 12 * unit, End: 10 * unit}
}

// Appliance is a machine that was started for a test.
type Appliance struct {
	*Console
	Second  *Console // if the machine has a second console
	Monitor *Monitor
	Limits  Limits
	Machine qemu.Machine

	t       testing.TB
	process *qemu.Process
	pid     int // of QEMU, once Starved has found it
	log     string
}

// Start starts the machine with its consoles attached. It is killed at the end
// of the test; then its serial log is deleted, or kept if the test failed.
func Start(t testing.TB, machine qemu.Machine) *Appliance {
	t.Helper()
	machine.Serial, machine.Monitor, machine.NoReboot = qemu.Attached, true, true
	if machine.Accel.Name == "" {
		machine.Accel = accelerator()
	}
	a := &Appliance{t: t, Machine: machine, Limits: limits(machine.Accel), log: logPath(t)}
	log, err := os.Create(a.log)
	if err != nil {
		t.Fatalf("keep the serial log: %v", err)
	}
	process, err := machine.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.process = process
	t.Cleanup(func() {
		process.Kill()
		log.Close()
		if !t.Failed() {
			os.Remove(a.log)
		}
	})
	if a.Monitor, err = newMonitor(process.Monitor); err != nil {
		t.Fatalf("%v%s", err, a.where())
	}
	a.Console = newConsole(t, process.Consoles[0], log, a.where)
	if machine.SecondConsole {
		a.Second = newConsole(t, process.Consoles[1], prefixed{log, "second console: "}, a.where)
	}
	return a
}

// where says where to read on after a failure, and whether QEMU still runs.
func (a *Appliance) where() string {
	state := "QEMU still runs"
	select {
	case <-a.process.Done():
		state = "QEMU has ended"
		if err := a.process.Wait(); err != nil {
			state += ": " + err.Error()
		}
	default:
	}
	return fmt.Sprintf("\n%s; serial log: %s", state, a.log)
}

// Ended waits until the machine has ended by itself and fails the test if it
// did not, or if QEMU ended with an error.
func (a *Appliance) Ended() {
	a.t.Helper()
	select {
	case <-a.process.Done():
	case <-time.After(a.Limits.End):
		a.t.Fatalf("the machine did not end within %v%s", a.Limits.End, a.where())
	}
	if err := a.process.Wait(); err != nil {
		a.t.Fatalf("%v%s", err, a.where())
	}
}

// PowerOff ends the machine as a person would: by its power button, or by the
// command where there is no such button.
func (a *Appliance) PowerOff() {
	a.t.Helper()
	if a.Machine.Kind == qemu.MicroVM {
		a.Send("runa poweroff\n")
	} else if err := a.Monitor.PowerButton(); err != nil {
		a.t.Fatalf("press the power button: %v%s", err, a.where())
	}
	a.Ended()
}

// What the banner and the lines below it say.
const (
	bannerBegins = `RUNA \S+ - private conversations`
	bannerEnds   = `whoever reaches this console is its owner`
)

// LogIn waits until the console says that everything is ready, or after ten seconds,
// which are few where a processor is emulated, that it isn't yet; it presses Enter and
// waits in the shell for what is left.
func (a *Appliance) LogIn() {
	a.t.Helper()
	a.logIn(a.Console, bannerBegins, bannerEnds, `Ready in [\d.]+ s\.|Not ready yet`)
	limit := 4 * a.Limits.Boot // a guest in a guest was seen to need more than one
	for end := time.Now().Add(limit); a.Status(a.Console).ReadyAfter == 0; {
		if time.Now().After(end) {
			a.t.Fatalf("not everything is ready within %v:\n%s%s", limit, a.Must("runa status; true", a.Limits.Command), a.where())
		}
		a.Must("sleep 2", a.Limits.Command) // so that asking does not take the processor from what starts
	}
}

// LogInAtOnce does not wait until everything is ready: on a machine where not
// everything will be.
func (a *Appliance) LogInAtOnce(console *Console) {
	a.t.Helper()
	a.logIn(console, bannerBegins, bannerEnds)
}

func (a *Appliance) logIn(console *Console, signs ...string) {
	a.t.Helper()
	for _, sign := range signs {
		console.Expect(sign, a.Limits.Boot)
	}
	console.Send("\n")
	console.Expect(`[$#>] `, a.Limits.Boot)
	console.Must("true", a.Limits.Command)
}

// Step runs a part of a test on the same machine. When it fails, so does the
// whole test, because nobody knows in what state it left the machine.
func (a *Appliance) Step(name string, step func(t *testing.T)) {
	a.t.Helper()
	whole := a.t.(*testing.T)
	defer a.reportTo(whole)
	ok := whole.Run(name, func(t *testing.T) {
		a.reportTo(t)
		step(t)
	})
	if !ok {
		a.reportTo(whole)
		whole.FailNow()
	}
}

// reportTo makes t the test that fails when an expectation does.
func (a *Appliance) reportTo(t testing.TB) {
	a.t, a.Console.t = t, t
	if a.Second != nil {
		a.Second.t = t
	}
}

// Status returns what `runa status --json` prints, asked on the given console.
func (a *Appliance) Status(console *Console) control.Status {
	a.t.Helper()
	printed, _ := console.Run("runa status --json", a.Limits.Command)
	var status control.Status
	if err := json.Unmarshal([]byte(printed), &status); err != nil {
		a.t.Fatalf("read what runa status --json printed: %v\n%s%s", err, printed, a.where())
	}
	return status
}

// Service returns one service's state.
func (a *Appliance) Service(console *Console, name string) control.ServiceStatus {
	a.t.Helper()
	for _, service := range a.Status(console).Services {
		if service.Name == name {
			return service
		}
	}
	a.t.Fatalf("runa status knows no service %s%s", name, a.where())
	return control.ServiceStatus{}
}

// logPath names the serial log after the test, in out/qemu-logs of the
// repository (tests run in their package's folder).
func logPath(t testing.TB) string {
	folder, err := filepath.Abs(filepath.Join("..", "out", "qemu-logs"))
	if err == nil {
		err = os.MkdirAll(folder, 0o755)
	}
	if err != nil {
		t.Fatalf("keep serial logs: %v", err)
	}
	return filepath.Join(folder, strings.NewReplacer("/", "-", " ", "_").Replace(t.Name())+".log")
}

// prefixed marks each piece written with the console it came from.
type prefixed struct {
	to     *os.File
	prefix string
}

func (p prefixed) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	_, err := p.to.WriteString("\n[" + p.prefix + string(b) + "]\n")
	return len(b), err
}
