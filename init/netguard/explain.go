package netguard

import (
	"fmt"
	"strings"
	"time"
)

// Hardware is what an interface is made of; empty where it isn't known.
type Hardware struct {
	Driver   string // the kernel's name
	Address  string // of the hardware, such as 52:54:00:12:34:56
	Megabits int    // per second
	Wireless bool
}

// Explanation is what a person should read before consenting.
type Explanation struct {
	Interface Interface
	Hardware  Hardware
	For       time.Duration
	Until     time.Time // if the consent were given now
	Reachable []string  // plain sentences
}

// Explain says what becomes reachable if an interface is allowed for d. It
// changes nothing.
func (g *Guard) Explain(name string, d time.Duration) (Explanation, error) {
	i, err := g.find(name, d)
	if err != nil {
		return Explanation{}, fmt.Errorf("explain network interface %s: %w", name, err)
	}
	e := Explanation{Interface: i, Hardware: g.kernel.Describe(i), For: d, Until: time.Now().Add(d)}
	e.Reachable = e.sentences()
	return e, nil
}

func (e Explanation) sentences() []string {
	name := e.Interface.Name
	return []string{
		fmt.Sprintf("%s is %s.", name, e.what()),
		fmt.Sprintf("While it is allowed, this machine can reach whatever %s leads to, and whatever is there can reach this machine.", e.leads()),
		"Every program that is started from a console of this machine may then send over it what it can read; root's programs can read everything.",
		"The services still have no network: each one runs in an empty network of its own, so models, memory and documents can't be reached over it, nor reach out.",
		"Nothing else is set up: no address is asked for, and no other interface is allowed, the loopback neither.",
		fmt.Sprintf("It ends after %s, at %s; before that by `runa net off`, at a reboot, or when the guard of the network fails. Then %s is taken down.",
			e.For, e.Until.Format("2006-01-02 15:04:05 MST"), name),
	}
}

// what names the interface for a person.
func (e Explanation) what() string {
	what := "an interface that is made of software (" + e.Interface.Kind + ")"
	switch {
	case e.Hardware.Wireless:
		what = "a wireless network card"
	case e.Interface.Kind == "device":
		what = "a wired network card"
	}
	var known []string
	if e.Hardware.Driver != "" {
		known = append(known, "driver "+e.Hardware.Driver)
	}
	if e.Hardware.Megabits > 0 {
		known = append(known, fmt.Sprintf("%d Mbit/s", e.Hardware.Megabits))
	}
	if e.Hardware.Address != "" {
		known = append(known, "address "+e.Hardware.Address)
	}
	if len(known) == 0 {
		return what
	}
	return what + ": " + strings.Join(known, ", ")
}

func (e Explanation) leads() string {
	switch {
	case e.Hardware.Wireless:
		return "the radio network it joins"
	case e.Interface.Kind == "device":
		return "its cable (or, in a virtual machine, the host's network)"
	}
	return "it"
}
