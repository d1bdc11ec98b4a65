package snapshot

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets the tests work in memory if nobody says where else: they wait for
// the disk thousands of times, and only the order of that matters to them.
func TestMain(m *testing.M) {
	const memory = "/dev/shm"
	if _, set := os.LookupEnv("TMPDIR"); !set && unix.Access(memory, unix.W_OK) == nil {
		os.Setenv("TMPDIR", memory)
	}
	os.Exit(m.Run())
}

// appliance is a disk as the appliance has it, with the folder of one service.
type appliance struct {
	snapshots, aside, data string
}

func newAppliance(t *testing.T) appliance {
	t.Helper()
	return applianceIn(t, t.TempDir())
}

func applianceIn(t *testing.T, disk string) appliance {
	t.Helper()
	a := appliance{filepath.Join(disk, "gilgul", "snapshots"), filepath.Join(disk, "gilgul", "aside"), filepath.Join(disk, "echo")}
	if err := os.Mkdir(a.data, 0o700); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a appliance) take(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Take(t.Context(), "echo", a.data, 3); err != nil {
		t.Fatal(err)
	}
}

// names lists what is whole on a shelf.
func names(t *testing.T, shelf string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(shelf, "echo"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			list = append(list, e.Name())
		}
	}
	return list
}

// write puts files into a folder; a name that ends in a slash is a folder.
func write(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := folder + "/" + name
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

// tree describes all that a folder holds, for comparing: one line for each entry
// with kind, permissions, owner, times and content.
func tree(t *testing.T, folder string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(folder, path)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%q %v %d:%d", relative, d.Type(), st.Uid, st.Gid)
		switch {
		case d.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			line += " -> " + target
		case d.Type().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %o %d %q", st.Mode&0o7777, st.Mtim.Nano(), content)
		case relative != ".":
			line += fmt.Sprintf(" %o %d", st.Mode&0o7777, st.Mtim.Nano())
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// newest is the folder of the newest snapshot.
func (a appliance) newest(t *testing.T) string {
	t.Helper()
	list := names(t, a.snapshots)
	if len(list) == 0 {
		t.Fatal("there is no snapshot")
	}
	return filepath.Join(a.snapshots, "echo", list[len(list)-1])
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}
