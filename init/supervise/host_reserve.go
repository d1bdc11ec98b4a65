package supervise

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/confine"
)

// reserveSize is how many descriptors are kept back: those that making one
// process takes (three pipes, the launcher's sockets, pidfd, cgroup, listener),
// and as many again.
const reserveSize = 48

// reserve keeps descriptors back for the day on which gilgul's table, or the
// kernel's, is full: a service can then still be started, and the ladder goes
// on, instead of everything ending with PID 1's table.
type reserve struct {
	mu   sync.Mutex
	kept []*os.File
}

// fill takes what is missing. What can't be had now is had another time.
func (r *reserve) fill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.kept) < reserveSize {
		f, err := os.OpenFile(os.DevNull, unix.O_PATH, 0)
		if err != nil {
			return
		}
		r.kept = append(r.kept, f)
	}
}

// drop gives all of it back and says whether there was any.
func (r *reserve) drop() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	had := len(r.kept) > 0
	for _, f := range r.kept {
		f.Close()
	}
	r.kept = nil
	return had
}

// spendTries and spendPause: who was faster to take what was given back, or
// something else that ends, gives descriptors back meanwhile.
const (
	spendTries = 4
	spendPause = 20 * time.Millisecond
)

// spend calls do, and again with the reserve given back if it failed for want
// of descriptors.
func (r *reserve) spend(do func() error) error {
	r.fill()
	err := do()
	for try := range spendTries {
		if !confine.Exhausted(err) {
			return err
		}
		if !r.drop() {
			time.Sleep(spendPause << try)
		}
		err = do()
	}
	return err
}
