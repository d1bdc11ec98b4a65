package gilgul

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"runa/init/assembly"
	"runa/init/confine"
	"runa/init/console"
	"runa/init/manifest"
	"runa/services/splinter"
)

// Where services are declared and live.
const (
	manifestFolder = "/etc/runa/services"
	servicesCgroup = "/sys/fs/cgroup/runa"
	dataFolder     = "/data"
	enclose        = "/bin/enclose"
)

// ownerRights are the owner's on the bus: to look at everything, to ask every
// service, to write only below owner/. A person who wants more has the root console.
var ownerRights = splinter.Rights{
	Read:  []string{"key:*", "topic:*"},
	Write: []string{"name:*", "key:owner/*", "topic:owner/*"},
}

// newServices says where the appliance keeps what services need.
func (m *machine) newServices() *assembly.Services {
	share, err := share()
	if err != nil {
		m.problem("limit the services", err)
	}
	return assembly.New(assembly.Config{
		Manifests: manifestFolder, Root: os.DirFS("/"), Data: dataFolder, Bus: splinter.DefaultPath,
		Cgroup: servicesCgroup, Share: share, Enclose: enclose, User: manifest.SystemUser,
		Grants: map[uint32]splinter.Rights{ownerUID: ownerRights},
		Reaper: m.reaper, Logs: m.logs, Log: m.log, Uptime: uptime, Problem: m.problem,
	})
}

// share is what all services together may take, which leaves the console its own.
func share() (manifest.Limits, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return manifest.Limits{}, fmt.Errorf("ask for the size of memory: %w", err)
	}
	return confine.Share(uint64(info.Totalram)*uint64(info.Unit), runtime.NumCPU()), nil
}

// makeBusFolder lets the bus's service, and nobody else, make the bus.
func (m *machine) makeBusFolder() {
	folder := filepath.Dir(splinter.DefaultPath)
	uid, err := manifest.SystemUser(assembly.BusService)
	if err == nil {
		err = os.MkdirAll(folder, 0o750)
	}
	if err == nil {
		err = os.Chown(folder, int(uid), groupRuna)
	}
	if err != nil {
		m.problem("make the bus's folder", err)
	}
}

// openServices makes ready what services need, beside which a person is at the
// console already.
func (m *machine) openServices(ctx context.Context) {
	m.makeBusFolder()
	m.Services.Open(ctx)
	close(m.opened)
}

// serviceLines are the services as the banner shows them.
func (m *machine) serviceLines() []console.Service {
	select {
	case <-m.opened:
	default:
		return []console.Service{{Name: "services", State: "starting"}}
	}
	var lines []console.Service
	for _, one := range m.Supervisor.Status() {
		lines = append(lines, console.Service{Name: one.Name, State: one.State, Reason: one.Reason})
	}
	return lines
}
