package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Sysctl is one kernel setting (Documentation/admin-guide/sysctl).
type Sysctl struct {
	Key   string // with dots: kernel.dmesg_restrict
	Value string
}

// Sysctls lists the settings, each with its reason. What the running kernel
// was built without is skipped: a feature that isn't there needs no limit.
func Sysctls() []Sysctl {
	return []Sysctl{
		// Kernel lines below "critical" stay off the console, where a person types.
		{"kernel.printk", "3 4 1 3"},
		// gilgul's own log goes there too and must not be thinned out.
		{"kernel.printk_devkmsg", "on"},
		// Programs learn nothing about the kernel's memory, and can't look into each other.
		{"kernel.dmesg_restrict", "1"},
		{"kernel.kptr_restrict", "2"},
		{"kernel.perf_event_paranoid", "3"},
		{"kernel.yama.ptrace_scope", "1"},
		{"kernel.unprivileged_bpf_disabled", "1"},
		// Each service has a user namespace of its own, made by gilgul; those inside can make none
		// (their filter of system calls), nor can a person who is not root make many.
		{"user.max_user_namespaces", "256"},
		{"kernel.kexec_load_disabled", "1"},
		{"kernel.io_uring_disabled", "2"},
		// A magic key on a serial line is a break: noise must not reboot the machine.
		{"kernel.sysrq", "0"},
		{"fs.suid_dumpable", "0"},
		{"fs.protected_hardlinks", "1"},
		{"fs.protected_symlinks", "1"},
		{"fs.protected_fifos", "2"},
		{"fs.protected_regular", "2"},
		// Were an interface ever up, nothing is forwarded and no address made by itself.
		{"net.ipv4.ip_forward", "0"},
		{"net.ipv6.conf.all.forwarding", "0"},
		{"net.ipv6.conf.all.disable_ipv6", "1"},
		{"net.ipv6.conf.default.disable_ipv6", "1"},
		// A hypervisor's request to shut down takes the same ordered way as a person's.
		{"kernel.poweroff_cmd", "/bin/runa poweroff"},
	}
}

func (s Sysctl) write(root string) error {
	path := filepath.Join(root, strings.ReplaceAll(s.Key, ".", "/"))
	err := os.WriteFile(path, []byte(s.Value+"\n"), 0o644)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set to %q: %w", s.Value, err)
	}
	return nil
}
