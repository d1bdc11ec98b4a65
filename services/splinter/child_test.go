package splinter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"runa/services/rmp"
)

// A test that needs a second process runs this binary again in one of these roles.
var roles = map[string]func(ctx context.Context, b *Bus) error{
	"echo":        echo,
	"accept":      acceptAndStay,
	"dial":        dialAndStay,
	"halfFrame":   sendHalfAFrame,
	"killedInSet": killedInSet("key"),
	"killedInNew": killedInSet("new"),
	"killedInUse": killedWithLocks,
	"setKey":      func(_ context.Context, b *Bus) error { return b.Set("key", []byte("from afar")) },
	"storm":       storm,
}

func TestMain(m *testing.M) {
	role := os.Getenv("SPLINTER_TEST_ROLE")
	if role == "" {
		code := m.Run()
		removeProgram()
		os.Exit(code)
	}
	// A parent that dies closes the pipe; nobody is left behind.
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	if role == "orphan" { // never opens the bus; lives until the parent's end
		select {}
	}
	b, err := Open(os.Getenv("RUNA_BUS"))
	if err == nil {
		err = roles[role](context.Background(), b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role, err)
		os.Exit(1)
	}
}

type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// start runs the role in a process of its own and waits until it says it is ready.
func start(t *testing.T, b *Bus, role string, env ...string) *child {
	t.Helper()
	cmd := programCommand(os.Args[0])
	cmd.Env = append(os.Environ(), "SPLINTER_TEST_ROLE="+role, "RUNA_BUS="+b.Path())
	cmd.Env = append(cmd.Env, env...)
	return startCommand(t, cmd)
}

// programCommand runs a program made for the machine that the tests were built for.
func programCommand(path string) *exec.Cmd {
	if runner := os.Getenv("SPLINTER_TEST_RUNNER"); runner != "" { // qemu-aarch64, say
		return exec.Command(runner, path)
	}
	return exec.Command(path)
}

func startCommand(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, lines: bufio.NewScanner(stdout)}
	t.Cleanup(func() { stdin.Close(); c.kill() })
	return c
}

func (c *child) ready(t *testing.T) *child {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatal("the other process ended before it was ready")
	}
	return c
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

func (c *child) wantKilled(t *testing.T) {
	t.Helper()
	err := c.cmd.Wait()
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the other process was to be killed by its hook, but: %v", err)
	}
}

func killSelf() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func echo(ctx context.Context, b *Bus) error {
	l, err := b.Listen("test")
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept(ctx)
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			for {
				f, err := c.Receive(ctx)
				if err != nil || c.Send(ctx, f) != nil {
					return
				}
			}
		}()
	}
}

func acceptAndStay(ctx context.Context, b *Bus) error {
	l, err := b.Listen("test")
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := l.Accept(ctx); err != nil {
		return err
	}
	fmt.Println("accepted")
	select {}
}

func dialAndStay(ctx context.Context, b *Bus) error {
	c, err := b.Dial(ctx, "test")
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = c.Receive(ctx)
	return err
}

func sendHalfAFrame(ctx context.Context, b *Bus) error {
	c, err := b.Dial(ctx, "test")
	if err != nil {
		return err
	}
	whole, err := rmp.New(rmp.SchemaToken, now(), [16]byte{}, 7, rmp.Token{Text: "whole"})
	if err != nil {
		return err
	}
	if err := c.Send(ctx, whole); err != nil {
		return err
	}
	encoded, _ := rmp.Encode(whole)
	if _, err := c.out.write(encoded[:50]); err != nil {
		return err
	}
	killSelf()
	return nil
}

func killedInSet(key string) func(context.Context, *Bus) error {
	return func(_ context.Context, b *Bus) error {
		hookStep = func(at step) {
			if at == stepHalfCopied {
				killSelf()
			}
		}
		return b.Set(key, []byte("unfinished"))
	}
}

func killedWithLocks(_ context.Context, b *Bus) error {
	b.lockStore()
	b.takeSlot() // marked and never used
	b.lockChannels()
	killSelf()
	return nil
}

// storm sets and removes keys until it is killed, at whatever instruction.
func storm(_ context.Context, b *Bus) error {
	fmt.Println("ready")
	for i := 0; ; i++ {
		key := fmt.Sprint("storm", i%4)
		if err := b.Set(key, bytes.Repeat([]byte{byte(i)}, []int{1000, 20, 5000, 100_000, 1000}[i%5])); err != nil {
			return err
		}
		if i%3 == 0 {
			if err := b.Unset(key); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
	}
}
