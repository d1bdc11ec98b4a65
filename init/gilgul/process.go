package gilgul

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"runa/init/console"
)

// outputBound is how much of a program's output is kept, in bytes.
const outputBound = 64 << 10

// runner gives the function that runs a program to its end and returns what it
// printed. It goes through start, for only the reaper may wait for children.
func runner(start console.Start) func(context.Context, string, ...string) (string, int, error) {
	return func(ctx context.Context, path string, args ...string) (string, int, error) {
		reader, writer, err := os.Pipe()
		if err != nil {
			return "", 0, err
		}
		defer reader.Close()
		cmd := &exec.Cmd{
			Path: path, Args: append([]string{path}, args...), Dir: "/",
			Env:    []string{"PATH=/bin:/sbin", "LANG=C"},
			Stdout: writer, Stderr: writer,
			SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		}
		wait, err := start(cmd)
		writer.Close()
		if err != nil {
			return "", 0, err
		}
		var output strings.Builder
		io.Copy(&output, io.LimitReader(reader, outputBound))
		io.Copy(io.Discard, reader)
		status := wait()
		if status.Signaled() {
			return output.String(), 0, fmt.Errorf("%s was ended by signal %d", path, status.Signal())
		}
		return output.String(), status.ExitStatus(), nil
	}
}
