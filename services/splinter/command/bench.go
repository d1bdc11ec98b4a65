package command

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/term"

	"runa/services/splinter/command/bench"
)

type benchCommand struct {
	Rounds      int           `help:"Alternating rounds; the median counts." default:"5"`
	Window      time.Duration `help:"How long each thing is done in a round, about." default:"20ms"`
	Dir         string        `help:"A folder on a tmpfs for the bench's own bus." default:"/dev/shm" placeholder:"DIR"`
	Libsplinter string        `help:"Shared library of libsplinter to measure beside; needs gcc." placeholder:"PATH"`
	JSON        bool          `help:"Print one JSON object." name:"json"`
}

func (c *benchCommand) Help() string {
	return `Everything is done by every contender in turns, on the same machine in the same
minute: set and get of three sizes, a miss, one writer with 1, 7 and 31 readers,
publishing, waking another process, a request with its reply. Redis and LMDB take
part where they are installed. The bench works in a folder of its own.

Examples:
  splinter bench
  splinter bench --libsplinter /usr/local/lib/libsplinter_p.so
  splinter bench --rounds 1 --json`
}

func (c *benchCommand) Run(e environment) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	o := bench.Options{
		Rounds: c.Rounds, Window: c.Window, Dir: c.Dir, Libsplinter: c.Libsplinter,
		Peer: func(ctx context.Context, dir string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, self, "peer", dir)
			cmd.Args[0] = "splinter"
			cmd.Stderr = e.Err
			return cmd
		},
	}
	if file, ok := e.Err.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		o.Progress = func(format string, args ...any) {
			fmt.Fprintf(file, "\r%-78.78s", fmt.Sprintf(format, args...))
		}
		defer fmt.Fprintf(file, "\r%-78s\r", "")
	}
	report, err := bench.Run(e.ctx, o)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if c.JSON {
		return json.NewEncoder(e.Out).Encode(report)
	}
	report.Print(e.Out)
	return nil
}

type peerCommand struct {
	Dir string `arg:"" help:"The bench's folder."`
}

func (c *peerCommand) Run(e environment) error { return bench.Peer(e.ctx, c.Dir, e.In, e.Out) }
