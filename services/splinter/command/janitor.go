package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"runa/services/splinter"
	"runa/services/supervised"
)

// statisticsKey holds the figures of the bus as JSON, for whoever may read sys/.
const statisticsKey = "sys/statistics"

// repairEvery is how often what the dead left is looked for. Nobody waits for
// it: who needs a lock or space of the dead gets it at once.
const repairEvery = 10 * time.Second

// janitor looks after a bus. It keeps nothing in mind that matters: one that is
// killed is followed by another that finds the same bus.
type janitor struct {
	bus      *splinter.Bus
	interval time.Duration // between statistics
	now      func() time.Time
	log      io.Writer
	gilgul   *supervised.Supervised

	failed   string // what was last said to have failed
	degraded bool   // and gilgul was told so
	tidied   error  // the last result of each job
	told     error
	repaired time.Time
}

// lookEvery is how often keys are looked over at least: a key that is set with a
// short time after a look is met at the next. Nobody gets the value of an expired
// key in any case.
const lookEvery = time.Second

// run works until ctx ends. It wakes for the next key that expires, for the
// statistics and for heart-beats, which so tell that this loop goes on. Looking over many keys takes time: it takes at most a hundredth of
// a processor. A job that fails is said once, and tried again.
func (j *janitor) run(ctx context.Context) error {
	statistics := time.NewTicker(j.interval)
	defer statistics.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	var beat <-chan time.Time
	if period := j.gilgul.Period(); period > 0 {
		ticker := time.NewTicker(max(period/2, time.Millisecond))
		defer ticker.Stop()
		beat = ticker.C
		_ = j.gilgul.Beat(j.bus)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			begin := time.Now()
			next := min(j.tidy(), lookEvery)
			look.Reset(max(next, 100*time.Since(begin)))
		case <-statistics.C:
			j.told = j.publish()
			j.report(j.told)
		case <-beat:
			_ = j.gilgul.Beat(j.bus) // one that fails is missed, and that is what it is for
		}
		j.tellState()
	}
}

// tidy removes what is to go and returns how long nothing more will have to.
func (j *janitor) tidy() time.Duration {
	now := j.now()
	_, err := j.bus.Evict(now)
	if err == nil && now.Sub(j.repaired) >= repairEvery {
		j.repaired = now
		var found splinter.Report
		if found, err = j.bus.Repair(); err == nil && !found.Clean() {
			err = fmt.Errorf("the bus is damaged: %d problems, the first: %s", len(found.Problems), found.Problems[0])
		}
	}
	next := time.Hour
	if err == nil {
		next, err = j.nextExpiry(now)
	}
	j.tidied = err
	j.report(err)
	return next
}

// nextExpiry is how long it is until the first key expires, an hour if none does.
func (j *janitor) nextExpiry(now time.Time) (time.Duration, error) {
	next := time.Hour
	keys, err := j.bus.List("")
	for _, key := range keys {
		if d, err := j.bus.Describe(key); err == nil && !d.Expires.IsZero() {
			next = min(next, d.Expires.Sub(now))
		}
	}
	return max(next, time.Millisecond), err
}

func (j *janitor) publish() error {
	figures, err := j.bus.Statistics()
	if err != nil {
		return err
	}
	data, err := json.Marshal(figures)
	if err != nil {
		return err
	}
	return j.bus.SetWith(statisticsKey, data, splinter.Meta{Type: "json"})
}

// tellState tells gilgul when a job begins to fail, and when none does any more.
func (j *janitor) tellState() {
	cause := j.tidied
	if cause == nil {
		cause = j.told
	}
	if (cause != nil) == j.degraded {
		return
	}
	j.degraded = cause != nil
	if j.degraded {
		j.report(j.gilgul.Degraded(cause.Error()))
	} else {
		j.report(j.gilgul.Well())
	}
}

// report says what failed, once until something else does.
func (j *janitor) report(err error) {
	if err == nil || errors.Is(err, splinter.ErrClosed) || err.Error() == j.failed {
		return
	}
	j.failed = err.Error()
	fmt.Fprintf(j.log, "%v\n", err)
}
