package qemutests

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"testing"

	"runa/init/control"
)

func pattern(text string) *regexp.Regexp { return regexp.MustCompile(text) }

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// pid is the id of a service's process, which it must have: kill 0 would end
// whoever types it.
func pid(t testing.TB, service control.ServiceStatus) string {
	t.Helper()
	if service.PID <= 0 {
		t.Fatalf("%s has no process: %+v", service.Name, service)
	}
	return strconv.Itoa(service.PID)
}

// hashOf returns the hash of a part of a file.
func hashOf(t *testing.T, path string, start, size int64) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(file, start, size)); err != nil {
		t.Fatal(err)
	}
	return string(hash.Sum(nil))
}

// readOverlay returns a file that the image is built with.
func readOverlay(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("../overlays/base/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
