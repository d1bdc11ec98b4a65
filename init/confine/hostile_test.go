package confine

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"runa/init/confine/hostile"
	"runa/init/manifest"
)

// heard collects refusals.
type heard struct {
	mu    sync.Mutex
	count map[string]int // by rule
}

func (h *heard) refused(r Refusal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == nil {
		h.count = map[string]int{}
	}
	h.count[r.Rule] += r.Count
}

func (h *heard) of(rule string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count[rule]
}

func TestAHostileServiceGetsNowhereAndEachRuleIsTold(t *testing.T) {
	var h heard
	l := newLauncher(t, Options{Refused: h.refused})
	other := filepath.Join(openDir(t), "other")
	if err := os.Mkdir(other, 0o777); err != nil {
		t.Fatal(err)
	}
	out, exit := output(t, l, Spec{
		Service: "hostile", Exec: "/bin/hostile", Program: l.enclose, Args: []string{"hostile"}, UID: someUser,
		Env: []string{hostile.OthersVariable + "=" + other}, Limits: manifest.Limits{Files: 64, PIDs: 64},
	})
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "refused ") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if !exit.Status.Exited() || exit.Status.ExitStatus() != 0 {
		t.Errorf("it ended with %s:\n%s", statusText(exit.Status), out)
	}
	attempts := hostile.Attempts()
	for _, a := range attempts {
		if !strings.Contains(out, "refused "+a.Name+": ") {
			t.Errorf("%s was not tried", a.Name)
		}
		if strings.HasPrefix(a.Rule, "seccomp/") && a.Rule != "seccomp/clone3" && h.of(a.Rule) == 0 {
			t.Errorf("%s: nobody was told of %s", a.Name, a.Rule)
		}
	}
	t.Logf("%d attempts, none succeeded", len(attempts))
}

// TestAnOrdinaryUserConfinesAsWell runs this binary's tests again as a user
// without any privilege.
func TestAnOrdinaryUserConfinesAsWell(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	binary, temporary := filepath.Join(dir, "confine.test"), filepath.Join(dir, "tmp")
	copyFile(t, "/proc/self/exe", binary)
	if err := os.Mkdir(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(temporary, someUser, someUser); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.v", "-test.run", "^Test(AService|AHostile|Nothing|Another|Wait|Run|TheProcess|OneThat|Without)")
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + temporary, "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someUser, Gid: someUser}}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS") < 9 || strings.Contains(string(out), "--- SKIP") {
		t.Errorf("%v\n%s", err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
