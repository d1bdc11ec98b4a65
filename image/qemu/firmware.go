package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"runa/services/hint"
)

// Firmware is the pair of files that UEFI needs: its code, which is read only
// and shared, and the variable store, which belongs to one machine.
type Firmware struct {
	Code, Variables string
}

// The files of Debian's package ovmf (4 MiB build, without secure boot).
const (
	firmwareDir       = "/usr/share/OVMF"
	firmwareCode      = "OVMF_CODE_4M.fd"
	firmwareVariables = "OVMF_VARS_4M.fd"
)

// CopyFirmware makes a variable store in folder, unless one is there already,
// and returns it with the installed firmware's code.
func CopyFirmware(folder string) (Firmware, error) {
	return copyFirmware(firmwareDir, folder)
}

func copyFirmware(installed, folder string) (Firmware, error) {
	firmware := Firmware{
		Code:      filepath.Join(installed, firmwareCode),
		Variables: filepath.Join(folder, "uefi-variables.fd"),
	}
	if _, err := os.Stat(firmware.Code); err != nil {
		return Firmware{}, hint.New(fmt.Errorf("find the UEFI firmware: %w", err), "apt-get install ovmf")
	}
	variables, err := os.ReadFile(filepath.Join(installed, firmwareVariables))
	if err != nil {
		return Firmware{}, hint.New(fmt.Errorf("read the UEFI variables' template: %w", err), "apt-get install ovmf")
	}
	file, err := os.OpenFile(firmware.Variables, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return firmware, nil
	}
	if err != nil {
		return Firmware{}, fmt.Errorf("make the UEFI variable store: %w", err)
	}
	_, err = file.Write(variables)
	if err := errors.Join(err, file.Close()); err != nil {
		os.Remove(firmware.Variables)
		return Firmware{}, fmt.Errorf("write the UEFI variable store: %w", err)
	}
	return firmware, nil
}
