package qemutests

import (
	"os"
	"path/filepath"
	"testing"
)

// Program builds one of the programs below programs/, which run inside of a
// machine, and returns its bytes. Words such as "-X main.born=..." go to the
// linker.
func Program(t testing.TB, name, linker string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	run(t, "golang", "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w "+linker, "-o", path, "./programs/"+name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
