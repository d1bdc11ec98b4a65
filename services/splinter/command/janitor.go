package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"runa/services/splinter"
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

	failed   string // what was last said to have failed
	repaired time.Time
}

// lookEvery is how often keys are looked over at least: a key that is set with a
// short time after a look is met at the next. Nobody gets the value of an expired
// key in any case.
const lookEvery = time.Second

// run works until ctx ends. It wakes for the next key that expires and for the
// statistics. Looking over many keys takes time: it takes at most a hundredth of
// a processor. A job that fails is said once, and tried again.
func (j *janitor) run(ctx context.Context) error {
	statistics := time.NewTicker(j.interval)
	defer statistics.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			begin := time.Now()
			next := min(j.tidy(), lookEvery)
			look.Reset(max(next, 100*time.Since(begin)))
		case <-statistics.C:
			j.report(j.publish())
		}
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

// report says what failed, once until something else does.
func (j *janitor) report(err error) {
	if err == nil || errors.Is(err, splinter.ErrClosed) || err.Error() == j.failed {
		return
	}
	j.failed = err.Error()
	fmt.Fprintf(j.log, "%v\n", err)
}
