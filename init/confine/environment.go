package confine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"runa/init/manifest"
)

// Environment is the clean environment of a service: nothing of gilgul's own
// but what shared gives every service, then the manifest's env.
func Environment(s manifest.Service, home string, shared map[string]string) []string {
	all := map[string]string{
		"PATH": "/bin", "HOME": home, "USER": s.User, "LANG": "C.UTF-8",
		"RUNA_SERVICE": s.Name, "RUNA_NOTIFY_FD": strconv.Itoa(NotifyFD),
	}
	if s.Heartbeat > 0 {
		all["RUNA_HEARTBEAT"] = s.Heartbeat.String()
	}
	for _, more := range []map[string]string{shared, s.Env} {
		for name, value := range more {
			all[name] = value
		}
	}
	list := make([]string, 0, len(all))
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// DataFolder makes sure that a service's own folder is there, belongs to uid
// and is closed to everybody else, and returns its path. Without root the owner
// stays who gilgul is.
func DataFolder(root, service string, uid uint32) (string, error) {
	dir := filepath.Join(root, service)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make its data folder: %w", err)
	}
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open its data folder %s: %w", dir, err)
	}
	defer unix.Close(fd)
	if os.Geteuid() == 0 {
		if err := unix.Fchown(fd, int(uid), Group); err != nil {
			return "", fmt.Errorf("give it its data folder %s: %w", dir, err)
		}
	}
	if err := unix.Fchmod(fd, 0o700); err != nil {
		return "", fmt.Errorf("close its data folder %s: %w", dir, err)
	}
	return dir, nil
}
