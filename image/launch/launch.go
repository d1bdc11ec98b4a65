// Package launch boots a finished image on this machine with the person's
// terminal as its serial console, on a disk of its own so that the image stays
// as it was built. It chooses what suits the machine: the accelerator, and with
// it the model, because under emulation only a tiny one answers in time.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"runa/image/cache"
	"runa/image/qemu"
	"runa/services/hint"
)

// Choice is what suits this machine.
type Choice struct {
	Accel     qemu.Accel
	Model     string // of package model
	MemoryMiB int
	Why       string // one line for the person
}

// emulated is the processor that QEMU translates fastest: with none of the wide
// instructions that llama.cpp would choose and TCG takes apart again. A model says
// twice as many words a second on it as on TCG's richest processor.
const emulated = "qemu64"

// Choose looks at the machine. A model or memory that is asked for stands.
func Choose(ctx context.Context, model string, memoryMiB int) Choice {
	accel, reason := qemu.Accelerator(ctx)
	c := Choice{Accel: accel, Model: model, MemoryMiB: memoryMiB}
	how := "with KVM: " + reason
	if accel != qemu.KVM {
		c.Accel.CPU = emulated
		how = "emulated (TCG), because " + reason
	}
	switch {
	case c.Model != "":
		c.Why = fmt.Sprintf("running %s; model %s, as asked", how, c.Model)
	case accel == qemu.KVM:
		c.Model = "tinyllama-1.1b-chat"
		c.Why = fmt.Sprintf("running %s; model %s, which chats", how, c.Model)
	default:
		c.Model = "stories15m"
		c.Why = fmt.Sprintf("running %s; model %s, which only continues stories: a chat model would take minutes for a sentence here (MODEL=tinyllama-1.1b-chat to try)", how, c.Model)
	}
	if c.MemoryMiB == 0 {
		c.MemoryMiB = 1024
		if c.Model != "stories15m" {
			c.MemoryMiB = 2048
		}
	}
	return c
}

// Run boots image and returns when it has been powered off. The disk it writes
// to is kept in the folder state under a name that goes with the image's bytes.
func Run(ctx context.Context, out io.Writer, image, state string, c Choice) error {
	disk, err := ownDisk(ctx, image, state)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "booting %s\n  %s\n  what it writes is kept in %s\n  the console appears below; Ctrl-A X pulls the plug, `runa poweroff` ends it properly\n\n", image, c.Why, disk)
	m := qemu.Machine{
		Kind: qemu.BIOS, Accel: c.Accel, Disk: disk, Format: "qcow2",
		MemoryMiB: c.MemoryMiB, CPUs: min(runtime.NumCPU(), 4),
	}
	return m.Run(ctx)
}

// ownDisk makes an overlay on image, or finds the one made before.
func ownDisk(ctx context.Context, image, state string) (string, error) {
	hash, err := cache.FileHash(image)
	if err != nil {
		return "", hint.New(err, "make image")
	}
	disk := filepath.Join(state, "run-"+hash[:12]+".qcow2")
	if _, err := os.Stat(disk); err == nil {
		return disk, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for the disk: %w", err)
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for the disk: %w", err)
	}
	// The image is copied, not referred to: the next build would change it under the overlay.
	cmd := exec.CommandContext(ctx, "qemu-img", "convert", "-O", "qcow2", image, disk+".tmp")
	if said, err := cmd.CombinedOutput(); err != nil {
		err = fmt.Errorf("make the disk: %w: %s", err, strings.TrimSpace(string(said)))
		return "", hint.New(errors.Join(err, os.RemoveAll(disk+".tmp")), "apt-get install qemu-utils, and see that the disk isn't full")
	}
	if err := os.Rename(disk+".tmp", disk); err != nil {
		return "", fmt.Errorf("keep the disk: %w", err)
	}
	return disk, nil
}
