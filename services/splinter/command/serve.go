package command

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"

	"runa/services/hint"
	"runa/services/splinter"
)

type serveCommand struct {
	Group       string `help:"Group of the bus file; empty leaves the process's own." default:"runa"`
	Slots       int    `help:"Keys the bus can hold." default:"512"`
	ValueMax    int    `help:"Longest value in bytes." default:"4096"`
	Connections int    `help:"Connections that can be open at once." default:"32"`
	RingSize    int    `help:"Bytes that can wait each way in a connection." default:"65536"`
}

// Run makes the bus, says READY=1 on the descriptor that RUNA_NOTIFY_FD numbers
// and stays. It leaves the file: others may go on using it, and the next serve takes it up.
func (c *serveCommand) Run(e environment) error {
	gid, err := groupID(c.Group)
	if err != nil {
		return err
	}
	b, err := splinter.Create(e.bus, splinter.Options{
		GID: gid, Slots: c.Slots, ValueMax: c.ValueMax, Connections: c.Connections, RingSize: c.RingSize,
	})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := notifyReady(e.env("RUNA_NOTIFY_FD")); err != nil {
		return err
	}
	<-e.ctx.Done()
	return nil
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

// notifyReady writes READY=1 to the descriptor with that number; none is fine.
func notifyReady(number string) error {
	if number == "" {
		return nil
	}
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 0 {
		return fmt.Errorf("RUNA_NOTIFY_FD is %q: no descriptor's number", number)
	}
	f := os.NewFile(uintptr(fd), "RUNA_NOTIFY_FD")
	defer f.Close()
	if _, err := f.WriteString("READY=1\n"); err != nil {
		return fmt.Errorf("say ready: %w", err)
	}
	return nil
}
