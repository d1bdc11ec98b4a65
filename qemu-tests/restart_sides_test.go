package qemutests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"runa/init/control"
)

// benchHome is a folder of the ordinary user with the programs in it.
func benchHome(b *testing.B) string {
	b.Helper()
	home, err := os.MkdirTemp("", "runa-restart-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(home) })
	programs := map[string]string{"small": Program(b, "small", "")}
	for _, name := range []string{"gilgul", "enclose", "splinter"} {
		content, err := os.ReadFile(filepath.Join(FindArtefacts(b).Bin, name))
		if err != nil {
			b.Fatal(err)
		}
		programs[name] = string(content)
	}
	for name, content := range programs {
		benchFile(b, filepath.Join(home, "bin", name), content, 0o755)
	}
	return home
}

func benchFile(b *testing.B, path, content string, mode os.FileMode) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		b.Fatal(err)
	}
}

// asUser makes a folder the ordinary user's and gives the command to them.
func asUser(b *testing.B, home string, command *exec.Cmd) *exec.Cmd {
	b.Helper()
	user := benchUser()
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		owner := strconv.Itoa(user)
		run(b, "coreutils", "chown", "-R", owner+":"+owner, home)
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}
	}
	return command
}

// gilgulSide is `gilgul --user` with its bus and the copies. One of them goes
// by the name splinfer, because gilgul would start Runa's own otherwise.
func gilgulSide(b *testing.B, home string, copies int) *side {
	b.Helper()
	names := []string{"splinfer"}
	for i := 1; i < copies; i++ {
		names = append(names, fmt.Sprintf("small-%d", i))
	}
	s := &side{name: "gilgul"}
	for _, name := range names {
		benchFile(b, filepath.Join(home, ".config/runa/services", name+".yaml"), `exec: `+filepath.Join(home, "bin/small")+`
ready: {by: notify, timeout: 30s}
restart: {policy: always, initial: 1s, max: 30s, stable: 500ms}
data: true
`, 0o600)
		s.services = append(s.services, newBenchService(b, filepath.Join(home, ".local/share/runa", name)))
	}
	runtime := filepath.Join(home, "run")
	command := exec.Command(filepath.Join(home, "bin/gilgul"), "--user")
	command.Dir = home
	command.Env = []string{"HOME=" + home, "PATH=/bin:/usr/bin", "XDG_RUNTIME_DIR=" + runtime}
	s.supervisor = asUser(b, home, command)
	client := control.NewClient(filepath.Join(runtime, "runa/control.sock"))
	s.pids = func() []int {
		status, err := client.Status(benchContext(b))
		if err != nil {
			b.Fatal(err)
		}
		var pids []int
		for _, name := range names {
			i := slices.IndexFunc(status.Services, func(one control.ServiceStatus) bool { return one.Name == name })
			if i < 0 {
				b.Fatalf("gilgul knows no %s", name)
			}
			pids = append(pids, status.Services[i].PID)
		}
		return pids
	}
	return s
}

// runitSide is one runsv for each copy, as runit does it: its program is the
// service itself, without a shell between.
func runitSide(b *testing.B, home string, copies int) *side {
	b.Helper()
	runsv, err := exec.LookPath("runsv")
	if err != nil {
		b.Fatalf("%v: apt-get install runit", err)
	}
	s := &side{name: "runit"}
	// runsvdir is left out: it looks for new folders every five seconds and has no
	// part in a restart. A shell starts all of them in one group.
	script := ""
	for i := range copies {
		folder := filepath.Join(home, "runit", strconv.Itoa(i))
		s.services = append(s.services, newBenchService(b, folder))
		if err := os.Link(filepath.Join(home, "bin/small"), filepath.Join(folder, "run")); err != nil {
			b.Fatal(err)
		}
		script += fmt.Sprintf("%s %s & pids=\"$pids $!\"\n", runsv, folder)
	}
	s.supervisor = asUser(b, home, exec.Command("/bin/sh", "-c", script+"trap 'kill -TERM $pids; wait' TERM\nwait\nwait\n"))
	return s
}

// dinitSide is one dinit with all copies, without its limit on restarts.
func dinitSide(b *testing.B, home string, copies int) *side {
	b.Helper()
	s := &side{name: "dinit"}
	all := "type = internal\n"
	for i := range copies {
		folder := filepath.Join(home, "dinit-data", strconv.Itoa(i))
		s.services = append(s.services, newBenchService(b, folder))
		name := fmt.Sprintf("small-%d", i)
		benchFile(b, filepath.Join(home, "dinit", name), "type = process\ncommand = "+filepath.Join(home, "bin/small")+"\nworking-dir = "+folder+
			"\nrestart = true\nsmooth-recovery = true\nrestart-delay = 0\nrestart-limit-count = 0\n", 0o600)
		all += "waits-for = " + name + "\n"
	}
	benchFile(b, filepath.Join(home, "dinit", "boot"), all, 0o600)
	s.supervisor = asUser(b, home, exec.Command("dinit", "--user", "--services-dir", filepath.Join(home, "dinit"), "--socket-path", filepath.Join(home, "dinit.sock")))
	return s
}
