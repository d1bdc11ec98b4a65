package runa

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"runa/init/control"
	"runa/services/hint"
)

// Update is `runa update`: a new version of one part.
type Update struct {
	Service string `arg:"" help:"Name of the service; runa status lists them."`
	Program string `arg:"" help:"The file with its new program."`
}

// Help adds what `runa update --help` shows below the usage.
func (Update) Help() string {
	return `Examples:
  runa update splinfer /data/splinfer-new
  runa events -f splinfer

The program is copied and the service started with it, on probation. If it does not get
ready, or fails before its probation is over, the version before comes back by itself.`
}

func (u Update) run(ctx context.Context, e Environment) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	program, err := programFile(u.Program)
	if err == nil {
		err = control.NewClient(e.Control).Update(ctx, u.Service, program)
	}
	if err != nil {
		return fmt.Errorf("update %s: %w", u.Service, err)
	}
	fmt.Fprintf(e.Out, "%s: update asked for; `runa events -f %s` shows how it goes\n", u.Service, u.Service)
	return nil
}

// programFile returns the absolute path of what may be a program.
func programFile(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", hint.New(err, "name the file that has the new program in it")
	case !info.Mode().IsRegular():
		return "", hint.New(fmt.Errorf("%s is not a file", path), "name the file that has the new program in it")
	}
	return path, nil
}
