package qemu

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Accel is how QEMU runs the guest's instructions.
type Accel struct {
	Name string // QEMU's -accel: kvm or tcg
	CPU  string // QEMU's -cpu
}

// The two accelerators. KVM runs instructions on the processor; TCG translates
// them, which works everywhere and is ten to a hundred times slower.
var (
	KVM = Accel{Name: "kvm", CPU: "host"}
	TCG = Accel{Name: "tcg", CPU: "max"}
)

// smokeLimit is how long a machine under KVM may take to print its marker.
// SeaBIOS needs about a second under TCG and far less under a KVM that works.
const smokeLimit = 3 * time.Second

// Accelerator finds out whether KVM runs a guest on this machine, and says why
// it chose what it chose in words for a person. The variable RUNA_ACCEL (kvm or
// tcg) overrides what it would find.
func Accelerator(ctx context.Context) (Accel, string) {
	return host{
		override: os.Getenv("RUNA_ACCEL"),
		cpuinfo:  "/proc/cpuinfo",
		device:   "/dev/kvm",
		smoke:    func(ctx context.Context) error { return smokeBoot(ctx, KVM, smokeLimit) },
	}.accelerator(ctx)
}

// host is what the choice depends on.
type host struct {
	override string
	cpuinfo  string
	device   string
	smoke    func(context.Context) error
}

func (h host) accelerator(ctx context.Context) (Accel, string) {
	switch h.override {
	case "kvm":
		return KVM, "RUNA_ACCEL=kvm asks for it"
	case "tcg":
		return TCG, "RUNA_ACCEL=tcg asks for it"
	}
	why := h.whyNotKVM(ctx)
	accel, reason := TCG, why
	if why == "" {
		accel, reason = KVM, "the processor and /dev/kvm run a guest"
	}
	if h.override != "" {
		reason = fmt.Sprintf("RUNA_ACCEL=%s is neither kvm nor tcg and was ignored; %s", h.override, reason)
	}
	return accel, reason
}

// whyNotKVM returns "" when KVM works. The device alone proves nothing: there
// are machines where it opens and creates a guest that then never runs.
func (h host) whyNotKVM(ctx context.Context) string {
	supported, err := hasVirtualization(h.cpuinfo)
	if err != nil {
		return fmt.Sprintf("the processor's features cannot be read: %v", err)
	}
	if !supported {
		return "the processor offers no virtualization here (neither vmx nor svm in " + h.cpuinfo + ")"
	}
	device, err := os.OpenFile(h.device, os.O_RDWR, 0)
	if err != nil {
		return fmt.Sprintf("KVM cannot be opened: %v", err)
	}
	device.Close()
	if err := h.smoke(ctx); err != nil {
		return fmt.Sprintf("a trial guest did not run under KVM: %v", err)
	}
	return ""
}

// hasVirtualization looks for Intel's vmx or AMD's svm among the flags of the
// processors in a file of /proc/cpuinfo's format.
func hasVirtualization(cpuinfo string) (bool, error) {
	file, err := os.Open(cpuinfo)
	if err != nil {
		return false, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(name) != "flags" {
			continue
		}
		flags := strings.Fields(value)
		if slices.Contains(flags, "vmx") || slices.Contains(flags, "svm") {
			return true, nil
		}
	}
	return false, lines.Err()
}
