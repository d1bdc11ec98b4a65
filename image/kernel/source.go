package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"runa/image/progress"
	"runa/services/hint"
)

// tarballPattern is the name of Debian's kernel source inside linux-source-N.NN,
// below /usr/src.
const tarballPattern = "linux-source-*.tar.xz"

// findTarball finds the source archive: source itself, or the only one in it.
func findTarball(source string) (string, error) {
	info, err := os.Stat(source)
	if err != nil {
		return "", fmt.Errorf("find the kernel source: %w", err)
	}
	if !info.IsDir() {
		return source, nil
	}
	var found []string
	for _, folder := range []string{".", "usr/src"} {
		matches, err := filepath.Glob(filepath.Join(source, folder, tarballPattern))
		if err != nil {
			return "", fmt.Errorf("find the kernel source in %s: %w", source, err)
		}
		found = append(found, matches...)
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("find the kernel source: no %s in %s or its usr/src", tarballPattern, source)
	case 1:
		return found[0], nil
	}
	err = fmt.Errorf("find the kernel source: %d archives in %s: %s", len(found), source, strings.Join(found, ", "))
	return "", hint.New(err, "name the archive itself")
}

// otherArchitectures have sources that no x86 build reads. Their Kconfig files
// are read by other Kconfig files and stay.
var otherArchitectures = []string{
	"alpha", "arc", "arm", "arm64", "csky", "hexagon", "loongarch", "m68k", "microblaze", "mips", "nios2",
	"openrisc", "parisc", "powerpc", "riscv", "s390", "sh", "sparc", "xtensa",
}

// notNeeded are tar patterns for what stays in the archive, to save disk and
// time. An asterisk matches slashes too.
func notNeeded() []string {
	patterns := []string{"*/Documentation/*/*", "*/tools/testing/*", "*/drivers/gpu/drm/amd/include/*"}
	for _, arch := range otherArchitectures {
		patterns = append(patterns, "*/arch/"+arch+"/*.[chS]", "*/arch/"+arch+"/*.dts*")
	}
	return patterns
}

// unpack puts the source tree, without the archive's top folder, into dir.
func unpack(ctx context.Context, tarball, dir string, p *progress.Printer) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("unpack the kernel source: %w", err)
	}
	archive, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("unpack the kernel source: %w", err)
	}
	defer archive.Close()
	info, err := archive.Stat()
	if err != nil {
		return fmt.Errorf("unpack the kernel source: %w", err)
	}
	task := p.Task("unpack the kernel source")
	input := &counted{reader: archive, report: func(n int64) { task.Set(n, info.Size(), "bytes") }}

	args := []string{
		"--extract", "--use-compress-program=xz -T0", "--strip-components=1", "--directory=" + dir,
		"--no-same-owner", "--file=-", "--wildcards",
	}
	for _, pattern := range notNeeded() {
		args = append(args, "--exclude="+pattern)
	}
	command := exec.CommandContext(ctx, "tar", args...)
	command.Env = buildEnvironment()
	command.Stdin = input
	var complaints strings.Builder
	command.Stderr = &complaints
	if err := command.Run(); err != nil {
		return fmt.Errorf("unpack the kernel source %s: %w: %s", tarball, orCancelled(ctx, err), strings.TrimSpace(complaints.String()))
	}
	task.Done()
	return nil
}

// counted reports how many bytes were read through it.
type counted struct {
	reader io.Reader
	read   int64
	report func(read int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	c.read += int64(n)
	c.report(c.read)
	return n, err
}

// orCancelled gives the reason the work was stopped rather than the signal that
// stopped it.
func orCancelled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Base(from), err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Base(from), err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Base(from), err)
	}
	return nil
}
