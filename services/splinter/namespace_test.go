package splinter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// foreignUID has no name here; the group is the bus's own.
const foreignUID, foreignGID = 40017, 40018

// foreignBus is a bus that every process of foreignGID may use.
func foreignBus(t *testing.T, o Options) *Bus {
	t.Helper()
	folder := t.TempDir()
	for dir := folder; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755) // those that are not ours are open already
	}
	if os.Geteuid() == 0 {
		o.GID = foreignGID
	}
	b, err := Create(filepath.Join(folder, "bus"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// program is a copy of the test's program that other users may run.
var program = sync.OnceValues(copyProgram)

// removeProgram removes the copy, if there is one.
func removeProgram() {
	if programFolder != "" {
		os.RemoveAll(programFolder)
	}
}

var programFolder string

func copyProgram() (string, error) {
	source, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer source.Close()
	folder, err := os.MkdirTemp("", "splinter-program-")
	if err != nil {
		return "", err
	}
	programFolder = folder
	path := filepath.Join(folder, "program")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	if _, err = io.Copy(file, source); err == nil {
		err = file.Close()
	}
	if err == nil {
		err = os.Chmod(folder, 0o755)
	}
	return path, err
}

// startApart runs the role as the first process of new user and pid namespaces, as
// gilgul starts services; as root under another uid, which is mapped to itself.
func startApart(t *testing.T, b *Bus, role string, env ...string) *child {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = foreignUID, foreignGID
	}
	cmd := programCommand(path)
	cmd.Env = append(os.Environ(), "SPLINTER_TEST_ROLE="+role, "RUNA_BUS="+b.Path(), "SPLINTER_TEST_APART=1")
	cmd.Env = append(cmd.Env, env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
		Credential:  &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true},
	}
	return startCommand(t, cmd)
}

func (c *child) says(t *testing.T, want string) {
	t.Helper()
	if !c.lines.Scan() || c.lines.Text() != want {
		t.Fatalf("the other process says %q, %q was expected", c.lines.Text(), want)
	}
}

func (c *child) wantDone(t *testing.T) {
	t.Helper()
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("the other process: %v", err)
	}
}

// alone says whether this process is the first of a pid namespace, as it must be.
func alone() error {
	if os.Getenv("SPLINTER_TEST_APART") != "" && os.Getpid() != 1 {
		return fmt.Errorf("this process is %d, not 1: it has no pid namespace of its own", os.Getpid())
	}
	return nil
}

func TestAProcessHearsOfADeathInAnotherNamespace(t *testing.T) {
	b, ctx := foreignBus(t, Options{}), limit(t)
	server := startApart(t, b, "accept").ready(t)
	apart := startApart(t, b, "hearsOfDeath")
	apart.says(t, "dialled")
	server.ready(t)
	here, err := b.Dial(ctx, "test") // it stays unaccepted
	if err != nil {
		t.Fatal(err)
	}
	server.kill()
	apart.says(t, "heard")
	apart.wantDone(t)
	<-here.Done()
	if _, err := here.Receive(ctx); !errors.Is(err, ErrPeerDied) {
		t.Fatalf("receive: %v, want ErrPeerDied", err)
	}
}

func TestTheListenerHearsOfAClientsDeathInAnotherNamespace(t *testing.T) {
	b, ctx := foreignBus(t, Options{Connections: 1}), limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		client := startApart(t, b, "dial").ready(t)
		c, err := l.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		client.kill()
		<-c.Done()
		if _, err := c.Receive(ctx); !errors.Is(err, ErrPeerDied) {
			t.Fatalf("receive: %v, want ErrPeerDied", err)
		}
		c.Close()
	}
}

func TestLocksOfADeadProcessOfAnotherNamespaceAreTakenOver(t *testing.T) {
	b, ctx := foreignBus(t, Options{Slots: 64}), limit(t)
	for range 3 {
		holder := startApart(t, b, "holdsLocks")
		holder.says(t, "locked")
		holder.kill()
		startApart(t, b, "setsAndGoes").wantDone(t)
		if r, err := b.Check(); err != nil || !r.Clean() {
			t.Fatalf("check: %+v, %v", r, err)
		}
		wantValue(t, b, "key", string(make([]byte, 1000)))
		if _, err := b.Dial(ctx, "test"); !errors.Is(err, ErrNoListener) {
			t.Fatal(err)
		}
		if err := b.Unset("new"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALivingProcessOfAnotherNamespaceIsNeverTakenForDead(t *testing.T) {
	b := foreignBus(t, Options{})
	server := startApart(t, b, "echo").ready(t)
	holder := startApart(t, b, "holdsLocks")
	holder.says(t, "locked")
	asker := startApart(t, b, "seesAlive")
	asker.says(t, "alive")
	for range 1000 {
		if !b.alive(b.header().storeLock.Load()) {
			t.Fatal("this process takes it for dead")
		}
	}
	holder.kill()
	asker.says(t, "dead")
	asker.wantDone(t)
	startApart(t, b, "listenFails").wantDone(t)
	server.kill()
	if _, err := b.Listen("test"); err != nil {
		t.Fatalf("after the listener's death: %v", err)
	}
}

func TestStatisticsTellProcessesOfTwoNamespacesApart(t *testing.T) {
	b := foreignBus(t, Options{})
	startApart(t, b, "echo").ready(t)
	startApart(t, b, "dial").ready(t)
	s, err := b.Statistics()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, c := range s.Components {
		found = found || c.Name == "program" && slices.Equal(c.PIDs, []int{1, 1})
	}
	if !found || len(s.Connections) != 1 || s.Connections[0].Client != 1 || s.Connections[0].Server != 1 {
		t.Fatalf("components %+v, connections %+v", s.Components, s.Connections)
	}
}

func TestAChildThatOutlivesItKeepsNoDeadOwnerAlive(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	server := start(t, b, "leavesAChild").ready(t)
	c, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	server.ready(t)
	server.cmd.Process.Kill()
	<-c.Done()
	if _, err := c.Receive(ctx); !errors.Is(err, ErrPeerDied) {
		t.Fatalf("receive: %v, want ErrPeerDied", err)
	}
}

func TestDeathsAreHeardOfWithoutInotify(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	b.deaths.blind = true
	server := start(t, b, "accept").ready(t)
	c, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	server.ready(t)
	if b.deaths.events != nil {
		t.Fatal("there is an inotify instance")
	}
	server.kill()
	<-c.Done()
	if _, err := c.Receive(ctx); !errors.Is(err, ErrPeerDied) {
		t.Fatalf("receive: %v, want ErrPeerDied", err)
	}
}

func TestAHandleOfAnotherNumberInTheSameProcessIsSeen(t *testing.T) {
	b := newBus(t, Options{})
	other := again(t, b)
	if other.self == b.self || !b.alive(other.self) || !other.alive(b.self) {
		t.Fatalf("handles %#x and %#x", b.self, other.self)
	}
	other.Abandon()
	if b.alive(other.self) {
		t.Fatal("one that was abandoned is said to live")
	}
	if _, _, err := other.Get("key"); !errors.Is(err, ErrClosed) {
		t.Fatalf("get: %v, want ErrClosed", err)
	}
}

func TestHandlesThatAreClosedGiveTheirDescriptorsBack(t *testing.T) {
	b := newBus(t, Options{Slots: 64, ValueLimit: 64, Connections: 1})
	before := descriptors(t)
	for range 600 {
		other, err := Open(b.Path())
		if err != nil {
			t.Fatal(err)
		}
		other.Close()
	}
	ctx := limit(t)
	for descriptors(t) > before+4*collectEvery && ctx.Err() == nil {
		runtime.GC()
	}
	if after := descriptors(t); after > before+4*collectEvery {
		t.Fatalf("%d descriptors are open, %d were before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && strings.HasSuffix(target, "bus") {
			n++
		}
	}
	return n
}
