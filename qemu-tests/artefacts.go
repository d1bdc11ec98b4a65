package qemutests

import (
	"os"
	"testing"
)

// Artefacts are the paths of what `make test` built.
type Artefacts struct {
	Image     string // RUNA_IMAGE_QCOW2: the whole disk
	Kernel    string // RUNA_KERNEL: bzImage
	VMLinux   string // RUNA_VMLINUX: the same kernel, uncompressed
	Initramfs string // RUNA_INITRAMFS
	LlamaDir  string // RUNA_LLAMA_DIR: the shared libraries of llama.cpp
	Model     string // RUNA_MODEL_STORIES15M: the GGUF file that is also in the image
	Bin       string // RUNA_BIN: folder with splinter, splinfer and runa for this host
}

// FindArtefacts reads the variables and fails the test when one is missing.
func FindArtefacts(t testing.TB) Artefacts {
	t.Helper()
	return Artefacts{
		Image:     artefact(t, "RUNA_IMAGE_QCOW2"),
		Kernel:    artefact(t, "RUNA_KERNEL"),
		VMLinux:   artefact(t, "RUNA_VMLINUX"),
		Initramfs: artefact(t, "RUNA_INITRAMFS"),
		LlamaDir:  artefact(t, "RUNA_LLAMA_DIR"),
		Model:     artefact(t, "RUNA_MODEL_STORIES15M"),
		Bin:       artefact(t, "RUNA_BIN"),
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
