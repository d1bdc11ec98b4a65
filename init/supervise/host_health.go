package supervise

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/contain"
	"runa/init/health"
	"runa/init/manifest"
)

// lookEvery is how often each service's health is looked at.
const lookEvery = 250 * time.Millisecond

// watch looks at a life's health until it ends. Each life has a goroutine of its
// own, so that a bus on which one service's heart-beat can't be read keeps no
// other from being looked at.
func (h *Host) watch(l *life) {
	checker := health.New(l.manifest, l.started)
	gauge := newGauge(l)
	defer gauge.close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.ended:
			return
		case <-tick.C:
		}
		_ = contain.Call("look at the health of "+l.manifest.Name, func() error {
			h.look(l, checker, gauge)
			return nil
		})
	}
}

func (h *Host) look(l *life, checker *health.Checker, gauge *gauge) {
	sample := h.sample(l, gauge)
	select {
	case <-l.ended: // what was read may be of nobody, or of a stranger with its pid
		return
	default:
	}
	for _, defect := range checker.Look(h.Now(), sample) {
		l.tell(Report{Event: defect})
	}
}

// sample reads what there is to know of a service now.
func (h *Host) sample(l *life, gauge *gauge) health.Sample {
	s := health.Sample{Ready: h.serves(l)}
	gauge.read(&s)
	if l.manifest.Heartbeat > 0 && h.Bus != nil {
		s.Bus = h.Bus.Here()
		s.Beats, s.BeatsKnown = h.Bus.Heartbeat(l.manifest.Name)
	}
	return s
}

// serves says whether a service is past its start and not held still. Who gets
// ready by a bus key tells the supervisor and not the host: it counts as ready
// when it would have been ended otherwise.
func (h *Host) serves(l *life) bool {
	if l.frozen.Load() {
		return false
	}
	if l.manifest.Ready.By == manifest.ByBus {
		return h.Now().Sub(l.started) > l.manifest.Ready.Timeout
	}
	return l.ready.Load()
}

// Usage is what the service uses now; what is not known is 0.
func (h *Host) Usage(service string) Usage {
	l := h.life(service)
	if l == nil {
		return Usage{}
	}
	gauge := newGauge(l)
	defer gauge.close()
	var s health.Sample
	gauge.read(&s)
	return Usage{MemoryBytes: s.MemoryBytes, OpenFiles: s.OpenFiles, Processes: gauge.processes(), CPU: s.CPU}
}

// WatchHealth looks at the whole machine until the context ends and logs what
// a person should know. Services are looked at whether it runs or not.
func (h *Host) WatchHealth(ctx context.Context) {
	health.WatchMachine(ctx, readMachine, func(n health.Notice) {
		if n.Good {
			h.log().Info(n.What)
			return
		}
		h.log().Warn(n.What)
	})
}

// Pressure is how much programs have to wait on this machine now.
func (h *Host) Pressure() health.Pressure { return readMachine().Some }

// frozenFor bounds how long a service may be held still while its state is copied.
const frozenFor = 5 * time.Second

// hold keeps the service still while do runs, which gets a context that ends
// before anybody would miss it. A service that does not run is not held.
func (h *Host) hold(ctx context.Context, service string, do func(context.Context) error) error {
	l := h.life(service)
	if l == nil {
		return do(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, frozenFor)
	defer cancel()
	l.frozen.Store(true)
	defer l.frozen.Store(false)
	if err := l.process.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	defer func() { _ = l.process.Signal(unix.SIGCONT) }()
	return do(ctx)
}
