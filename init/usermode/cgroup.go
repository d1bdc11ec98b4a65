package usermode

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// ownCgroup returns the cgroup in which the services' cgroups can be made, or
// "" where none was delegated to this user (cgroups(7), "delegation"). A cgroup
// with limits for its children has no processes of its own, so gilgul moves into
// a child first.
func ownCgroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return delegated(cgroupRoot, string(text))
}

func delegated(root, membership string) string {
	var mine string
	for line := range strings.Lines(membership) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			mine = filepath.Join(root, path)
		}
	}
	var fs unix.Statfs_t
	if mine == "" || unix.Statfs(root, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return ""
	}
	if unix.Access(filepath.Join(mine, "cgroup.subtree_control"), unix.W_OK) != nil {
		return ""
	}
	own := filepath.Join(mine, "gilgul")
	if err := os.Mkdir(own, 0o755); err != nil && !os.IsExist(err) {
		return ""
	}
	if err := os.WriteFile(filepath.Join(own, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		os.Remove(own)
		return ""
	}
	return filepath.Join(mine, "runa")
}
