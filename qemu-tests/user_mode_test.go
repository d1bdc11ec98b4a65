package qemutests

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"runa/init/control"
)

// ordinary is a user without any right beyond their own files.
const ordinary = 1000

// userHost is a folder of an ordinary user with Runa's programs, on this host.
type userHost struct {
	t      *testing.T
	home   string
	gilgul *exec.Cmd
	said   *lockedBuffer
}

// lockedBuffer is a bytes.Buffer that may be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A user's gilgul runs bus, inference and a service of the user's own, answers,
// heals what was killed, and leaves nothing behind.
func TestAnOrdinaryUserRunsTheSameServicesOnThisMachine(t *testing.T) {
	h := newUserHost(t)
	h.start()
	h.ready()
	if said := h.said.String(); strings.Count(said, "not confined: ") == 0 || strings.Contains(said, "problem: ") {
		t.Errorf("gilgul said:\n%s", said)
	}
	if words := h.runa(Question...); strings.TrimSpace(words) == "" {
		t.Error("the answer is empty")
	}
	before := h.service("splinfer")
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.until("splinfer lives again", func() bool {
		now := h.service("splinfer")
		return now.State == "ready" && now.Restarts > before.Restarts
	})
	if words := h.runa(Question...); strings.TrimSpace(words) == "" {
		t.Error("the answer after the restart is empty")
	}
	second := h.command("gilgul", "--user")
	if output, err := second.CombinedOutput(); err == nil || !strings.Contains(string(output), "one runs already") {
		t.Errorf("a second gilgul: %v\n%s", err, output)
	}
	h.runa("poweroff")
	if err := h.gilgul.Wait(); err != nil {
		t.Errorf("gilgul ended with %v:\n%s", err, h.said)
	}
	h.nothingLeft()
}

func newUserHost(t *testing.T) *userHost {
	t.Helper()
	artefacts := FindArtefacts(t)
	home, err := os.MkdirTemp("", "runa-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	h := &userHost{t: t, home: home, said: &lockedBuffer{}}
	for _, name := range []string{"enclose", "gilgul", "runa", "splinfer", "splinter"} {
		h.copy(filepath.Join(artefacts.Bin, name), filepath.Join("bin", name))
	}
	libraries, err := filepath.Glob(filepath.Join(artefacts.LlamaDir, "*"))
	if err != nil || len(libraries) == 0 {
		t.Fatalf("no libraries in %s: %v", artefacts.LlamaDir, err)
	}
	for _, file := range libraries {
		h.copy(file, filepath.Join("llama", filepath.Base(file)))
	}
	h.copy(artefacts.Model, "models/stories15m.gguf")
	h.write(".config/runa/services/sleeper.yaml", "exec: /bin/sleep\nargs: [infinity]\nneeds: [splinter]\n")
	if os.Geteuid() == 0 {
		if output, err := exec.Command("chown", "-R", strconv.Itoa(ordinary)+":"+strconv.Itoa(ordinary), home).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
	}
	return h
}

func (h *userHost) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *userHost) copy(from, name string) {
	h.t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(name, string(content))
	if err := os.Chmod(filepath.Join(h.home, name), 0o755); err != nil {
		h.t.Fatal(err)
	}
}

// command is one of Runa's programs as the ordinary user.
func (h *userHost) command(program string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(h.home, "bin", program), args...)
	run := filepath.Join(h.home, "run")
	c.Dir = h.home
	c.Env = []string{
		"HOME=" + h.home, "PATH=/bin:/usr/bin", "XDG_RUNTIME_DIR=" + run, "LANG=C.UTF-8",
		"RUNA_CONTROL=" + filepath.Join(run, "runa", "control.sock"), "RUNA_BUS=" + filepath.Join(run, "runa", "bus", "bus"),
	}
	c.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: ordinary, Gid: ordinary}
	}
	return c
}

func (h *userHost) start() {
	h.t.Helper()
	h.gilgul = h.command("gilgul", "--user", "--libraries", filepath.Join(h.home, "llama"), "--models", filepath.Join(h.home, "models"))
	h.gilgul.Stdout, h.gilgul.Stderr = h.said, h.said
	if err := h.gilgul.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = h.gilgul.Process.Kill() })
}

// runa is a command of the user's that must succeed.
func (h *userHost) runa(args ...string) string {
	h.t.Helper()
	c := h.command("runa", args...)
	var complaint strings.Builder
	c.Stderr = &complaint
	output, err := c.Output()
	if err != nil {
		h.t.Fatalf("runa %v: %v\n%s%s\ngilgul said:\n%s", args, err, output, complaint.String(), h.said)
	}
	return string(output)
}

// status is what `runa status --json` says, or nothing while gilgul is not there.
func (h *userHost) status() (s control.Status) {
	output, _ := h.command("runa", "status", "--json").Output() // its exit status tells of states
	_ = json.Unmarshal(output, &s)
	return s
}

func (h *userHost) service(name string) control.ServiceStatus {
	for _, one := range h.status().Services {
		if one.Name == name {
			return one
		}
	}
	return control.ServiceStatus{}
}

func (h *userHost) ready() {
	h.t.Helper()
	h.until("everything is ready", func() bool {
		ready := 0
		for _, one := range h.status().Services {
			if one.State == "ready" {
				ready++
			}
		}
		return ready == 3
	})
}

func (h *userHost) until(what string, is func() bool) {
	h.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			logs, _ := h.command("runa", "logs", "-n", "100").CombinedOutput()
			h.t.Fatalf("not so after two minutes: %s\nstatus %+v\ngilgul said:\n%s\nlogs:\n%s", what, h.status(), h.said, logs)
		}
	}
}

// nothingLeft looks for processes of the programs that this test copied.
func (h *userHost) nothingLeft() {
	h.t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && strings.HasPrefix(program, h.home) {
			h.t.Errorf("%s still runs as %s", program, filepath.Dir(link))
		}
	}
}
