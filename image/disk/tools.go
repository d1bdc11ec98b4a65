package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"runa/services/hint"
)

// Tools are the programs Build runs. An empty field means the program of the
// usual name, looked for in PATH, /usr/sbin and /sbin.
type Tools struct {
	GRUBMkimage  string // grub-mkimage, of Debian's grub-common
	MkfsFAT      string // mkfs.fat, of dosfstools
	Mmd          string // mmd, of mtools
	Mcopy        string // mcopy, of mtools
	Mke2fs       string // mke2fs, of e2fsprogs
	Debugfs      string // debugfs, of e2fsprogs
	MkfsErofs    string // mkfs.erofs, of erofs-utils
	VbutilKernel string // vbutil_kernel, of vboot-kernel-utils
}

// runner runs the tools so that nothing of this machine or moment gets into what
// they write: one fixed time, UTC, no configuration files. They run in dir.
type runner struct {
	Tools
	time time.Time
	dir  string
}

// run starts the program and waits for it. Its standard error is returned, and
// is part of the error if it failed.
func (r runner) run(ctx context.Context, path, name, debian string, args ...string) (string, error) {
	if path == "" {
		path = find(name)
	}
	if path == "" {
		return "", hint.New(fmt.Errorf("run %s: not found in PATH", name), "apt-get install %s", debian)
	}
	seconds := strconv.FormatInt(r.time.Unix(), 10)
	command := exec.CommandContext(ctx, path, args...)
	command.Dir = r.dir
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + r.dir, "LC_ALL=C", "TZ=UTC",
		"SOURCE_DATE_EPOCH=" + seconds, "E2FSPROGS_FAKE_TIME=" + seconds,
		"MKE2FS_CONFIG=/dev/null", "MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1",
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	err := command.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("run %s: %w", name, ctx.Err())
	}
	said := strings.Join(strings.Fields(stderr.String()), " ")
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return said, fmt.Errorf("run %s: %w: %s", name, err, said)
	}
	if err != nil {
		return said, hint.New(fmt.Errorf("run %s: %w", name, err), "is %s whole? apt-get install --reinstall %s", path, debian)
	}
	return said, nil
}

// find looks a program up in PATH, then where Debian keeps those an ordinary
// user's PATH leaves out; "" if it is nowhere.
func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, folder := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path
		}
	}
	return ""
}
