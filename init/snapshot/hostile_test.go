package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// nest makes folders within folders, deeper than any path may be long, and a
// file in the deepest.
func nest(t *testing.T, folder string, depth int) {
	t.Helper()
	at, err := unix.Open(folder, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for range depth {
		if err == nil {
			err = unix.Mkdirat(at, strings.Repeat("d", 100), 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		below, opened := unix.Openat(at, strings.Repeat("d", 100), unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(at)
		at, err = below, opened
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := unix.Openat(at, "deepest", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(file)
	unix.Close(at)
}

func TestWhatIsNoStateIsLeftOutAndNobodyWaitsForIt(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"journal": "x", "line\nbreak": "y", "\xff\xfe": "z", strings.Repeat("n", 255): "long"})
	want := tree(t, a.data)
	if err := unix.Mkfifo(filepath.Join(a.data, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	at, err := os.Open(a.data)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/socket", at.Fd())}); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(a.data, "somebody else's")
		write(t, a.data, map[string]string{"somebody else's": "secret"})
		if err := os.Chown(foreign, 4711, 4711); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mknod(filepath.Join(a.data, "device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil && !errors.Is(err, unix.EPERM) {
			t.Fatal(err)
		}
	}
	s := Open(a.snapshots)
	a.take(t, s)
	same(t, "the snapshot", tree(t, a.newest(t)), want)
	if _, err := s.SetAside(t.Context(), "echo", a.data); err != nil {
		t.Fatal(err)
	}
	same(t, "what was restored", tree(t, a.data), want)
}

func TestALinkOutIsKeptAsALinkAndNeverFollowed(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"secret": "coven's"})
	a := newAppliance(t)
	for name, target := range map[string]string{
		"file": filepath.Join(outside, "secret"), "folder": outside, "up": "../../../../../../etc", "self": "self", "none": "/no/such",
		"long": strings.Repeat("x/", 2000),
	} {
		if err := os.Symlink(target, filepath.Join(a.data, name)); err != nil {
			t.Fatal(err)
		}
	}
	want := tree(t, a.data)
	s := Open(a.snapshots)
	a.take(t, s)
	same(t, "the snapshot", tree(t, a.newest(t)), want)
	for range s.KeepAside + 1 { // the last one deletes the first
		if _, err := s.SetAside(t.Context(), "echo", a.data); err != nil {
			t.Fatal(err)
		}
	}
	if content, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(content) != "coven's" {
		t.Errorf("outside: %q, %v", content, err)
	}
}

// TestAServiceThatSwapsItsFolderForALinkGetsNothingFromOutside swaps in the
// moment after root has looked at the folder and before root copies what is in
// it, and again at each later step.
func TestAServiceThatSwapsItsFolderForALinkGetsNothingFromOutside(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"secret": "coven's", "inner/secret": "coven's"})
	for n := range 24 {
		a := newAppliance(t)
		write(t, a.data, map[string]string{"a/secret": "mine", "a/inner/secret": "mine", "b/secret": "mine"})
		for _, name := range []string{"a", "b"} {
			if err := os.Symlink(outside, filepath.Join(a.data, name+".link")); err != nil {
				t.Fatal(err)
			}
		}
		s := Open(a.snapshots)
		s.pause = 0
		left := n
		s.disk.step = func(string, string) error {
			if left--; left < 0 {
				for _, name := range []string{"a", "b"} {
					path := filepath.Join(a.data, name)
					if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, path+".link", unix.RENAME_EXCHANGE); err != nil {
						t.Fatal(err)
					}
				}
			}
			return nil
		}
		err := s.Take(t.Context(), "echo", a.data, 1)
		if err != nil && !errors.Is(err, ErrChanging) {
			t.Fatal(err)
		}
		for _, name := range names(t, a.snapshots) {
			if got := tree(t, filepath.Join(a.snapshots, "echo", name)); strings.Contains(got, "coven's") {
				t.Fatalf("after %d steps:\n%s", n, got)
			}
		}
	}
}

// TestAFileThatBecomesSomethingElseWhileItIsCopiedHoldsNobodyUp races for real; nothing
// in it depends on who wins.
func TestAFileThatBecomesSomethingElseWhileItIsCopiedHoldsNobodyUp(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"file": "mine"})
	if err := unix.Mkfifo(filepath.Join(a.data, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				file, fifo := filepath.Join(a.data, "file"), filepath.Join(a.data, "fifo")
				unix.Renameat2(unix.AT_FDCWD, file, unix.AT_FDCWD, fifo, unix.RENAME_EXCHANGE)
			}
		}
	}()
	s := Open(a.snapshots)
	for range 3 {
		if err := s.Take(t.Context(), "echo", a.data, 1); err != nil && !errors.Is(err, ErrChanging) {
			t.Error(err)
		}
	}
	close(stop)
	<-ended
}

func TestAFolderThatKeepsChangingIsNoSnapshotAndOneThatStopsIs(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"journal": "x", "folder/file": "x"})
	for _, change := range []func(n int){
		func(n int) { write(t, a.data, map[string]string{"journal": fmt.Sprint(n)}) },
		func(n int) { write(t, a.data, map[string]string{fmt.Sprint("folder/", n): ""}) },
		func(n int) { os.Chmod(filepath.Join(a.data, "journal"), os.FileMode(0o600+n%8)) },
		func(int) { os.RemoveAll(filepath.Join(a.data, "folder")) }, // only once, of course
	} {
		s := Open(a.snapshots)
		s.pause = 0
		times, changes := 0, 2
		s.disk.step = func(operation, path string) error {
			if operation == "set attributes of" && strings.HasSuffix(path, "journal") {
				if times++; times <= changes {
					change(times)
				}
			}
			return nil
		}
		a.take(t, s)
		same(t, "the snapshot", tree(t, a.newest(t)), tree(t, a.data))
		write(t, a.data, map[string]string{"journal": "x", "folder/file": "x"})
	}
	before := names(t, a.snapshots)
	s := Open(a.snapshots)
	n := 0
	s.disk.step = func(operation, path string) error {
		if operation == "set attributes of" && strings.HasSuffix(path, "journal") {
			n++
			write(t, a.data, map[string]string{"journal": fmt.Sprint("again ", n)})
		}
		return nil
	}
	if err := s.Take(t.Context(), "echo", a.data, 3); !errors.Is(err, ErrChanging) || n != rounds {
		t.Errorf("after %d changes: %v", n, err)
	}
	if after := names(t, a.snapshots); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("snapshots: %q, before %q", after, before)
	}
	noLeftovers(t, a.snapshots)
}

func TestASparseFileStaysSparse(t *testing.T) {
	a := newAppliance(t)
	f, err := os.Create(filepath.Join(a.data, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 36 // more than a snapshot may hold if it were written
	for _, offset := range []int64{0, 1 << 30, 1<<30 + 5<<20} {
		if _, err := f.WriteAt([]byte("data"), offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	a.take(t, Open(a.snapshots))
	var st unix.Stat_t
	copied := filepath.Join(a.newest(t), "sparse")
	if err := unix.Stat(copied, &st); err != nil || st.Size != size || st.Blocks*512 > 1<<20 {
		t.Errorf("size %d, blocks %d, %v", st.Size, st.Blocks, err)
	}
	f, err = os.Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 5)
	if _, err := f.ReadAt(data, 1<<30+5<<20); err != nil || string(data) != "data\x00" {
		t.Errorf("read %q, %v", data, err)
	}
}

func TestAFileOfManyNamesCountsForEach(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"one": strings.Repeat("x", 100<<10)})
	for i := range 20 {
		if err := os.Link(filepath.Join(a.data, "one"), filepath.Join(a.data, fmt.Sprint("name", i))); err != nil {
			t.Fatal(err)
		}
	}
	s := Open(a.snapshots)
	s.MaxBytes = 1 << 20
	if err := s.Take(t.Context(), "echo", a.data, 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	noLeftovers(t, a.snapshots)
	s.MaxBytes = 10 << 20
	a.take(t, s)
	same(t, "the snapshot", tree(t, a.newest(t)), tree(t, a.data))
}

func TestTooMuchOfAnythingIsAnErrorThatSaysSo(t *testing.T) {
	for _, test := range []struct {
		what, says string
		make       func(t *testing.T, folder string)
	}{
		{"bytes", "too large", func(t *testing.T, folder string) {
			write(t, folder, map[string]string{"large": strings.Repeat("x", 600<<10)})
		}},
		{"files", "too many files", func(t *testing.T, folder string) {
			for i := range 60 {
				write(t, folder, map[string]string{fmt.Sprint(i): ""})
			}
		}},
		{"depth", "too deep", func(t *testing.T, folder string) { nest(t, folder, 60) }},
		{"far more depth", "too", func(t *testing.T, folder string) { nest(t, folder, 3000) }},
	} {
		a := newAppliance(t)
		test.make(t, a.data)
		s := Open(a.snapshots)
		s.MaxBytes, s.MaxEntries, s.MaxDepth = 500<<10, 50, 20
		err := s.Take(t.Context(), "echo", a.data, 1)
		if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), a.data) {
			t.Errorf("%s: %v", test.what, err)
		}
		noLeftovers(t, a.snapshots)
		// It can be set aside all the same, and deleted when its time has come.
		s.KeepAside = 1
		for range 2 {
			if _, err := s.SetAside(t.Context(), "echo", a.data); err != nil {
				t.Errorf("%s: set aside: %v", test.what, err)
			}
		}
		if list := names(t, a.aside); len(list) != 1 || !strings.HasPrefix(list[0], "00000002-") {
			t.Errorf("%s: kept %q", test.what, list)
		}
		noLeftovers(t, a.aside)
	}
}

func TestAFolderMoreThanDescriptorsAllowDeepIsDeletedWithFew(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"state": ""})
	nest(t, a.data, 2000)
	at, err := openFolder(filepath.Dir(a.data))
	if err != nil {
		t.Fatal(err)
	}
	defer at.close()
	most := 0
	d := disk{step: func(string, string) error {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err
		}
		most = max(most, len(open))
		return nil
	}}
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.remove(t.Context(), at, filepath.Base(a.data)); err != nil {
		t.Fatal(err)
	}
	if most > len(before)+removeDepth+4 {
		t.Errorf("%d descriptors, %d before", most, len(before))
	}
	if _, err := os.Lstat(a.data); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

// In user mode gilgul is not root and can't read what a service has closed.
func TestWhatCannotBeReadIsCopiedByRootAndAnErrorForOthers(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"closed": "x", "shut/file": "y"})
	for _, name := range []string{"closed", "shut"} {
		if err := os.Chmod(filepath.Join(a.data, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(a.data, "shut"), 0o700) })
	s := Open(a.snapshots)
	err := s.Take(t.Context(), "echo", a.data, 1)
	if os.Geteuid() != 0 {
		if !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), a.data) {
			t.Errorf("got %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the snapshot", tree(t, a.newest(t)), tree(t, a.data))
}
