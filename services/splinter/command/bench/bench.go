package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Options say what is measured and for how long.
type Options struct {
	Rounds      int           // the median of so many counts
	Window      time.Duration // how long a contender does one operation in a round, about
	Dir         string        // a folder on a tmpfs
	Libsplinter string        // path of the shared library; empty leaves it out
	Peer        func(ctx context.Context, dir string) *exec.Cmd
	Progress    func(format string, args ...any)
}

// Result is one contender's median.
type Result struct {
	Name      string  `json:"name"`
	Contender string  `json:"contender"`
	Ns        float64 `json:"ns"`
	Ratio     float64 `json:"ratio"` // to splinter, in the same rounds
}

// Absence is a contender that could not take part, and why.
type Absence struct {
	Contender string `json:"contender"`
	Reason    string `json:"reason"`
}

// Report is what a run measured.
type Report struct {
	Rounds  int       `json:"rounds"`
	Results []Result  `json:"results"`
	Absent  []Absence `json:"absent,omitempty"`
}

// measurement is what one contender does in a round; run returns a figure, in
// nanoseconds, for each name.
type measurement struct {
	names     []string
	contender string
	run       func() ([]float64, error)
}

// Run measures everything. It ends every process it started and removes its folder.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Rounds < 1 || o.Window <= 0 {
		return Report{}, errors.New("rounds and window must be greater than 0")
	}
	dir, err := os.MkdirTemp(o.Dir, "splinter-bench-*")
	if err != nil {
		return Report{}, err
	}
	defer os.RemoveAll(dir)
	b := &bench{Options: o, ctx: ctx, dir: dir, report: Report{Rounds: o.Rounds}}
	defer b.close()
	if err := b.begin(); err != nil {
		return Report{}, err
	}
	for _, group := range []func() ([]measurement, error){b.values, b.readers, b.calls, b.publishing, b.waking, b.roundTrips} {
		measurements, err := group()
		if err == nil {
			err = b.measure(measurements)
		}
		if err != nil {
			return Report{}, err
		}
	}
	return b.report, nil
}

type bench struct {
	Options
	ctx         context.Context
	dir         string
	report      Report
	bus         *busStore
	redis       *redisStore
	lmdb        *native
	libsplinter *libsplinter
	peer        *peerProcess // this program again
	ends        []func()
}

func (b *bench) atEnd(end func()) { b.ends = append(b.ends, end) }

func (b *bench) close() {
	for _, end := range slices.Backward(b.ends) {
		end()
	}
}

func (b *bench) absent(contender string, err error) {
	b.report.Absent = append(b.report.Absent, Absence{contender, err.Error()})
}

// begin opens every contender that is there.
func (b *bench) begin() (err error) {
	if b.bus, err = newBusStore(b.dir); err != nil {
		return err
	}
	b.atEnd(b.bus.Close)
	if b.peer, err = b.startPeer(); err != nil {
		return err
	}
	if b.redis, err = newRedisStore(b.ctx, b.dir); err != nil {
		b.absent("redis", err)
	} else {
		b.atEnd(b.redis.Close)
	}
	binary, err := compilePeer(b.ctx, b.dir)
	if err != nil {
		b.absent("lmdb and libsplinter", err)
		return nil
	}
	if b.lmdb, err = newLMDB(b.ctx, binary, b.dir); err != nil {
		b.absent("lmdb", fmt.Errorf("%w; apt-get install liblmdb0", err))
		b.lmdb = nil
	} else {
		b.atEnd(b.lmdb.Close)
	}
	if b.Libsplinter == "" {
		b.absent("libsplinter", errors.New("its path was not given"))
		return nil
	}
	library, err := filepath.Abs(b.Libsplinter)
	if err != nil {
		return err
	}
	if b.libsplinter, err = newLibsplinterStores(b.ctx, binary, library, b.dir); err != nil {
		return err // it was asked for
	}
	b.atEnd(b.libsplinter.Close)
	return nil
}

func (b *bench) startPeer() (*peerProcess, error) {
	p, err := startProcess(b.Peer(b.ctx, b.dir))
	if err == nil {
		b.atEnd(p.stop)
	}
	return p, err
}

// stores are the contenders that are there.
func (b *bench) stores() []store {
	stores := []store{b.bus}
	if b.libsplinter != nil {
		stores = append(stores, b.libsplinter)
	}
	if b.lmdb != nil {
		stores = append(stores, b.lmdb)
	}
	if b.redis != nil {
		stores = append(stores, b.redis)
	}
	return stores
}

// values: set and get of every size, and a miss.
func (b *bench) values() (all []measurement, err error) {
	type operation struct {
		name string
		size int
	}
	var operations []operation
	for _, size := range sizes {
		operations = append(operations, operation{"set", size}, operation{"get", size})
	}
	for _, op := range append(operations, operation{"miss", 0}) {
		for _, s := range b.stores() {
			name := fmt.Sprintf("%s %s", op.name, sizeText(op.size))
			if op.name == "miss" {
				name = fmt.Sprintf("miss, %d keys", missKeys)
			}
			all = append(all, measurement{names: []string{name}, contender: s.Name(), run: b.adaptive(func(n int) (time.Duration, error) {
				return s.Do(op.name, op.size, n)
			})})
		}
	}
	return all, nil
}

func sizeText(size int) string {
	if size >= 1<<10 {
		return fmt.Sprintf("%d KiB", size>>10)
	}
	return fmt.Sprintf("%d B", size)
}

// adaptive finds once how often do can be done in the window, then does it so often.
func (b *bench) adaptive(do func(n int) (time.Duration, error)) func() ([]float64, error) {
	count := 0
	return func() ([]float64, error) {
		for n := 1; count == 0; n *= 4 {
			elapsed, err := do(n)
			if err != nil {
				return nil, err
			}
			if elapsed > b.Window/20 {
				count = max(1, int(float64(n)*float64(b.Window)/float64(elapsed)))
			}
		}
		elapsed, err := do(count)
		return []float64{float64(elapsed) / float64(count)}, err
	}
}

// measure runs all in turns, round after round, and reports the medians.
func (b *bench) measure(all []measurement) error {
	figures := map[[2]string][]float64{}
	for round := range b.Rounds {
		for _, m := range all {
			if b.Progress != nil {
				b.Progress("round %d of %d: %s, %s", round+1, b.Rounds, m.names[0], m.contender)
			}
			values, err := m.run()
			if err != nil {
				return fmt.Errorf("%s: %w", m.names[0], err)
			}
			for i, name := range m.names {
				at := [2]string{name, m.contender}
				figures[at] = append(figures[at], values[i])
			}
		}
	}
	for _, m := range all {
		for _, name := range m.names {
			ours := median(figures[[2]string{name, "splinter"}])
			ns := median(figures[[2]string{name, m.contender}])
			b.report.Results = append(b.report.Results, Result{name, m.contender, ns, ns / ours})
		}
	}
	return nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}
