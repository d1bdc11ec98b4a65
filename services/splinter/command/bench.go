package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"runa/services/rmp"
	"runa/services/splinter"
)

type benchCommand struct {
	Rounds int    `help:"Alternating rounds; the median counts." default:"5"`
	Trips  int    `help:"Round trips in a round." default:"5000"`
	Dir    string `help:"A folder on a tmpfs for the bench's own bus." default:"/dev/shm" placeholder:"DIR"`
	JSON   bool   `help:"Print one JSON object." name:"json"`
}

// BenchResult are medians over the rounds, in nanoseconds per operation.
type BenchResult struct {
	SetNs        float64 `json:"set_64b_ns"`
	GetNs        float64 `json:"get_64b_ns"`
	MissNs       float64 `json:"miss_ns"`
	BusTripNs    float64 `json:"bus_round_trip_ns"`
	SocketTripNs float64 `json:"unix_socket_round_trip_ns"`
	Ratio        float64 `json:"socket_over_bus"`
}

func (c *benchCommand) Run(e environment) error {
	if c.Rounds < 1 || c.Trips < 1 {
		return errors.New("bench: --rounds and --trips must be at least 1")
	}
	dir, err := os.MkdirTemp(c.Dir, "splinter-bench-*")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	result, err := c.measure(e.ctx, dir, e.Err)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if c.JSON {
		return json.NewEncoder(e.Out).Encode(result)
	}
	w := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "set 64 B\t%.0f ns\nget 64 B\t%.0f ns\nmiss\t%.0f ns\n", result.SetNs, result.GetNs, result.MissNs)
	fmt.Fprintf(w, "round trip, bus\t%.0f ns\n", result.BusTripNs)
	fmt.Fprintf(w, "round trip, unix socket\t%.0f ns\n", result.SocketTripNs)
	fmt.Fprintf(w, "unix socket / bus\t%.2f\n", result.Ratio)
	fmt.Fprintf(w, "median of %d alternating rounds of %d round trips, a frame with 64 bytes\n", c.Rounds, c.Trips)
	return w.Flush()
}

// measure starts the peer, this program again, and alternates between the paths to it.
func (c *benchCommand) measure(ctx context.Context, dir string, stderr io.Writer) (result BenchResult, err error) {
	path, socket := filepath.Join(dir, "bus"), filepath.Join(dir, "socket")
	bus, err := splinter.Create(path, splinter.Options{})
	if err != nil {
		return result, err
	}
	defer bus.Close()
	stop, err := startPeer(ctx, path, socket, stderr)
	if err != nil {
		return result, err
	}
	defer stop()
	conn, err := bus.Dial(ctx, peerName)
	if err != nil {
		return result, err
	}
	defer conn.Close()
	stream, err := net.Dial("unix", socket)
	if err != nil {
		return result, err
	}
	defer stream.Close()
	frame, err := rmp.New(rmp.SchemaToken, time.Now(), [16]byte{1}, 1, make([]byte, 64))
	if err != nil {
		return result, err
	}
	reader := rmp.NewReader(stream)
	overBus := func() error {
		if err := conn.Send(ctx, frame); err != nil {
			return err
		}
		_, err := conn.Receive(ctx)
		return err
	}
	overSocket := func() error {
		if err := rmp.WriteFrame(stream, frame); err != nil {
			return err
		}
		_, err := reader.ReadFrame()
		return err
	}
	value, buffer := make([]byte, 64), make([]byte, 0, 64)
	set := func() error { return bus.Set("bench/key", value) }
	get := func() error { _, _, err := bus.AppendGet(buffer, "bench/key"); return err }
	miss := func() error {
		if _, _, err := bus.AppendGet(buffer, "bench/none"); !errors.Is(err, splinter.ErrNotFound) {
			return fmt.Errorf("a key that is not there: %w", err)
		}
		return nil
	}
	timings := []struct {
		run    func() error
		times  int
		median *float64
		rounds []float64
	}{
		{run: overBus, times: c.Trips, median: &result.BusTripNs},
		{run: overSocket, times: c.Trips, median: &result.SocketTripNs},
		{run: set, times: 20 * c.Trips, median: &result.SetNs},
		{run: get, times: 20 * c.Trips, median: &result.GetNs},
		{run: miss, times: 20 * c.Trips, median: &result.MissNs},
	}
	for range c.Rounds {
		for i := range timings {
			ns, err := perOperation(timings[i].times, timings[i].run)
			if err != nil {
				return result, err
			}
			timings[i].rounds = append(timings[i].rounds, ns)
		}
	}
	for _, t := range timings {
		slices.Sort(t.rounds)
		*t.median = t.rounds[len(t.rounds)/2]
	}
	result.Ratio = result.SocketTripNs / result.BusTripNs
	return result, nil
}

func perOperation(n int, run func() error) (float64, error) {
	begin := time.Now()
	for range n {
		if err := run(); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(begin).Nanoseconds()) / float64(n), nil
}

// startPeer runs this program as the peer; stop ends it by closing its standard input.
func startPeer(ctx context.Context, bus, socket string, stderr io.Writer) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "peer", "--bus", bus, socket)
	cmd.Args[0] = "splinter"
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() { stdin.Close(); cmd.Wait() }
	if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil {
		stop()
		return nil, fmt.Errorf("the other process did not get ready: %w", err)
	}
	return stop, nil
}
