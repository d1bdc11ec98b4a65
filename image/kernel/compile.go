package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"runa/image/progress"
	"runa/services/hint"
)

// tree is an unpacked source that is configured and built in place: every path
// the compiler sees is then relative, so the folder's name isn't in the result.
type tree struct {
	dir  string
	log  *os.File // everything the kernel's makefiles print
	jobs int
}

// ignored are programs that the kernel's configuration looks for and, finding
// them, notes in .config, which is part of the kernel. It gets none of them, so
// that a machine that has them builds the same bytes as one that hasn't.
var ignored = []string{"RUSTC=none", "BINDGEN=none", "PAHOLE=none"}

// openLog makes an empty log that outlives a failed build.
func openLog(root, target string) (*os.File, error) {
	dir := filepath.Join(root, "log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open the kernel's build log: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, "kernel-"+target+".log"))
	if err != nil {
		return nil, fmt.Errorf("open the kernel's build log: %w", err)
	}
	return log, nil
}

// configure makes .config from nothing but what config asks for, and checks that
// all of it was kept.
func (t tree) configure(ctx context.Context, config Config) error {
	const asked = "asked.config"
	if err := os.WriteFile(filepath.Join(t.dir, asked), config.Text(), 0o644); err != nil {
		return fmt.Errorf("write the composed configuration: %w", err)
	}
	if err := t.run(ctx, io.Discard, "make", append(ignored, "KCONFIG_ALLCONFIG="+asked, "allnoconfig")...); err != nil {
		return err
	}
	dotConfig, err := os.Open(filepath.Join(t.dir, ".config"))
	if err != nil {
		return fmt.Errorf("configure the kernel: %w", err)
	}
	defer dotConfig.Close()
	known, err := knownSymbols(os.DirFS(t.dir))
	if err != nil {
		return err
	}
	return Check(config, dotConfig, known)
}

// compile builds bzImage and shows how far it has come.
func (t tree) compile(ctx context.Context, config Config, p *progress.Printer) error {
	task := p.Task("compile the kernel")
	steps := &stepCounter{total: config.Steps, report: func(done, total int) { task.Set(int64(done), int64(total), "steps") }}
	if err := t.run(ctx, steps, "make", append(ignored, "-j"+strconv.Itoa(t.jobs), "bzImage")...); err != nil {
		return err
	}
	if !steps.estimateHolds() {
		task.Note("took %d steps, %s says %d: correct it there for a better estimate", steps.done, targetsName, config.Steps)
	}
	task.Done()
	return nil
}

// collect moves what the build made into dir.
func (t tree) collect(ctx context.Context, dir string) error {
	if err := t.run(ctx, io.Discard, "strip", "--strip-all", "-o", filepath.Join(dir, vmlinuxName), "vmlinux"); err != nil {
		return err
	}
	release, err := os.ReadFile(filepath.Join(t.dir, "include/config/kernel.release"))
	if err != nil {
		return fmt.Errorf("read the kernel's version: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, versionName), []byte(strings.TrimSpace(string(release))), 0o644); err != nil {
		return fmt.Errorf("write the kernel's version: %w", err)
	}
	return errors.Join(
		copyFile(filepath.Join(t.dir, "arch/x86/boot/bzImage"), filepath.Join(dir, bzImageName)),
		copyFile(filepath.Join(t.dir, ".config"), filepath.Join(dir, configName)),
	)
}

// run runs one program in the tree. What it prints goes to the log, to watch, and
// by its last lines into the error.
func (t tree) run(ctx context.Context, watch io.Writer, program string, args ...string) error {
	var last tail
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = t.dir
	command.Env = buildEnvironment()
	output := io.MultiWriter(t.log, watch, &last)
	command.Stdout, command.Stderr = output, output
	// Compilers are children of children: end them all when the person gives up.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second
	err := command.Run()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: %w", program, cause)
	}
	err = fmt.Errorf("%s %s: %w; its last lines:\n%s", program, strings.Join(args, " "), err, last.String())
	return hint.New(err, "the whole output is in %s", t.log.Name())
}
