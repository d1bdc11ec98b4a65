package qemutests

import (
	"os"
	"testing"

	"runa/image/inventory"
	"runa/init/boot"
	"runa/init/systemdisk"
)

// Artefacts are the paths of what `make test` built.
type Artefacts struct {
	Image       string // RUNA_IMAGE_QCOW2: the whole disk
	Kernel      string // RUNA_KERNEL: bzImage
	VMLinux     string // RUNA_VMLINUX: the same kernel, uncompressed
	Initramfs   string // RUNA_INITRAMFS: the system as an archive, for tests that lay files over it
	Raw         string // RUNA_IMAGE_RAW: the same disk byte by byte
	Chrome      string // RUNA_CHROME: the signed kernel of its partition for Chromebooks
	SystemFile  string // RUNA_SYSTEM: the content of the system's partition
	CommandLine string // of the kernel, as the image gives it, out of RUNA_INVENTORY
	System      string // the argument in it that names the image's system
	LlamaDir    string // RUNA_LLAMA_DIR: the shared libraries of llama.cpp
	Model       string // RUNA_MODEL_STORIES15M: the GGUF file that is also in the image
	Bin         string // RUNA_BIN: folder with splinter, splinfer and runa for this host
}

// FindArtefacts reads the variables and fails the test when one is missing.
func FindArtefacts(t testing.TB) Artefacts {
	t.Helper()
	line, system := commandLine(t, artefact(t, "RUNA_INVENTORY"))
	return Artefacts{
		CommandLine: line, System: system,
		Image:     artefact(t, "RUNA_IMAGE_QCOW2"),
		Kernel:    artefact(t, "RUNA_KERNEL"),
		VMLinux:   artefact(t, "RUNA_VMLINUX"),
		Initramfs: artefact(t, "RUNA_INITRAMFS"),
		Raw:       artefact(t, "RUNA_IMAGE_RAW"), Chrome: artefact(t, "RUNA_CHROME"), SystemFile: artefact(t, "RUNA_SYSTEM"),
		LlamaDir: artefact(t, "RUNA_LLAMA_DIR"),
		Model:    artefact(t, "RUNA_MODEL_STORIES15M"),
		Bin:      artefact(t, "RUNA_BIN"),
	}
}

func artefact(t testing.TB, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: run `make test`, which builds what these tests boot and names it", variable)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s: %v: run `make test`, which builds it", variable, err)
	}
	return path
}

// fromDisk adds to a kernel's command line what makes it start the system on the
// image's disk.
func (a Artefacts) fromDisk(commandLine string) string { return commandLine + " " + a.System }

// commandLine reads the kernel's command line out of an inventory, and in it the
// argument with which the kernel finds the system on the image's disk.
func commandLine(t testing.TB, path string) (line, system string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := inventory.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	value, there := boot.ParseCommandLine(inv.CommandLine).Value(systemdisk.Option)
	if !there {
		t.Fatalf("%s: the command line %q names no system", path, inv.CommandLine)
	}
	return inv.CommandLine, systemdisk.Option + "=" + value
}
