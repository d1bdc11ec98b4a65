package confine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"runa/init/confine/enclosure"
)

// abilities are what can be had on this machine, found out once by trying.
type abilities struct {
	root       bool // gilgul may act for other users
	namespaces bool
	landlock   bool
	seccomp    bool
	report     bool  // refused calls can be told
	why        error // why namespaces can't be had
}

// patience is how often a trial that came to no end is repeated.
const patience = 3

// nobody is who the trial runs as.
const nobody = 65534

// probe tries what can be had, most first, by starting enclose itself as a
// service. Root must have namespaces: without them there would be no
// confinement worth the name, and root is nobody who has to do without.
func (l *Launcher) probe() error {
	full := abilities{root: os.Geteuid() == 0, namespaces: true, landlock: enclosure.LandlockVersion() > 0, seccomp: true, report: true}
	quiet := full
	quiet.report = false
	tries := []abilities{full, quiet}
	if !full.root {
		plain, plainQuiet := full, quiet
		plain.namespaces, plainQuiet.namespaces = false, false
		tries = append(tries, plain, plainQuiet)
	}
	var first error
	for _, can := range tries {
		l.can = can
		l.can.why = first
		err := l.try()
		// A machine that is slow says nothing about what it has: less confinement
		// is never chosen because of that.
		for again := 0; errors.Is(err, errLate) && again < patience; again++ {
			err = l.try()
		}
		if err == nil {
			return nil
		}
		if errors.Is(err, errLate) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// try runs enclose as a service that ends at once.
func (l *Launcher) try() error {
	n, err := l.bear("", l.can.namespaces)
	if err != nil {
		return err
	}
	spec := Spec{Service: "enclose", Exec: l.enclose, Args: []string{enclosure.Trial}, UID: nobody}
	plan, err := l.plan(spec)
	if err != nil {
		n.end()
		return err
	}
	defer plan.close()
	if err := l.finish(n, plan, spec); err != nil {
		return err
	}
	exit, err := n.process.Wait()
	if err != nil {
		return err
	}
	if !exit.Status.Exited() || exit.Status.ExitStatus() != 0 {
		return fmt.Errorf("the trial ended with %s", unix.SignalName(exit.Status.Signal()))
	}
	return nil
}

// missing lists what can't be had, in plain words.
func (a abilities) missing() []string {
	var list []string
	if !a.root {
		list = append(list, "users and groups of their own for services (not root)")
	}
	if !a.namespaces {
		reason := ""
		var errno unix.Errno
		if errors.As(a.why, &errno) {
			reason = ": " + errno.Error()
		}
		list = append(list, "a root, processes and an empty network of their own for services (this system gives its users no namespaces"+reason+")")
	}
	if !a.landlock {
		list = append(list, "rules for files beyond owners and modes (this kernel has no Landlock)")
	}
	if !a.report {
		list = append(list, "word of refused system calls (another program already listens); they are refused all the same")
	}
	return list
}
