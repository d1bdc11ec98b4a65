package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// WriteChrome makes at path what a Chromebook's firmware (depthcharge) starts: the
// kernel with its command line, signed with the developers' keys, which every
// Chromebook in developer mode accepts. keys is the folder of those keys:
// usr/share/vboot/devkeys of Debian's vboot-kernel-utils. The same kernel gives the
// same bytes.
func WriteChrome(ctx context.Context, kernel, commandLine, keys, path string, tools Tools) error {
	if err := writeChrome(ctx, kernel, commandLine, keys, path, tools); err != nil {
		return fmt.Errorf("sign the kernel for Chromebooks: %w", err)
	}
	return nil
}

// noLoader stands where a boot loader could be, which this firmware doesn't need.
var noLoader = make([]byte, sectorSize)

func writeChrome(ctx context.Context, kernel, commandLine, keys, path string, tools Tools) error {
	work, err := os.MkdirTemp("", "runa-chrome-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, p := range []*string{&kernel, &keys, &path} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	for name, content := range map[string][]byte{"commandline": []byte(commandLine), "loader": noLoader} {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o600); err != nil {
			return err
		}
	}
	_, err = runner{Tools: tools, time: Epoch, dir: work}.run(ctx, tools.VbutilKernel, "vbutil_kernel", "vboot-kernel-utils",
		"--pack", path, "--version", "1", "--arch", "x86_64", "--vmlinuz", kernel, "--config", "commandline", "--bootloader", "loader",
		"--keyblock", filepath.Join(keys, "kernel.keyblock"), "--signprivate", filepath.Join(keys, "kernel_data_key.vbprivk"))
	return err
}
