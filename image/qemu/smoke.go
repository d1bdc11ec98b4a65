package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// smokeMarker is what the trial guest writes to its serial port.
const smokeMarker = "RUNA-GUEST-RUNS"

// bootSector returns a boot sector for a BIOS machine: 16-bit code that writes
// text to the first serial port and halts.
func bootSector(text string) []byte {
	code := []byte{
		0xfa,       // cli
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0xfc,             // cld
		0xbe, 0x17, 0x7c, // mov si, 0x7c17: the text, behind the code
		0xba, 0xf8, 0x03, // mov dx, 0x3f8: the first serial port
		0xac,       // next: lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x03, // jz halt
		0xee,       // out dx, al
		0xeb, 0xf8, // jmp next
		0xf4,       // halt: hlt
		0xeb, 0xfd, // jmp halt
	}
	sector := make([]byte, 512)
	copy(sector[copy(sector, code):509], text)
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}

// writeBootDisk makes a disk that says text. It is 1 MiB long because SeaBIOS
// reads no disk that is smaller than one cylinder.
func writeBootDisk(path, text string) error {
	if err := os.WriteFile(path, bootSector(text), 0o600); err != nil {
		return err
	}
	return os.Truncate(path, 1<<20)
}

// smokeBoot boots the trial guest and returns nil as soon as its marker is
// there, or what kept it from coming within limit.
func smokeBoot(ctx context.Context, accel Accel, limit time.Duration) error {
	dir, err := os.MkdirTemp("", "runa-smoke-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "boot.raw")
	if err := writeBootDisk(disk, smokeMarker); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	machine := Machine{Kind: BIOS, Accel: accel, Disk: disk, Format: "raw", MemoryMiB: 64, Serial: Attached}
	process, err := machine.Start(ctx)
	if err != nil {
		return err
	}
	defer process.Kill()
	return awaitMarker(ctx, process, limit)
}

func awaitMarker(ctx context.Context, process *Process, limit time.Duration) error {
	var seen strings.Builder
	buffer := make([]byte, 256)
	for {
		n, err := process.Consoles[0].Read(buffer)
		seen.Write(buffer[:n])
		if strings.Contains(seen.String(), smokeMarker) {
			return nil
		}
		if err == nil {
			continue
		}
		ended := process.Wait()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("it printed nothing within %v", limit)
		}
		return errors.Join(errors.New("it ended without a word"), ended)
	}
}
