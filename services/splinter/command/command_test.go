package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"runa/services/hint"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"splinter": func() {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		if err := Main(ctx); err != nil {
			hint.Print(os.Stderr, err)
			os.Exit(1)
		}
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("RUNA_BUS", e.WorkDir+"/bus")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"pipe-ready": pipeReady},
	})
}

// pipeReady starts splinter serve with a pipe as RUNA_NOTIFY_FD, waits for its
// READY=1 and ends it with SIGTERM, as gilgul does.
func pipeReady(ts *testscript.TestScript, neg bool, args []string) {
	read, write, err := os.Pipe()
	ts.Check(err)
	defer read.Close()
	path, err := lookPath(ts.Getenv("PATH"))
	ts.Check(err)
	process, err := os.StartProcess(path, append([]string{"splinter", "serve"}, args...), &os.ProcAttr{
		Env:   append(os.Environ(), "RUNA_NOTIFY_FD=3", "RUNA_BUS="+ts.Getenv("RUNA_BUS")),
		Files: []*os.File{nil, nil, os.Stderr, write},
	})
	ts.Check(err)
	write.Close()
	line := make([]byte, 100)
	n, _ := read.Read(line)
	ts.Check(process.Signal(syscall.SIGTERM))
	state, err := process.Wait()
	ts.Check(err)
	if string(line[:n]) != "READY=1\n" || !state.Success() {
		ts.Fatalf("serve said %q and ended with %v", line[:n], state)
	}
}

func lookPath(path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, "splinter"); isFile(file) {
			return file, nil
		}
	}
	return "", fmt.Errorf("no splinter in %s", path)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
