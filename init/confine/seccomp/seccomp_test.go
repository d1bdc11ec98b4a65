package seccomp

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// machine makes a filter into what decides over a call as the kernel would.
func machine(t *testing.T, profile string, report bool) func(arch, number uint32, args ...uint64) uint32 {
	t.Helper()
	filter, err := Filter(profile, report)
	if err != nil {
		t.Fatal(err)
	}
	program, all := bpf.Disassemble(filter)
	if !all {
		t.Fatal("the filter has unknown instructions")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return func(arch, number uint32, args ...uint64) uint32 {
		// The machine reads words of network packets, most significant byte first; the
		// two halves of an argument stand as the kernel has them.
		data := make([]byte, 64)
		binary.BigEndian.PutUint32(data[offsetNumber:], number)
		binary.BigEndian.PutUint32(data[offsetArch:], arch)
		for i, arg := range args {
			binary.BigEndian.PutUint32(data[offsetArgs+8*i:], uint32(arg))
			binary.BigEndian.PutUint32(data[offsetArgs+8*i+4:], uint32(arg>>32))
		}
		verdict, err := vm.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(verdict)
	}
}

const (
	allowed  = uint32(unix.SECCOMP_RET_ALLOW)
	reported = uint32(unix.SECCOMP_RET_USER_NOTIF)
	killed   = uint32(unix.SECCOMP_RET_KILL_PROCESS)
	missing  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	refused  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
)

func TestArgumentsDecideWhereTheProfileSaysSo(t *testing.T) {
	const high = 1 << 32
	service, inference := machine(t, Service, true), machine(t, Inference, true)
	for _, c := range []struct {
		call                       string
		args                       []uint64
		wantService, wantInference uint32
	}{
		{"read", nil, allowed, allowed},
		{"socket", []uint64{unix.AF_INET}, reported, reported},
		{"socket", []uint64{unix.AF_UNIX}, reported, reported},
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allowed, allowed},
		{"clone", []uint64{unix.CLONE_NEWUSER}, reported, reported},
		{"clone", []uint64{unix.CLONE_NEWNET | uint64(unix.SIGCHLD)}, reported, reported},
		{"clone3", nil, missing, missing},
		{"mmap", []uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE, unix.MAP_ANONYMOUS}, allowed, allowed},
		{"mmap", []uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE}, allowed, allowed},
		{"mmap", []uint64{0, 4096, unix.PROT_EXEC, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS}, reported, allowed},
		{"mmap", []uint64{0, 4096, unix.PROT_WRITE | unix.PROT_EXEC, unix.MAP_PRIVATE}, reported, allowed},
		{"mprotect", []uint64{0, 4096, unix.PROT_READ}, allowed, allowed},
		{"mprotect", []uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, reported, allowed},
		{"ioctl", []uint64{0, unix.TCGETS}, allowed, allowed},
		{"ioctl", []uint64{0, high | unix.TCGETS}, allowed, allowed}, // the kernel looks at 32 bits too
		{"ioctl", []uint64{0, unix.TIOCSTI}, reported, reported},
		{"prctl", []uint64{unix.PR_SET_VMA}, allowed, allowed},
		{"prctl", []uint64{unix.PR_SET_SECCOMP}, reported, reported},
		{"prlimit64", []uint64{0, unix.RLIMIT_NOFILE, 0}, allowed, allowed},
		{"prlimit64", []uint64{0, unix.RLIMIT_NOFILE, 1}, reported, reported},
		{"prlimit64", []uint64{0, unix.RLIMIT_NOFILE, high}, reported, reported},
		{"personality", []uint64{0xffffffff}, allowed, allowed},
		{"personality", []uint64{0x0040000}, reported, reported},
		{"sched_setaffinity", nil, reported, allowed},
		{"bpf", nil, reported, reported},
	} {
		number, known := Number(c.call)
		if !known {
			t.Fatalf("no call %s here", c.call)
		}
		if got := service(auditArch, number, c.args...); got != c.wantService {
			t.Errorf("%s%v as service: got %#x, want %#x", c.call, c.args, got, c.wantService)
		}
		if got := inference(auditArch, number, c.args...); got != c.wantInference {
			t.Errorf("%s%v as inference: got %#x, want %#x", c.call, c.args, got, c.wantInference)
		}
	}
}

func TestWhatNoProfileListsIsRefused(t *testing.T) {
	listed := map[string]bool{}
	rules, err := Profile(Inference)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		listed[r.Call] = true
	}
	told, quiet := machine(t, Inference, true), machine(t, Inference, false)
	for number := range uint32(600) {
		if listed[Name(int32(number))] {
			continue
		}
		if got := told(auditArch, number); got != reported {
			t.Errorf("%s: got %#x", Name(int32(number)), got)
		}
		if got := quiet(auditArch, number); got != refused {
			t.Errorf("%s without a listener: got %#x", Name(int32(number)), got)
		}
	}
	for _, number := range []uint32{0x40000000, 0x40000000 | unix.SYS_READ, 0xffffffff} {
		if got := told(auditArch, number); got != reported {
			t.Errorf("number %#x: got %#x", number, got)
		}
	}
}

func TestCallsInTheWaysOfAnotherArchitectureKill(t *testing.T) {
	decide := machine(t, Service, true)
	for _, arch := range []uint32{unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, 0} {
		if got := decide(arch, unix.SYS_READ); got != killed {
			t.Errorf("%#x: got %#x", arch, got)
		}
	}
}

func TestWhatNobodyMayDoIsInNoProfile(t *testing.T) {
	never := map[string]bool{}
	for _, call := range []string{
		"socket", "socketpair", "connect", "bind", "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "ptrace",
		"process_vm_readv", "process_vm_writev", "bpf", "perf_event_open", "io_uring_setup", "userfaultfd", "keyctl", "add_key",
		"request_key", "init_module", "finit_module", "delete_module", "kexec_load", "reboot", "setuid", "setgid", "setgroups",
		"capset", "setrlimit", "sethostname", "settimeofday", "clock_settime", "iopl", "ioperm", "mknod", "mknodat", "seccomp",
		"open_by_handle_at", "swapon", "acct", "syslog", "execveat", "memfd_secret", "pidfd_getfd", "move_mount", "open_tree",
	} {
		never[call] = true
	}
	for _, profile := range []string{Service, Inference} {
		rules, err := Profile(profile)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if never[r.Call] {
				t.Errorf("%s allows %s", profile, r.Call)
			}
		}
	}
	if _, err := Profile("everything"); err == nil {
		t.Error("a profile that is not there was found")
	}
}

// A misspelt name would be refused silently on the machine.
func TestEveryCallOfTheProfilesExists(t *testing.T) {
	rules, err := Profile(Inference)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if _, known := Number(r.Call); !known && auditArch == unix.AUDIT_ARCH_X86_64 {
			t.Errorf("there is no call %s", r.Call)
		}
	}
}

func TestRefusalsAreToldInWords(t *testing.T) {
	number := func(call string) int32 { n, _ := Number(call); return int32(n) }
	for _, c := range []struct {
		number       int32
		args         [6]uint64
		rule, detail string
	}{
		{number("socket"), [6]uint64{unix.AF_PACKET}, "seccomp/socket", "AF_PACKET"},
		{number("socket"), [6]uint64{45}, "seccomp/socket", "AF_MCTP"},
		{number("socket"), [6]uint64{46}, "seccomp/socket", "AF 46"},
		{number("socket"), [6]uint64{1<<64 - 1}, "seccomp/socket", "AF 4294967295"},
		{number("unshare"), [6]uint64{unix.CLONE_NEWUSER | unix.CLONE_NEWNET}, "seccomp/unshare", "CLONE_NEWUSER|CLONE_NEWNET"},
		{number("setns"), [6]uint64{0, unix.CLONE_NEWTIME}, "seccomp/setns", "CLONE_NEWTIME"},
		{number("ioctl"), [6]uint64{0, unix.TIOCSTI}, "seccomp/ioctl", "TIOCSTI"},
		{number("ioctl"), [6]uint64{0, 0x1234}, "seccomp/ioctl", "0x1234"},
		{number("prctl"), [6]uint64{unix.PR_SET_SECCOMP}, "seccomp/prctl", "PR_SET_SECCOMP"},
		{number("prlimit64"), [6]uint64{0, unix.RLIMIT_NOFILE}, "seccomp/prlimit64", "RLIMIT_NOFILE"},
		{number("mmap"), [6]uint64{0, 0, unix.PROT_WRITE | unix.PROT_EXEC}, "seccomp/mmap", "PROT_WRITE|PROT_EXEC"},
		{number("reboot"), [6]uint64{}, "seccomp/reboot", ""},
		{9999, [6]uint64{}, "seccomp/number-9999", ""},
		{-1, [6]uint64{}, "seccomp/number-4294967295", ""},
	} {
		if rule, detail := Describe(c.number, c.args); rule != c.rule || detail != c.detail {
			t.Errorf("got %s %q, want %s %q", rule, detail, c.rule, c.detail)
		}
	}
}

func TestAFilterIsSmallEnoughForTheKernel(t *testing.T) {
	for _, profile := range []string{Service, Inference} {
		filter, err := Filter(profile, true)
		if err != nil || len(filter) > 1000 { // BPF_MAXINSNS is 4096; each one costs at start
			t.Errorf("%s has %d instructions, %v", profile, len(filter), err)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	for b.Loop() {
		if _, err := Filter(Inference, true); err != nil {
			b.Fatal(err)
		}
	}
}
