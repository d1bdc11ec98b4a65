package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"runa/services/hint"
)

// runner runs a program in dir and returns its standard output. Its error ends
// with what the program said.
type runner func(ctx context.Context, dir, program string, args ...string) (string, error)

func (f Fetcher) runner() runner {
	if f.run != nil {
		return f.run
	}
	return runProgram
}

func runProgram(ctx context.Context, dir, program string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return "", hint.New(fmt.Errorf("run %s: %w", program, err), "install the Debian package that has %s, or run make, which does", program)
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("run %s: %w", program, ctx.Err())
	}
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", program, args[0], err, lastLines(stderr.String(), 5))
	}
	return stdout.String(), nil
}

// lastLines returns the last n lines that say something, on one line.
func lastLines(text string, n int) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// npmPack downloads through npm. Its cache is the scratch folder: ours keeps the archive.
func (f Fetcher) npmPack(ctx context.Context, pin Pin, scratch string) error {
	_, err := f.runner()(ctx, scratch, "npm", "pack", pin.Name+"@"+pin.Version,
		"--ignore-scripts", "--loglevel=error", "--cache="+filepath.Join(scratch, "npm"), "--pack-destination="+scratch)
	if err != nil && strings.Contains(err.Error(), "ETARGET") {
		return fmt.Errorf("%w: %w", ErrNotOffered, err)
	}
	return err
}

// aptDownload downloads through apt-get: with the machine's lists if they offer
// the pinned version, else with fresh lists of our own.
func (f Fetcher) aptDownload(ctx context.Context, pin Pin, scratch string) error {
	var options []string
	offered, _, err := f.aptOffers(ctx, pin.Name, nil)
	if err != nil || !offered[pin.Version] {
		if options, err = f.aptUpdate(ctx); err != nil {
			return err
		}
		var candidate string
		if offered, candidate, err = f.aptOffers(ctx, pin.Name, options); err != nil {
			return err
		}
		if !offered[pin.Version] {
			return notOffered(pin, candidate)
		}
	}
	_, err = f.aptGet(ctx, scratch, options, "download", pin.Name+"="+pin.Version)
	return err
}

func notOffered(pin Pin, candidate string) error {
	if candidate == "" {
		err := fmt.Errorf("%w: the archive has no %s at all", ErrNotOffered, pin.Name)
		return hint.New(err, "this build wants Debian 12's main and security sections: see /etc/apt/sources.list and sources.list.d")
	}
	err := fmt.Errorf("%w: wanted %s, the archive offers %s", ErrNotOffered, pin.Version, candidate)
	return hint.New(err, "`runa-image pin` takes over what the archive offers now; then build again")
}

// aptGet runs apt-get. Root needs no sandbox user, who could not write into scratch.
func (f Fetcher) aptGet(ctx context.Context, dir string, options []string, args ...string) (string, error) {
	return f.runner()(ctx, dir, "apt-get", append(append([]string{"-q", "-o", "APT::Sandbox::User=root"}, options...), args...)...)
}

// aptUpdate fetches the archive's lists into the cache, where no root is needed and
// nobody's system changes, and returns apt's options to use them.
func (f Fetcher) aptUpdate(ctx context.Context) (options []string, err error) {
	state := filepath.Join(f.Cache.Root, "apt")
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, sub), 0o755); err != nil {
			return nil, fmt.Errorf("make apt's folders: %w", err)
		}
	}
	options = []string{"-o", "Dir::State::lists=" + filepath.Join(state, "lists"), "-o", "Dir::Cache=" + filepath.Join(state, "cache")}
	task := f.Progress.Task("fetch Debian's package lists")
	if _, err := f.aptGet(ctx, state, options, "update"); err != nil {
		return nil, err
	}
	task.Done()
	return options, nil
}

// aptOffers returns the versions of a package that the lists know, and the one
// that apt would install ("" if none).
func (f Fetcher) aptOffers(ctx context.Context, name string, options []string) (offered map[string]bool, candidate string, err error) {
	madison, err := f.runner()(ctx, "/", "apt-cache", append(options, "madison", name)...)
	if err != nil {
		return nil, "", err
	}
	offered = map[string]bool{}
	for line := range strings.Lines(madison) {
		fields := strings.Split(line, "|") // name | version | where from
		if len(fields) == 3 && !strings.HasSuffix(strings.TrimSpace(fields[2]), "Sources") {
			offered[strings.TrimSpace(fields[1])] = true
		}
	}
	policy, err := f.runner()(ctx, "/", "apt-cache", append(options, "policy", name)...)
	if err != nil {
		return nil, "", err
	}
	for line := range strings.Lines(policy) {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate:"); ok {
			if version = strings.TrimSpace(version); version != "(none)" {
				candidate = version
			}
		}
	}
	return offered, candidate, nil
}
