package gilgul

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/contain"
	"runa/init/power"
	"runa/init/watchdog"
)

// lastSteps is the end of the machine. The watchdog is fed all the way, so that
// an end that hangs is a reset.
func (m *machine) lastSteps() power.Steps {
	poweroff, _ := m.line.Value("gilgul.poweroff")
	end := power.End(poweroff == "reset")
	steps := power.Steps{
		StopServices: m.Shutdown,
		KillRest:     power.KillRest,
		Sync:         unix.Sync,
		End: func(a power.Action) error {
			if m.dog != nil {
				if err := m.dog.Close(); err != nil {
					m.log.Warn("the watchdog stays armed", "reason", err)
				}
			}
			return end(a)
		},
	}
	if data, _ := m.state.mounted(); data != nil {
		steps.CloseData = data.Close
	}
	return steps
}

// How long the supervisor may leave a question unanswered before the watchdog
// is no longer fed, and how often it is asked.
const (
	pulseLimit  = 30 * time.Second
	pulsePeriod = 5 * time.Second
)

// feedWatchdog keeps the hardware from resetting the machine as long as the
// supervisor answers. A machine without a watchdog does without.
func (m *machine) feedWatchdog(ctx context.Context) error {
	if m.dog == nil {
		dog, err := watchdog.Open(watchdog.System(m.log))
		if err != nil {
			m.log.Info("no watchdog", "reason", err)
			return nil
		}
		m.dog = dog
	}
	pulse := newPulse(time.Now)
	contain.Go("feel the supervisor's pulse", func() {
		for ctx.Err() == nil {
			m.Supervisor.Status()
			pulse.felt()
			pause(ctx, pulsePeriod)
		}
	})
	m.dog.Run(ctx, func() bool { return pulse.age() < pulseLimit })
	return nil
}
