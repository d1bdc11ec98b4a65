package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"time"

	"runa/services/hint"
	"runa/services/splinter"
	"runa/services/supervised"
)

// shape are the flags that are fixed when a bus is made.
type shape struct {
	Group       string `help:"Group of the bus file; empty leaves the process's own." default:"runa"`
	Slots       int    `help:"Keys the bus can hold." default:"512"`
	ValueLimit  int    `help:"Longest value in bytes." default:"1048576" placeholder:"BYTES"`
	Heap        int64  `help:"Bytes for values and messages; 0: 8 MiB, less for small limits." default:"0" placeholder:"BYTES"`
	Connections int    `help:"Connections that can be open at once." default:"32"`
	RingSize    int    `help:"Bytes that can wait each way in a connection." default:"65536" placeholder:"BYTES"`
	Messages    int    `help:"Messages that all topics together can hold; 0: 4096." default:"0"`
	Share       int    `help:"Percent of the keys and of the heap that one user's keys may take; 0: all. Root and the bus's owner have no limit." default:"50" placeholder:"PERCENT"`
	Enforce     bool   `help:"Who has no grant may do nothing but read keys under sys/."`
}

func (s shape) options(key []byte) (splinter.Options, error) {
	gid, err := groupID(s.Group)
	return splinter.Options{
		GID: gid, Slots: s.Slots, ValueLimit: s.ValueLimit, Heap: s.Heap, Connections: s.Connections,
		RingSize: s.RingSize, Messages: s.Messages, Share: s.Share, Enforce: s.Enforce, Key: key,
	}, err
}

type initCommand struct {
	shape
}

func (c *initCommand) Help() string {
	return `Makes the bus that --bus names. All memory it will ever use is taken then. A bus
that is there is left alone, and that is an error.

Examples:
  splinter --bus /dev/shm/mine init --group=
  splinter --bus /dev/shm/mine init --group= --slots 65536 --heap 67108864
  splinter --bus /run/runa/coven --key-file secret init     keys hashed, values sealed`
}

func (c *initCommand) Run(e environment) error {
	if _, err := os.Lstat(e.bus); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return hint.New(fmt.Errorf("make bus %s: %w", e.bus, err), "splinter info shows what it is; remove the file first to make it anew")
	}
	b, err := c.create(e)
	if err != nil {
		return err
	}
	return b.Close()
}

func (s shape) create(e environment) (*splinter.Bus, error) {
	key, err := e.key()
	if err != nil {
		return nil, err
	}
	o, err := s.options(key)
	if err != nil {
		return nil, err
	}
	return splinter.Create(e.bus, o)
}

type serveCommand struct {
	shape
	Statistics time.Duration `help:"How often figures are set under sys/statistics." default:"1s" placeholder:"TIME"`
}

func (c *serveCommand) Help() string {
	return `Makes the bus that --bus names if it is not there, tells gilgul that it is
ready (RUNA_NOTIFY_FD), and looks after it: removes keys whose time has come
and, when space is short, those that weigh least; gets back what dead processes
left; sets sys/statistics; says that it lives where RUNA_HEARTBEAT asks for it,
and that it is degraded while some of that fails. Nothing depends on it: a bus works without. It leaves
the file when it ends, and takes up one that is there as it is.

Examples:
  splinter serve
  splinter --bus /dev/shm/mine serve --group=`
}

// Run makes the bus, says that it is ready and stays until the context ends.
func (c *serveCommand) Run(e environment) error {
	if c.Statistics < 10*time.Millisecond {
		return fmt.Errorf("serve: --statistics %v: expected 10ms or more", c.Statistics)
	}
	gilgul, err := supervised.FromEnvironment(e.env)
	if err != nil {
		return err
	}
	b, err := c.create(e)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := gilgul.Ready(); err != nil {
		return err
	}
	j := janitor{bus: b, interval: c.Statistics, now: time.Now, log: e.Err, gilgul: gilgul}
	return j.run(e.ctx)
}

func groupID(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	group, err := user.LookupGroup(name)
	if err != nil {
		var unknown user.UnknownGroupError
		if errors.As(err, &unknown) {
			err = hint.New(fmt.Errorf("group %q of the bus: not in /etc/group", name), "--group= leaves the bus to this process's own group")
		}
		return 0, err
	}
	return strconv.Atoi(group.Gid)
}
