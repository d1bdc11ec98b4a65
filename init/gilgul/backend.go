package gilgul

import (
	"golang.org/x/sys/unix"

	"runa/init/control"
	"runa/init/power"
)

// machine answers what is asked at the control socket.
var _ control.Backend = (*machine)(nil)

// Status gathers the state of everything.
func (m *machine) Status() control.Status {
	s := control.Status{
		Version: m.version, Kernel: kernelRelease(), Uptime: uptime(), ReadyAfter: m.ReadyAfter(),
		Services: m.Supervisor.Status(), Problems: m.state.list(), NotConfined: m.NotConfined(), Faults: m.Faults(), Pressure: m.Pressure(), Consents: m.consents(),
	}
	data, err := m.state.mounted()
	switch {
	case data != nil:
		size, free := data.Usage()
		s.Data = control.DataStatus{Mounted: true, Device: data.Device, SizeBytes: size, FreeBytes: free}
	case err != nil:
		s.Data.Reason = err.Error()
	default:
		s.Data.Reason = "looking for the disk"
	}
	links, err := m.guard.Interfaces()
	if err != nil {
		s.Problems = append(s.Problems, newProblem("network", err))
	}
	for _, l := range links {
		s.Interfaces = append(s.Interfaces, control.InterfaceStatus{Name: l.Name, Up: l.Up, Kind: l.Kind})
	}
	return s
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// Power begins the end of the machine.
func (m *machine) Power(action string) error {
	request := power.Request{Action: power.Off, Reason: "you asked for it"}
	if action == control.Reboot {
		request.Action = power.Reboot
	}
	select {
	case m.ends <- request:
	default: // it is ending already
	}
	return nil
}
