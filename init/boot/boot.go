// Package boot turns the bare kernel's world into one that programs can live
// in: it mounts the kernel's file systems, sets the few sysctls that matter,
// names the machine and reads the kernel's command line.
//
// It starts no process, touches no disk and no network interface, and it never
// gives up: a step that fails is reported and the next one is tried, because a
// machine with half of its file systems and a console is worth more than a
// machine that stopped. Only a failure for which Failure.Vital is true leaves
// no way to a console.
package boot

import (
	"fmt"
)

// Step is one thing to do at boot, in order.
type Step struct {
	// Name says what the step is for, in words for a person.
	Name string
	// Vital is true when no console can work without the step.
	Vital bool
	// Do does it. Doing it twice is no error.
	Do func() error
}

// Failure is a step that did not succeed.
type Failure struct {
	Step  string
	Vital bool
	Err   error
}

// Error says which step failed and why.
func (f Failure) Error() string { return fmt.Sprintf("%s: %v", f.Step, f.Err) }

// Unwrap gives the cause.
func (f Failure) Unwrap() error { return f.Err }

// Run does every step in order and returns what failed.
func Run(steps []Step) []Failure {
	var failures []Failure
	for _, step := range steps {
		if err := step.Do(); err != nil {
			failures = append(failures, Failure{Step: step.Name, Vital: step.Vital, Err: err})
		}
	}
	return failures
}

// Hostname is the name of every appliance. There is no network on which it
// would have to differ.
const Hostname = "runa"

// System gives the steps for a real machine, in the order they have to run.
// root is put before every path; it is "" but in tests.
func System(root string) []Step {
	var steps []Step
	for _, m := range Mounts() {
		steps = append(steps, Step{
			Name:  "mount " + m.Target,
			Vital: m.Vital,
			Do:    func() error { return m.mount(root) },
		})
	}
	steps = append(steps,
		Step{Name: "open the console as standard input and output", Do: openStandardStreams},
		Step{Name: "set the host name", Do: setHostname},
		Step{Name: "forbid core dumps", Do: forbidCoreDumps},
		Step{Name: "share out cgroup controllers", Do: func() error {
			return EnableControllers(root + "/sys/fs/cgroup")
		}},
	)
	for _, s := range Sysctls() {
		steps = append(steps, Step{
			Name: "set " + s.Key,
			Do:   func() error { return s.write(root + "/proc/sys") },
		})
	}
	return steps
}
