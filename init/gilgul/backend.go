package gilgul

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"runa/init/control"
	"runa/init/logring"
	"runa/init/power"
	"runa/init/supervise"
)

// machine answers what is asked at the control socket.
var _ control.Backend = (*machine)(nil)

// Status gathers the state of everything.
func (m *machine) Status() control.Status {
	s := control.Status{
		Version: m.version, Kernel: kernelRelease(), Uptime: uptime(), ReadyAfter: m.services.readyAfter(),
		Services: m.services.status(), Problems: m.state.list(),
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

// Logs hands over kept lines and, with follow, new ones.
func (m *machine) Logs(ctx context.Context, service string, lines int, follow bool, each func(control.LogLine) error) error {
	send := func(l logring.Line) error {
		return each(control.LogLine{Time: l.Time, Service: l.Service, Text: l.Text, Lost: l.Lost})
	}
	if follow {
		return asNotFound(m.logs.Follow(ctx, service, lines, send))
	}
	kept, err := m.logs.Last(service, lines)
	if err != nil {
		return asNotFound(err)
	}
	for _, l := range kept {
		if err := send(l); err != nil {
			return err
		}
	}
	return nil
}

// asNotFound gives errors about unknown names the meaning the protocol has
// for them.
func asNotFound(err error) error {
	if errors.Is(err, logring.ErrNoLog) || errors.Is(err, supervise.ErrUnknown) {
		return fmt.Errorf("%w: %w", control.ErrNotFound, err)
	}
	return err
}

// Service starts, stops or restarts one service.
func (m *machine) Service(name, action string) error {
	m.log.Info("a person asks", "service", name, "action", action)
	return asNotFound(m.services.request(name, action))
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
