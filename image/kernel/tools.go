package kernel

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"runa/services/hint"
)

// tools are the programs that a kernel build runs, with their Debian packages.
var tools = []struct{ program, debian string }{
	{"gcc", "gcc"},
	{"ld", "binutils"},
	{"make", "make"},
	{"flex", "flex"},
	{"bison", "bison"},
	{"bc", "bc"},
	{"perl", "perl"},
	{"patch", "patch"},
	{"tar", "tar"},
	{"xz", "xz-utils"},
	{"gzip", "gzip"},
}

// headers are the C headers that the kernel's own build programs include.
var headers = []struct{ header, debian string }{
	{"stdio.h", "libc6-dev"},
	{"gelf.h", "libelf-dev"},
}

// machine answers what the build host has; tests give another.
type machine interface {
	hasProgram(name string) bool
	hasHeader(name string) bool
}

// host is the machine we run on.
type host struct{}

func (host) hasProgram(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

func (host) hasHeader(name string) bool {
	gcc := exec.Command("gcc", "-E", "-o", os.DevNull, "-x", "c", "-")
	gcc.Stdin = strings.NewReader("#include <" + name + ">\n")
	return gcc.Run() == nil
}

// checkTools says what is missing on the build host before any work is begun.
func checkTools(m machine) error {
	var missing, packages []string
	for _, t := range tools {
		if !m.hasProgram(t.program) {
			missing = append(missing, t.program)
			packages = append(packages, t.debian)
		}
	}
	if m.hasProgram("gcc") {
		for _, h := range headers {
			if !m.hasHeader(h.header) {
				missing = append(missing, h.header)
				packages = append(packages, h.debian)
			}
		}
	}
	if missing == nil {
		return nil
	}
	err := fmt.Errorf("prepare to build the kernel: not on this machine: %s", strings.Join(missing, ", "))
	return hint.New(err, "sudo apt-get install -y %s", strings.Join(packages, " "))
}

// toolVersions names the compiler and linker, whose versions decide the kernel's bytes.
func toolVersions(ctx context.Context) (string, error) {
	var versions []string
	for _, tool := range []string{"gcc", "ld"} {
		command := exec.CommandContext(ctx, tool, "--version")
		command.Env = buildEnvironment()
		out, err := command.Output()
		if err != nil {
			return "", fmt.Errorf("ask %s for its version: %w", tool, err)
		}
		first, _, _ := strings.Cut(string(out), "\n")
		versions = append(versions, first)
	}
	return strings.Join(versions, "\n"), nil
}

// buildEnvironment is all that reaches the compiler from outside: nothing of the
// caller's that would change the result (CFLAGS, ARCH, LOCALVERSION, a
// surrounding make's MAKEFLAGS), and fixed values for what the kernel would
// otherwise take from the clock, the person and the machine.
func buildEnvironment() []string {
	environment := []string{
		"LC_ALL=C",
		"TZ=UTC",
		"KBUILD_BUILD_TIMESTAMP=Tue Jan  1 00:00:00 UTC 1980",
		"KBUILD_BUILD_USER=runa",
		"KBUILD_BUILD_HOST=runa",
		"KBUILD_BUILD_VERSION=1",
	}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}
