package gilgul

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/systemdisk"
	"runa/init/terminal"
	"runa/services/hint"
)

// checkRest is the pause between two pieces of the system that are read for their
// check alone: 5 MB a second, so that nobody waits for it.
const checkRest = 50 * time.Millisecond

// checkSystem reads the whole system once, when everything is ready, or should be:
// damage may be what keeps it from that. What runs was checked when it was read; this
// finds damage in the rest before it is needed.
func (m *machine) checkSystem(ctx context.Context) error {
	var root unix.Statfs_t
	if err := unix.Statfs("/", &root); err != nil || root.Type != unix.EROFS_SUPER_MAGIC_V1 {
		m.log.Info("the system is in memory: there is no disk to check")
		return nil
	}
	select {
	case <-m.Settled():
	case <-time.After(consolePatience):
	case <-ctx.Done():
		return nil
	}
	bytes, err := systemdisk.Check(ctx, systemdisk.Device, func(ctx context.Context) error {
		pause(ctx, checkRest)
		return ctx.Err()
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, systemdisk.ErrDamaged):
		err = fmt.Errorf("the system on the disk, %w; what is damaged is never used", err)
		err = hint.New(err, "save what you keep, then write the image to the disk again (runa-image flash); if it happens twice, the disk is worn out")
		fmt.Fprintf(terminal.All(m.terminals), "\r\nRuna: %v.\r\n%s.\r\n", err, hint.Of(err))
		return err
	case err != nil:
		return err
	}
	m.log.Info("every block of the system is sound", "bytes", bytes)
	return nil
}
