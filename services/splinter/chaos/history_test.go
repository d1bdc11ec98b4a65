package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"

	"runa/services/splinter"
)

const (
	schedules   = 100
	clients     = 4
	historyKeys = 2
	historySize = 25 // operations of one client in one schedule
)

// operation is a line of a history: what a client asked, when, and what it was told.
type operation struct {
	Kind         string // get, set, cas, unset
	Key          int
	Value        uint64 // set and cas: the number of the value
	Expected     uint64 // cas: the version it asked for
	Got          uint64 // get: the number of the value
	Version      uint64 // get and cas that succeeded
	Found        bool   // get and unset: the key was there; cas: it was set
	Call, Return int64  // ns of the machine's monotonic clock
}

func clock() int64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail with this clock
	return t.Nano()
}

func historyKey(schedule uint64, key int) string { return fmt.Sprintf("history/%d/%d", schedule, key) }

// history is a client: for each seed on its standard input it runs a schedule at
// the instant given with it and answers with what it did.
func history(bus *splinter.Bus, client int) error {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		var seed uint64
		var begin int64
		if _, err := fmt.Sscan(in.Text(), &seed, &begin); err != nil {
			return err
		}
		random := rand.New(rand.NewPCG(seed, uint64(client)))
		var values [historySize][]byte // made before, so that operations follow each other closely
		for n := range values {
			values[n] = body{1, valueNumber(client, n)}.bytes(make([]byte, 16*size(random)%(100<<10)+bodyLeast))
		}
		var done []operation
		time.Sleep(time.Duration(begin - clock())) // who spins keeps the others from a processor
		for n := range historySize {
			op, err := act(bus, random, seed, valueNumber(client, n), values[n], done)
			if err != nil {
				return err
			}
			done = append(done, op)
		}
		if err := out.Encode(done); err != nil {
			return err
		}
	}
	return in.Err()
}

func valueNumber(client, n int) uint64 { return uint64(client*1000 + n + 1) }

// act does one operation. A compare-and-set asks for a version that the client
// has been told of, for 0, or for one that never was.
func act(bus *splinter.Bus, random *rand.Rand, schedule, value uint64, encoded []byte, done []operation) (op operation, err error) {
	op.Key = random.IntN(historyKeys)
	key := historyKey(schedule, op.Key)
	op.Kind = []string{"get", "get", "get", "set", "set", "cas", "cas", "cas", "unset"}[random.IntN(9)]
	if op.Kind == "set" || op.Kind == "cas" {
		op.Value = value
	}
	if op.Kind == "cas" && random.IntN(4) > 0 {
		for _, earlier := range slices.Backward(done) {
			if earlier.Key == op.Key && earlier.Version != 0 {
				op.Expected = earlier.Version
				break
			}
		}
	}
	op.Call = clock()
	var got []byte
	switch op.Kind {
	case "get":
		got, op.Version, err = bus.Get(key)
	case "set":
		err = bus.Set(key, encoded)
	case "cas":
		op.Version, err = bus.CompareAndSet(key, op.Expected, encoded)
	case "unset":
		err = bus.Unset(key)
	}
	op.Return = clock()
	op.Found = err == nil
	if errors.Is(err, splinter.ErrNotFound) || errors.Is(err, splinter.ErrConflict) {
		op.Version = 0
		return op, nil
	}
	if err == nil && op.Kind == "get" {
		var b body
		b, err = parse(got)
		op.Got = b.number
	}
	return op, err
}

// register is what a key holds in the sequential model. A set does not tell its
// version, so that can be unknown; it is greater than floor then.
type register struct {
	there          bool
	value          uint64
	version, floor uint64
}

// step says whether a key in state s may answer op so, and what it is then.
func step(s register, op operation) (bool, register) {
	known := s.version != 0
	fits := func(version uint64) bool { return known && version == s.version || !known && version > s.floor }
	switch op.Kind {
	case "get":
		if !op.Found {
			return !s.there, s
		}
		if !s.there || op.Got != s.value || !fits(op.Version) {
			return false, s
		}
		s.version, s.floor = op.Version, op.Version
		return true, s
	case "set":
		return true, register{there: true, value: op.Value, floor: s.floor}
	case "unset":
		return op.Found == s.there, register{floor: s.floor}
	}
	if !op.Found { // a cas that was refused
		must := op.Expected == 0 && !s.there || op.Expected != 0 && s.there && known && op.Expected == s.version
		return !must, s
	}
	may := op.Expected == 0 && !s.there || op.Expected != 0 && s.there && fits(op.Expected)
	return may && op.Version > max(s.floor, op.Expected), register{there: true, value: op.Value, version: op.Version, floor: op.Version}
}

var model = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, historyKeys)
		for _, o := range all {
			key := o.Input.(operation).Key
			parts[key] = append(parts[key], o)
		}
		return parts
	},
	Init: func() any { return register{} },
	Step: func(state, input, _ any) (bool, any) { return step(state.(register), input.(operation)) },
}

// check says whether one order explains the histories of all clients.
func check(histories [][]operation) porcupine.CheckResult {
	var all []porcupine.Operation
	for client, history := range histories {
		for _, op := range history {
			all = append(all, porcupine.Operation{ClientId: client, Input: op, Call: op.Call, Return: op.Return})
		}
	}
	return porcupine.CheckOperationsTimeout(model, all, 20*time.Second)
}

// client is one process that records histories.
type client struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
}

func (f *fixture) startClient(n int) *client {
	c := &client{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(slices.Clone(f.env), fmt.Sprintf("RUNA_CHAOS_ROLE=history %d", n), fmt.Sprintf("RUNA_CHAOS_SEED=%d", f.seed))
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		f.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	c.answers = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.in.Close(); c.cmd.Wait() })
	return c
}

func TestHistoriesAreLinearisable(t *testing.T) {
	f := newFixture(t)
	var all [clients]*client
	for i := range all {
		all[i] = f.startClient(i)
	}
	overlaps := 0
	for n := range uint64(schedules) {
		seed := f.seed + n
		begin := clock() + int64(2*time.Millisecond)
		for _, c := range all {
			if _, err := fmt.Fprintln(c.in, seed, begin); err != nil {
				t.Fatal(err)
			}
		}
		histories := make([][]operation, clients)
		for i, c := range all {
			if err := c.answers.Decode(&histories[i]); err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
		}
		if result := check(histories); result != porcupine.Ok {
			text, _ := json.Marshal(histories)
			t.Fatalf("schedule %d (seed %d): %v\n%s", n, seed, result, text)
		}
		overlaps += overlapping(histories)
		for key := range historyKeys {
			f.bus.Unset(historyKey(seed, key))
		}
	}
	if overlaps == 0 {
		t.Error("no two operations of different processes were under way at the same time: nothing was tested")
	}
	t.Logf("%d schedules of %d operations by %d processes; %d overlapped one of another process", schedules, clients*historySize, clients, overlaps)
}

func overlapping(histories [][]operation) (n int) {
	for i, history := range histories {
		for _, op := range history {
			if slices.ContainsFunc(slices.Concat(slices.Concat(histories[:i]...), slices.Concat(histories[i+1:]...)), func(other operation) bool {
				return other.Call < op.Return && op.Call < other.Return
			}) {
				n++
			}
		}
	}
	return n
}

// The checker itself is tested: it refuses what a bus may not do.
func TestTheCheckerRefusesWhatIsNotLinearisable(t *testing.T) {
	set := operation{Kind: "set", Value: 1, Found: true, Call: 0, Return: 10}
	for name, c := range map[string]struct {
		second operation
		want   porcupine.CheckResult
	}{
		"a get sees the set before it":       {operation{Kind: "get", Found: true, Got: 1, Version: 1, Call: 20, Return: 30}, porcupine.Ok},
		"a get may miss a set at its time":   {operation{Kind: "get", Call: 5, Return: 30}, porcupine.Ok},
		"a get misses the set before it":     {operation{Kind: "get", Call: 20, Return: 30}, porcupine.Illegal},
		"a get sees what nobody set":         {operation{Kind: "get", Found: true, Got: 2, Version: 1, Call: 20, Return: 30}, porcupine.Illegal},
		"a cas inserts a key that is there":  {operation{Kind: "cas", Value: 2, Found: true, Version: 2, Call: 20, Return: 30}, porcupine.Illegal},
		"a cas gives an older version":       {operation{Kind: "cas", Value: 2, Expected: 5, Found: true, Version: 4, Call: 20, Return: 30}, porcupine.Illegal},
		"an unset does not find what is set": {operation{Kind: "unset", Call: 20, Return: 30}, porcupine.Illegal},
	} {
		if got := check([][]operation{{set}, {c.second}}); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
